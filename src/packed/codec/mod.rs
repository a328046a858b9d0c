//! The entropy coder: blocks of a tile to bytes and back.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vbmi;
#[cfg(target_arch = "x86_64")]
mod bmi2;
mod codebook;
mod cost;
mod decode;
mod encode;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod planes;
mod portable;
#[cfg(test)]
pub(super) mod tests;
mod tile;

pub(super) use self::cost::choose_codebook;
use self::decode::ByPlanes;
pub(super) use self::encode::Encoder;
pub(super) use self::tile::MAX_BLOCKS;
use self::tile::Streams;
use crate::error::Result;
use crate::simd::{Isa, Simd};

/// The instruction sets that [`decode`] is written for, best first.
pub(super) const ISAS: &[Isa] = &[Isa::Avx512Vbmi, Isa::Bmi2, Isa::Avx2, Isa::Neon];

/// The numbers of the codebooks in packed images.
pub(super) const BOOK_NUMBERS: [u8; codebook::CODEBOOKS.len()] = codebook::NUMBERS;

/// The blocks of an MCU: the component of each, and its codebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct McuBlocks {
    pub(super) components: usize,
    pub(super) blocks: Vec<(u8, u8)>,
}

/// Unpacks as many blocks of a tile as `out` has room for, in whole MCUs. The tile has `blocks`.
/// `image` begins with the tile and goes on after it.
pub(super) fn decode(
    simd: Simd,
    image: &[u8],
    length: usize,
    (mcu, blocks): (&McuBlocks, usize),
    out: &mut [[i16; 64]],
) -> Result<()> {
    let streams = Streams::parse(image, length, mcu, blocks)?;
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx512Vbmi => unsafe { decode_avx512vbmi(&streams, &mcu.blocks, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Bmi2 => unsafe { decode_bmi2(&streams, &mcu.blocks, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { decode_avx2(&streams, &mcu.blocks, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe {
            decode::decode::<lanes::ByLanes<neon::Neon>>(&streams, &mcu.blocks, out)
        },
        // SAFETY: it runs everywhere.
        Isa::Portable => unsafe {
            decode::decode::<ByPlanes<portable::Portable>>(&streams, &mcu.blocks, out)
        },
        isa => unreachable!("no version for {isa:?}"),
    }?;
    streams.add_exceptions(mcu, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw,avx512vbmi,bmi2,popcnt")]
fn decode_avx512vbmi(streams: &Streams<'_>, mcu: &[(u8, u8)], out: &mut [[i16; 64]]) -> Result<()> {
    // SAFETY: this function has the instructions.
    unsafe { decode::decode::<ByPlanes<avx512vbmi::Avx512>>(streams, mcu, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2,popcnt")]
fn decode_bmi2(streams: &Streams<'_>, mcu: &[(u8, u8)], out: &mut [[i16; 64]]) -> Result<()> {
    // SAFETY: this function has the instructions.
    unsafe { decode::decode::<ByPlanes<bmi2::Bmi2>>(streams, mcu, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn decode_avx2(streams: &Streams<'_>, mcu: &[(u8, u8)], out: &mut [[i16; 64]]) -> Result<()> {
    // SAFETY: this function has the instructions.
    unsafe { decode::decode::<lanes::ByLanes<avx2::Avx2>>(streams, mcu, out) }
}
