//! The elements of a batch: bytes as they are, or normalised floating-point numbers.

use crate::error::{Error, Result};

/// The order of a view's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// (3, height, width).
    Planes,
    /// (height, width, 3), torch's `channels_last`.
    Interleaved,
}

/// What becomes of the values 0 to 255 in each channel, as the bits of the output's elements.
///
/// A floating-point output of 8-bit input has 256 values a channel. Whoever makes the table decides on
/// the arithmetic and its rounding, and the output equals it bit for bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// 16-bit elements: float16 or bfloat16.
    Two(Box<[[u16; 256]; 3]>),
    /// 32-bit elements: float32.
    Four(Box<[[u32; 256]; 3]>),
}

/// How views are written into a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The elements; `None` for the bytes themselves.
    pub table: Option<Table>,
    /// Their order.
    pub layout: Layout,
}

impl Table {
    /// A table of 3 x 256 elements from their bytes, in this machine's byte order.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are not 768 elements of 2 or 4 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        match bytes.len() {
            1536 => {
                let (elements, _) = bytes.as_chunks();
                let mut table = Box::new([[0; 256]; 3]);
                let values = elements.iter().map(|&e| u16::from_ne_bytes(e));
                table.as_flattened_mut().iter_mut().zip(values).for_each(|(t, v)| *t = v);
                Ok(Self::Two(table))
            }
            3072 => {
                let (elements, _) = bytes.as_chunks();
                let mut table = Box::new([[0; 256]; 3]);
                let values = elements.iter().map(|&e| u32::from_ne_bytes(e));
                table.as_flattened_mut().iter_mut().zip(values).for_each(|(t, v)| *t = v);
                Ok(Self::Four(table))
            }
            n => Err(Error::Argument(format!(
                "a table has 768 elements of 2 or 4 bytes, not {n} bytes"
            ))),
        }
    }
}

impl Format {
    /// Bytes in planes, as views are rendered.
    pub const PLAIN: Self = Self { table: None, layout: Layout::Planes };

    /// The bytes of an element.
    #[must_use]
    pub fn element_size(&self) -> usize {
        match self.table {
            None => 1,
            Some(Table::Two(_)) => 2,
            Some(Table::Four(_)) => 4,
        }
    }

    /// Whether views need no conversion.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::PLAIN
    }

    /// Writes `view`, three planes of bytes, into `out`.
    ///
    /// # Panics
    /// If `out` does not hold as many elements as `view`.
    pub fn write(&self, view: &[u8], out: &mut [u8]) {
        assert_eq!(out.len(), view.len() * self.element_size(), "the output has another size");
        match (&self.table, self.layout) {
            (None, Layout::Planes) => out.copy_from_slice(view),
            (None, Layout::Interleaved) => interleave::<1>(view, out, |_, v| [v]),
            (Some(Table::Two(table)), Layout::Planes) => {
                planes::<2>(view, out, |c, v| table[c][v as usize].to_ne_bytes());
            }
            (Some(Table::Two(table)), Layout::Interleaved) => {
                interleave::<2>(view, out, |c, v| table[c][v as usize].to_ne_bytes());
            }
            (Some(Table::Four(table)), Layout::Planes) => {
                planes::<4>(view, out, |c, v| table[c][v as usize].to_ne_bytes());
            }
            (Some(Table::Four(table)), Layout::Interleaved) => {
                interleave::<4>(view, out, |c, v| table[c][v as usize].to_ne_bytes());
            }
        }
    }
}

fn planes<const N: usize>(view: &[u8], out: &mut [u8], element: impl Fn(usize, u8) -> [u8; N]) {
    let plane = (view.len() / 3).max(1);
    let (elements, _) = out.as_chunks_mut::<N>();
    for (c, (view, out)) in view.chunks(plane).zip(elements.chunks_mut(plane)).enumerate() {
        for (v, out) in view.iter().zip(out) {
            *out = element(c, *v);
        }
    }
}

fn interleave<const N: usize>(view: &[u8], out: &mut [u8], element: impl Fn(usize, u8) -> [u8; N]) {
    let plane = view.len() / 3;
    let (red, rest) = view.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    let (pixels, _) = out.as_chunks_mut::<N>().0.as_chunks_mut::<3>();
    for (((pixel, r), g), b) in pixels.iter_mut().zip(red).zip(green).zip(blue) {
        *pixel = [element(0, *r), element(1, *g), element(2, *b)];
    }
}
