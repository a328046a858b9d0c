//! Where samples come from: a data set known by index, or samples handed in one by one.

use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::batch::Source;
use crate::error::{Error, Result};
use crate::file;
use crate::image::{Image, ImageRef};

/// Bytes that somebody else owns, an array of Python's say.
pub trait Bytes: Send + Sync {
    /// The bytes, the same ones at every call.
    fn bytes(&self) -> &[u8];
}

impl Bytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A file with other files in it, as it was when their places were noted.
#[derive(Debug)]
pub struct Archive {
    path: Box<Path>,
    len: u64,
    modified: Option<SystemTime>,
}

impl Archive {
    /// The archive as it is now.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file, or it is not a regular one.
    pub fn new(path: impl Into<Box<Path>>) -> Result<Self> {
        let path = path.into();
        let (_, found) =
            file::open(&path).map_err(|error| Error::from(error).at(path.display().to_string()))?;
        Ok(Self { path, len: found.len(), modified: found.modified().ok() })
    }

    /// Reads a part. The file is opened anew, as image files are: a handle that is kept would read
    /// on in an archive that has been replaced. In another archive the place is another's, and its
    /// image would come with the wrong target.
    fn read(&self, start: u64, len: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        let (mut file, now) = file::open(&self.path)?;
        if now.len() != self.len || now.modified().ok() != self.modified {
            return Err(io::Error::other("the archive has changed: make the data set anew"));
        }
        file.seek(SeekFrom::Start(start))?;
        file::read_part(&file, len, buffer)?;
        if buffer.len() as u64 != len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is truncated"));
        }
        Ok(())
    }
}

/// A data set whose samples the loader finds by itself.
pub enum Catalog {
    /// One image file a sample.
    Files(Vec<Box<Path>>),
    /// Members of archives: parts of a few files.
    Members {
        /// The archives.
        archives: Vec<Archive>,
        /// Of every sample: the archive's number, the first byte and the number of bytes.
        members: Vec<(u32, u64, u64)>,
    },
    /// Images of one size, (N, height, width, 3) RGB8.
    Pixels {
        /// The pixels of all images.
        pixels: Box<dyn Bytes>,
        /// The height and width of each.
        shape: (u32, u32),
    },
}

impl Catalog {
    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Members { members, .. } => members.len(),
            Self::Pixels { pixels, shape: (height, width) } => {
                pixels.bytes().len() / (3 * *height as usize * *width as usize).max(1)
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A sample that owns what it holds.
#[derive(Clone, Debug)]
pub enum Stored {
    /// An image file's content.
    Bytes(Vec<u8>),
    /// An image file.
    Path(Box<Path>),
    /// Pixels.
    Pixels(Image),
}

/// Where one sample's pixels come from.
#[derive(Clone)]
pub enum Input {
    /// From a catalog, by the sample's index.
    Catalog(Arc<Catalog>),
    /// From what was handed in.
    Stored(Stored),
}

impl Input {
    /// Gives `work` sample `index`; `buffer` is for files that must be read here.
    pub(super) fn with<T>(
        &self,
        index: u64,
        buffer: &mut Vec<u8>,
        work: impl FnOnce(Source<'_>) -> Result<T>,
    ) -> Result<T> {
        let catalog = match self {
            Self::Stored(Stored::Bytes(bytes)) => return work(Source::Bytes(bytes)),
            Self::Stored(Stored::Path(path)) => return work(Source::Path(path)),
            Self::Stored(Stored::Pixels(image)) => return work(Source::Pixels(image.as_ref())),
            Self::Catalog(catalog) => catalog,
        };
        let outside = || {
            let len = catalog.len();
            Error::Argument(format!("index {index} of a data set of {len} samples"))
        };
        let i = usize::try_from(index).map_err(|_| outside())?;
        match &**catalog {
            Catalog::Files(files) => work(Source::Path(files.get(i).ok_or_else(outside)?)),
            Catalog::Members { archives, members } => {
                let &(archive, start, len) = members.get(i).ok_or_else(outside)?;
                let archive = archives.get(archive as usize).ok_or_else(outside)?;
                let named = |error: Error| {
                    error.at(format!("{}, the member at byte {start}", archive.path.display()))
                };
                archive.read(start, len, buffer).map_err(|error| named(error.into()))?;
                work(Source::Bytes(buffer)).map_err(named)
            }
            Catalog::Pixels { pixels, shape: (height, width) } => {
                let size = 3 * *height as usize * *width as usize;
                let start = i.checked_mul(size).ok_or_else(outside)?;
                let image = pixels.bytes().get(start..).and_then(|rest| rest.get(..size));
                work(Source::Pixels(ImageRef::new(*width, *height, image.ok_or_else(outside)?)))
            }
        }
    }
}
