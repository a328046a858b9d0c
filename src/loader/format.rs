//! The elements of a batch: bytes as they are, or normalised floating-point numbers.
//!
//! A view has 8-bit values, so a floating-point output has 256 values per channel, which come from
//! a table. The caller makes the table and so decides on the arithmetic and its rounding; the
//! output equals it bit for bit. Where [`Normalise`] reproduces the table exactly, elements are
//! computed instead, which is faster.

use std::ops::Range;

use multiversion::multiversion;

use super::normalise::{ALIGN, Channels, Normalise, STEP};
use super::table::{Entries, Table, look_up, look_up_pixels};
use crate::error::Result;

/// The order of a view's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// (3, height, width).
    Planes,
    /// (height, width, 3), torch's `channels_last`.
    Interleaved,
}

/// How views are written into a batch.
///
/// ```
/// use tied_augment::loader::{Format, Layout};
///
/// // float32 from 0 to 1: the mean is 0 and the standard deviation is 1.
/// let channel = |_| (0..256).flat_map(|v| (v as f32 / 255.0).to_ne_bytes());
/// let table: Vec<u8> = (0..3).flat_map(channel).collect();
/// let format = Format::new(Some(&table), Some([[0.0; 3], [1.0; 3]]), Layout::Interleaved)?;
///
/// // Two pixels, in planes: blue and magenta.
/// let view = [0, 255, 0, 0, 255, 255];
/// let mut out = [0; 6 * 4];
/// format.write(&view, false, &mut out);
/// let elements = out.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes));
/// assert!(elements.eq([0.0, 0.0, 1.0, 1.0, 0.0, 1.0]));
/// # Ok::<_, tied_augment::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Format {
    table: Option<Table>,
    normalise: Option<Normalise>,
    layout: Layout,
}

/// The pixels that are interleaved at once, before they become elements.
const BLOCK: usize = 256;
const _: () = assert!((3 * BLOCK).is_multiple_of(STEP) && (3 * BLOCK).is_multiple_of(ALIGN));

impl Format {
    /// Bytes in planes, as views are rendered.
    pub const PLAIN: Self = Self { table: None, normalise: None, layout: Layout::Planes };

    /// A format with the elements of `table`: the bytes of 3 x 256 elements, in this machine's byte
    /// order, or `None` for bytes as they are.
    ///
    /// `normalised` is the mean and the standard deviation of each channel, if the table is made of
    /// `(v / 255 - mean) / std`, computed in float32 and rounded to the elements' type. It makes
    /// writing faster and changes nothing else.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::error::Error::Argument) if the table does not have 768 elements
    /// of 2 or 4 bytes.
    pub fn new(
        table: Option<&[u8]>,
        normalised: Option<[[f32; 3]; 2]>,
        layout: Layout,
    ) -> Result<Self> {
        let table = table.map(Table::from_bytes).transpose()?;
        let both = table.as_ref().zip(normalised);
        let normalise = both.and_then(|(table, [mean, std])| Normalise::try_new(table, mean, std));
        Ok(Self { table, normalise, layout })
    }

    /// The number of bytes in an element.
    #[must_use]
    pub fn element_size(&self) -> usize {
        match self.table {
            None => 1,
            Some(Table::Two(_)) => 2,
            Some(Table::Four(_)) => 4,
        }
    }

    /// Whether views need no conversion.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self { table: None, layout: Layout::Planes, .. })
    }

    /// Writes `view`, three planes of bytes, into `out`. `streaming` uses non-temporal stores, for
    /// batches that are larger than the caches.
    ///
    /// # Panics
    /// If `out` does not hold as many elements as `view`.
    pub fn write(&self, view: &[u8], streaming: bool, out: &mut [u8]) {
        assert_eq!(out.len(), view.len() * self.element_size(), "the output has another size");
        match (&self.table, self.layout) {
            (None, Layout::Planes) => out.copy_from_slice(view),
            (None, Layout::Interleaved) => interleave(channels(view), out),
            (Some(Table::Two(table)), _) => self.write_elements(table, view, streaming, out),
            (Some(Table::Four(table)), _) => self.write_elements(table, view, streaming, out),
        }
        if let Some(normalise) = self.normalise.as_ref().filter(|_| streaming) {
            normalise.fence();
        }
    }

    fn write_elements<const N: usize>(
        &self,
        table: &Entries<N>,
        view: &[u8],
        streaming: bool,
        out: &mut [u8],
    ) {
        match self.layout {
            Layout::Planes => self.write_planes(table, channels(view), streaming, out),
            Layout::Interleaved => self.write_pixels(table, channels(view), streaming, out),
        }
    }

    fn write_planes<const N: usize>(
        &self,
        table: &Entries<N>,
        inputs: [&[u8]; 3],
        streaming: bool,
        out: &mut [u8],
    ) {
        let outs = out.chunks_exact_mut((inputs[0].len() * N).max(1));
        for (c, (input, out)) in inputs.into_iter().zip(outs).enumerate() {
            let Range { start, end } = self.computed(out, input.len(), N, STEP);
            if let Some(normalise) = &self.normalise {
                let out = &mut out[start * N..end * N];
                normalise.write(Channels::One(c), &input[start..end], streaming, out);
            }
            look_up(&input[..start], &table[c], &mut out[..start * N]);
            look_up(&input[end..], &table[c], &mut out[end * N..]);
        }
    }

    fn write_pixels<const N: usize>(
        &self,
        table: &Entries<N>,
        inputs: [&[u8]; 3],
        streaming: bool,
        out: &mut [u8],
    ) {
        let size = 3 * N;
        let Range { start, end } = self.computed(out, inputs[0].len(), size, BLOCK);
        if let Some(normalise) = &self.normalise {
            let mut bytes = [0; 3 * BLOCK];
            let outs = out[start * size..end * size].chunks_exact_mut(BLOCK * size);
            for (start, out) in (start..end).step_by(BLOCK).zip(outs) {
                interleave(inputs.map(|input| &input[start..][..BLOCK]), &mut bytes);
                normalise.write(Channels::All, &bytes, streaming, out);
            }
        }
        look_up_pixels(inputs.map(|input| &input[..start]), table, &mut out[..start * size]);
        look_up_pixels(inputs.map(|input| &input[end..]), table, &mut out[end * size..]);
    }

    /// Which of the `len` elements or pixels of `size` bytes in `out` are computed: whole steps,
    /// from the first that is aligned. None if all are looked up.
    fn computed(&self, out: &[u8], len: usize, size: usize, step: usize) -> Range<usize> {
        let address = out.as_ptr().addr();
        let aligned = |n: &usize| (address + n * size).is_multiple_of(ALIGN);
        let start = self.normalise.as_ref().and_then(|_| (0..ALIGN.min(len)).find(aligned));
        let start = start.unwrap_or(len);
        start..start + (len - start) / step * step
    }
}

fn channels(view: &[u8]) -> [&[u8]; 3] {
    let plane = view.len() / 3;
    [0, 1, 2].map(|c| &view[c * plane..][..plane])
}

#[multiversion(targets = "simd")]
fn interleave([r, g, b]: [&[u8]; 3], out: &mut [u8]) {
    for (((pixel, r), g), b) in out.as_chunks_mut::<3>().0.iter_mut().zip(r).zip(g).zip(b) {
        *pixel = [*r, *g, *b];
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;

    use super::super::normalise::ISAS;
    use super::{Format, Layout};
    use crate::simd::Simd;

    const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

    /// float32, float16 and bfloat16, as their bytes.
    fn tables([mean, std]: [[f32; 3]; 2]) -> [Vec<u8>; 3] {
        let values = |c: usize| (0..=255).map(move |v| (v as f32 / 255.0 - mean[c]) / std[c]);
        let values = || (0..3).flat_map(values);
        [
            values().flat_map(f32::to_ne_bytes).collect(),
            values().flat_map(|v| f16::from_f32(v).to_ne_bytes()).collect(),
            values().flat_map(|v| bf16::from_f32(v).to_ne_bytes()).collect(),
        ]
    }

    fn check(format: &Format, table: &[u8], view: &[u8], offset: usize) {
        let size = format.element_size();
        let plane = view.len() / 3;
        let expected: Vec<u8> = (0..view.len())
            .flat_map(|i| {
                let (c, pixel) = match format.layout {
                    Layout::Planes => (i / plane, i % plane),
                    Layout::Interleaved => (i % 3, i / 3),
                };
                let entry = (256 * c + usize::from(view[c * plane + pixel])) * size;
                table[entry..entry + size].to_vec()
            })
            .collect();
        for streaming in [false, true] {
            let mut memory = vec![0xA5; offset + expected.len() + 64];
            format.write(view, streaming, &mut memory[offset..][..expected.len()]);
            assert!(memory[offset..].starts_with(&expected));
            let around = [&memory[..offset], &memory[offset + expected.len()..]].concat();
            assert!(around.iter().all(|&byte| byte == 0xA5), "nothing else is written");
        }
    }

    #[test]
    fn the_usual_constants_are_computed() {
        let wanted = Simd::best(ISAS) != Simd::PORTABLE;
        for normalised in [IMAGENET, [[0.5; 3], [0.5; 3]], [[0.0; 3], [1.0; 3]]] {
            for table in tables(normalised) {
                let format = Format::new(Some(&table), Some(normalised), Layout::Planes).unwrap();
                assert_eq!(format.normalise.is_some(), wanted);
            }
        }
    }

    #[test]
    fn other_tables_are_looked_up() {
        for mut table in tables(IMAGENET) {
            *table.last_mut().unwrap() ^= 1;
            let format = Format::new(Some(&table), Some(IMAGENET), Layout::Planes).unwrap();
            assert!(format.normalise.is_none());
        }
    }

    proptest! {
        #[test]
        fn elements_are_those_of_the_table(
            mean in prop::array::uniform3(-1f32..2.0),
            std in prop::array::uniform3(0.001f32..2.0),
            plane in prop::collection::vec(any::<u8>(), 0..900),
            offset in 0usize..64,
            spoilt in prop::option::of(0usize..768),
            interleaved: bool,
        ) {
            let layout = if interleaved { Layout::Interleaved } else { Layout::Planes };
            let channel = |c: u8| plane.iter().map(move |v| v ^ (c * 77));
            let view: Vec<u8> = (0..3).flat_map(channel).collect();
            for mut table in tables([mean, std]) {
                if let Some(entry) = spoilt {
                    table[entry] ^= 1;
                }
                let format = Format::new(Some(&table), Some([mean, std]), layout).unwrap();
                check(&format, &table, &view, offset);
                let plain = Format::new(Some(&table), None, layout).unwrap();
                check(&plain, &table, &view, offset);
            }
            let identity: Vec<u8> = (0..3).flat_map(|_| 0..=255).collect();
            check(&Format::new(None, None, layout).unwrap(), &identity, &view, offset);
        }
    }
}
