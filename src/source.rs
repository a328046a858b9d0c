//! Where an image's pixels come from: a file, the content of one, a part of an archive, or memory.
//!
//! There are two types, as with [`Image`] and [`ImageRef`]. [`Source`] borrows, for calls that
//! return when their work is done. [`OwnedSource`] owns, for work that goes on after the call, as
//! in [`crate::loader`]; cloning one is cheap.
//!
//! All sources are opened the same way, in two steps as in [`crate::decode`]: first the shape, then
//! the pixels of a region.
//!
//! ```
//! use std::path::Path;
//!
//! use tied_augment::decode::Limits;
//! use tied_augment::image::ImageRef;
//! use tied_augment::source::Source;
//!
//! let pixels = [1, 2, 3, 4, 5, 6];
//! let image = Source::Pixels(ImageRef::new(2, 1, &pixels)).decode(Limits::default())?;
//! assert_eq!(image.data, pixels);
//!
//! let error = Source::Path(Path::new("missing.jpg")).decode(Limits::default()).unwrap_err();
//! assert!(error.to_string().starts_with("missing.jpg: cannot read the file"));
//! # Ok::<_, tied_augment::error::Error>(())
//! ```

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::decode::{self, Decoder, Limits};
use crate::error::{Error, Result};
use crate::file;
pub use crate::file::Archive;
use crate::image::{Image, ImageRef, Rect};
use crate::memory;

/// Where an image's pixels come from, borrowed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Source<'a> {
    /// An image file's content.
    Bytes(&'a [u8]),
    /// An image file.
    Path(&'a Path),
    /// A part of an archive that is an image file.
    Member {
        /// The archive.
        archive: &'a Archive,
        /// The first byte.
        start: u64,
        /// The number of bytes.
        len: u64,
        /// What errors call it, if it has a name.
        name: Option<&'a str>,
    },
    /// Pixels.
    Pixels(ImageRef<'a>),
}

/// Where an image's pixels come from, owned or shared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OwnedSource {
    /// An image file's content.
    Bytes(Bytes),
    /// An image file.
    Path(Arc<Path>),
    /// A part of an archive that is an image file.
    Member {
        /// The archive.
        archive: Arc<Archive>,
        /// The first byte.
        start: u64,
        /// The number of bytes.
        len: u64,
        /// What errors call it, if it has a name.
        name: Option<Arc<str>>,
    },
    /// Pixels.
    Pixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// `height * width * 3` bytes, rows of interleaved RGB8.
        data: Bytes,
    },
}

impl OwnedSource {
    /// This source, borrowed.
    ///
    /// # Panics
    /// If there are fewer pixels than width and height say.
    #[must_use]
    pub fn as_source(&self) -> Source<'_> {
        match self {
            Self::Bytes(bytes) => Source::Bytes(bytes),
            Self::Path(path) => Source::Path(path),
            Self::Member { archive, start, len, name } => {
                Source::Member { archive, start: *start, len: *len, name: name.as_deref() }
            }
            Self::Pixels { width, height, data } => {
                Source::Pixels(ImageRef::new(*width, *height, data))
            }
        }
    }

    /// Tells the system that this source will soon be read, so that it can read the disk meanwhile.
    /// Whatever is wrong with the file is found when it is read.
    pub(crate) fn announce(&self) {
        match self {
            Self::Bytes(_) | Self::Pixels { .. } => {}
            Self::Path(path) => file::announce(path, 0..0),
            Self::Member { archive, start, len, .. } => {
                file::announce(archive.path(), *start..start.saturating_add(*len));
            }
        }
    }
}

impl<'a> Source<'a> {
    /// Decodes the whole image.
    ///
    /// # Errors
    /// [`Error::Io`], and those of [`Decoder::open`]; with the file's name if it has one.
    pub fn decode(self, limits: Limits) -> Result<Image> {
        let decode = || {
            let (mut decoder, mut file, mut image) =
                (Decoder::default(), Vec::new(), Image::default());
            match self.open(&mut decoder, &mut file, limits)? {
                OpenedSource::Pixels(pixels) => image.copy_from(pixels),
                OpenedSource::File(opened) => {
                    let (height, width) = opened.shape();
                    opened.read(&[Rect { x: 0, y: 0, w: width, h: height }], &mut image)?;
                }
            }
            Ok(image)
        };
        memory::caught(decode).map_err(|error| self.named(error))
    }

    /// Reads what is needed to know the image's shape. `file` receives the content of a file that
    /// must be read.
    pub(crate) fn open(
        self,
        decoder: &'a mut Decoder,
        file: &'a mut Vec<u8>,
        limits: Limits,
    ) -> Result<OpenedSource<'a>> {
        let bytes = match self {
            Self::Pixels(pixels) => return Ok(OpenedSource::Pixels(pixels)),
            Self::Bytes(bytes) => bytes,
            Self::Path(path) => file::read(path, file)?,
            Self::Member { archive, start, len, .. } => archive.read(start, len, file)?,
        };
        decoder.open(bytes, limits).map(OpenedSource::File)
    }

    /// The same image, in memory. `file` receives the content of a file.
    pub(crate) fn load(self, file: &'a mut Vec<u8>) -> Result<Self> {
        let bytes = match self {
            Self::Bytes(_) | Self::Pixels(_) => return Ok(self),
            Self::Path(path) => file::read(path, file)?,
            Self::Member { archive, start, len, .. } => archive.read(start, len, file)?,
        };
        Ok(Self::Bytes(bytes))
    }

    /// The content of a file or of a part of an archive, for which `file` is the memory.
    ///
    /// # Errors
    /// [`Error::Io`], with the file's name; [`Error::Argument`] for pixels.
    pub fn read(self, file: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        match memory::caught(|| self.load(file)).map_err(|error| self.named(error))? {
            Source::Bytes(bytes) => Ok(bytes),
            _ => Err(Error::Argument("pixels are not an image file".into())),
        }
    }

    /// The name of the file, to be put in front of an error; `None` for what comes from memory.
    pub(crate) fn name(self) -> Option<String> {
        match self {
            Self::Path(path) => Some(path.display().to_string()),
            Self::Member { archive, start, name, .. } => {
                let archive = archive.path().display();
                Some(match name {
                    Some(name) => format!("{archive}, {name}"),
                    None => format!("{archive}, the member at byte {start}"),
                })
            }
            Self::Bytes(_) | Self::Pixels(_) => None,
        }
    }

    /// `error` with the name of the file in front, if there is one.
    pub(crate) fn named(self, error: Error) -> Error {
        match self.name() {
            Some(name) => error.at(name),
            None => error,
        }
    }
}

/// A source whose image's shape is known.
pub(crate) enum OpenedSource<'a> {
    File(decode::Opened<'a>),
    Pixels(ImageRef<'a>),
}

impl<'a> OpenedSource<'a> {
    /// Height and width in pixels.
    pub fn shape(&self) -> (u32, u32) {
        match self {
            Self::File(opened) => opened.shape(),
            Self::Pixels(pixels) => (pixels.height, pixels.width),
        }
    }

    /// A region of the image with at least the pixels of `parts`, and where it lies. `image`
    /// receives pixels that must be decoded.
    pub fn read(self, parts: &[Rect], image: &'a mut Image) -> Result<(ImageRef<'a>, Rect)> {
        match self {
            Self::File(opened) => {
                let decoded = opened.read(parts, image)?;
                Ok((image.as_ref(), decoded))
            }
            Self::Pixels(pixels) => {
                Ok((pixels, Rect { x: 0, y: 0, w: pixels.width, h: pixels.height }))
            }
        }
    }
}
