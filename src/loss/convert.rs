//! Rows of every dtype, read and written as f32 or f64.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use multiversion::multiversion;

/// Rows that are stored as `S` and computed as `Self`.
pub trait Convert<S>: Sized {
    /// Returns `row` as `Self`: the row itself if it has this type, else converted into `scratch`.
    fn read<'a>(row: &'a [S], scratch: &'a mut [Self]) -> &'a [Self];

    /// Lets `fill` compute `row`: in place if it has this type, else in `scratch`, which is then
    /// converted.
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
converted!(bf16, f32, widen, narrow);
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

/// bfloat16 to f32, exactly. It vectorises, unlike the conversion of `half`.
#[multiversion(targets = "simd")]
fn widen(from: &[bf16], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(from.to_bits()) << 16);
    }
}

/// f32 to bfloat16, to nearest even. Every NaN becomes a quiet NaN.
#[multiversion(targets = "simd")]
fn narrow(from: &[f32], to: &mut [bf16]) {
    for (to, &from) in to.iter_mut().zip(from) {
        let bits = from.to_bits();
        let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
        let nan = (bits >> 16) | 0x40;
        *to = bf16::from_bits(if from.is_nan() { nan } else { rounded } as u16);
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::{narrow, widen};

    #[test]
    fn bfloat16_conversions_are_those_of_half() {
        let all: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        let mut wide = vec![0.0; all.len()];
        widen(&all, &mut wide);
        for (&small, &wide) in all.iter().zip(&wide) {
            assert!(small.is_nan() == wide.is_nan());
            assert!(small.is_nan() || small.to_f32().to_bits() == wide.to_bits(), "{small}");
        }
        // Around every tie between two of them.
        for low in [0u32, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
            let near = |v: &f32| f32::from_bits((v.to_bits() & 0xFFFF_0000) | low);
            let wide: Vec<f32> = wide.iter().map(near).collect();
            let mut small = vec![bf16::ZERO; wide.len()];
            narrow(&wide, &mut small);
            for (&wide, &small) in wide.iter().zip(&small) {
                assert_eq!(small.to_bits(), bf16::from_f32(wide).to_bits(), "{wide}");
            }
        }
    }
}
