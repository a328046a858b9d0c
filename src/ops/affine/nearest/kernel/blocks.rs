//! Blocks of output pixels, looked up in windows of the input: what the versions share.
//!
//! A block is a square of a few pixels. If the matrix hardly enlarges distances, all of them come
//! from a window of the input that is small enough for a look-up of bytes. The indices into the
//! window are computed once for the three planes.
//!
//! # Bands
//!
//! Windows are read from a copy of the planes, with the fill colour around them. It consists of
//! bands of rows. Within a band the rows are interleaved, so that a window that begins at any column
//! is adjacent bytes. A window may begin in any row of its first band.
//!
//! ```text
//! two rows of a plane      a band of two rows, and a window of three columns
//!
//! a b c d e ...            a A b B c C d D e E ...
//! A B C D E ...                └─────────┘
//! ```
//!
//! # Indices
//!
//! With the window's corner subtracted, a coordinate is the sum of two numbers: the corner's
//! fraction `f`, and the way `w` from the pixel of the block with the least coordinate, which is the
//! same in all blocks. So a column or row in the window is the whole part of `w`, and one more if
//! the fractions of `f` and `w` add up to 1 or more.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::mem::transmute;
use std::ops::Range;
use std::ptr::null;

use super::super::super::padded::Pixel;
use super::super::fixed::{Fixed, ONE};
use crate::image::Planes;
use crate::memory;

/// The bands of a window.
pub const BANDS: usize = 4;

/// The columns that are written at once: those of the blocks of a [`Group`].
pub const COLUMNS: usize = 16;

/// The columns that are copied at once.
pub const PIECE: usize = 32;

/// How an instruction set looks pixels up.
///
/// A value proves that the machine has the instructions. All methods have to be `#[inline(always)]`:
/// only then do the instructions end up in the function that enables them.
pub trait Blocks: Copy {
    /// The rows and the columns of a block.
    const SIDE: usize;
    /// The rows and the columns of a window.
    const WINDOW: usize = 2 * Self::SIDE;
    /// The rows of a band.
    const BAND: usize = Self::WINDOW / BANDS;

    /// Writes the first `BAND` rows, byte by byte in turn.
    ///
    /// # Safety
    /// `PIECE` bytes of each row can be read, and as many for each row can be written.
    unsafe fn interleave(self, rows: [*const u8; BANDS], band: *mut u8);

    /// Writes a group of blocks to each plane.
    ///
    /// # Safety
    /// The windows lie in `copies`, and the blocks in `outs`: `SIDE` rows, `width` bytes apart, of
    /// `COLUMNS` bytes.
    unsafe fn write(
        self,
        ways: &Ways,
        group: &Group,
        copies: Copies,
        outs: [*mut u8; 3],
        width: usize,
    );
}

/// The ways to the pixels of a block, row by row.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Ways {
    /// The fractions along x and y, less 2^15.
    pub fractions: [[i16; 64]; 2],
    /// The whole parts along x, times the rows of a band.
    pub columns: [u8; 64],
    /// The whole parts along y.
    pub rows: [u8; 64],
    /// The indices into a window of the first bytes of its rows.
    pub starts: [u8; 16],
    /// What AVX2 shuffles a group's numbers with.
    pub orders: [[[u8; 32]; 2]; 2],
}

/// Where the blocks side by side come from that have `COLUMNS` columns in all. If they are fewer
/// than four, the others are not used.
#[derive(Clone, Debug, Default)]
#[repr(align(16))]
pub struct Group {
    /// The indices of their windows in a plane of the copy.
    pub starts: [u32; 4],
    /// The rows of the windows' first bands in which they begin.
    pub rows: [u32; 4],
    /// In the lower halves: what the fractions along x and y have to exceed to add up to 1 with the
    /// corner's, less 2^15.
    pub limits: [[i32; 4]; 2],
}

/// The planes in bands.
#[derive(Clone, Copy, Debug)]
pub struct Copies {
    /// The planes.
    pub planes: [*const u8; 3],
    /// The bytes of a band.
    pub band: usize,
}

/// The buffers. Reused between images.
#[derive(Debug, Default)]
pub struct Buffers {
    copy: Vec<u8>,
    /// A row of blocks.
    groups: Vec<Group>,
}

/// The blocks of a matrix for images of one size.
#[derive(Debug)]
pub struct Layout<'a> {
    map: &'a Fixed,
    size: (usize, usize),
    /// From the first pixel of a block to the window's corner.
    corner: (i64, i64),
    /// 1 over the steps from an output pixel to the next one of its row.
    inverse: (f64, f64),
    ways: Ways,
    /// The bands of a window that are used.
    pub used_bands: usize,
}

impl<'a> Layout<'a> {
    /// The blocks of `map`, if windows are large enough for them and the image.
    pub fn new<B: Blocks>(map: &'a Fixed, planes: &Planes<'_>) -> Option<Self> {
        let (height, width) = (planes.height(), planes.width());
        let ((dx, dy), (ex, ey)) = (map.right, map.down);
        let steps = B::SIDE as i64 - 1;
        // How far apart the coordinates of a block are.
        let (across, down) = (steps * (dx.abs() + ex.abs()), steps * (dy.abs() + ey.abs()));
        let most = |rows: usize| (rows - B::BAND) as i64 * ONE;
        let fits = across <= (B::WINDOW as i64 - 1) * ONE && down <= most(B::WINDOW);
        // Indices into the copy have 32 bits.
        let small = height.max(width) <= 1 << 14;
        if !(fits && small && height >= B::SIDE && width >= PIECE) {
            return None;
        }
        let corner = (steps * (dx.min(0) + ex.min(0)), steps * (dy.min(0) + ey.min(0)));
        let start = |row: usize| row / B::BAND * B::BAND * B::WINDOW + row % B::BAND;
        let mut ways = Ways {
            fractions: [[0; 64]; 2],
            columns: [0; 64],
            rows: [0; 64],
            starts: from_fn(|row| start(row) as u8),
            orders: from_fn(|size| {
                from_fn(|first| from_fn(|i| (4 * (first + i / 16 * 2) + i % (size + 1)) as u8))
            }),
        };
        for i in 0..B::SIDE * B::SIDE {
            let (column, row) = ((i % B::SIDE) as i64, (i / B::SIDE) as i64);
            let x = column * dx + row * ex - corner.0;
            let y = column * dy + row * ey - corner.1;
            ways.fractions[0][i] = (x as u16 ^ 0x8000) as i16;
            ways.fractions[1][i] = (y as u16 ^ 0x8000) as i16;
            ways.columns[i] = (x >> 16) as u8 * B::BAND as u8;
            ways.rows[i] = (y >> 16) as u8;
        }
        let used_bands = if down <= most(B::WINDOW - B::BAND) { BANDS - 1 } else { BANDS };
        // A step of 0 leads nowhere: all columns are before the image, inside it or after it.
        let inverse = |step: i64| if step == 0 { f64::MAX } else { 1.0 / step as f64 };
        let inverse = (inverse(dx), inverse(dy));
        Some(Self { map, size: (height, width), corner, inverse, ways, used_bands })
    }

    /// The first column of a group. The last one ends where the row does.
    fn column(&self, number: usize) -> usize {
        (number * COLUMNS).min(self.size.1 - COLUMNS)
    }

    /// The pixels of a row of a copy.
    fn stride<B: Blocks>(&self) -> usize {
        self.size.1 + 2 * B::WINDOW
    }

    /// The bands of a copy: windows begin in all rows of the first margin and of the image, and in
    /// the row after it.
    fn bands<B: Blocks>(&self) -> usize {
        (self.size.0 + B::WINDOW) / B::BAND + BANDS
    }

    /// The numbers of the groups, of the blocks from row `y` on, that may come from the image. The
    /// others have the fill colour.
    fn inside<B: Blocks>(&self, y: usize) -> Range<usize> {
        let (height, width) = self.size;
        let (x, y) = self.map.at(0, y);
        let columns = |start: i64, corner: i64, inverse: f64, size: usize| {
            // The columns at which the corner of a window is a window before the image, and at its
            // end. Not quite exact, so one more is taken on both sides.
            let at = |pixel: i64| ((pixel * ONE - start - corner) as f64 * inverse) as i64;
            let (first, last) = (at(-(B::WINDOW as i64)), at(size as i64));
            (first.min(last).saturating_sub(1), first.max(last).saturating_add(2))
        };
        let (start, end) = columns(x, self.corner.0, self.inverse.0, width);
        let (start_y, end_y) = columns(y, self.corner.1, self.inverse.1, height);
        let inside = |column: i64| column.clamp(0, width as i64) as usize;
        let (start, end) = (inside(start.max(start_y)), inside(end.min(end_y)));
        if start >= end {
            return 0..0;
        }
        // The last group has columns of the one before it, too.
        let end = if end > width - COLUMNS { width } else { end };
        start / COLUMNS..end.div_ceil(COLUMNS)
    }

    /// The groups with these numbers, of the blocks from row `y` on.
    ///
    /// A window that has no pixel of the image is moved to the margin, which has none either.
    ///
    /// With intrinsics, since the compiler would rather make several groups at once, by scattered
    /// stores.
    #[inline]
    #[target_feature(enable = "sse4.1")]
    fn groups<B: Blocks>(&self, y: usize, numbers: Range<usize>, groups: &mut Vec<Group>) {
        let all = |v: usize| _mm_set1_epi32(v as i32);
        let steps = |right: i64| {
            let step = right as i32 * B::SIDE as i32;
            _mm_mullo_epi32(_mm_set1_epi32(step), _mm_setr_epi32(0, 1, 2, 3))
        };
        let (right, down) = (steps(self.map.right.0), steps(self.map.right.1));
        let whole = |at: __m128i, size: usize| {
            let whole = _mm_add_epi32(_mm_srai_epi32::<16>(at), all(B::WINDOW));
            _mm_min_epi32(_mm_max_epi32(whole, all(0)), all(size + B::WINDOW))
        };
        memory::resize(groups, numbers.len(), Group::default());
        for (number, group) in numbers.zip(groups) {
            let (x, y) = self.map.at(self.column(number), y);
            // What is too far to the left or above for 32 bits becomes too far to the right or
            // below.
            let x = _mm_add_epi32(_mm_set1_epi32((x + self.corner.0) as i32), right);
            let y = _mm_add_epi32(_mm_set1_epi32((y + self.corner.1) as i32), down);
            let (column, row) = (whole(x, self.size.1), whole(y, self.size.0));
            let of_band = _mm_and_si128(row, all(B::BAND - 1));
            // The row's first multiple of `BAND`, times the pixels of a row.
            let band = _mm_mullo_epi32(_mm_sub_epi32(row, of_band), all(self.stride::<B>()));
            let starts = _mm_add_epi32(band, _mm_mullo_epi32(column, all(B::BAND)));
            let limits = [x, y].map(|v| _mm_xor_si128(v, all(0x7fff)));
            // SAFETY: four numbers of 32 bits on both sides, and all values are valid.
            *group = unsafe {
                Group {
                    starts: transmute::<__m128i, [u32; 4]>(starts),
                    rows: transmute::<__m128i, [u32; 4]>(of_band),
                    limits: transmute::<[__m128i; 2], [[i32; 4]; 2]>(limits),
                }
            };
        }
    }
}

/// As [`super::transform`].
#[inline(always)]
pub fn transform<B: Blocks>(
    blocks: B,
    layout: &Layout<'_>,
    fill: Pixel,
    planes: &mut Planes<'_>,
    Buffers { copy, groups }: &mut Buffers,
) {
    let (height, width) = layout.size;
    let band = B::BAND * layout.stride::<B>();
    let size = layout.bands::<B>() * band;
    memory::resize(copy, 3 * size, 0);
    for ((copy, plane), fill) in copy.chunks_exact_mut(size).zip(planes.channels()).zip(fill) {
        to_bands(blocks, plane, width, fill, copy.chunks_exact_mut(band));
    }
    let mut copies = copy.chunks_exact(size);
    let copies = Copies { planes: from_fn(|_| copies.next().map_or(null(), <[u8]>::as_ptr)), band };
    let outs = planes.channels().map(<[u8]>::as_mut_ptr);
    // The last rows and columns are made twice rather than being fewer.
    for y in (0..height).step_by(B::SIDE).map(|y| y.min(height - B::SIDE)) {
        let numbers = layout.inside::<B>(y);
        // SAFETY: `blocks` proves that the machine has more than that.
        unsafe { layout.groups::<B>(y, numbers.clone(), groups) };
        let mut groups = groups.iter().peekable();
        for number in 0..width.div_ceil(COLUMNS) {
            let x = layout.column(number);
            // SAFETY: windows begin at most at `width + WINDOW` columns and `height + WINDOW` rows,
            // after which a copy has room for them. `Layout::new` refuses smaller images than a
            // group, and groups end at most where the image does.
            unsafe {
                let outs = outs.map(|out| out.add(y * width + x));
                if let Some(group) = groups.next_if(|_| numbers.contains(&number)) {
                    blocks.write(&layout.ways, group, copies, outs, width);
                } else {
                    for (out, fill) in outs.into_iter().zip(fill) {
                        let row = |y: usize| out.add(y * width).cast::<[u8; COLUMNS]>();
                        (0..B::SIDE).for_each(|y| row(y).write_unaligned([fill; COLUMNS]));
                    }
                }
            }
        }
    }
}

/// Copies a plane into bands, with the fill colour around it.
#[inline(always)]
fn to_bands<'a, B: Blocks>(
    blocks: B,
    plane: &[u8],
    width: usize,
    fill: u8,
    mut bands: impl Iterator<Item = &'a mut [u8]>,
) {
    let margin = B::WINDOW * B::BAND;
    bands.by_ref().take(B::WINDOW / B::BAND).for_each(|band| band.fill(fill));
    for (rows, band) in plane.chunks(B::BAND * width).zip(bands.by_ref()) {
        let (start, band) = band.split_at_mut(margin);
        let (band, end) = band.split_at_mut(B::BAND * width);
        start.fill(fill);
        end[..margin].fill(fill);
        if rows.len() < band.len() {
            let pixel = |i: usize| rows.get(i % B::BAND * width + i / B::BAND).copied();
            band.iter_mut().enumerate().for_each(|(i, byte)| *byte = pixel(i).unwrap_or(fill));
            continue;
        }
        let piece = |x: usize, band: &mut [u8]| {
            // SAFETY: `Layout::new` refuses narrower images than a piece. It ends at most where the
            // rows do, and so does what is written.
            unsafe {
                let row = |i: usize| rows.as_ptr().add(i % B::BAND * width + x);
                blocks.interleave(from_fn(row), band.as_mut_ptr().add(B::BAND * x));
            }
        };
        (0..width - PIECE).step_by(PIECE).for_each(|x| piece(x, band));
        // The last one overlaps the one before it rather than being short.
        piece(width - PIECE, band);
    }
    bands.for_each(|band| band.fill(fill));
}
