//! The side information as it is stored: deflated, with a dictionary of what JPEG files say.
//!
//! Most of a JPEG file's header repeats what the geometry has, or is the same in most files. So the
//! dictionary has a usual header and the quantisation tables of this image.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::broken;
use super::geometry::{Geometry, is_wide};
use super::zigzag::NATURAL;
use crate::error::Result;

/// What libjpeg writes before and after its quantisation tables, with the Huffman tables of the
/// JPEG standard's annex K. A part of the format, so it never changes.
const USUAL: &[u8] = include_bytes!("usual.bin");

/// Deflate can't make more than this many bytes from one.
const MAX_RATIO: usize = 1032;

fn dictionary(geometry: &Geometry) -> Vec<u8> {
    let mut dictionary = USUAL.to_vec();
    for (number, table) in geometry.tables.iter().enumerate() {
        let wide = is_wide(table);
        // As in a file: the marker, the length of the segment, the width and the number.
        dictionary.extend(if wide { [0xFF, 0xDB, 0, 131] } else { [0xFF, 0xDB, 0, 67] });
        dictionary.push(u8::from(wide) << 4 | number as u8);
        for &place in &NATURAL[..64] {
            let step = table[usize::from(place)].to_be_bytes();
            dictionary.extend(&step[if wide { 0 } else { 1 }..]);
        }
    }
    dictionary
}

/// Deflates the side information.
pub(super) fn compress(side: &[u8], geometry: &Geometry) -> Vec<u8> {
    let dictionary = dictionary(geometry);
    let mut deflate = Compress::new(Compression::best(), false);
    // The dictionary goes through the compressor, which then knows it. What comes out is dropped up
    // to the flush: the reader puts it back as a stored block.
    run_compressor(&mut deflate, &dictionary, FlushCompress::Sync);
    run_compressor(&mut deflate, side, FlushCompress::Finish)
}

fn run_compressor(deflate: &mut Compress, input: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::new();
    let end = deflate.total_in() + input.len() as u64;
    let start = deflate.total_in();
    loop {
        let done = (deflate.total_in() - start) as usize;
        out.reserve(input.len() - done + 64);
        let room = out.capacity() - out.len();
        let before = out.len();
        let status = deflate.compress_vec(&input[done..], &mut out, flush);
        let full = out.len() - before == room;
        let finished = match flush {
            FlushCompress::Finish => matches!(status, Ok(Status::StreamEnd) | Err(_)),
            _ => (deflate.total_in() == end && !full) || status.is_err(),
        };
        if finished {
            return out;
        }
    }
}

/// Inflates the side information, whose length is `length`.
pub(super) fn decompress(stored: &[u8], length: usize, geometry: &Geometry) -> Result<Vec<u8>> {
    if length > stored.len().saturating_mul(MAX_RATIO) {
        return Err(broken("the length of its side information"));
    }
    let dictionary = dictionary(geometry);
    let size = dictionary.len() as u16;
    // A stored block: its type, the number of bytes, and that number inverted.
    let mut block = vec![0];
    block.extend(size.to_le_bytes());
    block.extend((!size).to_le_bytes());
    block.extend(&dictionary);

    let mut inflate = Decompress::new(false);
    let mut out = Vec::with_capacity(dictionary.len() + length + 1);
    let mut input = [&block[..], stored].concat();
    input.push(0);
    let status = inflate.decompress_vec(&input, &mut out, FlushDecompress::Finish);
    let read = inflate.total_in() == (block.len() + stored.len()) as u64;
    if !matches!(status, Ok(Status::StreamEnd)) || !read || out.len() != dictionary.len() + length {
        return Err(broken("its side information does not inflate"));
    }
    Ok(out.split_off(dictionary.len()))
}
