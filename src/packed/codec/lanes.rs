//! Blocks without `pdep`: each coefficient is a byte of a vector and fetches its own bits.
//!
//! The bit of a coefficient is found by its rank, which is how many coefficients before it have a
//! bit in the same plane. In the fixed stream, ranks follow from the class and are in a table. In
//! the others they are prefix sums of the plane before.

use super::codebook::{BLOCK, Class, RAW, Ranks};
use super::decode::{Cursor, Escaped, Kernel, Position};
use crate::error::Result;

/// A vector of a byte per coefficient, in natural order. A plane has 0xFF where a coefficient has
/// its bit, and else 0.
///
/// # Safety
/// All functions need the instructions of the implementation.
pub(super) trait Lanes: Copy {
    /// These bytes.
    unsafe fn load(bytes: &[u8; BLOCK]) -> Self;

    /// The same byte for all.
    unsafe fn splat(byte: u8) -> Self;

    /// All bits that both have.
    unsafe fn and(self, other: Self) -> Self;

    /// All bits that one of them has.
    unsafe fn or(self, other: Self) -> Self;

    /// The sums, modulo 256.
    unsafe fn add(self, other: Self) -> Self;

    /// The plane of the bits with these ranks, from 0 to 63. Rank 64 stands for no bit. With other
    /// ranks a lane has anything.
    unsafe fn pick(bits: u64, ranks: Self) -> Self;

    /// The ranks of the coefficients in this plane. The other lanes have anything. Byte `i` of
    /// `before` is the number of coefficients in the plane before coefficient `8 * i`.
    unsafe fn ranks(self, before: u64) -> Self;

    /// A bit per lane of this plane.
    unsafe fn bits(self) -> u64;

    /// Stores these magnitudes, which are taken as signed, with a sign where `negative` has them.
    unsafe fn store(self, negative: Self, out: &mut [i16; BLOCK]);
}

/// The kernel with such vectors.
pub(super) struct ByLanes<L>(std::marker::PhantomData<L>);

impl<L: Lanes> Kernel for ByLanes<L> {
    #[inline(always)]
    unsafe fn block(
        cursor: &mut Cursor<'_>,
        class: &Class,
        ranks: &Ranks,
        out: &mut [i16; BLOCK],
    ) -> Result<Escaped> {
        let start = cursor.fixed.at;
        // SAFETY: the caller's; the length of the stream is that of all its classes' bits.
        let (digits, mut sums, nonzero) = unsafe {
            let digits = L::pick(cursor.fixed.bits(), L::load(&ranks[0]));
            let (mut sums, mut nonzero) = (L::splat(0), digits);
            for i in 0..usize::from(class.depth) {
                cursor.fixed.at = start + usize::from(class.offsets[i]);
                let plane = L::pick(cursor.fixed.bits(), L::load(&ranks[1 + i]));
                sums = sums.add(plane.and(L::splat(1 << i)));
                nonzero = nonzero.or(plane);
            }
            (digits, sums, nonzero)
        };
        cursor.fixed.at = start + usize::from(class.offsets[RAW]);
        let (first, later) = cursor.rest()?;
        // SAFETY: the caller's; a position was within its stream, and a plane has 64 bits.
        unsafe {
            let weights = L::load(&class.weights);
            let second = next(first, digits);
            let negative = next(first, nonzero);
            sums = sums.add(digits.and(weights)).add(second.and(weights));
            let mut last = 0;
            if second.bits() != 0 {
                let third = next(later, second);
                let fourth = next(later, third);
                sums = sums.add(third.and(weights)).add(fourth.and(weights));
                last = fourth.bits();
            }
            sums.store(negative, out);
            Ok(Escaped { last, negative: if last == 0 { 0 } else { negative.bits() } })
        }
    }
}

/// The bits of the coefficients in `plane`; moves on beyond them.
///
/// # Safety
/// As for [`Position::bits`], and the machine has the instructions.
#[inline(always)]
unsafe fn next<L: Lanes>(position: &mut Position<'_>, plane: L) -> L {
    // SAFETY: the caller's.
    unsafe {
        let (before, count) = counts(plane.bits());
        let next = L::pick(position.bits(), plane.ranks(before)).and(plane);
        position.at += count;
        next
    }
}

/// How many bits are set below each byte, a byte each, and how many in all.
#[inline(always)]
fn counts(bits: u64) -> (u64, usize) {
    // Bits are added in pairs, these in pairs, and these. The product sums the bytes up.
    let twos = bits - (bits >> 1 & 0x5555_5555_5555_5555);
    let fours = (twos & 0x3333_3333_3333_3333) + (twos >> 2 & 0x3333_3333_3333_3333);
    let bytes = (fours + (fours >> 4)) & 0x0F0F_0F0F_0F0F_0F0F;
    let sums = bytes.wrapping_mul(0x0101_0101_0101_0101);
    (sums << 8, (sums >> 56) as usize)
}
