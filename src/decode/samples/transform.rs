//! The inverse DCT: `jpeg_idct_islow` of libjpeg-turbo 2.1, as its versions for SSE2 and AVX2
//! compute it (`simd/x86_64/jidctint-avx2.asm`), but of several blocks at once.
//!
//! They compute what the C version does, except if a coefficient times its step does not fit 16
//! bits, which no encoder writes. Then this has their result, too.

use std::slice;

use super::vector::Vector;

// No closures here: the compiler does not inline instructions into them.

/// A rotation: the factors of two inputs for each of two outputs, with 13 fractional bits.
type Rotation = [[i16; 2]; 2];

const EVEN: Rotation = [[4433, 4433 - 15137], [4433 + 6270, 4433]];
const SUMS: Rotation = [[9633 - 16069, 9633], [9633, 9633 - 3196]];
const OUTER: Rotation = [[2446 - 7373, -7373], [-7373, 12299 - 7373]];
const INNER: Rotation = [[16819 - 20995, -20995], [-20995, 25172 - 20995]];

/// 32-bit integers, one for each 16-bit integer of a vector.
#[derive(Clone, Copy)]
struct Wide<V>(V, V);

impl<V: Vector> Wide<V> {
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(self.0.add32(other.0), self.1.add32(other.1)) }
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(self.0.sub32(other.0), self.1.sub32(other.1)) }
    }

    /// `values << 13`, and half of what will be the unit.
    #[inline(always)]
    unsafe fn scaled(values: V, half: V) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let zero = values.xor(values);
            let (low, high) = (zero.low16(values), zero.high16(values));
            let (low, high) = (low.shift_right32::<3>(), high.shift_right32::<3>());
            Self(low.add32(half), high.add32(half))
        }
    }

    #[inline(always)]
    unsafe fn shifted<const BITS: u32>(self) -> V {
        // SAFETY: the caller's.
        unsafe { self.0.shift_right32::<BITS>().pack32(self.1.shift_right32::<BITS>()) }
    }
}

#[inline(always)]
unsafe fn rotate<V: Vector>(a: V, b: V, rotation: &Rotation) -> [Wide<V>; 2] {
    // SAFETY: the caller's.
    unsafe {
        let (low, high) = (a.low16(b), a.high16(b));
        let [first, second] = rotation;
        let (first, second) = (V::splat_pairs(*first), V::splat_pairs(*second));
        [Wide(low.dots(first), high.dots(first)), Wide(low.dots(second), high.dots(second))]
    }
}

/// One dimension, divided by `1 << BITS`.
#[inline(always)]
unsafe fn pass<V: Vector, const BITS: u32>(rows: [V; 8]) -> [V; 8] {
    // SAFETY: the caller's.
    unsafe {
        let half = V::splat32(1 << (BITS - 1));
        let [second, first] = rotate(rows[2], rows[6], &EVEN);
        let sum = Wide::scaled(rows[0].add16(rows[4]), half);
        let difference = Wide::scaled(rows[0].sub16(rows[4]), half);
        let even =
            [sum.plus(first), difference.plus(second), difference.minus(second), sum.minus(first)];

        let [third, fourth] = rotate(rows[7].add16(rows[3]), rows[5].add16(rows[1]), &SUMS);
        let [a, d] = rotate(rows[7], rows[1], &OUTER);
        let [b, c] = rotate(rows[5], rows[3], &INNER);
        let odd = [d.plus(fourth), c.plus(third), b.plus(fourth), a.plus(third)];

        let mut out = rows;
        for i in 0..4 {
            out[i] = even[i].plus(odd[i]).shifted::<BITS>();
            out[7 - i] = even[i].minus(odd[i]).shifted::<BITS>();
        }
        out
    }
}

/// Four columns, of pairs of rows whose integers take turns.
#[inline(always)]
unsafe fn columns<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
    // SAFETY: the caller's.
    unsafe {
        let (first, second) = (a.low32(b), c.low32(d));
        let (third, fourth) = (a.high32(b), c.high32(d));
        [first.low64(second), first.high64(second), third.low64(fourth), third.high64(fourth)]
    }
}

/// Exchanges rows and columns of the 8 x 8 integers in each lane.
#[inline(always)]
unsafe fn transpose<V: Vector>(rows: [V; 8]) -> [V; 8] {
    // SAFETY: the caller's.
    unsafe {
        let [a, b, c, d, e, f, g, h] = rows;
        let low = [a.low16(b), c.low16(d), e.low16(f), g.low16(h)];
        let high = [a.high16(b), c.high16(d), e.high16(f), g.high16(h)];
        let [[a, b, c, d], [e, f, g, h]] = [columns(low), columns(high)];
        [a, b, c, d, e, f, g, h]
    }
}

/// What becomes of `rows`, the result of the first pass, if some number times four does not fit 16
/// bits: it is clamped, but in a block with nothing below its first row the high bits are lost.
///
/// # Safety
/// As for [`samples`].
#[cold]
#[inline(never)]
unsafe fn wrapped<V: Vector>(rows: [V; 8], blocks: &[*const i16], steps: *const i16) -> [V; 8] {
    // SAFETY: the caller's; no vector is longer than `memory`.
    unsafe {
        let steps = slice::from_raw_parts(steps, 8);
        let mut out = rows;
        for row in &mut out {
            let mut memory = [0i16; 32];
            row.store(memory.as_mut_ptr().cast());
            for (lane, &block) in memory.chunks_exact_mut(8).zip(blocks) {
                let (first, rest) = slice::from_raw_parts(block, 64).split_at(8);
                if rest.iter().all(|&coefficient| coefficient == 0) {
                    for ((value, &coefficient), &step) in lane.iter_mut().zip(first).zip(steps) {
                        *value = coefficient.wrapping_mul(step).wrapping_mul(4);
                    }
                }
            }
            *row = V::load(memory.as_ptr().cast());
        }
        out
    }
}

/// The samples of as many blocks as a vector has lanes, side by side from `to` on, in rows that are
/// `stride` bytes apart.
///
/// # Safety
/// The machine has the instructions of `V`. `blocks` and `steps` point to 64 numbers each, `to` to
/// eight rows.
#[inline(always)]
pub(super) unsafe fn samples<V: Vector>(
    blocks: &[*const i16],
    steps: *const i16,
    to: *mut u8,
    stride: usize,
) {
    // SAFETY: the caller's; `blocks` has one for each lane.
    unsafe {
        let coefficients = V::load_blocks(blocks, steps);
        let mut rows = pass::<V, 11>(coefficients);
        let large = coefficients[0].add16(V::splat16(0x2000)).and(V::splat16(!0x3FFF));
        if large.any() {
            rows = wrapped(rows, blocks, steps);
        }
        let columns = pass::<V, 18>(transpose(rows));

        let [a, b, c, d, e, f, g, h] = columns;
        let [a, b, c, d] = [a.pack16(e), b.pack16(f), c.pack16(g), d.pack16(h)];
        let (first, second) = ([a.low8(b), c.low8(d)], [a.high8(b), c.high8(d)]);
        let middle = V::splat16(0x8080_u16 as i16);
        let halves = [
            [first[0].low16(first[1]), second[0].low16(second[1])],
            [first[0].high16(first[1]), second[0].high16(second[1])],
        ];
        for (i, [left, right]) in halves.into_iter().enumerate() {
            let to = to.add(4 * i * stride);
            left.low32(right).xor(middle).store_rows(to, stride);
            left.high32(right).xor(middle).store_rows(to.add(2 * stride), stride);
        }
    }
}
