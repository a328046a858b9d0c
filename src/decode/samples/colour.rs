//! Upsampling of chroma and YCbCr to RGB, as libjpeg-turbo 2.1 computes them (`h2v1_fancy_upsample`
//! and `h2v2_fancy_upsample` of `jdsample.c`, `ycc_rgb_convert` of `jdcolext.c`), in one go.
//!
//! Even and odd pixels are computed apart, in 16-bit integers.

use super::vector::Vector;

// No closures here: the compiler does not inline instructions into them.

/// What a row of pixels is made of. All pointers are to the samples of the first pixel; samples
/// before and after them count as well.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    pub(super) luma: *const u8,
    /// For Cb and Cr: the row of the pixels, and the other one that they are mixed of if chroma has
    /// half as many rows. Not read if the image is grey.
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

        let (factors, half) = (V::splat_pairs([-11277, -23401]), V::splat32(1 << 15));
        let low = twice[0].low16(twice[1]).dots(factors).add32(half);
        let high = twice[0].high16(twice[1]).dots(factors).add32(half);
        let green = low.shift_right32::<16>().pack32(high.shift_right32::<16>());
        [luma.add16(red), luma.add16(green), luma.add16(blue)]
    }
}

/// A vector of [`column`] of each chroma component.
#[inline(always)]
unsafe fn columns<V: Vector, S: Sampling>(sources: &Sources, at: isize) -> [V; 2] {
    let [cb, cr] = sources.chroma;
    // SAFETY: the caller's.
    unsafe { [column::<V, S>(cb, at), column::<V, S>(cr, at)] }
}

/// Even and odd bytes.
#[inline(always)]
unsafe fn apart<V: Vector>(bytes: V) -> [V; 2] {
    // SAFETY: the caller's.
    unsafe { [bytes.and(V::splat16(0xFF)), bytes.shift_right_logical16::<8>()] }
}

/// Chroma of even and of odd pixels that have a sample each, less [`MIDDLE`].
#[inline(always)]
unsafe fn full<V: Vector>(bytes: V) -> [V; 2] {
    // SAFETY: the caller's.
    unsafe {
        let [even, odd] = apart(bytes);
        [even.sub16(V::splat16(MIDDLE)), odd.sub16(V::splat16(MIDDLE))]
    }
}

/// As [`row`], of a grey image.
///
/// # Safety
/// As for [`row`].
#[inline(always)]
pub(super) unsafe fn grey<V: Vector>(sources: &Sources, width: usize, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        for step in 0..width.div_ceil(V::BYTES) {
            let [even, odd] = apart(V::load(sources.luma.add(step * V::BYTES)));
            let pixels = even.pack_unsigned16(odd);
            V::store_interleaved([pixels; 3], to.add(3 * step * V::BYTES));
        }
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
        let (mut before, mut this) = (columns::<V, S>(sources, -half), columns::<V, S>(sources, 0));
        for step in 0..width.div_ceil(V::BYTES) {
            let luma = V::load(sources.luma.add(step * V::BYTES));
            let luma = apart(luma);
            let [cb, cr] = if S::ACROSS == 1 {
                let at = step * V::BYTES;
                let [cb, cr] = sources.chroma;
                [full(V::load(cb[0].add(at))), full(V::load(cr[0].add(at)))]
            } else {
                let after = columns::<V, S>(sources, (step as isize + 1) * half);
                let chroma = [
                    upsampled::<V, S>(before[0], this[0], after[0]),
                    upsampled::<V, S>(before[1], this[1], after[1]),
                ];
                (before, this) = (this, after);
                chroma
            };
            let even = rgb(luma[0], cb[0], cr[0]);
            let odd = rgb(luma[1], cb[1], cr[1]);
            let channels = [
                even[0].pack_unsigned16(odd[0]),
                even[1].pack_unsigned16(odd[1]),
                even[2].pack_unsigned16(odd[2]),
            ];
            V::store_interleaved(channels, to.add(3 * step * V::BYTES));
        }
    }
}
