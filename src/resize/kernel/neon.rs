//! The vertical pass with NEON: widening multiplications by the two parts of a weight.
//!
//! [`super`] explains the halves of the weights. Here, too, each sum is kept as two.
//!
//! The low parts, of 16 bits, are multiplied by bytes that are widened to 16 bits: four products
//! per instruction. The high parts are bytes, so they are multiplied by bytes, eight products per
//! instruction. That one needs signed bytes, so 128 is subtracted from each, and what this takes
//! from the sum is in the value that it starts from:
//!
//! ```text
//! sum of byte * high = (sum of (byte - 128) * high) + 128 * (sum of high)
//! ```
//!
//! The horizontal pass is [`super::transposed`].

use std::arch::aarch64::*;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, PRECISION_BITS};
use super::buffers::{ByteRows, HALF};

/// The bytes that are summed at once: twelve registers of sums, enough to hide the latency of
/// multiplications.
const STRIP: usize = 32;

/// The bits after the point in the upper 16 bits of a sum.
const REST: i32 = PRECISION_BITS as i32 - 16;

/// As [`super::vertical()`], for rows of at least a strip.
#[target_feature(enable = "neon")]
pub fn vertical(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let ByteRows { data, stride, width } = input;
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let weights = coefficients.weights(window);
        let rows = &data[window.start * stride..][..(window.len - 1) * stride + width];
        for start in (0..width).step_by(STRIP) {
            // The last strip overlaps the one before it rather than being short.
            let start = start.min(width - STRIP);
            let rows = &rows[start..rows.len() - (width - STRIP - start)];
            let strip = out[start..].first_chunk_mut().expect("a row has at least a strip");
            *strip = weigh_rows(rows, stride, weights);
        }
    }
}

/// The weighted sum of a strip of each row. `rows` ends with the strip of the last row.
#[inline]
#[target_feature(enable = "neon")]
fn weigh_rows(mut rows: &[u8], stride: usize, weights: &[i32]) -> [u8; STRIP] {
    let high_parts = weights.iter().map(|&weight| i32::from(high(weight))).sum::<i32>();
    let mut sums =
        [Sums { low: [vdupq_n_s32(HALF); 4], high: [vdupq_n_s16((128 * high_parts) as i16); 2] };
            2];
    for &weight in weights {
        let Some(strip) = rows.first_chunk::<STRIP>() else { break };
        for (sums, bytes) in sums.iter_mut().zip(strip.as_chunks().0) {
            sums.add_products(load(bytes), weight);
        }
        rows = rows.get(stride..).unwrap_or_default();
    }
    // SAFETY: 32 bytes on both sides, and all values are valid.
    unsafe { transmute(sums.map(|sums| sums.bytes())) }
}

/// The sums of sixteen adjacent bytes, before their parts are put together.
#[derive(Clone, Copy)]
struct Sums {
    low: [int32x4_t; 4],
    high: [int16x8_t; 2],
}

impl Sums {
    #[inline]
    #[target_feature(enable = "neon")]
    fn add_products(&mut self, bytes: uint8x16_t, weight: i32) {
        let signed = vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128)));
        let high = vdupq_n_s8(high(weight));
        self.high = [
            vmlal_s8(self.high[0], vget_low_s8(signed), vget_low_s8(high)),
            vmlal_high_s8(self.high[1], signed, high),
        ];
        let low = weight as i16;
        let wide = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
        let wide2 = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
        self.low = [
            vmlal_n_s16(self.low[0], vget_low_s16(wide), low),
            vmlal_high_n_s16(self.low[1], wide, low),
            vmlal_n_s16(self.low[2], vget_low_s16(wide2), low),
            vmlal_high_n_s16(self.low[3], wide2, low),
        ];
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn bytes(self) -> uint8x16_t {
        let [a, b, c, d] = self.low;
        to_bytes(vaddq_s16(upper(a, b), self.high[0]), vaddq_s16(upper(c, d), self.high[1]))
    }
}

/// The high part of a weight. The low part is `weight as i16`, which is signed.
#[inline]
fn high(weight: i32) -> i8 {
    ((weight + (1 << 15)) >> 16) as i8
}

/// The upper 16 bits of eight numbers.
#[inline]
#[target_feature(enable = "neon")]
pub fn upper(a: int32x4_t, b: int32x4_t) -> int16x8_t {
    vuzp2q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b))
}

/// Clamps sums to bytes, given their upper 16 bits.
#[inline]
#[target_feature(enable = "neon")]
pub fn to_bytes(a: int16x8_t, b: int16x8_t) -> uint8x16_t {
    vqshrun_high_n_s16::<REST>(vqshrun_n_s16::<REST>(a), b)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: 16 bytes on both sides, and all values are valid.
    unsafe { transmute(*bytes) }
}
