//! Everything that can go wrong: one variant per thing that a caller can fix.
//!
//! A message gives the cause and the remedy. Code that knows the place, such as a path or a
//! position in a batch, puts it in front with [`Error::at`].
//!
//! ```
//! use tied_augment::error::Error;
//!
//! let error = Error::Argument("threads must be at least 1".into()).at("train.toml");
//! assert_eq!(error.to_string(), "train.toml: threads must be at least 1");
//! ```

use std::any::Any;
use std::io;

use crate::memory::NoMemory;

/// What went wrong, and for which sample when that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read the file: {0}")]
    Io(#[from] io::Error),
    /// The bytes have no format that the decoders know.
    #[error("not an image of a known format (JPEG, PNG, WebP, BMP, GIF, TIFF, packed image): {0}")]
    Unidentified(String),
    /// The bytes are a broken image.
    #[error("cannot decode {format}: {cause}")]
    Decode {
        /// The format's usual name.
        format: &'static str,
        /// What the decoder said.
        cause: String,
    },
    /// The image has more pixels than the limit.
    #[error(
        "image of {width} x {height} pixels exceeds the limit of {limit} pixels; \
         shrink the image or raise max_pixels"
    )]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit in force.
        limit: u64,
    },
    /// The view can't be made from an image of this size.
    #[error("{0}")]
    Sides(String),
    /// The system starts no more threads. The samples are not to blame.
    #[error(
        "cannot start {wanted} threads: {cause}; pass a smaller threads=..., or raise the limits \
         on processes and memory (ulimit -u, the container's)"
    )]
    Threads {
        /// How many threads were wanted.
        wanted: usize,
        /// What the system said.
        cause: String,
    },
    /// The system gives no more memory. The sample may not be to blame.
    #[error(
        "no memory for {}; use fewer threads or workers, lower max_pixels, or \
         raise the limit on memory (ulimit -v, the container's)", wanted(*bytes)
    )]
    Memory {
        /// How many were wanted; 0 if that is not known.
        bytes: usize,
    },
    /// An argument has an invalid value.
    #[error("{0}")]
    Argument(String),
    /// A panic: a bug in this library.
    #[error("internal error, please report it: {0}")]
    Panic(String),
    /// Another error, at a known sample.
    #[error("{place}: {source}")]
    At {
        /// The sample's path, or its position in the batch.
        place: String,
        /// What went wrong there.
        source: Box<Error>,
    },
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same error, with the sample's path or position in front.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), source: Box::new(self) }
    }

    /// What unwound the stack: a panic, or [`NoMemory`].
    pub(crate) fn panic(payload: &(dyn Any + Send)) -> Self {
        match payload.downcast_ref() {
            Some(&NoMemory(bytes)) => Self::Memory { bytes },
            None => Self::Panic(panic_text(payload)),
        }
    }

    /// A decoding failure of `format`.
    pub(crate) fn decode(format: &'static str, cause: impl ToString) -> Self {
        Self::Decode { format, cause: cause.to_string() }
    }
}

fn wanted(bytes: usize) -> String {
    match bytes {
        0 => "decoding the image".into(),
        bytes => format!("{bytes} more bytes"),
    }
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".into())
}
