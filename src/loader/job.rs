//! What goes into the loader and what comes out of it.

use std::sync::Arc;

use super::format::Format;
use super::memory::Memory;
use crate::batch::{Pipeline, Sample};
use crate::error::Error;
use crate::rng::Key;
use crate::source::OwnedSource;

/// A batch to be made.
#[derive(Debug)]
pub struct Job {
    /// The views to make of every sample.
    pub pipeline: Arc<Pipeline>,
    /// The samples.
    pub samples: Vec<OwnedSample>,
    /// The elements to write.
    pub format: Arc<Format>,
    /// The output: for each view (samples, 3, height, width) elements, or as the format's layout
    /// says, one after the other. With views of one size that is (views, samples, 3, ...).
    pub out: Memory,
}

/// An image and the key of its randomness, as [`Sample`], but owned.
#[derive(Clone, Debug)]
pub struct OwnedSample {
    /// Where the pixels come from.
    pub source: OwnedSource,
    /// The key of the first view. Later views have the next numbers.
    pub key: Key,
}

impl OwnedSample {
    /// This sample, borrowed.
    ///
    /// # Panics
    /// As [`OwnedSource::as_source`].
    #[must_use]
    pub fn as_sample(&self) -> Sample<'_> {
        Sample { source: self.source.as_source(), key: self.key }
    }
}

/// Another sample for a position of a finished batch.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The position in the batch.
    pub position: usize,
    /// The sample to make there.
    pub sample: OwnedSample,
}

/// A sample that could not be made. Its part of the output is unspecified.
#[derive(Debug)]
pub struct Failure {
    /// The position in the batch.
    pub position: usize,
    /// The cause.
    pub error: Error,
}
