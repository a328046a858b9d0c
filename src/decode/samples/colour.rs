//! Upsampling of chroma and YCbCr to RGB, as libjpeg-turbo 2.1 computes them (`h2v1_fancy_upsample`
//! and `h2v2_fancy_upsample` of `jdsample.c`, `ycc_rgb_convert` of `jdcolext.c`), in one go.
//!
//! Even and odd pixels are computed apart, in 16-bit integers.

use super::vector::Vector;

/// What a row of pixels is made of. All pointers are to the samples of the first pixel; samples
/// before and after them count as well.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    pub(super) luma: *const u8,
    /// For Cb and Cr: the row of the pixels, and the other one that they are mixed of if chroma has
    /// half as many rows.
    pub(super) chroma: [[*const u8; 2]; 2],
}

/// How many pixels have one chroma sample: across and down.
pub(super) trait Sampling {
    const ACROSS: usize;
    const DOWN: usize;
}

/// 4:4:4.
pub(super) struct Full;
/// 4:2:2.
pub(super) struct Half;
/// 4:2:0.
pub(super) struct Quarter;

impl Sampling for Full {
    const ACROSS: usize = 1;
    const DOWN: usize = 1;
}

impl Sampling for Half {
    const ACROSS: usize = 2;
    const DOWN: usize = 1;
}

impl Sampling for Quarter {
    const ACROSS: usize = 2;
    const DOWN: usize = 2;
}

/// The sample of no colour.
const MIDDLE: i16 = 128;

/// A vector of chroma samples, or of four times them if they are mixed of two rows.
#[inline(always)]
unsafe fn column<V: Vector, S: Sampling>(rows: [*const u8; 2], at: isize) -> V {
    // SAFETY: the caller's.
    unsafe {
        let near = V::load_widened(rows[0].offset(at));
        if S::DOWN == 1 {
            return near;
        }
        thrice(near).add16(V::load_widened(rows[1].offset(at)))
    }
}

#[inline(always)]
unsafe fn thrice<V: Vector>(values: V) -> V {
    // SAFETY: the caller's.
    unsafe { values.add16(values).add16(values) }
}

/// Chroma of even and of odd pixels, less [`MIDDLE`].
#[inline(always)]
unsafe fn upsampled<V: Vector, S: Sampling>(before: V, this: V, after: V) -> [V; 2] {
    // SAFETY: the caller's.
    unsafe {
        let (left, right) = this.neighbours16(before, after);
        let this = thrice(this);
        if S::DOWN == 1 {
            let (even, odd) = (V::splat16(1 - 4 * MIDDLE), V::splat16(2 - 4 * MIDDLE));
            let even = this.add16(left).add16(even).shift_right16::<2>();
            [even, this.add16(right).add16(odd).shift_right16::<2>()]
        } else {
            let (even, odd) = (V::splat16(8 - 16 * MIDDLE), V::splat16(7 - 16 * MIDDLE));
            let even = this.add16(left).add16(even).shift_right16::<4>();
            [even, this.add16(right).add16(odd).shift_right16::<4>()]
        }
    }
}

/// Red, green and blue in 16-bit integers that are not clamped. `cb` and `cr` are less [`MIDDLE`].
///
/// libjpeg multiplies by 1.402, 1.772, 0.34414 and 0.71414 in 16 fractional bits and rounds. The
/// tests compare all 65,536 pairs of chroma samples.
#[inline(always)]
unsafe fn rgb<V: Vector>(luma: V, cb: V, cr: V) -> [V; 3] {
    // SAFETY: the caller's.
    unsafe {
        let red = cr.add16(cr.multiply_rounded(V::splat16(13173)));
        let twice = [cb.add16(cb), cr.add16(cr)];
        let blue = twice[0].add16(cb.multiply_rounded(V::splat16(-7471)));

        let factors = V::splat32((-11277 & 0xFFFF) | -23401 << 16);
        let half = V::splat32(1 << 15);
        let [low, high] = [twice[0].low16(twice[1]), twice[0].high16(twice[1])]
            .map(|pairs| pairs.dots(factors).add32(half).shift_right32::<16>());
        let green = low.pack32(high);
        [luma.add16(red), luma.add16(green), luma.add16(blue)]
    }
}

/// Writes pixels in steps of a vector of bytes, as many as it takes for `width`.
///
/// # Safety
/// The machine has the instructions of `V`. Around all pixels that are written, a vector of samples
/// can be read before and two after. `to` has room for three vectors per step.
#[inline(always)]
pub(super) unsafe fn row<V: Vector, S: Sampling>(sources: &Sources, width: usize, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        let half = (V::BYTES / 2) as isize;
        let columns = |at: isize| sources.chroma.map(|rows| column::<V, S>(rows, at));
        let (mut before, mut this) = (columns(-half), columns(0));
        for step in 0..width.div_ceil(V::BYTES) {
            let luma = V::load(sources.luma.add(step * V::BYTES));
            let lumas = [luma.and(V::splat16(0xFF)), luma.shift_right_logical16::<8>()];
            let [cb, cr] = if S::ACROSS == 1 {
                sources.chroma.map(|rows| {
                    let samples = V::load(rows[0].add(step * V::BYTES));
                    [samples.and(V::splat16(0xFF)), samples.shift_right_logical16::<8>()]
                        .map(|samples| samples.sub16(V::splat16(MIDDLE)))
                })
            } else {
                let after = columns((step as isize + 1) * half);
                let chroma = [0, 1].map(|i| upsampled::<V, S>(before[i], this[i], after[i]));
                (before, this) = (this, after);
                chroma
            };
            let even = rgb(lumas[0], cb[0], cr[0]);
            let odd = rgb(lumas[1], cb[1], cr[1]);
            let channels = [0, 1, 2].map(|i| even[i].pack_unsigned16(odd[i]));
            V::store_interleaved(channels, to.add(3 * step * V::BYTES));
        }
    }
}
