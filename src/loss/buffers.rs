//! Matrices of any dtype that the loss takes, read and written a row at a time.
//!
//! What is computed in f32 or f64 anyway is borrowed; half precision passes through one row of scratch.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::kernels;

/// Floating-point numbers to read.
#[derive(Clone, Copy, Debug)]
pub enum Floats<'a> {
    /// IEEE half precision.
    F16(&'a [f16]),
    /// The upper half of an f32.
    Bf16(&'a [bf16]),
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision.
    F64(&'a [f64]),
}

/// Floating-point numbers to write.
#[derive(Debug)]
pub enum FloatsMut<'a> {
    /// IEEE half precision, rounded to nearest even.
    F16(&'a mut [f16]),
    /// The upper half of an f32, rounded to nearest even.
    Bf16(&'a mut [bf16]),
    /// Single precision.
    F32(&'a mut [f32]),
    /// Double precision.
    F64(&'a mut [f64]),
}

/// Class indices of any integer type.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the variants' types say it all")]
pub enum Labels<'a> {
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

macro_rules! each {
    ($enum:ident($($variant:ident),+), $of:expr, $slice:ident => $result:expr) => {
        match $of { $($enum::$variant($slice) => $result),+ }
    };
}

impl Floats<'_> {
    /// The number of elements.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        each!(Floats(F16, Bf16, F32, F64), self, slice => slice.len())
    }

    /// The dtype's name.
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F16(_) => "float16",
            Self::Bf16(_) => "bfloat16",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }
}

impl<'a> FloatsMut<'a> {
    /// The number of elements.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        each!(FloatsMut(F16, Bf16, F32, F64), self, slice => slice.len())
    }

    /// The dtype's name.
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F16(_) => "float16",
            Self::Bf16(_) => "bfloat16",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }

    /// Fills it with zeros.
    pub(super) fn zero(self) {
        match self {
            Self::F16(slice) => slice.fill(f16::ZERO),
            Self::Bf16(slice) => slice.fill(bf16::ZERO),
            Self::F32(slice) => slice.fill(0.0),
            Self::F64(slice) => slice.fill(0.0),
        }
    }

    /// Both sides of element `at`.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        macro_rules! split {
            ($($variant:ident),+) => {
                match self {
                    $(Self::$variant(slice) => {
                        let (left, right) = slice.split_at_mut(at);
                        (Self::$variant(left), Self::$variant(right))
                    })+
                }
            };
        }
        split!(F16, Bf16, F32, F64)
    }

    /// The pieces of `len` elements, the last one perhaps shorter.
    pub(super) fn pieces(self, len: usize) -> Vec<FloatsMut<'a>> {
        macro_rules! pieces {
            ($($variant:ident),+) => {
                match self {
                    $(Self::$variant(slice) => {
                        slice.chunks_mut(len).map(FloatsMut::$variant).collect()
                    })+
                }
            };
        }
        pieces!(F16, Bf16, F32, F64)
    }
}

impl Labels<'_> {
    /// The number of elements.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        each!(Labels(I8, I16, I32, I64, U8, U16, U32, U64), self, slice => slice.len())
    }

    /// Element `index`, whatever its type.
    pub(super) fn get(&self, index: usize) -> i128 {
        each!(Labels(I8, I16, I32, I64, U8, U16, U32, U64), self, slice => slice[index].into())
    }
}

/// Rows as numbers of the type that the loss is computed in.
pub trait Rows: Sized {
    /// Row `row` of `columns` numbers, borrowed if it has this type, else converted into `scratch`.
    fn read<'a>(from: Floats<'a>, row: usize, scratch: &'a mut [Self]) -> &'a [Self];

    /// Lets `write` fill row `row` of `to`, at once or by way of `scratch`.
    fn write<R>(
        to: &mut FloatsMut<'_>,
        row: usize,
        scratch: &mut [Self],
        write: impl FnOnce(&mut [Self]) -> R,
    ) -> R;
}

macro_rules! rows {
    ($real:ty, $same:ident, $other:ident, $to:ident, $from:ident, $widen:expr, $narrow:expr) => {
        impl Rows for $real {
            fn read<'a>(from: Floats<'a>, row: usize, scratch: &'a mut [Self]) -> &'a [Self] {
                let columns = scratch.len();
                let part = row * columns..(row + 1) * columns;
                match from {
                    Floats::$same(slice) => return &slice[part],
                    Floats::$other(slice) => {
                        for (to, from) in scratch.iter_mut().zip(&slice[part]) {
                            *to = *from as Self;
                        }
                    }
                    Floats::F16(slice) => slice[part].$to(scratch),
                    Floats::Bf16(slice) => $widen(&slice[part], scratch),
                }
                scratch
            }

            fn write<R>(
                to: &mut FloatsMut<'_>,
                row: usize,
                scratch: &mut [Self],
                write: impl FnOnce(&mut [Self]) -> R,
            ) -> R {
                let columns = scratch.len();
                let part = row * columns..(row + 1) * columns;
                if let FloatsMut::$same(slice) = to {
                    return write(&mut slice[part]);
                }
                let result = write(scratch);
                match to {
                    FloatsMut::$same(slice) => slice[part].copy_from_slice(scratch),
                    FloatsMut::$other(slice) => {
                        for (to, from) in slice[part].iter_mut().zip(scratch) {
                            *to = *from as _;
                        }
                    }
                    FloatsMut::F16(slice) => slice[part].$from(scratch),
                    FloatsMut::Bf16(slice) => $narrow(scratch, &mut slice[part]),
                }
                result
            }
        }
    };
}

rows!(f32, F32, F64, convert_to_f32_slice, convert_from_f32_slice, kernels::widen, kernels::narrow);
rows!(
    f64,
    F64,
    F32,
    convert_to_f64_slice,
    convert_from_f64_slice,
    <[bf16]>::convert_to_f64_slice,
    |from: &[f64], to: &mut [bf16]| to.convert_from_f64_slice(from)
);
