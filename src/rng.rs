//! Randomness without state: Philox4x32-10 (Salmon et al., SC 2011), keyed by seed and counted by
//! (index, epoch, view), so that no thread, worker or batch split can change a draw.
//!
//! The mappings to ranges are the crate's own: they belong to the promise that a seed gives the same
//! pixels in every release of a major version.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox4x32 on one counter.
#[must_use]
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
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

/// The stream of draws that belongs to a [`Key`]: 2^66 words before it repeats.
#[derive(Clone, Debug)]
pub struct Stream {
    key: Key,
    block: u64,
    words: [u32; 4],
    used: usize,
}

/// Philox's key for part number `part` of a stream. A part has 65,536 blocks, since the counter has 16
/// bits for them. The key of the first part is the seed; of a later one, Philox of its number and the seed.
fn seed_words(seed: u64, part: u64) -> [u32; 2] {
    let words = [seed as u32, (seed >> 32) as u32];
    if part == 0 {
        return words;
    }
    let [low, high, ..] = philox([part as u32, (part >> 32) as u32, 0, 0], words);
    [low, high]
}

impl Stream {
    /// The stream of `key`, at its start.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key, block: 0, words: [0; 4], used: 4 }
    }

    fn word(&mut self) -> u32 {
        if self.used == 4 {
            let Key { seed, epoch, index, view } = self.key;
            let last = u32::from(view) << 16 | self.block as u32 & 0xFFFF;
            let counter = [index as u32, (index >> 32) as u32, epoch, last];
            self.words = philox(counter, seed_words(seed, self.block >> 16));
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform over the multiples of 2^-53 in [0, 1), from 53 bits as CPython's `random.random`.
    pub fn unit(&mut self) -> f64 {
        let high = f64::from(self.word() >> 5);
        let low = f64::from(self.word() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        u64::from(self.word()) << 32 | u64::from(self.word())
    }

    /// Uniform over [low, high].
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform over 0..n, without bias (Lemire 2019).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
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
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of `items`, with equal chances.
    ///
    /// # Panics
    /// If there are none.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }

    /// Two standard normal numbers (Box and Muller 1958), from two uniform ones.
    pub(crate) fn normals(&mut self) -> [f64; 2] {
        // 1 - unit is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.unit());
        [radius * cos, radius * sin]
    }

    /// A standard normal number. The second one of the pair is not kept, so that a stream's state is
    /// its position.
    pub fn normal(&mut self) -> f64 {
        self.normals()[0]
    }

    /// Gamma with `shape` > 0 and scale 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
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
    pub fn dirichlet(&mut self, concentration: f64, n: usize, weights: &mut Vec<f64>) {
        let start = weights.len();
        weights.extend((0..n).map(|_| self.gamma(concentration)));
        let sum: f64 = weights[start..].iter().sum();
        for weight in &mut weights[start..] {
            *weight /= sum;
        }
        // A tiny concentration makes every draw underflow; in its limit one weight takes all.
        if sum == 0.0 && n > 0 {
            weights[start..].fill(0.0);
            weights[start + self.below(n as u32) as usize] = 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
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
        const PART: usize = 4 * 65_536;
        let mut stream = Stream::new(Key { seed: 7, epoch: 5, index: 9, view: 3 });
        let words: Vec<u32> = (0..3 * PART + 4).map(|_| stream.word()).collect();
        for (block, words) in words[..PART].chunks_exact(4).enumerate() {
            assert_eq!(words, philox([9, 0, 5, 3 << 16 | block as u32], [7, 0]), "block {block}");
        }
        let mut firsts: Vec<_> = words.chunks_exact(4).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 3 * 65_536 + 1, "blocks that came before");
        let other = Key { seed: 8, epoch: 5, index: 9, view: 3 };
        let mut other = Stream { block: 65_536, ..Stream::new(other) };
        assert_ne!(other.word(), words[PART], "the seed keys later parts as well");
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
