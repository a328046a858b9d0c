//! Which class costs a block the fewest bits.

use std::sync::LazyLock;

use super::codebook::{BLOCK, CLASSES, CODEBOOKS, Class, Codebook, UNARY};
use super::encode::MAX_ESCAPE;

/// Magnitudes at which the number of bits may change: all `i << b` where `i` is a number of unary
/// digits and `b` one of raw bits.
const STEPS: [u16; 15] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/// A byte each for block and coefficient, two for the value.
const EXCEPTION_BITS: u32 = 32;

/// The bits that coefficients cost in each class of a codebook.
struct Costs {
    /// Of a block of zeros.
    zeros: [u16; CLASSES],
    /// How many more one coefficient costs, by its place and the step that its magnitude reaches.
    more: Vec<[[u8; CLASSES]; STEPS.len()]>,
}

static COSTS: LazyLock<[Costs; CODEBOOKS.len()]> =
    LazyLock::new(|| CODEBOOKS.each_ref().map(Costs::new));

/// How many bits the class takes for the coefficient at `i`.
fn bits(class: &Class, i: usize, magnitude: u16) -> u32 {
    if class.coded >> i & 1 == 0 {
        return if magnitude == 0 { 0 } else { EXCEPTION_BITS };
    }
    let (weight, raw) = (u16::from(class.weights[i]), class.weights[i].trailing_zeros());
    let digits = usize::from(magnitude / weight);
    let unary = UNARY.min(digits + 1) as u32;
    let escape = if digits >= UNARY { 8 } else { 0 };
    raw + unary + escape + u32::from(magnitude != 0)
}

impl Costs {
    fn new(book: &Codebook) -> Self {
        let zeros = book.each_ref().map(|class| {
            let zeros: u32 = (0..BLOCK).map(|i| bits(class, i, 0)).sum();
            zeros as u16
        });
        let more =
            |i, step| book.each_ref().map(|class| (bits(class, i, step) - bits(class, i, 0)) as u8);
        Self { zeros, more: (0..BLOCK).map(|i| STEPS.map(|step| more(i, step))).collect() }
    }
}

/// The first class of the fewest bits, and how many they are. Escapes that are too small for a
/// magnitude are left out of account.
#[multiversion::multiversion(targets = "simd")]
fn fewest(costs: &Costs, block: &[i16; BLOCK]) -> (u8, u16) {
    let mut sums = costs.zeros;
    for (more, &value) in costs.more.iter().zip(block) {
        if value != 0 {
            let magnitude = usize::from(value.unsigned_abs());
            let more = &more[usize::from(STEP[magnitude.min(STEP.len() - 1)])];
            for (sum, &more) in sums.iter_mut().zip(more) {
                *sum += u16::from(more);
            }
        }
    }
    let least = sums.iter().copied().fold(u16::MAX, u16::min);
    let mut class = u16::MAX;
    for (i, &sum) in (0..).zip(&sums) {
        class = class.min(if sum == least { i } else { u16::MAX });
    }
    (class as u8, least)
}

/// The step that a magnitude reaches; the last one also serves for all beyond.
static STEP: [u8; 129] = {
    let mut found = [0; 129];
    let (mut magnitude, mut step) = (0, 0);
    while magnitude < found.len() {
        if step + 1 < STEPS.len() && magnitude == STEPS[step + 1] as usize {
            step += 1;
        }
        found[magnitude] = step as u8;
        magnitude += 1;
    }
    found
};

/// The class of the fewest bits. In the block, the DC coefficient is a difference.
pub(super) fn choose_class(book: u8, block: &[i16; BLOCK]) -> (u8, u16) {
    fewest(&COSTS[usize::from(book)], block)
}

/// The codebook of the fewest bits for these blocks.
pub(in crate::packed) fn choose_codebook<'a>(
    blocks: impl Iterator<Item = &'a [i16; BLOCK]> + Clone,
) -> u8 {
    let bits = |book: &u8| -> u64 {
        blocks.clone().map(|block| u64::from(choose_class(*book, block).1)).sum()
    };
    (0..CODEBOOKS.len() as u8).min_by_key(bits).unwrap_or(0)
}

/// Whether the class has a place for this magnitude.
pub(super) fn fits(class: &Class, i: usize, magnitude: u16) -> bool {
    let weight = u32::from(class.weights[i]);
    class.coded >> i & 1 == 1 && u32::from(magnitude) < weight * (MAX_ESCAPE + UNARY as u32 + 1)
}

/// Whether the class has a place for all coefficients of a block.
#[multiversion::multiversion(targets = "simd")]
pub(super) fn all_fit(class: &Class, block: &[i16; BLOCK]) -> bool {
    let mut beyond = false;
    for (i, (&value, &weight)) in block.iter().zip(&class.weights).enumerate() {
        let limit = u32::from(weight) * (MAX_ESCAPE + UNARY as u32 + 1);
        let limit = if class.coded >> i & 1 == 1 { limit } else { 1 };
        beyond |= u32::from(value.unsigned_abs()) >= limit;
    }
    !beyond
}
