//! Normalised elements computed rather than looked up: 24 at a time, past the caches if there are many.
//!
//! `(v / 255 - mean) / std` takes two divisions, each rounded. A quotient a / b, rounded, is
//! `fma(a, r, a * s)`, where r + s is 1 / b in twice the precision, but for very few a and b; so what
//! comes of all 256 values is compared with the table first.

#[cfg(not(target_arch = "x86_64"))]
pub use nowhere::Normalise;
#[cfg(target_arch = "x86_64")]
pub use x86::Normalise;

use super::format::Table;

/// The elements made at once: whole pixels of three channels, in whole registers.
pub const STEP: usize = 24;

/// What the output must be aligned to, in bytes.
pub const ALIGN: usize = 32;

/// In place of a channel's number: interleaved pixels of all three.
pub const PIXELS: usize = 3;

#[cfg(not(target_arch = "x86_64"))]
mod nowhere {
    use super::Table;

    /// There is none of this.
    #[derive(Clone, Copy, Debug)]
    pub enum Normalise {}

    impl Normalise {
        pub fn giving(_: &Table, _: [f32; 3], _: [f32; 3]) -> Option<Self> {
            None
        }

        pub fn write(&self, _: usize, _: bool, _: &[u8], _: &mut [u8]) {
            match *self {}
        }

        pub fn finish(&self) {
            match *self {}
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::array::from_fn;

    use super::{ALIGN, PIXELS, STEP, Table};

    /// The channels of every three elements: in each plane, and in interleaved pixels.
    const CHANNELS: [[usize; 3]; PIXELS + 1] = [[0; 3], [1; 3], [2; 3], [0, 1, 2]];

    /// The arithmetic, with its constants. Values exist only where it can run.
    #[derive(Clone, Debug)]
    pub struct Normalise {
        float: Float,
        lanes: Box<[Lanes; PIXELS + 1]>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Float {
        F32,
        F16,
        Bf16,
    }

    #[derive(Clone, Debug)]
    struct Lanes {
        mean: [f32; STEP],
        scale: [[f32; STEP]; 2],
    }

    impl Normalise {
        /// That with this mean and this std of each channel, if it gives each entry of `table`.
        pub fn giving(table: &Table, mean: [f32; 3], std: [f32; 3]) -> Option<Self> {
            if !(is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c"))
            {
                return None;
            }
            let scale = std.map(reciprocal);
            let lanes = Box::new(CHANNELS.map(|channels| {
                let lanes = |values: [f32; 3]| from_fn(|lane| values[channels[lane % 3]]);
                let scale = [0, 1].map(|part| lanes(scale.map(|parts| parts[part])));
                Lanes { mean: lanes(mean), scale }
            }));
            let floats: &[_] = match table {
                Table::Two(_) => &[Float::F16, Float::Bf16],
                Table::Four(_) => &[Float::F32],
            };
            let all = floats.iter().map(|&float| Self { float, lanes: lanes.clone() });
            all.into_iter().find(|normalise| match table {
                Table::Two(table) => normalise.gives(table),
                Table::Four(table) => normalise.gives(table),
            })
        }

        fn gives<const N: usize>(&self, table: &[[[u8; N]; 256]; 3]) -> bool {
            let bytes: [u8; 256usize.next_multiple_of(STEP)] = from_fn(|i| i as u8);
            let mut memory = vec![0; bytes.len() * N + ALIGN];
            let start = memory.as_ptr().align_offset(ALIGN);
            let out = &mut memory[start..][..bytes.len() * N];
            table.iter().enumerate().all(|(channel, entries)| {
                self.write(channel, false, &bytes, out);
                out.starts_with(entries.as_flattened())
            })
        }

        /// Writes an element for each of `bytes`, which are of one channel or of [`PIXELS`].
        ///
        /// If `past`, past the caches: nothing is read to be overwritten. [`Self::finish`] must follow
        /// before other threads are told of it.
        ///
        /// # Panics
        /// If there are not a multiple of [`STEP`] of them, or `out` has not that many elements or not
        /// [`ALIGN`].
        pub fn write(&self, channel: usize, past: bool, bytes: &[u8], out: &mut [u8]) {
            let kernel: unsafe fn(&Lanes, bool, &[u8], &mut [u8]) = match self.float {
                Float::F32 => four,
                Float::F16 => half,
                Float::Bf16 => brain,
            };
            // SAFETY: `giving` has seen that the instructions exist.
            unsafe { kernel(&self.lanes[channel], past, bytes, out) };
        }

        /// Lets nothing that follows be seen before what has been written.
        pub fn finish(&self) {
            // SAFETY: every x86-64 has SSE.
            unsafe { _mm_sfence() };
        }
    }

    /// 1 / b as the sum of two numbers.
    fn reciprocal(b: f32) -> [f32; 2] {
        let exact = 1.0 / f64::from(b);
        let near = exact as f32;
        [near, (exact - f64::from(near)) as f32]
    }

    macro_rules! kernel {
        ($name:ident, $register:ty, $round:ident, $stream:ident) => {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn $name(lanes: &Lanes, past: bool, bytes: &[u8], out: &mut [u8]) {
                // SAFETY: any bytes are a register, and a register any bytes.
                let (before, out, after) = unsafe { out.align_to_mut::<$register>() };
                let (steps, rest) = bytes.as_chunks::<STEP>();
                assert!(before.is_empty() && after.is_empty() && rest.is_empty());
                assert_eq!(8 * out.len(), bytes.len());
                let byte = reciprocal(255.0).map(|part| _mm256_set1_ps(part));
                let mean = registers(&lanes.mean);
                let scale = [registers(&lanes.scale[0]), registers(&lanes.scale[1])];
                for (bytes, out) in steps.iter().zip(out.as_chunks_mut::<3>().0) {
                    for (k, (bytes, out)) in bytes.as_chunks().0.iter().zip(out).enumerate() {
                        let v = floats(*bytes);
                        let v = _mm256_fmadd_ps(v, byte[0], _mm256_mul_ps(v, byte[1]));
                        let v = _mm256_sub_ps(v, mean[k]);
                        let v = _mm256_fmadd_ps(v, scale[0][k], _mm256_mul_ps(v, scale[1][k]));
                        if past {
                            // SAFETY: the memory of a register, ours alone.
                            unsafe { $stream(out, $round(v)) };
                        } else {
                            *out = $round(v);
                        }
                    }
                }
            }
        };
    }

    kernel!(four, __m256i, to_four, _mm256_stream_si256);
    kernel!(half, __m128i, to_half, _mm_stream_si128);
    kernel!(brain, __m128i, to_brain, _mm_stream_si128);

    #[inline]
    #[target_feature(enable = "avx2")]
    fn registers(lanes: &[f32; STEP]) -> [__m256; 3] {
        // SAFETY: eight numbers are read of eight.
        from_fn(|k| unsafe { _mm256_loadu_ps(lanes.as_chunks::<8>().0[k].as_ptr()) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn floats(bytes: [u8; 8]) -> __m256 {
        let bytes = _mm_cvtsi64_si128(i64::from_ne_bytes(bytes));
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn to_four(v: __m256) -> __m256i {
        _mm256_castps_si256(v)
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn to_half(v: __m256) -> __m128i {
        _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)
    }

    /// To nearest even; what becomes of NaN, the comparison with the table doesn't let through.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn to_brain(v: __m256) -> __m128i {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let bits = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
        let upper = _mm256_srli_epi32::<16>(bits);
        _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256::<1>(upper))
    }
}
