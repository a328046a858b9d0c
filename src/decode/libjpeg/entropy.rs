//! Exchanges libjpeg's entropy decoder for another source of coefficients.
//!
//! libjpeg calls its entropy decoder through a struct of function pointers, once per MCU. After
//! `jpeg_start_decompress` has made that struct, [`Hook::attach`] lets libjpeg point to another one
//! of the same layout. libjpeg then does everything else: headers, inverse DCT, upsampling, colour,
//! cropping and skipping.
//!
//! The binding keeps the fields that this needs private. So their layout is repeated here, as
//! `jpeglib.h` and `jpegint.h` of the one version that `Cargo.toml` allows have it, and compared
//! with the binding's where the binding shows it.

use std::ffi::{c_int, c_uint, c_void};
use std::ops::Range;
use std::{mem, slice};

use mozjpeg_sys as sys;

use crate::decode::coefficients::{Block, Coefficients, Component, HuffmanTable, MAX_BLOCKS, Scan};

/// The fields of `jpeg_decompress_struct` from `dc_huff_tbl_ptrs` on.
#[repr(C)]
struct Internals {
    dc_huff_tbl_ptrs: [*const sys::JHUFF_TBL; 4],
    ac_huff_tbl_ptrs: [*const sys::JHUFF_TBL; 4],
    data_precision: c_int,
    comp_info: *mut sys::jpeg_component_info,
    progressive_mode: sys::boolean,
    arith_code: sys::boolean,
    arithmetic_tables: [u8; 48],
    restart_interval: c_uint,
    saw_jfif_marker: sys::boolean,
    jfif_version: [u8; 2],
    density_unit: u8,
    density: [u16; 2],
    saw_adobe_marker: sys::boolean,
    adobe_transform: u8,
    ccir601_sampling: sys::boolean,
    marker_list: *mut sys::jpeg_marker_struct,
    max_h_samp_factor: c_int,
    max_v_samp_factor: c_int,
    min_dct_scaled_size: c_int,
    total_imcu_rows: sys::JDIMENSION,
    sample_range_limit: *mut sys::JSAMPLE,
    comps_in_scan: c_int,
    cur_comp_info: [*const sys::jpeg_component_info; 4],
    mcus_per_row: sys::JDIMENSION,
    mcu_rows_in_scan: sys::JDIMENSION,
    blocks_in_mcu: c_int,
    mcu_membership: [c_int; MAX_BLOCKS],
    progression: [c_int; 4],
    unread_marker: c_int,
    /// `master`, `main`, `coef`, `post`, `inputctl` and `marker`.
    modules_before: [*mut c_void; 6],
    entropy: *mut EntropyDecoder,
    /// `idct`, `upsample`, `cconvert` and `cquantize`.
    modules_after: [*mut c_void; 4],
}

/// Where [`Internals`] begin.
const START: usize = mem::offset_of!(sys::jpeg_decompress_struct, quant_tbl_ptrs)
    + 4 * mem::size_of::<*mut sys::JQUANT_TBL>();

/// Whether libjpeg has the layout of [`Internals`]. Another crate may ask for a build of libjpeg
/// with another layout; then its own entropy decoder has to do.
const KNOWN: bool = {
    macro_rules! agree {
        ($($field:ident),*) => {
            $(START + mem::offset_of!(Internals, $field)
                == mem::offset_of!(sys::jpeg_decompress_struct, $field))&&*
        };
    }
    sys::JPEG_LIB_VERSION == 62
        && START + mem::size_of::<Internals>() == mem::size_of::<sys::jpeg_decompress_struct>()
        && agree!(comp_info, density_unit, marker_list, max_h_samp_factor, max_v_samp_factor)
};

type StartPass = unsafe extern "C-unwind" fn(&mut sys::jpeg_decompress_struct);
type DecodeMcu = unsafe extern "C-unwind" fn(
    &mut sys::jpeg_decompress_struct,
    *const *mut Block,
) -> sys::boolean;

/// `jpeg_entropy_decoder` of `jpegint.h`.
#[derive(Debug)]
#[repr(C)]
struct EntropyDecoder {
    start_pass: StartPass,
    decode_mcu: DecodeMcu,
    insufficient_data: sys::boolean,
}

/// Gives libjpeg the coefficients of a source. libjpeg's struct is first, so that a pointer to it
/// is a pointer to this.
#[derive(Debug)]
#[repr(C)]
pub struct Hook<S> {
    entropy: EntropyDecoder,
    attached: bool,
    /// The column of the next MCU.
    column: usize,
    mcus_per_row: usize,
    blocks: usize,
    /// The columns whose coefficients libjpeg uses.
    wanted: Range<usize>,
    pub source: S,
}

impl<S: Coefficients> Hook<S> {
    pub fn new(source: S) -> Self {
        let decode_mcu = decode_mcu::<S>;
        let entropy = EntropyDecoder { start_pass, decode_mcu, insufficient_data: 0 };
        Self {
            entropy,
            attached: false,
            column: 0,
            mcus_per_row: 0,
            blocks: 0,
            wanted: 0..0,
            source,
        }
    }

    /// Lets `cinfo` take its coefficients from this, if the file allows it and the source agrees.
    /// `bytes` are those that libjpeg would read next. Returns how many of them the scan has.
    ///
    /// # Safety
    /// `cinfo` has just been started with `jpeg_start_decompress`. While it is used after that,
    /// this neither moves nor is it accessed during a call of libjpeg.
    pub unsafe fn attach(
        &mut self,
        cinfo: &mut sys::jpeg_decompress_struct,
        bytes: &[u8],
    ) -> Option<usize> {
        // SAFETY: as this function demands.
        let several = unsafe { sys::jpeg_has_multiple_scans(cinfo) };
        if !KNOWN || several != 0 {
            return None;
        }
        // SAFETY: the layout is known.
        let internals = unsafe { &mut *internals(cinfo) };
        let coded_otherwise = internals.progressive_mode != 0 || internals.arith_code != 0;
        if coded_otherwise || internals.data_precision != 8 {
            return None;
        }
        let mut components = [Component::default(); 4];
        // SAFETY: the decompressor has started.
        let components = unsafe { internals.components(&mut components) }?;
        let per_row = internals.mcus_per_row as usize;
        let scan = Scan {
            bytes,
            restart_interval: internals.restart_interval as usize,
            mcus: per_row.checked_mul(internals.mcu_rows_in_scan as usize)?,
            components,
        };
        let length = self.source.begin(&scan)?;
        self.attached = true;
        self.mcus_per_row = per_row;
        self.blocks = internals.blocks_in_mcu as usize;
        (self.column, self.wanted) = (0, 0..per_row);
        internals.entropy = &raw mut self.entropy;
        Some(length)
    }

    /// Forgets the decompressor that this was attached to.
    pub fn detach(&mut self) {
        self.attached = false;
    }

    /// Tells that libjpeg uses only the columns of pixels `left..left + width`.
    pub fn crop(&mut self, cinfo: &mut sys::jpeg_decompress_struct, left: u32, width: u32) {
        if !self.attached {
            return;
        }
        // With one component the MCU is a block, whatever its sampling factors are.
        let factor = if cinfo.num_components == 1 { 1 } else { cinfo.max_h_samp_factor as usize };
        let mcu = sys::DCTSIZE * factor;
        let (left, right) = (left as usize, left as usize + width as usize);
        self.wanted = left / mcu..right.div_ceil(mcu);
    }

    /// Whether the coefficients given so far are worthless.
    pub fn failed(&self) -> bool {
        self.attached && self.source.failed()
    }
}

impl Internals {
    /// The components of the scan that has been started. `None` if there is one without tables, or
    /// if they are not in the order of the frame, which the standard demands.
    ///
    /// # Safety
    /// This is of a started decompressor.
    unsafe fn components<'a>(&self, out: &'a mut [Component; 4]) -> Option<&'a [Component]> {
        let count = usize::try_from(self.comps_in_scan).ok()?;
        let membership = self.mcu_membership.get(..usize::try_from(self.blocks_in_mcu).ok()?)?;
        for (index, component) in out.get_mut(..count)?.iter_mut().enumerate() {
            // SAFETY: libjpeg has set the pointers of all components in the scan.
            let info = unsafe { self.cur_comp_info[index].as_ref() }?;
            (info.component_index == index as c_int).then_some(())?;
            let table = |tables: &[*const sys::JHUFF_TBL; 4], number: c_int| {
                let table = *tables.get(usize::try_from(number).ok()?)?;
                // SAFETY: null, or a table that lives as long as the decompressor.
                let table = unsafe { table.as_ref() }?;
                let [_, counts @ ..] = table.bits;
                Some(HuffmanTable { counts, values: table.huffval })
            };
            component.blocks = membership.iter().filter(|&&at| at == index as c_int).count();
            component.dc = table(&self.dc_huff_tbl_ptrs, info.dc_tbl_no)?;
            component.ac = table(&self.ac_huff_tbl_ptrs, info.ac_tbl_no)?;
        }
        out.get(..count)
    }
}

/// Whether the codes of a file are Huffman's. Its header has been read. False if it can't be told.
pub fn is_huffman(cinfo: &mut sys::jpeg_decompress_struct) -> bool {
    // SAFETY: the layout is known; libjpeg has set the field when it created the struct.
    KNOWN && unsafe { (*internals(cinfo)).arith_code == 0 }
}

fn internals(cinfo: &mut sys::jpeg_decompress_struct) -> *mut Internals {
    (&raw mut *cinfo).cast::<u8>().wrapping_add(START).cast()
}

/// Nothing is left to do: libjpeg calls this in `jpeg_start_decompress`, before the exchange.
unsafe extern "C-unwind" fn start_pass(_: &mut sys::jpeg_decompress_struct) {}

/// Gives libjpeg the next MCU. `blocks` is null if libjpeg skips it.
unsafe extern "C-unwind" fn decode_mcu<S: Coefficients>(
    cinfo: &mut sys::jpeg_decompress_struct,
    blocks: *const *mut Block,
) -> sys::boolean {
    // SAFETY: only `Hook::attach` lets libjpeg call this. The layout is known then, and `entropy`
    // points to the first field of a `Hook<S>` that nothing else accesses now.
    let hook = unsafe { &mut *(*internals(cinfo)).entropy.cast::<Hook<S>>() };
    let column = hook.column;
    hook.column = if column + 1 == hook.mcus_per_row { 0 } else { column + 1 };
    if hook.source.failed() {
        return 1;
    }
    if blocks.is_null() || !hook.wanted.contains(&column) {
        hook.source.skip();
    } else {
        // SAFETY: in a file of one scan, the blocks of an MCU lie one after the other, and libjpeg
        // has zeroed them (`decompress_onepass` in jdcoefct.c).
        hook.source.read(unsafe { slice::from_raw_parts_mut(*blocks, hook.blocks) });
    }
    1
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_layout_of_this_build_is_known() {
        const { assert!(super::KNOWN) };
    }
}
