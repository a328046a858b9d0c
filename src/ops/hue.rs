//! [`Hue`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use crate::image::Planes;

/// torchvision's `adjust_hue(image, factor)` on a PIL image: to Pillow's HSV, a shift of H, and
/// back.
///
/// H is in 256ths of a turn and wraps around. The shift is `trunc(255 factor)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hue {
    /// The shift in turns, -0.5 to 0.5.
    pub factor: f64,
}

impl Kernel for Hue {
    fn validate(&self) -> Result<(), String> {
        if !(-0.5..=0.5).contains(&self.factor) {
            return Err(format!("factor must be from -0.5 to 0.5, not {}", self.factor));
        }
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        shift(planes.channels(), (self.factor * 255.0) as i32 as u8);
    }
}

#[multiversion(targets = "simd")]
fn shift([r, g, b]: [&mut [u8]; 3], by: u8) {
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let (h, s, v) = to_hsv(*r, *g, *b);
        [*r, *g, *b] = to_rgb(h.wrapping_add(by), s, v);
    }
}

/// Pillow's `rgb2hsv_row` without branches, with its mix of f32 and f64. The S of a gray is 0.
#[inline(always)]
fn to_hsv(r: u8, g: u8, b: u8) -> (u8, u8, u8) {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    // The quotients of a gray are not used. A range of 1 keeps them finite.
    let range = f32::from((max - min).max(1));
    let s = range / f32::from(max.max(1));
    let to_max = |v: u8| f32::from(max - v) / range;
    let (rc, gc, bc) = (to_max(r), to_max(g), to_max(b));
    let red = f64::from(bc - gc);
    let green = f64::from((2.0 + f64::from(rc) - f64::from(bc)) as f32);
    let blue = f64::from((4.0 + f64::from(gc) - f64::from(rc)) as f32);
    let h = if g == max { green } else { blue };
    let h = if r == max { red } else { h };
    // fmod(_, 1) of a number from 0 to below 2.
    let h = h / 6.0 + 1.0;
    let h = if h >= 1.0 { h - 1.0 } else { h } as f32;
    let s = if max == min { 0 } else { truncate(f64::from(s) * 255.0) };
    (truncate(f64::from(h) * 255.0), s, max)
}

/// Pillow's `hsv2rgb`, also without branches.
#[inline(always)]
fn to_rgb(h: u8, s: u8, v: u8) -> [u8; 3] {
    let turn = f64::from(h) * 6.0 / 255.0;
    let sector = truncate(turn);
    let f = (turn - f64::from(sector)) as f32;
    let s_part = (f64::from(s) / 255.0) as f32;
    let value = f64::from(v);
    let p = round(value * (1.0 - f64::from(s_part)));
    let q = round(value * (1.0 - f64::from(s_part * f)));
    let t = round(value * (1.0 - f64::from(s_part) * (1.0 - f64::from(f))));
    let sector = if sector == 6 { 0 } else { sector };
    let pick = |of: [u8; 6]| {
        let low = if sector == 0 { of[0] } else { of[1] };
        let middle = if sector == 2 { of[2] } else { of[3] };
        let high = if sector == 4 { of[4] } else { of[5] };
        let upper = if sector < 4 { middle } else { high };
        if sector < 2 { low } else { upper }
    };
    // If S is 0, p, q and t are v, as they must be.
    [pick([v, q, p, p, t, v]), pick([t, v, v, q, p, p]), pick([p, p, t, v, v, q])]
}

/// `t`, from 0 to 256, without its fraction.
#[inline(always)]
fn truncate(t: f64) -> u8 {
    // SAFETY: `t` is from 0 to 256.
    unsafe { t.to_int_unchecked::<i32>() as u8 }
}

/// C's `round` of `t`, from 0 to 255. Ties are rounded up.
#[inline(always)]
fn round(t: f64) -> u8 {
    truncate(t + 0.5)
}

#[cfg(test)]
mod tests {
    /// `round` adds a half and truncates. That differs from C's `round` where the sum is inexact,
    /// which happens for none of the products that `to_rgb` rounds.
    #[test]
    fn a_half_added_rounds() {
        for h in 0..=255u8 {
            for s in 0..=255u8 {
                let turn = f64::from(h) * 6.0 / 255.0;
                let f = (turn - turn.floor()) as f32;
                let s = (f64::from(s) / 255.0) as f32;
                for share in [
                    1.0 - f64::from(s),
                    1.0 - f64::from(s * f),
                    1.0 - f64::from(s) * (1.0 - f64::from(f)),
                ] {
                    for v in (0..=255).map(f64::from) {
                        assert_eq!(super::round(v * share), (v * share).round() as u8);
                    }
                }
            }
        }
    }
}
