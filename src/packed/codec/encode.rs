//! Blocks of a tile to its bytes.

use super::McuBlocks;
#[cfg(target_arch = "x86_64")]
use super::bmi2::Bmi2;
use super::codebook::{BLOCK, CODEBOOKS, Class, RAW, UNARY};
use super::cost::{all_fit, choose_class, fits};
use super::planes::{Instructions, Planes};
use super::portable::{Portable, transpose};
use super::tile::Exception;
use crate::simd::{Isa, Simd};

/// The greatest escape.
pub(super) const MAX_ESCAPE: u32 = 255;

/// Bits, the lowest of each byte first.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Those that are no byte yet, and how many.
    rest: u64,
    count: u32,
}

impl Bits {
    /// Appends the lowest `count` bits. The others are zero.
    #[inline(always)]
    fn push(&mut self, bits: u64, count: u32) {
        let all = u128::from(bits) << self.count | u128::from(self.rest);
        self.count += count;
        let whole = self.count / 8;
        let end = self.bytes.len() + whole as usize;
        // A copy of constant length is quicker.
        self.bytes.extend((all as u64).to_le_bytes());
        self.bytes.truncate(end);
        self.rest = (all >> (8 * whole)) as u64;
        self.count %= 8;
    }

    /// Appends the bits of `plane` at the places of those of `mask`.
    ///
    /// # Safety
    /// The machine has the instructions.
    #[inline(always)]
    unsafe fn plane<I: Instructions>(&mut self, plane: u64, mask: u64) {
        // SAFETY: the caller's.
        self.push(unsafe { I::extract(plane, mask) }, mask.count_ones());
    }

    /// Fills the last byte with zeros.
    fn finish(&mut self) {
        self.push(0, self.count.wrapping_neg() % 8);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        (self.rest, self.count) = (0, 0);
    }
}

/// Packs tiles; keeps memory between them.
#[derive(Debug)]
pub(in crate::packed) struct Encoder {
    simd: Simd,
    classes: Vec<u8>,
    fixed: Bits,
    first: Bits,
    later: Bits,
    escapes: Vec<u8>,
    exceptions: Vec<Exception>,
}

impl Encoder {
    /// An encoder that uses these instructions. The tiles do not depend on them.
    pub(in crate::packed) fn new(simd: Simd) -> Self {
        Self {
            simd,
            classes: Vec::new(),
            fixed: Bits::default(),
            first: Bits::default(),
            later: Bits::default(),
            escapes: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    /// Appends a tile to `out`. `blocks` are its blocks, MCU after MCU.
    pub(in crate::packed) fn tile<'a>(
        &mut self,
        mcu: &McuBlocks,
        blocks: impl Iterator<Item = &'a [i16; BLOCK]>,
        out: &mut Vec<u8>,
    ) {
        self.clear();
        let mut first = [None; 4];
        let mut before = [0i16; 4];
        for (number, (block, &(component, book))) in
            blocks.zip(mcu.blocks.iter().cycle()).enumerate()
        {
            let component = usize::from(component);
            let before = &mut before[component];
            let predicted = *first[component].get_or_insert_with(|| {
                *before = block[0];
                block[0]
            });
            debug_assert!(number > 0 || predicted == block[0]);
            let mut coded = *block;
            coded[0] = block[0].wrapping_sub(*before);
            *before = block[0];
            self.block(number as u8, book, coded);
        }
        for predictor in &first[..mcu.components] {
            out.extend(predictor.unwrap_or(0).to_le_bytes());
        }
        for bits in [&mut self.fixed, &mut self.first, &mut self.later] {
            bits.finish();
        }
        self.write(out);
    }

    /// `block` has the difference of its DC coefficient.
    fn block(&mut self, number: u8, book: u8, mut block: [i16; BLOCK]) {
        let (index, _) = choose_class(book, &block);
        let class = &CODEBOOKS[usize::from(book)][usize::from(index)];
        self.classes.push(index);
        if !all_fit(class, &block) {
            for (i, value) in block.iter_mut().enumerate() {
                if *value != 0 && !fits(class, i, value.unsigned_abs()) {
                    let exception =
                        Exception { block: number, coefficient: i as u8, value: *value };
                    self.exceptions.push(exception);
                    *value = 0;
                }
            }
        }
        let planes = self.planes(class, &block);
        match self.simd.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the machine has what `simd` names.
            Isa::Avx512Vbmi | Isa::Bmi2 => unsafe { self.put_bmi2(class, &planes) },
            // SAFETY: it runs everywhere.
            Isa::Portable | Isa::Avx2 | Isa::Neon => unsafe {
                self.put::<Portable>(class, &planes)
            },
            isa => unreachable!("no version for {isa:?}"),
        }
    }

    /// Appends the planes of a block of `class` to the streams.
    ///
    /// # Safety
    /// The machine has the instructions.
    #[inline(always)]
    unsafe fn put<I: Instructions>(&mut self, class: &Class, planes: &Planes) {
        // SAFETY: the caller's.
        unsafe {
            self.fixed.plane::<I>(planes.unary[0], class.coded);
            for i in 0..RAW {
                self.fixed.plane::<I>(planes.raw[i], class.raw[i]);
            }
            self.first.plane::<I>(planes.unary[1], planes.unary[0]);
            self.first.plane::<I>(planes.negative, planes.nonzero());
            for i in 2..UNARY {
                self.later.plane::<I>(planes.unary[i], planes.unary[i - 1]);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi2,popcnt")]
    fn put_bmi2(&mut self, class: &Class, planes: &Planes) {
        // SAFETY: this function has the instructions.
        unsafe { self.put::<Bmi2>(class, planes) }
    }

    /// The planes of a block, all of whose coefficients fit the class. Notes the escapes.
    fn planes(&mut self, class: &Class, block: &[i16; BLOCK]) -> Planes {
        let (low, high) = digits(&class.weights, block);
        let mut planes = Planes::default();
        for group in 0..BLOCK / 8 {
            let eight = |bytes: &[u8; BLOCK]| {
                let bytes = u64::from_le_bytes(*bytes.as_chunks().0.get(group).expect("a group"));
                transpose(bytes).to_le_bytes().map(|byte| u64::from(byte) << (8 * group))
            };
            let [raw @ .., negative, _, _] = eight(&low);
            for (plane, bits) in planes.raw.iter_mut().zip(raw) {
                *plane |= bits;
            }
            planes.negative |= negative;
            let [unary @ .., _, _, _, _] = eight(&high);
            for (plane, bits) in planes.unary.iter_mut().zip(unary) {
                *plane |= bits;
            }
        }
        let mut escaped = planes.unary[UNARY - 1];
        while escaped != 0 {
            let i = escaped.trailing_zeros() as usize;
            escaped &= escaped - 1;
            let quotient = block[i].unsigned_abs() / u16::from(class.weights[i]);
            self.escapes.push((quotient - UNARY as u16) as u8);
        }
        planes
    }

    fn write(&self, out: &mut Vec<u8>) {
        let streams = [&self.fixed.bytes, &self.first.bytes, &self.later.bytes];
        for length in [self.first.bytes.len(), self.later.bytes.len(), self.exceptions.len()] {
            out.extend((length as u16).to_le_bytes());
        }
        out.extend(&self.classes);
        for stream in streams {
            out.extend(stream);
        }
        out.extend(&self.escapes);
        for exception in &self.exceptions {
            exception.write(out);
        }
    }

    fn clear(&mut self) {
        self.classes.clear();
        self.fixed.clear();
        self.first.clear();
        self.later.clear();
        self.escapes.clear();
        self.exceptions.clear();
    }
}

/// Two bytes for each coefficient: the raw bits and, above them, the sign; and the unary digits.
#[multiversion::multiversion(targets = "simd")]
fn digits(weights: &[u8; BLOCK], block: &[i16; BLOCK]) -> ([u8; BLOCK], [u8; BLOCK]) {
    let (mut low, mut high) = ([0; BLOCK], [0; BLOCK]);
    for i in 0..BLOCK {
        let (magnitude, weight) = (block[i].unsigned_abs(), u16::from(weights[i]));
        low[i] = (magnitude & (weight - 1)) as u8 | u8::from(block[i] < 0) << RAW;
        high[i] = (1..=UNARY as u16)
            .map(|digits| u8::from(magnitude >= digits * weight) << (digits - 1))
            .sum();
    }
    (low, high)
}
