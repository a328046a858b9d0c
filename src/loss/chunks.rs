//! The batch divided into chunks, each with the results that it writes.
//!
//! A chunk is what one thread does at a time: some rows of logits, or some pairs of feature rows.
//! Chunks read from the whole batch and write disjoint parts, so threads need no locks.

use super::cross_entropy::cross_entropy;
use super::inputs::{Gradients, Inputs, RowTargets};
use super::kernels::{RowPair, RowPairMut};
use super::matrix::{Matrix, MatrixMut};
use super::real::Real;
use super::similarity::{PairGradient, Similarity};

/// The numbers that a chunk reads. A chunk takes a few microseconds.
const CHUNK_LEN: usize = 1 << 14;

/// What all chunks need to know.
pub struct Context<'a, 'data> {
    pub inputs: &'a Inputs<'data>,
    pub targets: &'a RowTargets<'data>,
    pub label_smoothing: f64,
    pub similarity: Similarity,
    /// The factor of each row's gradient.
    pub row_scale: f64,
    /// The factor of each pair's gradient.
    pub pair_scale: f64,
}

/// Where the chunks write.
pub struct Outputs<'a> {
    /// The cross entropy of each row.
    pub losses: &'a mut [f64],
    /// The distance of each pair.
    pub distances: &'a mut [f64],
    pub gradients: Gradients<'a>,
}

/// A part of the batch.
pub enum Chunk<'a> {
    Logits(LogitsChunk<'a>),
    Features(FeaturesChunk<'a>),
}

/// Rows of logits, from row `start`.
pub struct LogitsChunk<'a> {
    start: usize,
    losses: &'a mut [f64],
    gradient: Option<MatrixMut<'a>>,
}

/// Pairs of feature rows, from pair `start`. The gradients are those of view 1 and of view 2.
pub struct FeaturesChunk<'a> {
    start: usize,
    distances: &'a mut [f64],
    gradients: Option<(MatrixMut<'a>, MatrixMut<'a>)>,
}

/// Divides the work on `inputs`.
pub fn divide<'a>(inputs: &Inputs<'_>, outputs: Outputs<'a>) -> Vec<Chunk<'a>> {
    let mut chunks = Vec::new();

    let rows = (CHUNK_LEN / inputs.classes()).max(1);
    let mut gradients = outputs.gradients.logits.into_iter().flat_map(|all| all.chunks(rows));
    for (i, losses) in outputs.losses.chunks_mut(rows).enumerate() {
        let chunk = LogitsChunk { start: i * rows, losses, gradient: gradients.next() };
        chunks.push(Chunk::Logits(chunk));
    }

    let pairs = (CHUNK_LEN / (2 * inputs.width())).max(1);
    let mut gradients = outputs.gradients.features.into_iter().flat_map(|all| {
        let [first, second] = all.split_at(inputs.pairs());
        first.chunks(pairs).zip(second.chunks(pairs))
    });
    for (i, distances) in outputs.distances.chunks_mut(pairs).enumerate() {
        let chunk = FeaturesChunk { start: i * pairs, distances, gradients: gradients.next() };
        chunks.push(Chunk::Features(chunk));
    }
    chunks
}

impl Chunk<'_> {
    /// Writes the chunk's values and gradients.
    pub fn run(self, context: &Context<'_, '_>) {
        let Inputs { logits, features, .. } = context.inputs;
        match (self, logits, features) {
            (Self::Logits(chunk), Matrix::F64(_), _) => chunk.run::<f64>(context),
            (Self::Logits(chunk), ..) => chunk.run::<f32>(context),
            (Self::Features(chunk), _, Matrix::F64(_)) => chunk.run::<f64>(context),
            (Self::Features(chunk), ..) => chunk.run::<f32>(context),
        }
    }
}

impl LogitsChunk<'_> {
    fn run<T: Real>(mut self, context: &Context<'_, '_>) {
        let Context { inputs, targets, label_smoothing, .. } = *context;
        let mut scratch = vec![T::ZERO; 3 * inputs.classes()];
        let [for_logits, for_target, out] = scratch_rows(&mut scratch);
        let scale = self.gradient.is_some().then_some(context.row_scale);
        for (i, loss) in self.losses.iter_mut().enumerate() {
            let row = self.start + i;
            let target = targets.get(row, for_target);
            let logits = inputs.logits.row(row, for_logits);
            let fill = |out: &mut [T]| match target {
                Some(target) => cross_entropy(logits, target, label_smoothing, scale, out),
                None => {
                    out.fill(T::ZERO);
                    0.0
                }
            };
            *loss = match &mut self.gradient {
                Some(gradient) => gradient.fill_row(i, out, fill),
                None => fill(out),
            };
        }
    }
}

impl FeaturesChunk<'_> {
    fn run<T: Real>(mut self, context: &Context<'_, '_>) {
        let Context { inputs, similarity, pair_scale: scale, .. } = *context;
        let mut scratch = vec![T::ZERO; 4 * inputs.width()];
        let [for_first, for_second, out_first, out_second] = scratch_rows(&mut scratch);
        for (i, distance) in self.distances.iter_mut().enumerate() {
            let row = self.start + i;
            let rows = RowPair {
                first: inputs.features.row(row, for_first),
                second: inputs.features.row(row + inputs.pairs(), for_second),
            };
            *distance = match &mut self.gradients {
                Some((to_first, to_second)) => to_first.fill_row(i, out_first, |first| {
                    to_second.fill_row(i, out_second, |second| {
                        let out = RowPairMut { first, second };
                        similarity.distance(rows, Some(PairGradient { scale, out }))
                    })
                }),
                None => similarity.distance(rows, None),
            };
        }
    }
}

/// `N` rows for what must be converted. They share one allocation, since for the smallest batches
/// the time of more allocations shows.
fn scratch_rows<T, const N: usize>(scratch: &mut [T]) -> [&mut [T]; N] {
    let mut rows = scratch.chunks_exact_mut(scratch.len() / N);
    std::array::from_fn(|_| rows.next().expect("N rows"))
}
