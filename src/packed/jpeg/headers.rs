//! Markers and their segments: what libjpeg's `jdmarker.c` accepts, less what it warns about.

use std::sync::Arc;

use super::colours::Colours;
use super::frame::Frame;
use super::huffman::Specification;
use super::scan::{Band, Coding, Scan, ScanComponent};
use super::unpackable::{MAX_SCANS, Unpackable};
use crate::packed::geometry::Geometry;

/// libjpeg's limit on the blocks of an MCU.
const MAX_MCU_BLOCKS: usize = 10;

/// How far the bits of each coefficient of a component are known: the lowest known one, or that
/// there are none yet.
type Known = [Option<u8>; 64];

/// The headers up to some scan, and what they have set.
#[derive(Debug)]
pub(super) struct Headers {
    max_pixels: u64,
    frame: Option<Frame>,
    dc: [Option<Arc<Specification>>; 4],
    ac: [Option<Arc<Specification>>; 4],
    colours: Colours,
    restart_interval: usize,
    known: Vec<Known>,
    scans: usize,
}

/// What ends a run of segments.
pub(super) enum Next {
    Scan(Scan),
    EndOfImage,
}

impl Headers {
    pub(super) fn new(max_pixels: u64) -> Self {
        Self {
            max_pixels,
            frame: None,
            dc: Default::default(),
            ac: Default::default(),
            colours: Colours::default(),
            restart_interval: 0,
            known: Vec::new(),
            scans: 0,
        }
    }

    /// The frame, if a frame header has been read.
    pub(super) fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
    }

    /// The frame, and what a decoder needs besides it and coefficients; after the end of the image.
    pub(super) fn finish(self) -> Option<(Frame, Geometry)> {
        let frame = self.frame?;
        let geometry = self.colours.geometry(&frame)?;
        Some((frame, geometry))
    }

    /// Reads segments from `bytes[*at..]` until a scan's data or the end of the image. Leaves `at`
    /// there.
    pub(super) fn next(&mut self, bytes: &[u8], at: &mut usize) -> Result<Next, Unpackable> {
        if self.scans == 0 {
            if !bytes.starts_with(&[0xFF, 0xD8]) {
                return Err(Unpackable::NotJpeg);
            }
            *at = 2;
        }
        // libjpeg skips what an encoder left between a scan's last block and the next marker.
        let mut after_scan = self.scans > 0;
        loop {
            let code = marker(bytes, at, after_scan)?;
            match code {
                // Restart markers after the last interval, and TEM.
                0xD0..=0xD7 | 0x01 => continue,
                0xD9 => return self.end(),
                _ => check_supported(code)?,
            }
            after_scan = false;
            let content = segment(bytes, at)?;
            match code {
                0xC0..=0xC2 => self.start_of_frame(content, code == 0xC2)?,
                0xC4 => self.huffman_tables(content)?,
                0xDB => self.colours.tables(content)?,
                0xDD => self.restart(content)?,
                0xDA => return self.start_of_scan(content).map(Next::Scan),
                // libjpeg decides about colours at the first scan.
                0xE0 | 0xEE if self.scans == 0 => self.colours.application(code, content),
                // Other APPn, and COM.
                _ => {}
            }
        }
    }

    fn end(&self) -> Result<Next, Unpackable> {
        // libjpeg would guess the missing bits of coefficients, and fill missing components.
        let complete = self.known.iter().flatten().all(|&known| known == Some(0));
        if self.frame.is_some() && complete {
            Ok(Next::EndOfImage)
        } else {
            Err(Unpackable::Incomplete)
        }
    }

    fn start_of_frame(&mut self, content: &[u8], progressive: bool) -> Result<(), Unpackable> {
        if self.frame.is_some() {
            return Err(Unpackable::Broken("two frame headers"));
        }
        let frame = Frame::parse(content, progressive, self.max_pixels)?;
        self.known = vec![[None; 64]; frame.components.len()];
        self.frame = Some(frame);
        Ok(())
    }

    fn huffman_tables(&mut self, mut content: &[u8]) -> Result<(), Unpackable> {
        while let Some((&selector, rest)) = content.split_first() {
            let (table, rest) = Specification::parse(rest)?;
            let tables = if selector & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            let place = tables.get_mut(usize::from(selector & !0x10));
            *place.ok_or(Unpackable::Broken("the number of a Huffman table"))? = Some(table.into());
            content = rest;
        }
        Ok(())
    }

    fn restart(&mut self, content: &[u8]) -> Result<(), Unpackable> {
        let &[high, low] = content else {
            return Err(Unpackable::Broken("the length of a restart interval"));
        };
        self.restart_interval = usize::from(u16::from_be_bytes([high, low]));
        Ok(())
    }

    fn start_of_scan(&mut self, content: &[u8]) -> Result<Scan, Unpackable> {
        const LENGTH: Unpackable = Unpackable::Broken("the length of a scan header");
        let Self { frame, known, colours, .. } = self;
        let frame = frame.as_ref().ok_or(Unpackable::Broken("a scan before the frame header"))?;
        if self.scans == MAX_SCANS {
            return Err(Unpackable::TooManyScans);
        }
        self.scans += 1;
        let (&count, rest) = content.split_first().ok_or(LENGTH)?;
        let (selectors, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or(LENGTH)?;
        let &[first, last, approximation] = rest else { return Err(LENGTH) };
        if !(1..=4).contains(&count) {
            return Err(Unpackable::Broken("the number of components in a scan"));
        }
        let mut components: Vec<ScanComponent> = Vec::new();
        for selector in selectors.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == selector[0]);
            let index = index.ok_or(Unpackable::Broken("a scan of an unknown component"))?;
            if components.iter().any(|other| other.index == index) {
                return Err(Unpackable::Broken("a component twice in a scan"));
            }
            // libjpeg refuses a component that is later in the scan than in the frame.
            if index < components.len() {
                return Err(Unpackable::Broken("the order of a scan's components"));
            }
            let dc = self.dc.get(usize::from(selector[1] >> 4)).cloned().flatten();
            let ac = self.ac.get(usize::from(selector[1] & 15)).cloned().flatten();
            components.push(ScanComponent { index, dc, ac });
            colours.begin(index, frame.components[index].table)?;
        }
        let mcu_blocks = |component: &ScanComponent| {
            let (h, v) = frame.components[component.index].sampling;
            usize::from(h) * usize::from(v)
        };
        let blocks = components.iter().map(mcu_blocks).sum::<usize>();
        if components.len() > 1 && blocks > MAX_MCU_BLOCKS {
            return Err(Unpackable::Broken("an MCU of too many blocks"));
        }
        let (high, low) = (approximation >> 4, approximation & 15);
        let coding = coding(frame.progressive, components.len(), (first, last), (high, low))?;
        for component in &components {
            advance(&mut known[component.index], (first, last), (high, low))?;
        }
        Ok(Scan { components, coding, restart_interval: self.restart_interval })
    }
}

/// Finds the next marker at or after `at` and goes past it. Returns its code.
fn marker(bytes: &[u8], at: &mut usize, skip: bool) -> Result<u8, Unpackable> {
    loop {
        let found = memchr::memchr(0xFF, &bytes[*at..]).ok_or(Unpackable::Truncated)?;
        *at += found;
        // Any number of 0xFF may come before the code.
        let fill = bytes[*at..].iter().take_while(|&&byte| byte == 0xFF).count();
        *at += fill;
        let code = *bytes.get(*at).ok_or(Unpackable::Truncated)?;
        *at += 1;
        if code != 0 && (found == 0 || skip) {
            return Ok(code);
        }
        if !skip {
            return Err(Unpackable::Broken("bytes between two segments"));
        }
    }
}

/// The content of the segment whose length is at `at`; goes past it.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Unpackable> {
    let rest = &bytes[*at..];
    let length = rest.first_chunk().ok_or(Unpackable::Truncated)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length < 2 {
        return Err(Unpackable::Broken("the length of a segment"));
    }
    *at += length;
    rest.get(2..length).ok_or(Unpackable::Truncated)
}

fn check_supported(code: u8) -> Result<(), Unpackable> {
    match code {
        0xC0..=0xC2 | 0xC4 | 0xDA | 0xDB | 0xDD | 0xE0..=0xEF | 0xFE => Ok(()),
        0xC3 | 0xCB => Err(Unpackable::Lossless),
        0xC9 | 0xCA | 0xCC => Err(Unpackable::Arithmetic),
        0xC5..=0xC7 | 0xCD..=0xCF | 0xDE | 0xDF => Err(Unpackable::Hierarchical),
        0xDC => Err(Unpackable::NoHeight),
        0xD8 => Err(Unpackable::Broken("an image in the image")),
        _ => Err(Unpackable::Broken("an unknown marker")),
    }
}

fn coding(
    progressive: bool,
    components: usize,
    (first, last): (u8, u8),
    (high, low): (u8, u8),
) -> Result<Coding, Unpackable> {
    let coding = match (progressive, first, last) {
        (false, 0, 63) if (high, low) == (0, 0) => Some(Coding::Sequential),
        (true, 0, 0) if high == 0 => Some(Coding::DcFirst { low }),
        (true, 0, 0) => Some(Coding::DcRefine { low }),
        (true, 1..=63, _) if first <= last && last <= 63 && components == 1 => {
            let band = Band { first, last, low };
            Some(if high == 0 { Coding::AcFirst(band) } else { Coding::AcRefine(band) })
        }
        _ => None,
    };
    // 13 is libjpeg's limit.
    coding.filter(|_| low <= 13).ok_or(Unpackable::Broken("the parameters of a scan"))
}

/// Notes that a scan has coded the bits from `low`, after those from `high` if that is not zero.
fn advance(
    known: &mut Known,
    (first, last): (u8, u8),
    (high, low): (u8, u8),
) -> Result<(), Unpackable> {
    const ORDER: Unpackable = Unpackable::Broken("the order of the scans");
    if first > 0 && known[0].is_none() {
        return Err(ORDER);
    }
    let expected = (high > 0).then_some(high);
    for bits in &mut known[usize::from(first)..=usize::from(last)] {
        if *bits != expected || (high > 0 && high != low + 1) {
            return Err(ORDER);
        }
        *bits = Some(low);
    }
    Ok(())
}
