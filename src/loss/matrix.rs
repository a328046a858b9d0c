//! Array views of every dtype that the loss takes.
//!
//! A dtype is known when the program runs, so a view is an enum with a variant per dtype. This is
//! the only place that tells the variants apart. Everything else is written once, for rows of f32
//! or f64.

use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, Axis};

use super::real::Real;

/// Defines an enum with a view per dtype, each of which converts into it.
macro_rules! views {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident of $view:ident { $($variant:ident($element:ty)),+ $(,)? }
    ) => {
        $(#[$attribute])*
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the variants' types say it all")]
        pub enum $name<'a> { $($variant($view<'a, $element>)),+ }

        $(impl<'a> From<$view<'a, $element>> for $name<'a> {
            fn from(view: $view<'a, $element>) -> Self {
                Self::$variant(view)
            }
        })+
    };
}

views! {
    /// A matrix to read, in standard (C) layout. Made from a view of `ndarray` by `into`.
    #[derive(Clone, Copy, Debug)]
    pub enum Matrix of ArrayView2 { F16(f16), Bf16(bf16), F32(f32), F64(f64) }
}

views! {
    /// A matrix to write, in standard (C) layout. Made from a mutable view of `ndarray` by `into`.
    ///
    /// Half precision is rounded to nearest even.
    #[derive(Debug)]
    pub enum MatrixMut of ArrayViewMut2 { F16(f16), Bf16(bf16), F32(f32), F64(f64) }
}

views! {
    /// Class indices. Made from a view of `ndarray` by `into`.
    #[derive(Clone, Copy, Debug)]
    pub enum Labels of ArrayView1 {
        I8(i8), I16(i16), I32(i32), I64(i64), U8(u8), U16(u16), U32(u32), U64(u64),
    }
}

/// Evaluates `$result` with the view in `$matrix` as `$view`.
macro_rules! with_view {
    ($matrix:expr, $view:ident => $result:expr) => {
        match $matrix {
            Self::F16($view) => $result,
            Self::Bf16($view) => $result,
            Self::F32($view) => $result,
            Self::F64($view) => $result,
        }
    };
}

impl Matrix<'_> {
    /// The number of rows and of columns.
    pub(super) fn shape(&self) -> [usize; 2] {
        with_view!(self, view => [view.nrows(), view.ncols()])
    }

    /// The dtype, as numpy and PyTorch call it.
    pub(super) fn dtype(&self) -> &'static str {
        match self {
            Self::F16(_) => "float16",
            Self::Bf16(_) => "bfloat16",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }

    pub(super) fn is_standard_layout(&self) -> bool {
        with_view!(self, view => view.is_standard_layout())
    }

    /// Row `row` as `T`: borrowed if it has this type, else converted into `scratch`.
    pub(super) fn row<'a, T: Real>(&'a self, row: usize, scratch: &'a mut [T]) -> &'a [T] {
        with_view!(self, view => T::read(view.row(row).to_slice().expect(CHECKED), scratch))
    }
}

impl MatrixMut<'_> {
    /// The same matrix, to read.
    pub(super) fn view(&self) -> Matrix<'_> {
        with_view!(self, view => view.view().into())
    }

    /// The same matrix, to write, for as long as `self` is borrowed.
    pub(super) fn view_mut(&mut self) -> MatrixMut<'_> {
        with_view!(self, view => view.view_mut().into())
    }

    /// The rows before row `row`, and the others.
    pub(super) fn split_at(self, row: usize) -> [Self; 2] {
        with_view!(self, view => {
            let (before, after) = view.split_at(Axis(0), row);
            [before.into(), after.into()]
        })
    }

    /// Parts of `rows` rows each; the last one may have fewer.
    pub(super) fn chunks(self, rows: usize) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let all = rest.take()?;
            if all.view().shape()[0] <= rows {
                return Some(all);
            }
            let [chunk, others] = all.split_at(rows);
            rest = Some(others);
            Some(chunk)
        })
    }

    /// Lets `fill` compute row `row` as `T`: in place if it has this type, else in `scratch`, which
    /// is then converted.
    pub(super) fn fill_row<T: Real, R>(
        &mut self,
        row: usize,
        scratch: &mut [T],
        fill: impl FnOnce(&mut [T]) -> R,
    ) -> R {
        with_view!(self, view => {
            T::write(view.row_mut(row).into_slice().expect(CHECKED), scratch, fill)
        })
    }
}

/// Why rows are slices.
const CHECKED: &str = "the layout was checked";

impl Labels<'_> {
    /// The indices in a type that holds all of them.
    pub(super) fn to_vec(self) -> Vec<i128> {
        macro_rules! widen {
            ($($variant:ident)+) => {
                match self { $(Self::$variant(view) => view.iter().map(|&v| v.into()).collect()),+ }
            };
        }
        widen!(I8 I16 I32 I64 U8 U16 U32 U64)
    }
}
