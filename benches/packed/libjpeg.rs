//! libjpeg's entropy decoder: coefficients of files, and the time it takes for them.

use std::{mem, slice};

use mozjpeg_sys as sys;
use tied_augment::packed::coefficients::{Coefficients, Component};
use tied_augment::packed::geometry::{ComponentInfo, Geometry};

/// What is packed of a file.
pub struct File {
    pub coefficients: Coefficients,
    pub geometry: Geometry,
    /// All of the file but the data of its scans, if it has one scan.
    pub side: Vec<u8>,
}

/// Calls `with` after the header of `jpeg` has been read. libjpeg exits on errors.
fn opened<T>(jpeg: &[u8], with: impl FnOnce(&mut sys::jpeg_decompress_struct) -> T) -> T {
    // SAFETY: libjpeg's structs may be zero, and it fills them. The source and the error manager
    // outlive the decompressor.
    unsafe {
        let mut error: sys::jpeg_error_mgr = mem::zeroed();
        let mut cinfo: sys::jpeg_decompress_struct = mem::zeroed();
        cinfo.common.err = sys::jpeg_std_error(&mut error);
        sys::jpeg_create_decompress(&mut cinfo);
        sys::jpeg_mem_src(&mut cinfo, jpeg.as_ptr(), jpeg.len() as _);
        sys::jpeg_read_header(&mut cinfo, 1);
        let result = with(&mut cinfo);
        sys::jpeg_destroy_decompress(&mut cinfo);
        result
    }
}

/// Decodes all codes of a sequential file and nothing else: rows are skipped, without transforms.
pub fn skip_all(jpeg: &[u8]) {
    opened(jpeg, |cinfo| {
        // SAFETY: the header has been read.
        unsafe {
            sys::jpeg_start_decompress(cinfo);
            // The last row can't be skipped, but all codes are decoded before it.
            sys::jpeg_skip_scanlines(cinfo, cinfo.output_height - 1);
        }
    });
}

/// Reads a file's coefficients.
pub fn read(jpeg: &[u8]) -> File {
    opened(jpeg, |cinfo| {
        // SAFETY: the header has been read; libjpeg's arrays live until it is destroyed.
        unsafe {
            let arrays = sys::jpeg_read_coefficients(cinfo);
            let infos = slice::from_raw_parts(cinfo.comp_info, cinfo.num_components as usize);
            let (widest, highest) =
                (cinfo.max_h_samp_factor as u32, cinfo.max_v_samp_factor as u32);
            let mcus =
                (cinfo.image_height.div_ceil(8 * highest), cinfo.image_width.div_ceil(8 * widest));
            let mut components = Vec::new();
            let mut described = Vec::new();
            let mut tables = Vec::new();
            for (index, info) in infos.iter().enumerate() {
                let (h, v) = (info.h_samp_factor, info.v_samp_factor);
                let size = ((mcus.0 * v as u32) as usize, (mcus.1 * h as u32) as usize);
                let mut blocks = Vec::new();
                let access = (*cinfo.common.mem).access_virt_barray.expect("libjpeg sets it");
                for row in 0..size.0 as u32 {
                    let array = *arrays.add(index);
                    let row = *access(&mut cinfo.common, array, row, 1, 0);
                    blocks.extend_from_slice(slice::from_raw_parts(row.cast(), size.1));
                }
                let sampling = (h as u8, v as u8);
                components.push(Component { sampling, size, blocks });
                let table = index as u8;
                described.push(ComponentInfo { id: info.component_id as u8, sampling, table });
                tables.push((*info.quant_table).quantval);
            }
            let size = (cinfo.image_height as u16, cinfo.image_width as u16);
            let geometry =
                Geometry { size, jfif: true, adobe: None, components: described, tables };
            File { coefficients: Coefficients { components }, geometry, side: headers(jpeg) }
        }
    })
}

/// A file up to the data of its first scan.
fn headers(jpeg: &[u8]) -> Vec<u8> {
    let mut at = 2;
    loop {
        let scan = jpeg[at + 1] == 0xDA;
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if scan {
            return jpeg[..at].to_vec();
        }
    }
}
