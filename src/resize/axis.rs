//! One axis of a resize: which output samples are wanted, and where the windows of input samples lie
//! that make them.

use std::ops::Range;

use super::filter::Filter;

/// What is to be resized along one axis, and which part of the result is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// The number of input samples.
    pub input: u32,
    /// The number of output samples.
    pub output: u32,
    /// The first output sample that is wanted.
    pub first: u32,
    /// The number of output samples that are wanted.
    pub count: u32,
    /// The input sample from which windows count: the first one at hand.
    pub origin: u32,
    /// Whether the wanted output is mirrored.
    pub flip: bool,
}

impl Axis {
    /// All of the output from all of the input.
    #[cfg(test)]
    pub fn whole(input: u32, output: u32, flip: bool) -> Self {
        Self { input, output, first: 0, count: output, origin: 0, flip }
    }

    /// The numbers of the wanted output samples.
    pub fn wanted(&self) -> Range<u32> {
        self.first..self.first + self.count
    }

    /// The input samples that the wanted output samples need.
    pub fn needed(&self, filter: Filter) -> Range<u32> {
        let last = self.first + self.count - 1;
        if filter == Filter::Nearest {
            // Its positions come from repeated additions, whose errors are far below a pixel.
            let position = |out| ((f64::from(out) + 0.5) * self.scale()) as u32;
            let end = position(last).saturating_add(2).min(self.input);
            return position(self.first).saturating_sub(1).min(end - 1)..end;
        }
        let sampling = Sampling::new(*self, filter.support());
        sampling.window(self.first).start as u32..sampling.window(last).end as u32
    }

    /// Input samples per output sample. Pillow has the number of input samples in single precision.
    pub fn scale(&self) -> f64 {
        f64::from(self.input as f32) / f64::from(self.output)
    }
}

/// Where the windows of an axis lie.
pub(super) struct Sampling {
    /// Input samples per output sample.
    pub scale: f64,
    /// How far a window reaches to each side.
    reach: f64,
    input: usize,
}

impl Sampling {
    /// For a filter that reaches `support` pixels to each side at scale 1.
    #[inline(always)]
    pub fn new(axis: Axis, support: f64) -> Self {
        let scale = axis.scale();
        Self { scale, reach: support * scale.max(1.0), input: axis.input as usize }
    }

    /// The place of output sample `out` in the input.
    #[inline(always)]
    pub fn center(&self, out: u32) -> f64 {
        (f64::from(out) + 0.5) * self.scale
    }

    /// The input samples of output sample `out`.
    #[inline(always)]
    pub fn window(&self, out: u32) -> Range<usize> {
        let center = self.center(out);
        let start = (center - self.reach + 0.5).max(0.0) as usize;
        start..((center + self.reach + 0.5) as usize).min(self.input)
    }
}
