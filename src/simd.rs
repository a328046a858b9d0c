//! Instruction sets: which ones there are, which of them this machine has, and how code uses them.
//!
//! The crate computes the same numbers on every machine. Instruction sets only change how long it
//! takes. There are two ways to SIMD instructions.
//!
//! # Loops that the compiler vectorises
//!
//! Most loops over pixels and over rows of logits are plain Rust that LLVM vectorises well. Their
//! functions carry `#[multiversion(targets = "simd")]`. The crate `multiversion` compiles such a
//! function for the levels of x86-64 (v4 has AVX-512, v3 AVX2, v2 SSE4) and for the plain target,
//! and its first call chooses the best version that the machine can run. NEON needs no version of
//! its own: every 64-bit ARM has it. There are versions for SVE, which some ARM machines have.
//!
//! All versions have the same source, and Rust forbids LLVM to reorder or fuse floating-point
//! operations. So they agree without a test of each.
//!
//! # Kernels with intrinsics
//!
//! Where LLVM finds no good form, the kernel is written by hand, once per instruction set. There
//! are seven of them: the resize, the interpolation of affine transforms, those to the nearest pixel,
//! the look-up of bytes in a table, the normalisation of batches, the unpacking of packed images, and
//! their pixels. They have the same layout:
//!
//! ```text
//! kernel/
//! ├── mod.rs       what is computed, the list ISAS, and one `match` that chooses
//! ├── portable.rs  the same in plain Rust: for all other machines, and the tests' oracle
//! ├── avx2.rs      one file per instruction set, named after it
//! └── ...          types that the versions share have files of their own
//! ```
//!
//! `ISAS` lists the instruction sets that the kernel is written for, best first. `Simd::best` takes
//! the first one that the machine has. The value is then a proof that those instructions exist, and
//! this is what makes the `unsafe` calls in the `match` sound:
//!
//! ```text
//! match simd.isa() {
//!     #[cfg(target_arch = "x86_64")]
//!     // SAFETY: the machine has what `simd` names.
//!     Isa::Avx2 => unsafe { avx2::map(plane, table) },
//!     Isa::Portable => portable::map(plane, table),
//!     isa => unreachable!("no version for {isa:?}"),
//! }
//! ```
//!
//! Tests run each version in `Simd::available` on the same random input and compare it with plain
//! code.
//!
//! `multiversion` could choose among these versions as well, but it always takes the best one. Here
//! a test or a benchmark can ask for any of them.
//!
//! Some differ in a detail. The resize has two passes, and so a second `match`, in `vertical.rs`.
//! Within it, the transposition of bytes uses instructions that every machine of the architecture
//! has, and is chosen at compile time. Without AVX2 and NEON, normalised elements are looked up in
//! a table, so `loader::normalise` has no `portable.rs`. Neither has `decode::samples`: there libjpeg
//! serves all other machines, and is the oracle. Its versions are the same generic code.
//!
//! # ARM
//!
//! Every 64-bit ARM has NEON, and all kernels but that of the pixels of packed images have a version
//! for it. The resize gains by the dot products of newer machines: with them, its horizontal pass is the
//! same generic code as on x86-64. Their intrinsics are not stable, so each is one instruction in
//! assembly, which names its own extension. Thus all code for ARM is compiled for plain NEON and can
//! be inlined everywhere; only the value of `Simd` keeps the instruction from a machine that does
//! not have it.
//!
//! # Adding an instruction set
//!
//! To this file: a variant of `Isa`, its name, and its detection. To each kernel that gains by it:
//! a file, its `mod` line, an entry in `ISAS` and an arm of the `match`.
//!
//! # Example
//!
//! ```
//! use tied_augment::resize::Resizer;
//!
//! // Those of this machine, best first. Plain Rust runs everywhere.
//! let names: Vec<_> = Resizer::available().map(|simd| simd.name()).collect();
//! assert_eq!(names.last(), Some(&"portable"));
//! assert_eq!(names[0], Resizer::default().simd().name());
//! ```

/// An instruction set that kernels are written for, by its most advanced extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// The target's own instructions, through plain Rust.
    Portable,
    /// AVX2, FMA and F16C: Haswell, Zen, and later.
    Avx2,
    /// AVX2 with dot products of bytes: Alder Lake, Zen 5, and later.
    AvxVnni,
    /// AVX2, and BMI2 whose `pdep` is quick: Haswell, Zen 3, and later.
    Bmi2,
    /// AVX2 and AVX-512 with F, BW and VL: Skylake-X, Zen 4, and later.
    Avx512,
    /// AVX-512 with dot products of bytes: Cascade Lake, Zen 4, and later.
    Avx512Vnni,
    /// AVX-512 with permutations of bytes, and BMI2: Ice Lake, Zen 4, and later.
    Avx512Vbmi,
    /// NEON, which every 64-bit ARM has that Rust's standard library supports.
    Neon,
    /// NEON with dot products of bytes: Cortex-A75, Neoverse N1, Apple A13, M1, and later.
    NeonDot,
    /// NEON with dot products of unsigned by signed bytes: Neoverse V1, Apple M2, and later.
    NeonI8mm,
}

impl Isa {
    /// Whether this machine has it. The standard library detects once and caches.
    #[cfg(target_arch = "x86_64")]
    fn is_detected(self) -> bool {
        use std::arch::is_x86_feature_detected as has;

        let avx2 = || has!("avx2") && has!("fma") && has!("f16c");
        let avx512 = || avx2() && has!("avx512f") && has!("avx512bw") && has!("avx512vl");
        match self {
            Self::Portable => true,
            Self::Avx2 => avx2(),
            Self::AvxVnni => avx2() && has!("avxvnni"),
            Self::Bmi2 => avx2() && has!("bmi2") && !pdep_is_slow(),
            Self::Avx512 => avx512(),
            Self::Avx512Vnni => avx512() && has!("avx512vnni"),
            Self::Avx512Vbmi => avx512() && has!("bmi2") && has!("avx512vbmi"),
            Self::Neon | Self::NeonDot | Self::NeonI8mm => false,
        }
    }

    /// Whether this machine has it.
    #[cfg(target_arch = "aarch64")]
    fn is_detected(self) -> bool {
        use std::arch::is_aarch64_feature_detected as has;

        match self {
            Self::Portable => true,
            Self::Neon => has!("neon"),
            Self::NeonDot => has!("neon") && has!("dotprod"),
            Self::NeonI8mm => has!("neon") && has!("i8mm"),
            Self::Avx2
            | Self::AvxVnni
            | Self::Bmi2
            | Self::Avx512
            | Self::Avx512Vnni
            | Self::Avx512Vbmi => false,
        }
    }

    /// Whether this machine has it.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn is_detected(self) -> bool {
        self == Self::Portable
    }
}

/// Whether this is a processor of AMD (or Hygon) before Zen 3, which does `pdep` in microcode: a
/// bit at a time, slower than plain Rust.
#[cfg(target_arch = "x86_64")]
fn pdep_is_slow() -> bool {
    use std::arch::x86_64::__cpuid;
    use std::sync::LazyLock;

    /// The family of Zen 3 and Zen 4.
    const QUICK: u32 = 0x19;

    // Within a virtual machine `cpuid` takes microseconds.
    static SLOW: LazyLock<bool> = LazyLock::new(|| {
        #[allow(unused_unsafe, reason = "newer compilers know that it is safe")]
        // SAFETY: every x86-64 has `cpuid`.
        let (leaf, version) = unsafe { (__cpuid(0), __cpuid(1).eax) };
        let vendor = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
        // A base of 15 means that the extended family is added to it.
        let family = (version >> 8 & 15) + (version >> 20 & 255);
        matches!(&vendor[..], b"AuthenticAMD" | b"HygonGenuine") && family < QUICK
    });
    *SLOW
}

/// An instruction set that this machine has.
///
/// Values come from detection only, so that a kernel may rely on the instructions of the one that
/// it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Isa);

impl Simd {
    /// Plain Rust, which runs everywhere.
    pub(crate) const PORTABLE: Self = Self(Isa::Portable);

    /// Those of `isas` that this machine has, in their order, and [`Self::PORTABLE`] at the end.
    pub(crate) fn available(isas: &[Isa]) -> impl Iterator<Item = Self> {
        let detected = isas.iter().copied().filter(|isa| isa.is_detected());
        detected.map(Self).chain([Self::PORTABLE])
    }

    /// The first of [`Self::available`].
    pub(crate) fn best(isas: &[Isa]) -> Self {
        Self::available(isas).nth(skipped()).unwrap_or(Self::PORTABLE)
    }

    /// Which instruction set it is.
    pub(crate) fn isa(self) -> Isa {
        self.0
    }

    /// The name in benchmarks and in `build_info()`: that of the extension, or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avxvnni",
            Isa::Bmi2 => "bmi2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Vnni => "avx512vnni",
            Isa::Avx512Vbmi => "avx512vbmi",
            Isa::Neon => "neon",
            Isa::NeonDot => "neondot",
            Isa::NeonI8mm => "neoni8mm",
        }
    }
}

/// How many of the best instruction sets this thread does without: none, but when it is fuzzed.
#[cfg(not(fuzzing))]
const fn skipped() -> usize {
    0
}

#[cfg(fuzzing)]
pub use fuzzed::skip_best;
#[cfg(fuzzing)]
use fuzzed::skipped;

/// Lets the fuzz targets compare the instruction sets.
#[cfg(fuzzing)]
mod fuzzed {
    use std::cell::Cell;

    thread_local! {
        static SKIPPED: Cell<usize> = const { Cell::new(0) };
    }

    pub fn skipped() -> usize {
        SKIPPED.get()
    }

    /// Lets this thread do without the best `n` instruction sets of every kernel.
    pub fn skip_best(n: usize) {
        SKIPPED.set(n);
    }
}
