//! What making pixels of coefficients needs to know about a file.

use std::slice;

use mozjpeg_sys as sys;

use super::Decompression;
use crate::decode::coefficients::Coefficients;

/// A file of three components that libjpeg takes for Y, Cb and Cr.
#[derive(Clone, Copy, Debug)]
pub struct Ycbcr {
    /// The sampling factors of each component, horizontal and vertical.
    pub samplings: [(u8, u8); 3],
    /// Their quantisation tables in natural order.
    pub steps: [[u16; 64]; 3],
}

impl<S: Coefficients> Decompression<'_, S> {
    /// `None` if the colours are others. Call it after [`Self::start`].
    pub fn ycbcr(&self) -> Option<Ycbcr> {
        let cinfo = &self.context.cinfo;
        if cinfo.jpeg_color_space != sys::J_COLOR_SPACE::JCS_YCbCr || cinfo.num_components != 3 {
            return None;
        }
        let mut found = Ycbcr { samplings: [(0, 0); 3], steps: [[0; 64]; 3] };
        // SAFETY: libjpeg has made this array for as many components.
        let infos = unsafe { slice::from_raw_parts(cinfo.comp_info, 3) };
        for (index, info) in infos.iter().enumerate() {
            found.samplings[index] = (info.h_samp_factor as u8, info.v_samp_factor as u8);
            // SAFETY: null, or the table that libjpeg has kept for this component.
            found.steps[index] = unsafe { info.quant_table.as_ref() }?.quantval;
        }
        Some(found)
    }
}
