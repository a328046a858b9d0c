//! Rows of every dtype, read and written as f32 or f64.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::kernels;

/// Rows that are stored as `S` and computed as `Self`.
pub trait Convert<S>: Sized {
    /// `row` as `Self`: itself if it has this type, else converted into `scratch`.
    fn read<'a>(row: &'a [S], scratch: &'a mut [Self]) -> &'a [Self];

    /// Has `fill` compute `row`: in place if it has this type, else in `scratch`, then converted.
    fn write<R>(row: &mut [S], scratch: &mut [Self], fill: impl FnOnce(&mut [Self]) -> R) -> R;
}

macro_rules! same {
    ($real:ty) => {
        impl Convert<$real> for $real {
            fn read<'a>(row: &'a [Self], _: &'a mut [Self]) -> &'a [Self] {
                row
            }

            fn write<R>(
                row: &mut [Self],
                _: &mut [Self],
                fill: impl FnOnce(&mut [Self]) -> R,
            ) -> R {
                fill(row)
            }
        }
    };
}

macro_rules! converted {
    ($stored:ty, $real:ty, $load:expr, $store:expr) => {
        impl Convert<$stored> for $real {
            fn read<'a>(row: &'a [$stored], scratch: &'a mut [Self]) -> &'a [Self] {
                $load(row, &mut *scratch);
                scratch
            }

            fn write<R>(
                row: &mut [$stored],
                scratch: &mut [Self],
                fill: impl FnOnce(&mut [Self]) -> R,
            ) -> R {
                let result = fill(scratch);
                $store(&*scratch, row);
                result
            }
        }
    };
}

same!(f32);
same!(f64);
converted!(f64, f32, f64_to_f32, f32_to_f64);
converted!(f32, f64, f32_to_f64, f64_to_f32);
converted!(bf16, f32, kernels::widen, kernels::narrow);
converted!(f16, f32, <[f16]>::convert_to_f32_slice, |from: &[f32], to: &mut [f16]| {
    to.convert_from_f32_slice(from);
});
converted!(f16, f64, <[f16]>::convert_to_f64_slice, |from: &[f64], to: &mut [f16]| {
    to.convert_from_f64_slice(from);
});
converted!(bf16, f64, <[bf16]>::convert_to_f64_slice, |from: &[f64], to: &mut [bf16]| {
    to.convert_from_f64_slice(from);
});

fn f64_to_f32(from: &[f64], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from as f32;
    }
}

fn f32_to_f64(from: &[f32], to: &mut [f64]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f64::from(from);
    }
}
