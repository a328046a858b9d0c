//! Weighted sums of rows: the one kernel of both passes of a resize.
//!
//! The vertical pass weighs the rows of the image, the horizontal pass those of its transpose; what
//! the bytes of a row mean is the caller's business.

use super::Coefficients;
use super::coefficients::PRECISION_BITS;
#[cfg(target_arch = "x86_64")]
use super::vnni;

/// Bytes that the vector kernels sum at once; rows must not be shorter for them.
pub const BLOCK: usize = 64;

/// Half a unit of the fixed-point sums, so that shifting rounds.
pub(super) const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Rows of bytes, `stride` bytes apart.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// From the first byte of the first row to the last of the last.
    pub data: &'a [u8],
    /// Between the starts of two rows.
    pub stride: usize,
    /// The bytes of a row.
    pub width: usize,
    /// Which row, in the numbering of the coefficients, is the first.
    pub first: usize,
}

/// The instruction set of the kernel. Values other than `Portable` exist only where they can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Level {
    /// All that this machine can run, the best first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let sets = [
            (is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw"))
                .then_some(Set::Vnni),
            is_x86_feature_detected!("avx2").then_some(Set::Avx2),
            Some(Set::Portable),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let sets = [Some(Set::Portable)];
        sets.into_iter().flatten().map(Self)
    }

    /// What `build_info` calls it.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Vnni => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            Set::Portable if cfg!(target_arch = "aarch64") => "neon",
            Set::Portable => "portable",
        }
    }

    /// Whether this level has AVX-512's VNNI, which wants [`Coefficients::groups`]: those of columns
    /// aligned, those of rows not.
    pub fn is_vnni(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.0 == Set::Vnni;
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Writes one row of `input.width` bytes per window of `coefficients` to `out`, the last first if
    /// `flip`: `clamp((2^21 + sum of byte * weight) >> 22)`, byte by byte. The i32 sums are exact,
    /// since a window's weights sum to 1 and Pillow keeps two spare bits.
    ///
    /// # Panics
    /// If a window reaches beyond `input`, or `out` has other than as many rows as there are windows.
    pub fn weigh(self, input: Rows<'_>, coefficients: &Coefficients, flip: bool, out: &mut [u8]) {
        let windows = coefficients.windows();
        assert_eq!(out.len(), windows.len() * input.width, "an output row per window");
        match self.0 {
            // SAFETY: `available` gave this level only where the instructions exist.
            #[cfg(target_arch = "x86_64")]
            Set::Vnni if input.width >= BLOCK => unsafe {
                vnni::weigh(input, coefficients, flip, out);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 if input.width >= BLOCK => unsafe {
                avx2(input, coefficients, flip, out);
            },
            _ => portable(input, coefficients, flip, out),
        }
    }
}

impl Default for Level {
    /// The best of this machine.
    fn default() -> Self {
        Self::available().next().unwrap_or(Self(Set::Portable))
    }
}

/// Runs over memory-resident sums, which compilers vectorise for any machine.
fn portable(input: Rows<'_>, coefficients: &Coefficients, flip: bool, out: &mut [u8]) {
    let Rows { data, stride, width, first } = input;
    let windows = coefficients.windows();
    let mut sums = [0i32; 4 * BLOCK];
    for (y, &window) in windows.iter().enumerate() {
        let y = if flip { windows.len() - 1 - y } else { y };
        let rows = &data[(window.start - first) * stride..];
        let out = out[y * width..][..width].chunks_mut(sums.len());
        for (start, out) in (0..width).step_by(sums.len()).zip(out) {
            let sums = &mut sums[..out.len()];
            sums.fill(HALF);
            for (tap, &weight) in coefficients.of(window).iter().enumerate() {
                let row = &rows[tap * stride + start..][..out.len()];
                for (sum, &byte) in sums.iter_mut().zip(row) {
                    *sum += i32::from(byte) * weight;
                }
            }
            for (out, &sum) in out.iter_mut().zip(&*sums) {
                *out = (sum >> PRECISION_BITS).clamp(0, 255) as u8;
            }
        }
    }
}

/// The same with the sums of a block in registers. Compilers don't find it: they vectorise along the
/// taps, which is seven times slower.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(input: Rows<'_>, coefficients: &Coefficients, flip: bool, out: &mut [u8]) {
    let Rows { data, stride, width, first } = input;
    let windows = coefficients.windows();
    for (y, &window) in windows.iter().enumerate() {
        let y = if flip { windows.len() - 1 - y } else { y };
        let rows = &data[(window.start - first) * stride..];
        let out = &mut out[y * width..][..width];
        for start in (0..width).step_by(BLOCK) {
            // The last block overlaps the one before it rather than being short.
            let start = start.min(width - BLOCK);
            let block = out[start..].first_chunk_mut().expect("rows of a block at least");
            avx2_block(&rows[start..], stride, coefficients.of(window), block);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn avx2_block(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8; BLOCK]) {
    use std::arch::x86_64::*;

    let mut sums = [_mm256_set1_epi32(HALF); 8];
    for (row, &weight) in rows.chunks(stride).zip(weights) {
        let row: &[u8; BLOCK] = row.first_chunk().expect("rows of a block at least");
        let weight = _mm256_set1_epi32(weight);
        for (sum, bytes) in sums.iter_mut().zip(row.as_chunks::<8>().0) {
            let bytes = _mm_cvtsi64_si128(i64::from_ne_bytes(*bytes));
            let product = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), weight);
            *sum = _mm256_add_epi32(*sum, product);
        }
    }
    // Packing works on halves of a register: the quarters come out in this order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (sums, out) in sums.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let [a, b, c, d] = sums.map(|sum| _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sum));
        let bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        let bytes = _mm256_permutevar8x32_epi32(bytes, order);
        // SAFETY: thirty-two bytes either way, any of them valid.
        *out = unsafe { std::mem::transmute::<__m256i, [u8; 32]>(bytes) };
    }
}
