//! libjpeg in the tests: it writes files, and says which coefficients it reads from them.

use std::ffi::{c_int, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{mem, ptr, slice};

use mozjpeg_sys as sys;

use crate::packed::coefficients::{Coefficients, Component};

/// How to write a file.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) size: (usize, usize),
    /// 1, 3 or 4.
    pub(super) components: usize,
    /// Of the first component; the others have 1 x 1.
    pub(super) sampling: (u8, u8),
    pub(super) quality: u8,
    pub(super) progressive: bool,
    pub(super) optimized: bool,
    /// With mozjpeg's own quantisation and scans.
    pub(super) mozjpeg: bool,
    /// MCUs between restart markers, or 0.
    pub(super) restart_interval: u16,
    /// Components, spectral selection and successive approximation of each scan, or nothing for
    /// libjpeg's.
    pub(super) scans: Vec<(Vec<usize>, [u8; 4])>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: (40, 50),
            components: 3,
            sampling: (2, 2),
            quality: 85,
            progressive: false,
            optimized: false,
            mozjpeg: false,
            restart_interval: 0,
            scans: Vec::new(),
        }
    }
}

unsafe extern "C" {
    fn free(memory: *mut c_void);
}

unsafe extern "C-unwind" fn error_exit(_: &mut sys::jpeg_common_struct) {
    resume_unwind(Box::new(()));
}

/// Counts the warnings that tell of doubts about coefficients.
unsafe extern "C-unwind" fn emit_message(cinfo: &mut sys::jpeg_common_struct, level: c_int) {
    // SAFETY: `err` is the error manager of this context.
    let error = unsafe { &mut *cinfo.err };
    // Skipped bytes before a marker, and unknown versions and transforms in APPn.
    let harmless = [sys::JWRN_EXTRANEOUS_DATA, sys::JWRN_JFIF_MAJOR, sys::JWRN_ADOBE_XFORM];
    if level < 0 && !harmless.contains(&(error.msg_code as _)) {
        error.num_warnings += 1;
    }
}

fn error_manager() -> Box<sys::jpeg_error_mgr> {
    // SAFETY: a C struct of integers, pointers and callbacks, which libjpeg fills.
    let mut error: Box<sys::jpeg_error_mgr> = unsafe { Box::new(mem::zeroed()) };
    // SAFETY: `error` is a live error manager.
    unsafe { sys::jpeg_std_error(&mut error) };
    error.error_exit = Some(error_exit);
    error.emit_message = Some(emit_message);
    error
}

/// Writes `pixels`, interleaved, as a file.
pub(super) fn encode(pixels: &[u8], options: &Options) -> Vec<u8> {
    let mut error = error_manager();
    // SAFETY: as in `error_manager`.
    let mut cinfo: Box<sys::jpeg_compress_struct> = unsafe { Box::new(mem::zeroed()) };
    cinfo.common.err = &raw mut *error;
    let (mut buffer, mut length): (*mut u8, c_ulong) = (ptr::null_mut(), 0);
    // SAFETY: the calls come in libjpeg's order, on live structs; each row has the bytes that
    // libjpeg reads; libjpeg gives a buffer of `length` bytes from malloc.
    unsafe {
        sys::jpeg_create_compress(&raw mut *cinfo);
        sys::jpeg_mem_dest(&mut cinfo, &raw mut buffer, &raw mut length);
        let scans = set(&mut cinfo, options);
        sys::jpeg_start_compress(&mut cinfo, 1);
        for row in pixels.chunks_exact(options.size.1 * options.components) {
            sys::jpeg_write_scanlines(&mut cinfo, &row.as_ptr(), 1);
        }
        sys::jpeg_finish_compress(&mut cinfo);
        sys::jpeg_destroy_compress(&mut cinfo);
        drop(scans);
        let file = slice::from_raw_parts(buffer, length as usize).to_vec();
        free(buffer.cast());
        file
    }
}

/// Sets `options`. What is returned must live as long as libjpeg compresses.
///
/// # Safety
/// `cinfo` must have been created.
unsafe fn set(
    cinfo: &mut sys::jpeg_compress_struct,
    options: &Options,
) -> Vec<sys::jpeg_scan_info> {
    let profile = if options.mozjpeg { sys::JCP_MAX_COMPRESSION } else { sys::JCP_FASTEST };
    cinfo.image_height = options.size.0 as u32;
    cinfo.image_width = options.size.1 as u32;
    cinfo.input_components = options.components as c_int;
    cinfo.in_color_space = match options.components {
        1 => sys::J_COLOR_SPACE::JCS_GRAYSCALE,
        3 => sys::J_COLOR_SPACE::JCS_RGB,
        _ => sys::J_COLOR_SPACE::JCS_CMYK,
    };
    let scan = |(components, [first, last, high, low]): &(Vec<usize>, [u8; 4])| {
        let mut component_index = [0; 4];
        for (place, &component) in component_index.iter_mut().zip(components) {
            *place = component as c_int;
        }
        sys::jpeg_scan_info {
            comps_in_scan: components.len() as c_int,
            component_index,
            Ss: c_int::from(*first),
            Se: c_int::from(*last),
            Ah: c_int::from(*high),
            Al: c_int::from(*low),
        }
    };
    let scans: Vec<_> = options.scans.iter().map(scan).collect();
    // SAFETY: as the caller promises; `jpeg_set_defaults` makes `comp_info`.
    unsafe {
        let parameter = sys::J_INT_PARAM::JINT_COMPRESS_PROFILE;
        sys::jpeg_c_set_int_param(cinfo, parameter, profile as c_int);
        sys::jpeg_set_defaults(cinfo);
        sys::jpeg_set_quality(cinfo, c_int::from(options.quality), 1);
        for i in 0..options.components {
            let (h, v) = if i == 0 { options.sampling } else { (1, 1) };
            let component = &mut *cinfo.comp_info.add(i);
            component.h_samp_factor = c_int::from(h);
            component.v_samp_factor = c_int::from(v);
        }
        if options.progressive && options.scans.is_empty() {
            sys::jpeg_simple_progression(cinfo);
        }
    }
    cinfo.optimize_coding = c_int::from(options.optimized);
    cinfo.restart_interval = options.restart_interval.into();
    if !scans.is_empty() {
        cinfo.num_scans = scans.len() as c_int;
        cinfo.scan_info = scans.as_ptr();
    }
    scans
}

/// The coefficients that libjpeg reads from `file`, or nothing if that fails or gives a warning.
pub(super) fn coefficients(file: &[u8]) -> Option<Coefficients> {
    let mut error = error_manager();
    // SAFETY: as in `error_manager`.
    let mut cinfo: Box<sys::jpeg_decompress_struct> = unsafe { Box::new(mem::zeroed()) };
    cinfo.common.err = &raw mut *error;
    // SAFETY: the calls come in libjpeg's order, on live structs and the bytes of `file`.
    let read = catch_unwind(AssertUnwindSafe(|| unsafe {
        sys::jpeg_create_decompress(&raw mut *cinfo);
        sys::jpeg_mem_src(&mut cinfo, file.as_ptr(), file.len() as c_ulong);
        sys::jpeg_read_header(&mut cinfo, 1);
        let arrays = sys::jpeg_read_coefficients(&mut cinfo);
        let components = 0..cinfo.num_components as usize;
        let components = components.map(|i| component(&mut cinfo, i, *arrays.add(i)));
        Coefficients { components: components.collect() }
    }));
    // SAFETY: legal in every state after creation.
    unsafe { sys::jpeg_destroy_decompress(&mut cinfo) };
    read.ok().filter(|_| error.num_warnings == 0)
}

/// # Safety
/// `array` must be the coefficients of component `index`.
unsafe fn component(
    cinfo: &mut sys::jpeg_decompress_struct,
    index: usize,
    array: *mut sys::jvirt_barray_control,
) -> Component {
    // SAFETY: `index` is that of a component.
    let info = unsafe { &*cinfo.comp_info.add(index) };
    let (h, v) = (info.h_samp_factor as usize, info.v_samp_factor as usize);
    let height = (info.height_in_blocks as usize).next_multiple_of(v);
    let width = (info.width_in_blocks as usize).next_multiple_of(h);
    let mut blocks = Vec::new();
    for row in 0..height {
        // SAFETY: libjpeg rounds the sizes of its arrays up as above.
        unsafe {
            let access = (*cinfo.common.mem).access_virt_barray.unwrap();
            let rows = access(&mut cinfo.common, array, row as u32, 1, 0);
            blocks.extend_from_slice(slice::from_raw_parts(*rows, width));
        }
    }
    Component { sampling: (h as u8, v as u8), size: (height, width), blocks }
}
