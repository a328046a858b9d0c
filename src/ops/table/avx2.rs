//! Look-ups with AVX2, 16 entries at a time: three times as fast as one by one.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::portable;

/// As [`super::map`].
///
/// `pshufb` looks values up in 16 entries by their lower four bits, and gives 0 for negative ones.
/// 16 is subtracted from a value until it is negative, and what is found before each subtraction
/// is combined with xor. If each part of the table is given as its difference from the part before
/// it, this is the entry of the last part that was reached, which is the value's. Bytes are signed
/// here, so this is done once for the lower half of the table, where all values of the upper half
/// are negative from the start, and once for the upper half.
#[target_feature(enable = "avx2")]
pub fn map(plane: &mut [u8], table: &[u8; 256]) {
    let parts: [[u8; 16]; 16] = from_fn(|part| {
        from_fn(|i| {
            let before = if part % 8 == 0 { 0 } else { table[16 * (part - 1) + i] };
            table[16 * part + i] ^ before
        })
    });
    let parts = parts.map(|part| {
        // SAFETY: a part is the 16 bytes that are read.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(part.as_ptr().cast()) })
    });
    let (blocks, rest) = plane.as_chunks_mut::<64>();
    for block in blocks {
        let at = block.as_mut_ptr().cast::<__m256i>();
        // SAFETY: a block is the two times 32 bytes that are read.
        let v = unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] };
        let found = look_up(&parts, v);
        // SAFETY: a block is the two times 32 bytes that are written.
        unsafe {
            _mm256_storeu_si256(at, found[0]);
            _mm256_storeu_si256(at.add(1), found[1]);
        }
    }
    portable::map(rest, table);
}

/// Two registers at once, since the parts are more than the registers of the machine.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(parts: &[__m256i; 16], v: [__m256i; 2]) -> [__m256i; 2] {
    let mut found = [_mm256_setzero_si256(); 2];
    let upper = v.map(|v| _mm256_xor_si256(v, _mm256_set1_epi8(i8::MIN)));
    for (parts, mut v) in parts.as_chunks::<8>().0.iter().zip([v, upper]) {
        for &part in parts {
            for (found, v) in found.iter_mut().zip(&mut v) {
                *found = _mm256_xor_si256(*found, _mm256_shuffle_epi8(part, *v));
                *v = _mm256_subs_epi8(*v, _mm256_set1_epi8(16));
            }
        }
    }
    found
}
