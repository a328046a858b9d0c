//! The loader under random sequences of calls, beside a plain list of what they should give.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tied_augment::batch::{Pipeline, Workspaces};
use tied_augment::loader::{Finished, Format, Job, Loader, Memory, OwnedSample, Replacement};
use tied_augment::plan::{Crop, Shared, ViewSpec};
use tied_augment::policy::Augment;
use tied_augment::pool::Pool;
use tied_augment::resize::Filter;
use tied_augment::rng::Key;
use tied_augment::source::OwnedSource;

const SIDE: u32 = 4;
const VIEW: usize = 3 * (SIDE * SIDE) as usize;
const LONG: Duration = Duration::from_secs(60);

/// What the consumer does next. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Call {
    /// Adds a batch of samples, each good or not.
    Submit(Vec<bool>),
    /// Adds a batch with an output of a wrong size.
    SubmitWrong,
    /// Takes the oldest batch, waiting for it or not.
    Take { wait: bool },
    /// Makes samples of the batch that was taken last again, each good or not.
    Redo(Vec<(usize, bool)>),
    /// Makes a position again that there is not, which loses the batch.
    RedoWrong,
    /// Drops the batch that was taken last.
    Forget,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => prop::collection::vec(prop::bool::weighted(0.8), 0..6).prop_map(Call::Submit),
        1 => Just(Call::SubmitWrong),
        4 => any::<bool>().prop_map(|wait| Call::Take { wait }),
        3 => prop::collection::vec((0usize..6, prop::bool::weighted(0.8)), 0..4)
            .prop_map(Call::Redo),
        1 => Just(Call::RedoWrong),
        1 => Just(Call::Forget),
    ]
}

/// A batch as it should become: the key's index of each position, and whether it is good.
#[derive(Clone, Debug)]
struct Wanted {
    positions: Vec<(u64, bool)>,
    /// Those that are made now.
    fresh: Vec<usize>,
}

struct Run {
    pipeline: Arc<Pipeline>,
    loader: Loader,
    pixels: Bytes,
    next: u64,
    /// Batches under way, the oldest first.
    under_way: VecDeque<Wanted>,
    taken: Option<(Finished, Wanted)>,
}

impl Run {
    fn new(threads: usize) -> Self {
        let view = ViewSpec {
            size: (SIDE, SIDE),
            crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (0.75, 4.0 / 3.0) },
            interpolation: vec![Filter::Bicubic],
            hflip: 0.5,
            vflip: 0.0,
            augment: Augment::default(),
        };
        Self {
            pipeline: Arc::new(Pipeline::new(vec![view.clone(), view], Shared::Nothing).unwrap()),
            loader: Loader::new(threads).unwrap(),
            pixels: (0..9 * 7 * 3).map(|i| (i * i / 5) as u8).collect(),
            next: 0,
            under_way: VecDeque::new(),
            taken: None,
        }
    }

    /// A new sample, and what is wanted of it.
    fn sample(&mut self, good: bool) -> (OwnedSample, (u64, bool)) {
        let index = self.next;
        self.next += 1;
        let data = self.pixels.clone();
        let source = match good {
            true => OwnedSource::Pixels { width: 9, height: 7, data },
            false => OwnedSource::Bytes(data),
        };
        (OwnedSample { source, key: key(index) }, (index, good))
    }

    fn job(&self, samples: Vec<OwnedSample>, bytes: usize) -> Job {
        let (pipeline, format) = (Arc::clone(&self.pipeline), Arc::new(Format::PLAIN));
        Job { pipeline, samples, format, out: Memory::from(vec![0; bytes]) }
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Submit(goods) => {
                let (samples, positions): (Vec<_>, Vec<_>) =
                    goods.into_iter().map(|good| self.sample(good)).unzip();
                let bytes = 2 * samples.len() * VIEW;
                self.loader.submit(self.job(samples, bytes)).unwrap();
                let fresh = (0..positions.len()).collect();
                self.under_way.push_back(Wanted { positions, fresh });
            }
            Call::SubmitWrong => {
                let (sample, _) = self.sample(true);
                assert!(self.loader.submit(self.job(vec![sample], 1)).is_err());
            }
            Call::Take { wait } => self.take(wait),
            Call::Redo(new) => self.redo(new),
            Call::RedoWrong => {
                if let Some((finished, wanted)) = self.taken.take() {
                    let (sample, _) = self.sample(true);
                    let new = Replacement { position: wanted.positions.len(), sample };
                    assert!(self.loader.redo(finished, vec![new]).is_err());
                }
            }
            Call::Forget => self.taken = None,
        }
    }

    fn take(&mut self, wait: bool) {
        let wait = wait && !self.under_way.is_empty();
        let taken = self.loader.wait(if wait { LONG } else { Duration::ZERO });
        assert!(taken.is_some() || !wait, "no batch after a minute");
        let Some(finished) = taken else { return };
        let wanted = self.under_way.pop_front().expect("a batch that was never submitted");
        self.check(&finished, &wanted);
        self.taken = Some((finished, wanted));
    }

    fn check(&self, finished: &Finished, wanted: &Wanted) {
        let failures: Vec<_> = finished.failures().iter().map(|f| f.position).collect();
        let mut bad = wanted.fresh.clone();
        bad.retain(|&position| !wanted.positions[position].1);
        bad.sort_unstable();
        assert_eq!(failures, bad);
        let n = wanted.positions.len();
        for (position, &(index, good)) in wanted.positions.iter().enumerate() {
            let expected = good.then(|| self.expected(index));
            for (view, expected) in expected.iter().flat_map(|e| e.chunks(VIEW)).enumerate() {
                assert_eq!(&finished.bytes()[(view * n + position) * VIEW..][..VIEW], expected);
            }
        }
    }

    /// Both views of a sample, made without a loader.
    fn expected(&self, index: u64) -> Vec<u8> {
        let data = self.pixels.clone();
        let source = OwnedSource::Pixels { width: 9, height: 7, data };
        let sample = OwnedSample { source, key: key(index) };
        let mut out = vec![0; 2 * VIEW];
        let shape = (2, 1, 3, SIDE as usize, SIDE as usize);
        let mut views = ndarray::ArrayViewMut5::from_shape(shape, &mut out).unwrap();
        let (pool, spaces) = (Pool::default(), Workspaces::default());
        self.pipeline.run(&[sample.as_sample()], &pool, &spaces, views.outer_iter_mut()).unwrap();
        out
    }

    fn redo(&mut self, new: Vec<(usize, bool)>) {
        let Some((finished, mut wanted)) = self.taken.take() else { return };
        let n = wanted.positions.len();
        wanted.fresh.clear();
        let mut replacements = Vec::new();
        for (position, good) in new {
            if n == 0 || wanted.fresh.contains(&(position % n)) {
                continue;
            }
            let position = position % n;
            let (sample, now) = self.sample(good);
            wanted.positions[position] = now;
            wanted.fresh.push(position);
            replacements.push(Replacement { position, sample });
        }
        self.loader.redo(finished, replacements).unwrap();
        self.under_way.push_front(wanted);
    }
}

fn key(index: u64) -> Key {
    Key { seed: 5, epoch: 2, index, view: 0 }
}

proptest! {
    #[test]
    fn any_sequence_of_calls_gives_the_batches_in_order(
        threads in 1usize..5,
        calls in prop::collection::vec(call(), 0..40),
        all: bool,
    ) {
        let mut run = Run::new(threads);
        calls.into_iter().for_each(|call| run.call(call));
        if all {
            while !run.under_way.is_empty() {
                run.take(true);
            }
            assert!(run.loader.wait(Duration::ZERO).is_none());
        }
        let Run { loader, taken, pixels, .. } = run;
        drop(loader);
        drop(taken);
        assert!(pixels.is_unique(), "no sample is left");
    }
}
