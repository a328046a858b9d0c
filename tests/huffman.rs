//! Our Huffman decoder against libjpeg's: equal pixels and equal failures, for whole and for broken
//! files.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use tied_augment::decode::{Decoder, Entropy, Limits};
use tied_augment::image::{Image, Rect};

const SAMPLINGS: [SamplingFactor; 9] = [
    SamplingFactor::R_4_4_4,
    SamplingFactor::R_4_4_0,
    SamplingFactor::R_4_4_1,
    SamplingFactor::R_4_2_2,
    SamplingFactor::R_4_2_0,
    SamplingFactor::R_4_1_1,
    SamplingFactor::R_4_1_0,
    SamplingFactor::F_2_2,
    SamplingFactor::F_4_1,
];

const COLORS: [ColorType; 4] =
    [ColorType::Rgb, ColorType::Luma, ColorType::Cmyk, ColorType::CmykAsYcck];

/// An image to be encoded, and how.
#[derive(Clone, Debug)]
struct Source {
    width: u16,
    height: u16,
    /// From smooth (0) to noise (255).
    grain: u8,
    seed: u64,
    quality: u8,
    color: ColorType,
    sampling: SamplingFactor,
    restarts: u16,
    optimized: bool,
}

fn source() -> impl Strategy<Value = Source> {
    let size = (1u16..160, 1u16..120, any::<u8>(), any::<u64>());
    let color = prop_oneof![4 => Just(ColorType::Rgb), 1 => prop::sample::select(&COLORS[..])];
    let coding = (
        1u8..=100,
        color,
        prop::sample::select(&SAMPLINGS[..]),
        prop_oneof![Just(0u16), 1u16..12],
        any::<bool>(),
    );
    (size, coding).prop_map(|((width, height, grain, seed), coding)| {
        let (quality, color, sampling, restarts, optimized) = coding;
        // The encoder's own tables lack symbols that it uses after a restart marker.
        let optimized = optimized && restarts == 0;
        Source { width, height, grain, seed, quality, color, sampling, restarts, optimized }
    })
}

impl Source {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.quality);
        encoder.set_sampling_factor(self.sampling);
        encoder.set_restart_interval(self.restarts);
        encoder.set_optimized_huffman_tables(self.optimized);
        let pixels = self.pixels();
        encoder.encode(&pixels, self.width, self.height, self.color).expect("valid options");
        bytes
    }

    fn pixels(&self) -> Vec<u8> {
        let channels = match self.color {
            ColorType::Luma => 1,
            ColorType::Cmyk | ColorType::CmykAsYcck => 4,
            _ => 3,
        };
        let width = usize::from(self.width);
        let mut state = self.seed;
        let pixel = |i: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (x, y, c) = (i / channels % width, i / channels / width, i % channels);
            let smooth =
                128.0 + 120.0 * (x as f64 / 19.0 + c as f64).sin() * (y as f64 / 23.0).cos();
            let noise = f64::from((state >> 56) as u8) - 128.0;
            (smooth + noise * f64::from(self.grain) / 255.0) as u8
        };
        (0..width * usize::from(self.height) * channels).map(pixel).collect()
    }
}

/// What a decoder makes of parts of a file, or of the whole: their pixels, or the message.
fn decode(decoder: &mut Decoder, bytes: &[u8], parts: &[[u32; 4]]) -> Result<Vec<Vec<u8>>, String> {
    let limits = Limits::default().with_max_pixels(1 << 20);
    let opened = decoder.open(bytes, limits).map_err(|error| error.to_string())?;
    let (height, width) = opened.shape();
    let whole = [Rect { x: 0, y: 0, w: width, h: height }];
    let some: Vec<_> = parts
        .iter()
        .map(|part| {
            let (x, y) = (part[0] % width, part[1] % height);
            let (w, h) = (1 + part[2] % (width - x), 1 + part[3] % (height - y));
            Rect { x: x as i32, y: y as i32, w, h }
        })
        .collect();
    let parts = if some.is_empty() { &whole[..] } else { &some };
    let mut image = Image::default();
    let region = opened.read(parts, &mut image).map_err(|error| error.to_string())?;
    let pixels = |part: &Rect| {
        let pixels = image.as_ref().crop(part.relative_to(region.x, region.y));
        (0..part.h).flat_map(|y| pixels.row(y).iter().copied()).collect()
    };
    Ok(parts.iter().map(pixels).collect())
}

/// No parts: the whole image.
const WHOLE: &[[u32; 4]] = &[];

/// Both decoders. They are kept between files, as in a training run.
struct Both {
    own: Decoder,
    libjpeg: Decoder,
}

impl Both {
    fn new() -> Self {
        Self {
            own: Decoder::with_entropy(Entropy::Own),
            libjpeg: Decoder::with_entropy(Entropy::Libjpeg),
        }
    }

    fn check(&mut self, bytes: &[u8], parts: &[[u32; 4]]) {
        let own = decode(&mut self.own, bytes, parts);
        let libjpeg = decode(&mut self.libjpeg, bytes, parts);
        assert!(own == libjpeg, "{parts:?} of {bytes:02X?}: {own:?} is not {libjpeg:?}");
    }
}

/// A change of a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Truncate(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let marker = prop_oneof![0xD0u8..=0xD9, Just(0xDAu8), Just(0xC4), Just(0xDC), Just(0xFE)];
    let inserted = prop_oneof![
        marker.prop_map(|code| vec![0xFF, code]),
        (1usize..6).prop_map(|count| vec![0xFF; count]),
        Just(vec![0xFF, 0]),
        Just(vec![0xFF, 0xFF, 0]),
        prop::collection::vec(any::<u8>(), 1..5),
    ];
    prop_oneof![
        4 => (at(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, value)| Damage::Set(at, value)),
        2 => (at(), inserted).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => (at(), 1usize..4).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (at(), 1usize..64).prop_map(|(at, count)| Damage::Repeat(at, count)),
        1 => at().prop_map(Damage::Truncate),
    ]
}

impl Damage {
    /// Applied to the bytes from `start` on.
    fn apply(&self, bytes: &mut Vec<u8>, start: usize) {
        let length = bytes.len() - start;
        let place = |at: &prop::sample::Index| start + at.index(length);
        match self {
            Self::Flip(at, bit) => bytes[place(at)] ^= 1 << bit,
            Self::Set(at, value) => bytes[place(at)] = *value,
            Self::Insert(at, inserted) => {
                let at = place(at);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = place(at);
                bytes.drain(at..bytes.len().min(at + count));
            }
            Self::Repeat(at, count) => {
                let at = place(at);
                let repeated = bytes[at..bytes.len().min(at + count)].to_vec();
                bytes.splice(at..at, repeated);
            }
            Self::Truncate(at) => bytes.truncate(place(at) + 1),
        }
    }
}

/// Where the entropy-coded bytes begin.
fn scan_start(bytes: &[u8]) -> usize {
    let mut at = 2;
    loop {
        let length = usize::from(bytes[at + 2]) << 8 | usize::from(bytes[at + 3]);
        let scan = bytes[at + 1] == 0xDA;
        at += 2 + length;
        if scan {
            return at;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whole_files(source in source(), parts in prop::collection::vec(any::<[u32; 4]>(), 4)) {
        let bytes = source.encode();
        let mut both = Both::new();
        both.check(&bytes, WHOLE);
        for part in &parts {
            both.check(&bytes, &[*part]);
        }
        both.check(&bytes, &parts[..2]);
        both.check(&bytes, &parts);
    }

    #[test]
    fn broken_files(
        source in source(),
        in_header in prop::bool::weighted(0.2),
        damages in prop::collection::vec(prop::collection::vec(damage(), 1..4), 8),
        parts: [[u32; 4]; 2],
    ) {
        let bytes = source.encode();
        let start = if in_header { 2 } else { scan_start(&bytes) };
        let mut both = Both::new();
        for damages in damages {
            let mut bytes = bytes.clone();
            for damage in damages {
                if bytes.len() > start {
                    damage.apply(&mut bytes, start);
                }
            }
            both.check(&bytes, WHOLE);
            both.check(&bytes, &parts);
        }
    }
}
