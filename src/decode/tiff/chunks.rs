//! A TIFF's strips or tiles: where they are, and how they are compressed.

use std::io::Read;

use flate2::read::ZlibDecoder;
use weezl::{BitOrder, LzwStatus};

use crate::decode::raster::check_ratio;

/// The compressions that are read.
#[derive(Clone, Copy)]
pub enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

impl Compression {
    /// The compression of the tag's value.
    pub fn from_tag(value: u32) -> Result<Self, String> {
        Ok(match value {
            1 => Self::None,
            5 => Self::Lzw,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            other => {
                return Err(format!(
                    "compression {other} is not supported; save it uncompressed or with LZW or Deflate"
                ));
            }
        })
    }

    /// Whether the predictor's tag means anything.
    pub fn predicts(self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate)
    }

    /// Decodes `size` bytes.
    pub fn decode(self, data: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let ratio = match self {
            Self::None => 1,
            Self::PackBits => 128,
            Self::Deflate => 1032,
            Self::Lzw => 4096,
        };
        check_ratio(data.len(), size as u64, ratio)?;
        match self {
            Self::None => Ok(data[..size].to_vec()),
            Self::Deflate => {
                let mut out = vec![0; size];
                ZlibDecoder::new(data).read_exact(&mut out).map_err(|error| error.to_string())?;
                Ok(out)
            }
            Self::Lzw => lzw(data, size),
            Self::PackBits => pack_bits(data, size),
        }
    }
}

fn lzw(mut data: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let mut out = vec![0; size];
    let mut done = 0;
    while done < size {
        let step = decoder.decode_bytes(data, &mut out[done..]);
        data = &data[step.consumed_in..];
        done += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::Done | LzwStatus::NoProgress) if done < size => {
                return Err("the file is truncated".into());
            }
            Ok(LzwStatus::Done | LzwStatus::NoProgress) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(out)
}

fn pack_bits(mut data: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(size);
    while out.len() < size {
        let (&code, rest) = data.split_first().ok_or("the file is truncated")?;
        data = rest;
        let left = size - out.len();
        match code {
            0..128 => {
                let literal = data.split_at_checked(usize::from(code) + 1);
                let (literal, rest) = literal.ok_or("the file is truncated")?;
                out.extend_from_slice(&literal[..literal.len().min(left)]);
                data = rest;
            }
            128 => {}
            129.. => {
                let (&value, rest) = data.split_first().ok_or("the file is truncated")?;
                out.resize(out.len() + (257 - usize::from(code)).min(left), value);
                data = rest;
            }
        }
    }
    Ok(out)
}
