//! When a thread announces the files of later samples to the system.
//!
//! A file that is not in the system's cache has to be waited for, with a core idle meanwhile. The
//! system can read the disk ahead if it is told which files come next ([`OwnedSource::announce`]). That
//! costs about 4 microseconds per sample, for nothing if the files are in the cache. So a thread
//! announces files only after one that came slowly.
//!
//! [`OwnedSource::announce`]: crate::source::OwnedSource::announce

use std::time::Duration;

/// How many samples of a thread are announced after a file that came slowly. Files that were
/// announced in time come fast. So every now and then some are not, to find out whether it is of
/// use; these cost a few percent of what is gained.
const SAMPLES: usize = 512;

/// How many more samples a thread announces.
#[derive(Debug, Default)]
pub struct Ahead(usize);

impl Ahead {
    /// Whether a thread that takes a sample is to announce others.
    pub fn is_wanted(&self) -> bool {
        self.0 > 0
    }

    /// Notes that `bytes` bytes of a file have been read in `time`, opening included.
    pub fn note(&mut self, bytes: usize, time: Duration) {
        self.0 = if came_slowly(bytes, time) { SAMPLES } else { self.0.saturating_sub(1) };
    }
}

/// Whether a file came from a disk or a server. Copying it from the system's cache takes a quarter
/// of this time.
fn came_slowly(bytes: usize, time: Duration) -> bool {
    let per_file = Duration::from_micros(50);
    time > per_file + Duration::from_nanos(bytes as u64 / 2)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::path::Path;
    use std::sync::Arc;

    use super::super::format::Format;
    use super::super::job::{Job, OwnedSample};
    use super::super::memory::Memory;
    use super::super::model::pipeline;
    use super::super::queue::{DISTANCE, Queue};
    use super::*;
    use crate::rng::Key;
    use crate::source::OwnedSource;

    #[test]
    fn files_are_announced_for_a_while_after_a_slow_one() {
        let (fast, slow) = (Duration::from_micros(30), Duration::from_micros(200));
        let mut ahead = Ahead::default();
        ahead.note(100_000, fast);
        assert!(!ahead.is_wanted());
        ahead.note(100_000, slow);
        for _ in 0..SAMPLES {
            assert!(ahead.is_wanted());
            ahead.note(100_000, fast);
        }
        assert!(!ahead.is_wanted());
        ahead.note(10_000_000, slow);
        assert!(!ahead.is_wanted(), "a large file takes longer");
    }

    /// A batch of files that are named after their numbers.
    fn job(numbers: Range<usize>) -> Job {
        let sample = |number: usize| OwnedSample {
            source: OwnedSource::Path(Path::new(&number.to_string()).into()),
            key: Key { seed: 0, epoch: 0, index: number as u64, view: 0 },
        };
        Job {
            pipeline: pipeline(),
            format: Arc::new(Format::PLAIN),
            out: Memory::from(vec![0; 3 * numbers.len()]),
            samples: numbers.map(sample).collect(),
        }
    }

    fn number(source: &OwnedSource) -> usize {
        source.as_source().name().unwrap().parse().unwrap()
    }

    #[test]
    fn each_sample_is_announced_once_and_not_too_far_ahead() {
        let queue = Queue::default();
        queue.add(job(0..70));
        let mut announced = Vec::new();
        for taken in 0..100 {
            if taken == 50 {
                queue.add(job(70..100));
            }
            let (task, coming) = queue.take_task(taken >= 3).unwrap();
            assert_eq!(number(&task.sample.source), taken);
            let coming: Vec<_> = coming.iter().flatten().map(number).collect();
            assert!(coming.iter().all(|&next| taken < next && next <= taken + DISTANCE));
            announced.extend(coming);
        }
        assert_eq!(announced, (4..100).collect::<Vec<_>>());
    }
}
