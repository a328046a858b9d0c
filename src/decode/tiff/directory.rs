//! A TIFF's tags.

use std::collections::BTreeMap;

/// The first directory of a file.
pub struct Directory<'a> {
    bytes: &'a [u8],
    /// Whether numbers have their high byte first.
    pub big_endian: bool,
    entries: BTreeMap<u16, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    kind: u16,
    count: usize,
    at: usize,
}

impl<'a> Directory<'a> {
    /// Reads the tags' places; their values are read when asked for.
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let mut directory =
            Self { bytes, big_endian: bytes.starts_with(b"MM"), entries: BTreeMap::new() };
        if directory.u16(2)? == 43 {
            return Err("BigTIFF is not supported; save the image as a plain TIFF".into());
        }
        let start = directory.u32(4)? as usize;
        for i in 0..usize::from(directory.u16(start)?) {
            let at = start + 2 + 12 * i;
            let (tag, kind) = (directory.u16(at)?, directory.u16(at + 2)?);
            let count = directory.u32(at + 4)? as usize;
            let size = match kind {
                3 => 2,
                4 => 4,
                _ => 1,
            };
            // Up to four bytes stand in the entry itself.
            let at = if count.saturating_mul(size) <= 4 {
                at + 8
            } else {
                directory.u32(at + 8)? as usize
            };
            directory.entries.insert(tag, Entry { kind, count, at });
        }
        Ok(directory)
    }

    /// The whole numbers behind `tag`; `None` if it is not there.
    pub fn all(&self, tag: u16) -> Result<Option<Vec<u32>>, String> {
        let Some(&Entry { kind, count, at }) = self.entries.get(&tag) else { return Ok(None) };
        if count > self.bytes.len() {
            return Err(format!("tag {tag} is longer than the file"));
        }
        let value = |i: usize| match kind {
            1 => Ok(self.bytes.get(at + i).copied().ok_or("the file is truncated")?.into()),
            3 => self.u16(at + 2 * i).map(u32::from),
            4 => self.u32(at + 4 * i),
            other => Err(format!("tag {tag} has values of type {other}, no whole numbers")),
        };
        (0..count).map(value).collect::<Result<_, _>>().map(Some)
    }

    /// The first number behind `tag`, or `default`.
    pub fn first(&self, tag: u16, default: u32) -> Result<u32, String> {
        Ok(self.all(tag)?.and_then(|values| values.first().copied()).unwrap_or(default))
    }

    fn u16(&self, at: usize) -> Result<u16, String> {
        let field = *self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .ok_or("the file is truncated")?;
        Ok(if self.big_endian { u16::from_be_bytes(field) } else { u16::from_le_bytes(field) })
    }

    fn u32(&self, at: usize) -> Result<u32, String> {
        let field = *self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .ok_or("the file is truncated")?;
        Ok(if self.big_endian { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) })
    }
}
