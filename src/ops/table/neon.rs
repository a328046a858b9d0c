//! Look-ups with NEON: sixteen bytes at a time.

use std::arch::aarch64::*;

use super::portable;

/// As [`super::map`]. Sixteen registers hold the table. An instruction looks sixteen values up in
/// four of them, and gives 0 for those outside its 64 entries.
///
/// `vqtbx4q`, which leaves those outside as they were, would save the "or". But it takes more steps
/// than both together on Neoverse cores.
#[target_feature(enable = "neon")]
pub fn map(plane: &mut [u8], table: &[u8; 256]) {
    let quarter = |i: usize| load(table[64 * i..].first_chunk().expect("four quarters"));
    let [a, b, c, d] = [quarter(0), quarter(1), quarter(2), quarter(3)];
    let (blocks, rest) = plane.as_chunks_mut::<16>();
    for block in blocks {
        // SAFETY: a block is the 16 bytes that are read.
        let v = unsafe { vld1q_u8(block.as_ptr()) };
        // Flipping the upper bits brings one quarter of the values to 0..64, and no other.
        let look_up = |quarter, first| vqtbl4q_u8(quarter, veorq_u8(v, vdupq_n_u8(first)));
        let lower = vorrq_u8(vqtbl4q_u8(a, v), look_up(b, 64));
        let upper = vorrq_u8(look_up(c, 128), look_up(d, 192));
        // SAFETY: a block is the 16 bytes that are written.
        unsafe { vst1q_u8(block.as_mut_ptr(), vorrq_u8(lower, upper)) };
    }
    portable::map(rest, table);
}

#[inline]
#[target_feature(enable = "neon")]
fn load(quarter: &[u8; 64]) -> uint8x16x4_t {
    // SAFETY: a quarter is the 64 bytes that are read.
    unsafe { vld1q_u8_x4(quarter.as_ptr()) }
}
