//! The batch cut into jobs that threads share, each with the rows it writes.

use super::buffers::{Floats, FloatsMut, Rows};
use super::real::Real;
use super::rows::{Wanted, cross_entropy, distance};
use super::{Batch, Gradients, Target, TiedLoss};

/// Numbers that one job handles; that takes some microseconds.
const PER_JOB: usize = 1 << 14;

/// Some rows of logits, or some pairs of rows of features.
pub enum Job<'a> {
    Logits(LogitsJob<'a>),
    Features(FeaturesJob<'a>),
}

pub struct LogitsJob<'a> {
    first: usize,
    losses: &'a mut [f64],
    gradient: Option<FloatsMut<'a>>,
    /// What the mean over the batch does to each row's gradient.
    scale: f64,
}

pub struct FeaturesJob<'a> {
    first: usize,
    distances: &'a mut [f64],
    gradient: Option<(FloatsMut<'a>, FloatsMut<'a>)>,
    /// What weight and mean do to each pair's gradient.
    scale: f64,
}

/// Cuts up what is to be written: `losses` has the supervised rows, `distances` the pairs.
pub fn cut<'a>(
    batch: &Batch<'_>,
    gradients: Gradients<'a>,
    (losses, distances): (&'a mut [f64], &'a mut [f64]),
    (row_scale, pair_scale): (f64, f64),
) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    let (classes, width) = (batch.classes(), batch.width());

    let rows = (PER_JOB / classes).max(1);
    let mut pieces = pieces(gradients.logits, rows * classes);
    for (job, losses) in losses.chunks_mut(rows).enumerate() {
        let gradient = pieces.next();
        let job = LogitsJob { first: job * rows, losses, gradient, scale: row_scale };
        jobs.push(Job::Logits(job));
    }

    let pairs = (PER_JOB / (2 * width)).max(1);
    let (first, second) = match gradients.features {
        Some(gradient) => {
            let (first, second) = gradient.split_at(batch.pairs * width);
            (Some(first), Some(second))
        }
        None => (None, None),
    };
    let mut pieces = self::pieces(first, pairs * width).zip(self::pieces(second, pairs * width));
    for (job, distances) in distances.chunks_mut(pairs).enumerate() {
        let gradient = pieces.next();
        let job = FeaturesJob { first: job * pairs, distances, gradient, scale: pair_scale };
        jobs.push(Job::Features(job));
    }
    jobs
}

fn pieces(gradient: Option<FloatsMut<'_>>, len: usize) -> impl Iterator<Item = FloatsMut<'_>> {
    gradient.into_iter().flat_map(move |gradient| gradient.pieces(len))
}

impl Job<'_> {
    /// Writes the job's values and gradients.
    pub fn run(self, loss: &TiedLoss, batch: &Batch<'_>) {
        match (self, batch.logits, batch.features) {
            (Self::Logits(job), Floats::F64(_), _) => job.run::<f64>(loss, batch),
            (Self::Logits(job), ..) => job.run::<f32>(loss, batch),
            (Self::Features(job), _, Floats::F64(_)) => job.run::<f64>(loss, batch),
            (Self::Features(job), ..) => job.run::<f32>(loss, batch),
        }
    }
}

impl LogitsJob<'_> {
    fn run<T: Real + Rows>(mut self, loss: &TiedLoss, batch: &Batch<'_>) {
        let classes = batch.classes();
        let mut scratch = vec![T::ZERO; 3 * classes];
        let (logits, rest) = scratch.split_at_mut(classes);
        let (soft, out) = rest.split_at_mut(classes);
        let scale = self.gradient.is_some().then_some(self.scale);
        for (row, value) in self.losses.iter_mut().enumerate() {
            let at = (self.first + row) % batch.target_rows();
            let wanted = match batch.target {
                Target::Soft(target) => Some(Wanted::Soft(T::read(target, at, soft))),
                Target::Classes(labels) => {
                    // Checked before: an index that is not ignored fits.
                    let class = labels.get(at);
                    (class != i128::from(loss.ignore_index))
                        .then_some(Wanted::Class(class as usize))
                }
            };
            let logits = T::read(batch.logits, self.first + row, logits);
            let fill = |out: &mut [T]| match wanted {
                Some(wanted) => cross_entropy(logits, wanted, loss.label_smoothing, scale, out),
                None => {
                    out.fill(T::ZERO);
                    0.0
                }
            };
            *value = match &mut self.gradient {
                Some(gradient) => T::write(gradient, row, out, fill),
                None => fill(out),
            };
        }
    }
}

impl FeaturesJob<'_> {
    fn run<T: Real + Rows>(mut self, loss: &TiedLoss, batch: &Batch<'_>) {
        let mut scratch = vec![T::ZERO; 4 * batch.width()];
        let (read, write) = scratch.split_at_mut(2 * batch.width());
        let (first, second) = read.split_at_mut(batch.width());
        let (to_first, to_second) = write.split_at_mut(batch.width());
        for (pair, value) in self.distances.iter_mut().enumerate() {
            let at = self.first + pair;
            let rows = (
                T::read(batch.features, at, first),
                T::read(batch.features, at + batch.pairs, second),
            );
            *value = match &mut self.gradient {
                Some((up, down)) => T::write(up, pair, to_first, |up| {
                    T::write(down, pair, to_second, |down| {
                        distance(loss.similarity, rows, self.scale, Some((up, down)))
                    })
                }),
                None => distance(loss.similarity, rows, self.scale, None),
            };
        }
    }
}
