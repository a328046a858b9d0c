//! A tile's bytes to its blocks.

use super::codebook::{BLOCK, CODEBOOKS, Class, RANKS, RAW, Ranks, UNARY};
use super::planes::{Instructions, Planes};
use super::tile::Streams;
use crate::error::Result;
use crate::packed::{PADDING, broken};

/// How blocks are unpacked.
pub(super) trait Kernel {
    /// Unpacks the next block, but for its escapes and for what its DC coefficient is a difference
    /// to.
    ///
    /// # Safety
    /// The machine has the instructions of the implementation. `class` is the next one of those
    /// that `cursor` was made for, and `ranks` are its ranks.
    unsafe fn block(
        cursor: &mut Cursor<'_>,
        class: &Class,
        ranks: &Ranks,
        out: &mut [i16; BLOCK],
    ) -> Result<Escaped>;
}

/// The coefficients of a block that have escapes.
pub(super) struct Escaped {
    /// Those in the last unary plane.
    pub(super) last: u64,
    /// Which of them are negative.
    pub(super) negative: u64,
}

/// The kernel that makes planes of 64 bits, and coefficients of these.
pub(super) struct ByPlanes<I>(std::marker::PhantomData<I>);

impl<I: Instructions> Kernel for ByPlanes<I> {
    #[inline(always)]
    unsafe fn block(
        cursor: &mut Cursor<'_>,
        class: &Class,
        _: &Ranks,
        out: &mut [i16; BLOCK],
    ) -> Result<Escaped> {
        // SAFETY: the caller's.
        let planes = unsafe { cursor.planes::<I>(class) }?;
        // SAFETY: the caller's.
        unsafe { I::coefficients(&planes, &class.weights, out) };
        Ok(Escaped { last: planes.unary[UNARY - 1], negative: planes.negative })
    }
}

/// Unpacks the first blocks of a tile without their exceptions. `components` has the component and the codebook of each
/// block of an MCU.
///
/// # Safety
/// The machine has the instructions.
#[inline(always)]
pub(super) unsafe fn decode<K: Kernel>(
    streams: &Streams<'_>,
    components: &[(u8, u8)],
    out: &mut [[i16; BLOCK]],
) -> Result<()> {
    let mut cursor = Cursor::new(streams)?;
    let mut escapes = streams.escapes;
    let mut before = streams.predictors();
    let mcus = out.chunks_exact_mut(components.len());
    for (mcu, classes) in mcus.zip(streams.classes.chunks_exact(components.len())) {
        for ((block, &class), &(component, book)) in mcu.iter_mut().zip(classes).zip(components) {
            let (book, class) = (usize::from(book), usize::from(class));
            let ranks = &RANKS[book][class];
            let class = &CODEBOOKS[book][class];
            // SAFETY: the caller's, and `cursor` is of these classes.
            let escaped = unsafe { K::block(&mut cursor, class, ranks, block) }?;
            if escaped.last != 0 {
                add_escapes(escaped, class, &mut escapes, block)?;
            }
            let before = &mut before[usize::from(component % 4)];
            block[0] = block[0].wrapping_add(*before);
            *before = block[0];
        }
    }
    if out.len() < streams.classes.len() {
        return Ok(());
    }
    cursor.check()?;
    if !escapes.is_empty() {
        return Err(broken("a tile has more bytes than its blocks"));
    }
    Ok(())
}

/// A position in a stream, in bits.
pub(super) struct Position<'a> {
    /// From the first bit of the stream to the end of the image.
    stream: &'a [u8],
    pub(super) at: usize,
    /// Where the stream ends.
    end: usize,
}

impl<'a> Position<'a> {
    fn new(stream: &'a [u8], length: usize) -> Result<Self> {
        if stream.len() < length + PADDING {
            return Err(broken("a tile beyond its end"));
        }
        Ok(Self { stream, at: 0, end: 8 * length })
    }

    /// The 64 bits from here on.
    ///
    /// # Safety
    /// The position is less than nine bytes beyond the end of the stream.
    #[inline(always)]
    pub(super) unsafe fn bits(&self) -> u64 {
        // SAFETY: the caller's.
        let (bits, next) = unsafe { (self.word(0), self.word(1)) };
        // The second begins a byte later. Where both have a bit, it is the same.
        bits >> (self.at % 8) | next << (8 - self.at % 8)
    }

    /// At least 57 bits from here on.
    ///
    /// # Safety
    /// As for [`Self::bits`].
    #[inline(always)]
    unsafe fn few_bits(&self) -> u64 {
        // SAFETY: the caller's.
        unsafe { self.word(0) >> (self.at % 8) }
    }

    /// The eight bytes from the byte of this position on, or from a later one.
    ///
    /// # Safety
    /// As for [`Self::bits`], and `later` is at most 1.
    #[inline(always)]
    unsafe fn word(&self, later: usize) -> u64 {
        // SAFETY: it ends less than `PADDING` bytes beyond the stream, as `new` checked.
        let word = unsafe { self.stream.as_ptr().add(self.at / 8 + later).cast::<u64>() };
        // SAFETY: as above.
        u64::from_le(unsafe { word.read_unaligned() })
    }

    /// The bits for a plane of which `mask` has the places; moves on beyond them.
    ///
    /// # Safety
    /// As for [`Self::bits`], and the machine has the instructions.
    #[inline(always)]
    unsafe fn plane<I: Instructions>(&mut self, mask: u64) -> u64 {
        // SAFETY: the caller's.
        let plane = unsafe { I::deposit(self.bits(), mask) };
        self.at += mask.count_ones() as usize;
        plane
    }
}

/// Positions in the three streams.
pub(super) struct Cursor<'a> {
    pub(super) fixed: Position<'a>,
    first: Position<'a>,
    later: Position<'a>,
}

impl<'a> Cursor<'a> {
    fn new(streams: &Streams<'a>) -> Result<Self> {
        Ok(Self {
            fixed: Position::new(streams.fixed, streams.lengths[0])?,
            first: Position::new(streams.first, streams.lengths[1])?,
            later: Position::new(streams.later, streams.lengths[2])?,
        })
    }

    /// The next block's planes.
    ///
    /// # Safety
    /// The machine has the instructions, and `class` is the next one of those that this was made
    /// for.
    #[inline(always)]
    unsafe fn planes<I: Instructions>(&mut self, class: &Class) -> Result<Planes> {
        let mut planes = Planes::default();
        let fixed = &mut self.fixed;
        let start = fixed.at;
        // SAFETY: the length of the stream is that of all its classes' bits.
        unsafe {
            planes.unary[0] = fixed.plane::<I>(class.coded);
            planes.raw[0] = fixed.plane::<I>(class.raw[0]);
            for i in 1..RAW {
                fixed.at = start + usize::from(class.offsets[i]);
                planes.raw[i] = I::deposit(fixed.few_bits(), class.raw[i]);
            }
        }
        fixed.at = start + usize::from(class.offsets[RAW]);

        let (first, later) = self.rest()?;
        let nonzero = planes.nonzero();
        // SAFETY: a position was within its stream, and a plane has 64 bits.
        unsafe {
            planes.unary[1] = first.plane::<I>(planes.unary[0]);
            planes.negative = first.plane::<I>(nonzero);
            planes.unary[2] = later.plane::<I>(planes.unary[1]);
            planes.unary[3] = later.plane::<I>(planes.unary[2]);
        }
        Ok(planes)
    }

    /// The streams whose lengths do not follow from the classes, if the next block may begin in
    /// them.
    #[inline(always)]
    pub(super) fn rest(&mut self) -> Result<(&mut Position<'a>, &mut Position<'a>)> {
        let Self { first, later, .. } = self;
        if first.at > first.end || later.at > later.end {
            return Err(broken("a tile ends too early"));
        }
        Ok((first, later))
    }

    /// Whether the blocks took the bits of their tile and no others.
    fn check(&self) -> Result<()> {
        let ended = |position: &Position<'_>| position.at.next_multiple_of(8) == position.end;
        if ended(&self.first) && ended(&self.later) {
            Ok(())
        } else {
            Err(broken("the lengths of a tile's streams"))
        }
    }
}

/// Adds their escapes to coefficients.
fn add_escapes(
    Escaped { mut last, negative }: Escaped,
    class: &Class,
    escapes: &mut &[u8],
    block: &mut [i16; BLOCK],
) -> Result<()> {
    while last != 0 {
        let i = last.trailing_zeros() as usize;
        last &= last - 1;
        let (&escape, rest) =
            escapes.split_first().ok_or_else(|| broken("a tile ends too early"))?;
        *escapes = rest;
        let negative = negative >> i & 1 == 1;
        // The byte that the coefficient was made from.
        let byte = if negative { block[i].wrapping_neg() } else { block[i] } as u8;
        let magnitude = i16::from(byte) + i16::from(escape) * i16::from(class.weights[i]);
        block[i] = if negative { -magnitude } else { magnitude };
    }
    Ok(())
}
