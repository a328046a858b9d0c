//! A tile's bytes to its blocks.

use super::codebook::{BLOCK, CODEBOOKS, Class, Codebook, RAW, UNARY};
use super::planes::{Instructions, Planes};
use super::tile::Streams;
use crate::packed::broken;
use crate::error::Result;

/// Unpacks a tile. `components` has the component and the codebook of each block of an MCU.
#[inline(always)]
pub(super) unsafe fn decode<I: Instructions>(
    streams: &Streams<'_>,
    components: &[(u8, u8)],
    out: &mut [[i16; BLOCK]],
) -> Result<()> {
    let mut cursor = Cursor::default();
    let mut escapes = streams.escapes;
    let mcus = out.chunks_exact_mut(components.len());
    for (mcu, classes) in mcus.zip(streams.classes.chunks_exact(components.len())) {
        for ((block, &class), &(_, book)) in mcu.iter_mut().zip(classes).zip(components) {
            let book: &Codebook = &CODEBOOKS[usize::from(book)];
            let class = &book[usize::from(class)];
            // SAFETY: the caller's.
            let planes = unsafe { cursor.planes::<I>(streams, class) };
            // SAFETY: the caller's.
            unsafe { I::coefficients(&planes, &class.weights, block) };
            if planes.unary[UNARY - 1] != 0 {
                add_escapes(planes.unary[UNARY - 1], &planes, class, &mut escapes, block)?;
            }
        }
    }
    cursor.check(streams)?;
    if !escapes.is_empty() {
        return Err(broken("a tile has more bytes than its blocks"));
    }
    Ok(())
}

/// Positions in the streams, in bits.
#[derive(Default)]
struct Cursor {
    fixed: usize,
    first: usize,
    later: usize,
}

impl Cursor {
    /// The next block's planes.
    #[inline(always)]
    unsafe fn planes<I: Instructions>(&mut self, streams: &Streams<'_>, class: &Class) -> Planes {
        let mut planes = Planes::default();
        // SAFETY: the caller's.
        let deposit = |bits, mask| unsafe { I::deposit(bits, mask) };
        let fixed = |bits: u16| self.fixed + usize::from(bits);
        planes.unary[0] = deposit(bits(streams.fixed, self.fixed), class.coded);
        planes.raw[0] = deposit(bits(streams.fixed, fixed(class.offsets[0])), class.raw[0]);
        for i in 1..RAW {
            let bits = few_bits(streams.fixed, fixed(class.offsets[i]));
            planes.raw[i] = deposit(bits, class.raw[i]);
        }
        self.fixed = fixed(class.offsets[RAW]);

        let nonzero = planes.nonzero();
        planes.unary[1] = deposit(bits(streams.first, self.first), planes.unary[0]);
        self.first += planes.unary[0].count_ones() as usize;
        planes.negative = deposit(bits(streams.first, self.first), nonzero);
        self.first += nonzero.count_ones() as usize;

        for i in 2..UNARY {
            planes.unary[i] = deposit(bits(streams.later, self.later), planes.unary[i - 1]);
            self.later += planes.unary[i - 1].count_ones() as usize;
        }
        planes
    }

    /// Whether the blocks took the bits of their tile and no others.
    fn check(&self, streams: &Streams<'_>) -> Result<()> {
        let taken = [self.fixed, self.first, self.later].map(|bits| bits.div_ceil(8));
        if taken == streams.lengths { Ok(()) } else { Err(broken("the lengths of a tile")) }
    }
}

/// The 64 bits from bit `at` of a stream on. Beyond its end there are zeros.
#[inline(always)]
fn bits(stream: &[u8], at: usize) -> u64 {
    let Some(bytes) = stream.get(at / 8..).and_then(|rest| rest.first_chunk::<9>()) else {
        return 0;
    };
    let low = u64::from_le_bytes(*bytes.first_chunk().expect("nine bytes"));
    let shift = at as u32 % 8;
    low >> shift | (u64::from(bytes[8]) << 1) << (63 - shift)
}

/// As [`bits`], but at least 57 of them.
#[inline(always)]
fn few_bits(stream: &[u8], at: usize) -> u64 {
    let Some(bytes) = stream.get(at / 8..).and_then(|rest| rest.first_chunk::<8>()) else {
        return 0;
    };
    u64::from_le_bytes(*bytes) >> (at % 8)
}

/// Adds their escapes to the coefficients in `last`, the last unary plane.
fn add_escapes(
    mut last: u64,
    planes: &Planes,
    class: &Class,
    escapes: &mut &[u8],
    block: &mut [i16; BLOCK],
) -> Result<()> {
    while last != 0 {
        let i = last.trailing_zeros() as usize;
        last &= last - 1;
        let (&escape, rest) =
            escapes.split_first().ok_or_else(|| broken("a tile ends too early"))?;
        *escapes = rest;
        let negative = planes.negative >> i & 1 == 1;
        // The byte that the coefficient was made from.
        let byte = if negative { block[i].wrapping_neg() } else { block[i] } as u8;
        let magnitude = i16::from(byte) + i16::from(escape) * i16::from(class.weights[i]);
        block[i] = if negative { -magnitude } else { magnitude };
    }
    Ok(())
}
