//! The distances between the features of two views: names, formulas and gradients.
//!
//! To add one, add it to the list and follow the compiler to the two matches below. Its loops over
//! a row go to `kernels`.

use std::str::FromStr;

use super::kernels::{self, Products, RowPair, RowPairMut};
use super::real::Real;
use crate::error::Error;

/// Defines the enum, the list of all its variants, and their names, from one list.
macro_rules! similarities {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A distance between the features of two views: 0 for equal features.
        ///
        /// ```
        /// use tied_augment::loss::Similarity;
        ///
        /// assert_eq!("cosine".parse::<Similarity>()?, Similarity::Cosine);
        /// # Ok::<(), tied_augment::error::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Similarity { $($(#[$doc])* $variant),+ }

        impl Similarity {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that Python's `TiedLoss` uses, and that `parse` reads.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

similarities! {
    /// The mean of the squared differences, over all numbers.
    Mse = "mse",
    /// The mean of the absolute differences, over all numbers. The derivative at 0 is 0.
    L1 = "l1",
    /// The mean of 1 - cosine, over all pairs of rows. A norm below 1e-8 counts as 1e-8.
    Cosine = "cosine",
}

impl FromStr for Similarity {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|known| known.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|known| known.name()).collect();
            let known = known.join("', '");
            Error::Argument(format!("similarity must be one of '{known}', not '{name}'"))
        })
    }
}

/// Where to write `scale` times the gradient of a distance, by either row.
pub struct PairGradient<'a, T> {
    pub scale: f64,
    pub out: RowPairMut<'a, T>,
}

impl Similarity {
    /// The factor that turns the sum of all pairs' distances into the mean.
    pub(super) fn mean_factor(self, pairs: usize, width: usize) -> f64 {
        match self {
            Self::Mse | Self::L1 => 1.0 / (pairs * width) as f64,
            Self::Cosine => 1.0 / pairs as f64,
        }
    }

    /// The distance of two rows, not yet divided by how many there are. Writes the gradient if one
    /// is wanted.
    pub(super) fn distance<T: Real>(
        self,
        rows: RowPair<'_, T>,
        gradient: Option<PairGradient<'_, T>>,
    ) -> f64 {
        match self {
            Self::Mse => mse(rows, gradient),
            Self::L1 => l1(rows, gradient),
            Self::Cosine => cosine(rows, gradient),
        }
    }
}

/// The sum of `(a - b)^2`, whose derivative by `a` is `2 (a - b)`.
fn mse<T: Real>(rows: RowPair<'_, T>, gradient: Option<PairGradient<'_, T>>) -> f64 {
    if let Some(PairGradient { scale, out }) = gradient {
        kernels::differences(rows, T::from_f64(2.0 * scale), out);
    }
    kernels::squares(rows)
}

/// The sum of `|a - b|`, whose derivative by `a` is the sign of `a - b`.
fn l1<T: Real>(rows: RowPair<'_, T>, gradient: Option<PairGradient<'_, T>>) -> f64 {
    if let Some(PairGradient { scale, out }) = gradient {
        kernels::signs(rows, T::from_f64(scale), out);
    }
    kernels::distances(rows)
}

/// Smaller norms count as this, as in `torch.nn.functional.cosine_similarity`.
const MIN_NORM: f64 = 1e-8;

/// `1 - cos`, with `cos = a.b / (|a| |b|)`, whose derivative by `a` is
/// `cos a / |a|^2 - b / (|a| |b|)`.
fn cosine<T: Real>(rows: RowPair<'_, T>, gradient: Option<PairGradient<'_, T>>) -> f64 {
    let Products { dot, first_square, second_square } = kernels::products(rows);
    let norms = [first_square.sqrt(), second_square.sqrt()];
    let clamped = norms.map(|norm| norm.max(MIN_NORM));
    let product = clamped[0] * clamped[1];
    if let Some(PairGradient { scale, out }) = gradient {
        // Like PyTorch, the gradient ignores the clamp: one of the two norms is the unclamped one.
        let own = [0, 1].map(|i| match norms[i] {
            0.0 => T::ZERO,
            norm => T::from_f64(scale * dot / product / (clamped[i] * norm)),
        });
        kernels::combine(rows, own, T::from_f64(-scale / product), out);
    }
    1.0 - dot / product
}
