//! Random numbers that depend on a view's [`Key`] alone.
//!
//! # Why counter-based
//!
//! A conventional generator has a state, and each draw advances it. A draw then depends on all
//! draws before it, and so on the order of the samples, the number of workers and the place where a
//! run was resumed. A counter-based generator has no state: it hashes a counter under a key, and
//! draw number `n` is the hash of the counter `n`. Each view of each sample has a [`Stream`] of its
//! own, which can be computed anywhere, at any time, by any thread, without what came before.
//!
//! # The layout
//!
//! The hash is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
//! 2011). Its key is the seed. Its counter is the rest of the [`Key`], and the number of the block
//! of four words within the stream:
//!
//! ```text
//!                 counter, 128 bits                      key, 64 bits
//!     +---------------+-------+------+-------+        +---------------+
//!     |     index     | epoch | view | block |        |     seed      |
//!     |      64       |  32   |  16  |  16   |        |      64       |
//!     +---------------+-------+------+-------+        +---------------+
//!                     |                                       |
//!                     +-----------> Philox4x32-10 <-----------+
//!                                         |
//!                              four words of 32 bits
//! ```
//!
//! 16 bits count 65,536 blocks. A plan needs a few dozen, but the noise of a very wide box may need
//! more. A stream therefore consists of segments of 65,536 blocks, each with a key of its own. The
//! key of the first segment is the seed. The key of segment `s` > 0 is the first half of Philox of
//! the counter `s` under the seed. The number of a segment has 48 bits, so a stream has 2^66 words.
//!
//! # From words to numbers
//!
//! [`Stream`] implements the traits of `rand_core`, so that the `rand` crate can draw from it:
//!
//! ```
//! use rand::RngExt;
//! use tied_augment::rng::{Key, Stream};
//!
//! let key = Key { seed: 0, epoch: 3, index: 17, view: 1 };
//! let angle = Stream::new(key).random_range(-30.0..30.0);
//! assert_eq!(angle, Stream::new(key).random_range(-30.0..30.0));
//! ```
//!
//! The crate itself does not draw with `rand` or `rand_distr`. A seed gives the same pixels in
//! every release of a major version, and these crates may change the numbers that a distribution
//! draws from the same words. The mappings here (uniform, normal, gamma, ...) are part of that
//! promise.

use std::convert::Infallible;
use std::f64::consts::TAU;

use rand_core::TryRng;
use rand_core::utils::fill_bytes_via_next_word;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Philox4x32-10: ten rounds on one counter.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// The low and the high half.
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// What the randomness of one view of one sample depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// The sample's index in the data set.
    pub index: u64,
    /// The view's number: 0, 1, ...
    pub view: u16,
}

/// Philox's key for segment number `segment` of a stream.
fn segment_key(seed: u64, segment: u64) -> [u32; 2] {
    if segment == 0 {
        return halves(seed);
    }
    let [low, high] = halves(segment);
    let [low, high, ..] = philox([low, high, 0, 0], halves(seed));
    [low, high]
}

/// The draws that belong to a [`Key`]: 2^66 words of 32 bits before they repeat.
///
/// It is made from a key, and not a `SeedableRng`, whose seed would be an array of bytes.
#[derive(Clone, Debug)]
pub struct Stream {
    key: Key,
    /// The number of the next block.
    block: u64,
    words: [u32; 4],
    /// How many of `words` were drawn.
    used: usize,
}

impl Stream {
    /// The stream of `key`, at its start.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key, block: 0, words: [0; 4], used: 4 }
    }

    // Not by `rand_core::block::BlockRng`: filling a box with noise took 2.7 times as long.
    fn word(&mut self) -> u32 {
        if self.used == 4 {
            let Key { seed, epoch, index, view } = self.key;
            let [low, high] = halves(index);
            let last = u32::from(view) << 16 | self.block as u32 & 0xFFFF;
            self.words = philox([low, high, epoch, last], segment_key(seed, self.block >> 16));
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform over the multiples of 2^-53 in [0, 1), from 53 bits as CPython's `random.random`.
    pub(crate) fn unit(&mut self) -> f64 {
        let high = f64::from(self.word() >> 5);
        let low = f64::from(self.word() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// 64 random bits, the high half first.
    pub(crate) fn bits(&mut self) -> u64 {
        u64::from(self.word()) << 32 | u64::from(self.word())
    }

    /// Uniform over [low, high].
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform over 0..n, without bias (Lemire 2019).
    ///
    /// # Panics
    /// If `n` is 0.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "an empty range has no draw");
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.word()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of `items`, with equal chances.
    ///
    /// # Panics
    /// If there are none.
    pub(crate) fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }

    /// Two independent standard normal numbers (Box and Muller 1958).
    pub(crate) fn normals(&mut self) -> [f64; 2] {
        // 1 - unit is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        let (sin, cos) = libm::sincos(TAU * self.unit());
        [radius * cos, radius * sin]
    }

    /// Standard normal. The second number of the pair is dropped, so that the stream's position is
    /// its whole state.
    pub(crate) fn normal(&mut self) -> f64 {
        self.normals()[0]
    }

    /// Gamma with `shape` > 0 and scale 1 (Marsaglia and Tsang 2000).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        // Below 1 by Gamma(shape + 1) * U^(1 / shape).
        let boost = if shape < 1.0 { libm::exp(libm::log(1.0 - self.unit()) / shape) } else { 1.0 };
        let d = if shape < 1.0 { shape + 1.0 } else { shape } - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let t = 1.0 + c * x;
            // Not powi, whose rounding differs between platforms.
            let v = t * t * t;
            let u = 1.0 - self.unit();
            if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return boost * d * v;
            }
        }
    }

    /// Symmetric Dirichlet: `n` weights that sum to 1, appended to `weights`.
    pub(crate) fn dirichlet(&mut self, concentration: f64, n: usize, weights: &mut Vec<f64>) {
        let start = weights.len();
        weights.extend((0..n).map(|_| self.gamma(concentration)));
        let sum: f64 = weights[start..].iter().sum();
        for weight in &mut weights[start..] {
            *weight /= sum;
        }
        // With a tiny concentration every draw underflows. In the limit one weight is 1.
        if sum == 0.0 && n > 0 {
            weights[start..].fill(0.0);
            weights[start + self.below(n as u32) as usize] = 1.0;
        }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.bits())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        fill_bytes_via_next_word(bytes, || Ok(self.word()))
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::{Key, Stream, philox};

    #[test]
    fn known_answers() {
        // The vectors published with Random123 for philox4x32-10.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let key = Key { seed: 1, epoch: 2, index: 3, view: 4 };
        let first = |key| Stream::new(key).unit();
        for other in [
            Key { seed: 1 << 40, ..key },
            Key { epoch: 3, ..key },
            Key { index: 3 | 1 << 40, ..key },
            Key { view: 5, ..key },
        ] {
            assert_ne!(first(key), first(other), "{other:?}");
        }
    }

    #[test]
    fn a_long_stream_does_not_repeat() {
        const SEGMENT: usize = 4 * 65_536;
        let mut stream = Stream::new(Key { seed: 7, epoch: 5, index: 9, view: 3 });
        let words: Vec<u32> = (0..3 * SEGMENT + 4).map(|_| stream.word()).collect();
        for (block, words) in words[..SEGMENT].chunks_exact(4).enumerate() {
            assert_eq!(words, philox([9, 0, 5, 3 << 16 | block as u32], [7, 0]), "block {block}");
        }
        let mut firsts: Vec<_> = words.chunks_exact(4).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 3 * 65_536 + 1, "blocks that came before");
        let other = Key { seed: 8, epoch: 5, index: 9, view: 3 };
        let mut other = Stream { block: 65_536, ..Stream::new(other) };
        assert_ne!(other.word(), words[SEGMENT], "the seed keys later segments as well");
    }

    #[test]
    fn rand_core_draws_the_words_in_order() {
        let stream = || Stream::new(Key { seed: 7, epoch: 5, index: 9, view: 3 });
        let words = philox([9, 0, 5, 3 << 16], [7, 0]);
        assert_eq!(stream().next_u32(), words[0]);
        assert_eq!(stream().next_u64(), u64::from(words[0]) << 32 | u64::from(words[1]));
        let mut bytes = [0; 16];
        stream().fill_bytes(&mut bytes);
        assert_eq!(bytes.as_slice(), words.map(u32::to_le_bytes).as_flattened());
    }

    /// Mean and variance of 100,000 draws.
    fn moments(mut draw: impl FnMut(&mut Stream) -> f64) -> (f64, f64) {
        let mut stream = Stream::new(Key { seed: 0, epoch: 0, index: 0, view: 0 });
        let draws: Vec<f64> = (0..100_000).map(|_| draw(&mut stream)).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        (mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5)
    }

    #[test]
    fn normal_and_gamma_have_their_moments() {
        // Five standard errors of the mean; the variance's error is a few times larger.
        let near = |(mean, variance): (f64, f64), (m, v): (f64, f64)| {
            let error = 5.0 * (v / 1e5).sqrt();
            assert!((mean - m).abs() < error, "mean {mean}, not {m}");
            assert!((variance / v - 1.0).abs() < 0.1, "variance {variance}, not {v}");
        };
        near(moments(Stream::normal), (0.0, 1.0));
        for shape in [0.2, 0.5, 1.0, 3.5] {
            near(moments(|stream| stream.gamma(shape)), (shape, shape));
        }
    }

    #[test]
    fn dirichlet_sums_to_one() {
        let mut stream = Stream::new(Key { seed: 0, epoch: 0, index: 0, view: 0 });
        for concentration in [1e-6, 0.1, 1.0, 20.0] {
            let mut weights = vec![9.0];
            stream.dirichlet(concentration, 3, &mut weights);
            assert!((weights[1..].iter().sum::<f64>() - 1.0).abs() < 1e-12, "{weights:?}");
        }
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut stream = Stream::new(Key { seed: 0, epoch: 0, index: 0, view: 0 });
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        // 10,000 expected, standard deviation 93: five of them.
        assert!(counts.iter().all(|&n| n.abs_diff(10_000) < 465), "{counts:?}");
    }
}
