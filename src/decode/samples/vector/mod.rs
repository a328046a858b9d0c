//! The instructions that the transform and the colours are written in.
//!
//! A vector consists of lanes of 128 bits. All instructions but the last four work within lanes, so
//! that code for SSE2 becomes code for several blocks at once.

/// Methods that are one intrinsic each.
macro_rules! intrinsics {
    ($($name:ident = $intrinsic:ident),* $(,)?) => {
        $(
            #[inline(always)]
            unsafe fn $name(self, other: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $intrinsic(self.0, other.0) })
            }
        )*
    };
}

mod avx2;
mod avx512vbmi;

pub(super) use self::avx2::Avx2;
pub(super) use self::avx512vbmi::Avx512;

/// A vector of bytes, of 16-bit or of 32-bit integers.
///
/// # Safety
/// Whatever calls a function must have the instructions of the implementation. Pointers must point
/// to as many bytes as they are read or written for.
pub(super) trait Vector: Copy {
    /// Bytes of a vector.
    const BYTES: usize;

    unsafe fn load(from: *const u8) -> Self;
    unsafe fn store(self, to: *mut u8);
    /// Half a vector of bytes, as 16-bit integers.
    unsafe fn load_widened(from: *const u8) -> Self;
    unsafe fn splat16(value: i16) -> Self;
    unsafe fn splat32(value: i32) -> Self;

    /// Two 16-bit integers, over and over.
    #[inline(always)]
    unsafe fn splat_pairs([first, second]: [i16; 2]) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::splat32(i32::from(first) & 0xFFFF | i32::from(second) << 16) }
    }

    unsafe fn xor(self, other: Self) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    /// Whether a bit is set.
    unsafe fn any(self) -> bool;
    unsafe fn add16(self, other: Self) -> Self;
    unsafe fn sub16(self, other: Self) -> Self;
    unsafe fn add32(self, other: Self) -> Self;
    unsafe fn sub32(self, other: Self) -> Self;
    /// The low halves of products.
    unsafe fn multiply(self, other: Self) -> Self;
    /// `(self * other + 2^14) >> 15`.
    unsafe fn multiply_rounded(self, other: Self) -> Self;
    /// Products of 16-bit integers, added in pairs to 32-bit integers.
    unsafe fn dots(self, other: Self) -> Self;
    unsafe fn shift_right16<const BITS: u32>(self) -> Self;
    unsafe fn shift_right_logical16<const BITS: u32>(self) -> Self;
    unsafe fn shift_right32<const BITS: u32>(self) -> Self;
    /// 32-bit to 16-bit integers, clamped.
    unsafe fn pack32(self, other: Self) -> Self;
    /// 16-bit integers to signed bytes, clamped.
    unsafe fn pack16(self, other: Self) -> Self;
    /// 16-bit integers to unsigned bytes, clamped.
    unsafe fn pack_unsigned16(self, other: Self) -> Self;
    unsafe fn low8(self, other: Self) -> Self;
    unsafe fn high8(self, other: Self) -> Self;
    unsafe fn low16(self, other: Self) -> Self;
    unsafe fn high16(self, other: Self) -> Self;
    unsafe fn low32(self, other: Self) -> Self;
    unsafe fn high32(self, other: Self) -> Self;
    unsafe fn low64(self, other: Self) -> Self;
    unsafe fn high64(self, other: Self) -> Self;

    /// Rows of blocks, times rows of `steps`: lane `i` of row `k` is that of `blocks[i]`.
    unsafe fn load_blocks(blocks: &[*const i16], steps: *const i16) -> [Self; 8];
    /// Lanes of two rows of eight bytes: writes the first rows of all lanes to `to`, and the second
    /// ones `stride` bytes later.
    unsafe fn store_rows(self, to: *mut u8, stride: usize);
    /// 16-bit integers, the first of `self` and the last of `before` moved in before it; and the
    /// same with the first of `after` moved in after the last of `self`.
    unsafe fn neighbours16(self, before: Self, after: Self) -> (Self, Self);
    /// Interleaves three channels. Each lane of `channels` has eight even and then eight odd pixels.
    unsafe fn store_interleaved(channels: [Self; 3], to: *mut u8);
}

/// Where in a lane of a channel pixel `x` of 16 is: even ones first.
const fn place(x: usize) -> u8 {
    (x / 2 + x % 2 * 8) as u8
}
