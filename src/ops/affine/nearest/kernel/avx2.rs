//! The nearest pixel with AVX2: blocks of two output rows and up to 16 columns.
//!
//! If the matrix does not enlarge distances, all pixels of a block come from a window of 16 columns
//! and a few rows of the input. For each row of the window, `pshufb` picks the pixels that come
//! from it, and gives 0 for all others, so that the sum of all rows is the block. The selectors are
//! computed once for the three planes.
//!
//! With the window's corner subtracted, a coordinate is the sum of two numbers: the corner's
//! fraction `f`, and the way `w` from the pixel of the block with the least coordinate, which is
//! the same in all blocks. So a column or row in the window is the whole part of `w`, and one more
//! if the fractions of `f` and `w` add up to 1 or more.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::super::super::padded::Pixel;
use super::super::fixed::{Fixed, ONE};
use crate::image::Planes;
use crate::memory;

/// The columns of a window, and the most columns of a block.
const SIDE: usize = 16;
/// The rows of input before the image that a window may begin in, as those of a block do.
const MARGIN: usize = 2;

/// How blocks of output pixels lie in windows of the input.
#[derive(Debug)]
pub struct Window<'a> {
    map: &'a Fixed,
    /// The columns of a block.
    columns: usize,
    /// The rows of a window.
    rows: usize,
    /// From the first pixel of a block to the window's corner.
    corner: (i64, i64),
    /// The whole parts of the ways: 16 times the row and the column, in the order of `selectors`.
    whole: [u16; 2 * SIDE],
    /// The fractions of the ways along x and y.
    fractions: [[u16; 2 * SIDE]; 2],
}

impl<'a> Window<'a> {
    /// The blocks of `map`, if windows are large enough for them to be worthwhile.
    pub fn new(map: &'a Fixed, height: usize, width: usize) -> Option<Self> {
        let ((dx, dy), (ex, ey)) = (map.right, map.down);
        // All coordinates of a window must differ by less than 16 pixels.
        let most = (SIDE as i64 - 1) * ONE;
        let fits = |n: usize| {
            let steps = n as i64 - 1;
            [(dx, ex), (dy, ey)].into_iter().all(|(d, e)| steps * d.abs() + e.abs() <= most)
        };
        let columns = (SIDE / 2..=SIDE).rev().find(|&n| fits(n))?;
        if height < 2 || width < SIDE || ex.abs().max(ey.abs()) > ONE {
            return None;
        }
        let least = |d: i64, e: i64| (d * (columns as i64 - 1)).min(0) + e.min(0);
        let corner = (least(dx, ex), least(dy, ey));
        let mut window =
            Self { map, columns, rows: 0, corner, whole: [0; 32], fractions: [[0; 32]; 2] };
        for row in 0..2 {
            for column in 0..columns {
                let (x, y) = (column as i64 * dx + row * ex, column as i64 * dy + row * ey);
                let (x, y) = (x - corner.0, y - corner.1);
                // As selectors are packed: eight columns of both rows, then the others.
                let at = column / 8 * SIDE + row as usize * 8 + column % 8;
                window.whole[at] = (((y >> 16) << 4) | (x >> 16)) as u16;
                window.fractions[0][at] = x as u16;
                window.fractions[1][at] = y as u16;
                window.rows = window.rows.max(((y + ONE - 1) >> 16) as usize + 1);
            }
        }
        Some(window)
    }

    /// The start of the window of the block at `(x, y)`, as an index into a plane of the copy, and
    /// the fractions of its coordinates.
    fn at(&self, x: usize, y: usize, stride: usize) -> (usize, [u16; 2]) {
        let (x, y) = self.map.at(x, y);
        let (x, y) = (x + self.corner.0, y + self.corner.1);
        let row = ((y >> 16) + MARGIN as i64) as usize;
        (row * stride + ((x >> 16) + MARGIN as i64) as usize, [x as u16, y as u16])
    }
}

/// As [`super::transform`].
#[target_feature(enable = "avx2")]
pub fn transform(window: &Window<'_>, fill: Pixel, planes: &mut Planes<'_>, copy: &mut Vec<u8>) {
    let (height, width) = (planes.height(), planes.width());
    // Coordinates of a block are outside the image by at most a pixel: what follows a row is the
    // next one, and after the last there is a window more.
    let size = (MARGIN + height + 1 + window.rows) * width + 2 * SIDE;
    memory::resize(copy, 3 * size, 0);
    for (copy, plane) in copy.chunks_exact_mut(size).zip(planes.channels()) {
        copy[MARGIN * width + MARGIN..][..plane.len()].copy_from_slice(plane);
    }
    let copies: [&[u8]; 3] = from_fn(|c| &copy[c * size..][..size]);
    for pair in 0..height.div_ceil(2) {
        // In an odd height the last row but one is made twice.
        let y = (2 * pair).min(height - 2);
        let spans = [0, 1].map(|row| window.map.span(y + row, (height, width)));
        let [a, b] = &spans;
        let both = match (a.is_empty(), b.is_empty()) {
            (false, false) => a.start.min(b.start)..a.end.max(b.end),
            (true, _) => b.clone(),
            (_, true) => a.clone(),
        };
        let outs = planes.channels().map(|plane| &mut plane[y * width..][..2 * width]);
        if both.len() >= window.columns {
            let last = both.end - window.columns;
            let mut outs = outs;
            for x in both.step_by(window.columns) {
                block(window, copies, (x.min(last), y), width, &mut outs);
            }
        } else if !both.is_empty() {
            single(window, copies, y, spans.clone(), outs);
        }
        for (plane, fill) in planes.channels().into_iter().zip(fill) {
            for (span, row) in spans.iter().zip(plane[y * width..].chunks_exact_mut(width)) {
                row[..span.start].fill(fill);
                row[span.end..].fill(fill);
            }
        }
    }
}

/// Writes the block whose first pixel is at `(x, y)`.
#[inline]
#[target_feature(enable = "avx2")]
fn block(
    window: &Window<'_>,
    copies: [&[u8]; 3],
    (x, y): (usize, usize),
    width: usize,
    outs: &mut [&mut [u8]; 3],
) {
    let (start, fractions) = window.at(x, y, width);
    let len = (window.rows - 1) * width + SIDE;
    let rows = copies.map(|copy| copy[start..][..len].as_ptr());
    let mut selectors = selectors(window, fractions);
    let mut sums = [_mm256_setzero_si256(); 3];
    for row in 0..window.rows {
        // Those of this row are 0 to 15, and remain below 128. All others are negative or above.
        let of_row = _mm256_adds_epu8(selectors, _mm256_set1_epi8(0x70));
        selectors = _mm256_sub_epi8(selectors, _mm256_set1_epi8(0x10));
        for (sum, rows) in sums.iter_mut().zip(rows) {
            // SAFETY: 16 bytes of the `len` that the slice had.
            let pixels = unsafe { _mm_loadu_si128(rows.add(row * width).cast()) };
            let pixels = _mm256_broadcastsi128_si256(pixels);
            *sum = _mm256_or_si256(*sum, _mm256_shuffle_epi8(pixels, of_row));
        }
    }
    for (out, sum) in outs.iter_mut().zip(sums) {
        let (lower, upper) = (_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        write(lower, window.columns, &mut out[..width][x..]);
        write(upper, window.columns, &mut out[width..][x..]);
    }
}

/// For each pixel of a block, 16 times its row in the window and its column.
#[inline]
#[target_feature(enable = "avx2")]
fn selectors(window: &Window<'_>, fractions: [u16; 2]) -> __m256i {
    // Unsigned comparisons: all numbers have their upper bit inverted.
    let inverted = |v: u16| (v ^ 0x8000) as i16;
    let [x, y] = fractions.map(|f| _mm256_set1_epi16(inverted(u16::MAX - f)));
    let half = |i: usize| {
        let load = |v: &[u16; 2 * SIDE]| {
            let half: &[u16; SIDE] = v[i * SIDE..].first_chunk().expect("two halves");
            // SAFETY: the 16 numbers of the half are the 32 bytes that are read.
            unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
        };
        let [in_x, in_y] = [load(&window.fractions[0]), load(&window.fractions[1])];
        let sign = _mm256_set1_epi16(i16::MIN);
        // -1 where the fractions add up to 1 or more.
        let more_x = _mm256_cmpgt_epi16(_mm256_xor_si256(in_x, sign), x);
        let more_y = _mm256_cmpgt_epi16(_mm256_xor_si256(in_y, sign), y);
        let whole = _mm256_sub_epi16(load(&window.whole), more_x);
        _mm256_sub_epi16(whole, _mm256_slli_epi16::<4>(more_y))
    };
    _mm256_packus_epi16(half(0), half(1))
}

/// Writes the first `columns` bytes. Where there is room, those after them may change.
#[inline]
#[target_feature(enable = "avx2")]
fn write(v: __m128i, columns: usize, out: &mut [u8]) {
    if let Some(out) = out.first_chunk_mut::<SIDE>() {
        // SAFETY: the chunk is the 16 bytes that are written.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), v) };
    } else {
        let mut bytes = [0; SIDE];
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), v) };
        out[..columns].copy_from_slice(&bytes[..columns]);
    }
}

/// Writes two rows of fewer pixels than a block.
fn single(
    window: &Window<'_>,
    copies: [&[u8]; 3],
    y: usize,
    spans: [std::ops::Range<usize>; 2],
    outs: [&mut [u8]; 3],
) {
    for (out, copy) in outs.into_iter().zip(copies) {
        let width = out.len() / 2;
        for (row, span) in spans.iter().enumerate() {
            for x in span.clone() {
                let (from_x, from_y) = window.map.at(x, y + row);
                let from_y = (from_y >> 16) as usize + MARGIN;
                out[row * width + x] = copy[from_y * width + (from_x >> 16) as usize + MARGIN];
            }
        }
    }
}
