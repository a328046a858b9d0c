//! What making pixels of coefficients needs to know about a file.

use std::slice;

use mozjpeg_sys as sys;

use super::Decompression;
use crate::decode::coefficients::Coefficients;

/// The components of a file: Y, or Y, Cb and Cr.
#[derive(Clone, Copy, Debug)]
pub struct Colours {
    /// How many components there are, 1 or 3. The others are zero.
    pub components: usize,
    /// The sampling factors of each component, horizontal and vertical.
    pub samplings: [(u8, u8); 3],
    /// Their quantisation tables in natural order.
    pub steps: [[u16; 64]; 3],
}

impl<S: Coefficients> Decompression<'_, S> {
    /// `None` if libjpeg takes the components for other colours. Call it after [`Self::start`].
    pub fn colours(&self) -> Option<Colours> {
        let cinfo = &self.context.cinfo;
        let components = match (cinfo.jpeg_color_space, cinfo.num_components) {
            (sys::J_COLOR_SPACE::JCS_GRAYSCALE, 1) => 1,
            (sys::J_COLOR_SPACE::JCS_YCbCr, 3) => 3,
            _ => return None,
        };
        let mut found = Colours { components, samplings: [(0, 0); 3], steps: [[0; 64]; 3] };
        // SAFETY: libjpeg has made this array for as many components.
        let infos = unsafe { slice::from_raw_parts(cinfo.comp_info, components) };
        for (index, info) in infos.iter().enumerate() {
            found.samplings[index] = (info.h_samp_factor as u8, info.v_samp_factor as u8);
            // SAFETY: null, or the table that libjpeg has kept for this component.
            found.steps[index] = unsafe { info.quant_table.as_ref() }?.quantval;
        }
        Some(found)
    }
}
