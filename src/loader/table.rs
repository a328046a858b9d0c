//! The table that elements are looked up in: 256 entries per channel.

use crate::error::{Error, Result};

/// The output's elements, as bytes, for the values 0 to 255 of each channel.
#[derive(Clone, Debug)]
pub enum Table {
    /// float16 or bfloat16.
    Two(Box<Entries<2>>),
    /// float32.
    Four(Box<Entries<4>>),
}

/// The entries of the three channels.
pub type Entries<const N: usize> = [[[u8; N]; 256]; 3];

impl Table {
    /// The table with these bytes: 768 elements of 2 or 4 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        match bytes.len() {
            1536 => Ok(Self::Two(entries(bytes))),
            3072 => Ok(Self::Four(entries(bytes))),
            n => Err(Error::Argument(format!(
                "a table has 768 elements of 2 or 4 bytes, not {n} bytes"
            ))),
        }
    }
}

fn entries<const N: usize>(bytes: &[u8]) -> Box<Entries<N>> {
    let mut entries = Box::new([[[0; N]; 256]; 3]);
    entries.as_flattened_mut().as_flattened_mut().copy_from_slice(bytes);
    entries
}

/// Writes the entry of each byte of one channel.
pub fn look_up<const N: usize>(bytes: &[u8], entries: &[[u8; N]; 256], out: &mut [u8]) {
    for (byte, out) in bytes.iter().zip(out.as_chunks_mut::<N>().0) {
        *out = entries[usize::from(*byte)];
    }
}

/// Writes interleaved pixels from three channels.
pub fn look_up_pixels<const N: usize>([r, g, b]: [&[u8]; 3], table: &Entries<N>, out: &mut [u8]) {
    let [reds, greens, blues] = table;
    let (pixels, _) = out.as_chunks_mut::<N>().0.as_chunks_mut::<3>();
    for (((pixel, r), g), b) in pixels.iter_mut().zip(r).zip(g).zip(b) {
        *pixel = [reds[usize::from(*r)], greens[usize::from(*g)], blues[usize::from(*b)]];
    }
}
