//! The codebooks: classes of blocks, which say how many bits each coefficient may have.
//!
//! They are a part of the format, so `luma.txt` and `chroma.txt` never change. They were trained by
//! `benches/codebook.py`. More codebooks may be added, with further [`NUMBERS`].

/// Coefficients of a block.
pub(super) const BLOCK: usize = 64;
/// Classes of a codebook: each value of a byte is one.
pub(super) const CLASSES: usize = 256;
/// Planes of unary digits.
pub(super) const UNARY: usize = 4;
/// Planes of raw bits: the most raw bits of a coefficient.
pub(super) const RAW: usize = 5;

/// A class of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Class {
    /// What a unary digit of each coefficient is worth: `1 << raw bits`.
    pub(super) weights: [u8; BLOCK],
    /// The coefficients that may be other than zero.
    pub(super) coded: u64,
    /// Those that have a raw bit of value `1 << i`.
    pub(super) raw: [u64; RAW],
    /// How many bits come before the raw bits of value `1 << i` in the fixed stream. The last one
    /// is the length of all.
    pub(super) offsets: [u16; RAW + 1],
    /// The most raw bits of a coefficient.
    pub(super) depth: u8,
}

/// All classes of a codebook.
pub(super) type Codebook = [Class; CLASSES];

/// The numbers of all codebooks in packed images. 0 stands for none.
pub(super) const NUMBERS: [u8; 2] = [1, 2];

/// All codebooks: for luma and other dense components, and for chroma and other sparse ones.
pub(super) static CODEBOOKS: [Codebook; 2] =
    [parse(include_bytes!("luma.txt")), parse(include_bytes!("chroma.txt"))];

/// How many coefficients of a class before each one have a bit in the same plane, and 64 for those
/// that have none: of the first unary digits, and of the raw bits of value `1 << i`.
pub(super) type Ranks = [[u8; BLOCK]; 1 + RAW];

/// Of all codebooks and classes. Beside [`CODEBOOKS`], since not all kernels read them.
pub(super) static RANKS: [[Ranks; CLASSES]; 2] =
    [all_ranks(&CODEBOOKS[0]), all_ranks(&CODEBOOKS[1])];

const fn all_ranks(book: &Codebook) -> [Ranks; CLASSES] {
    let mut all = [[[0; BLOCK]; 1 + RAW]; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        all[class][0] = ranks(book[class].coded);
        let mut plane = 0;
        while plane < RAW {
            all[class][1 + plane] = ranks(book[class].raw[plane]);
            plane += 1;
        }
        class += 1;
    }
    all
}

const fn ranks(plane: u64) -> [u8; BLOCK] {
    let mut ranks = [64; BLOCK];
    let mut rest = plane;
    let mut rank = 0;
    while rest != 0 {
        ranks[rest.trailing_zeros() as usize] = rank;
        rest &= rest - 1;
        rank += 1;
    }
    ranks
}

/// A line per class, a character per coefficient: its number of raw bits, or `-` if it is zero.
const fn parse(text: &[u8]) -> Codebook {
    assert!(text.len() == CLASSES * (BLOCK + 1), "256 lines of 64 characters");
    let empty =
        Class { weights: [1; BLOCK], coded: 0, raw: [0; RAW], offsets: [0; RAW + 1], depth: 0 };
    let mut book = [empty; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        book[class] = parse_class(text, class * (BLOCK + 1));
        class += 1;
    }
    book
}

const fn parse_class(text: &[u8], start: usize) -> Class {
    let mut class =
        Class { weights: [1; BLOCK], coded: 0, raw: [0; RAW], offsets: [0; RAW + 1], depth: 0 };
    let mut i = 0;
    while i < BLOCK {
        let digit = text[start + i];
        if digit != b'-' {
            let bits = (digit - b'0') as usize;
            assert!(bits <= RAW, "a digit beyond the number of raw planes");
            class.coded |= 1 << i;
            class.weights[i] = 1 << bits;
            let mut plane = 0;
            while plane < bits {
                class.raw[plane] |= 1 << i;
                plane += 1;
            }
        }
        i += 1;
    }
    assert!(text[start + BLOCK] == b'\n');
    class.offsets[0] = class.coded.count_ones() as u16;
    let mut plane = 0;
    while plane < RAW {
        class.offsets[plane + 1] = class.offsets[plane] + class.raw[plane].count_ones() as u16;
        class.depth += (class.raw[plane] != 0) as u8;
        assert!(plane == 0 || class.raw[plane].count_ones() <= 57, "more than one read has");
        plane += 1;
    }
    class
}
