//! torchvision's `adjust_hue` on PIL images: to Pillow's HSV, a shift of H, and back.

use multiversion::multiversion;

/// torchvision's `adjust_hue(image, factor)`: H, in 256ths of a turn, plus `trunc(255 factor)`,
/// around the circle.
pub fn shift((height, width): (usize, usize), planes: &mut [u8], factor: f64) {
    shift_by(height * width, planes, (factor * 255.0) as i32 as u8);
}

#[multiversion(targets = "simd")]
fn shift_by(plane: usize, planes: &mut [u8], by: u8) {
    let (r, rest) = planes.split_at_mut(plane);
    let (g, b) = rest.split_at_mut(plane);
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let (h, s, v) = to_hsv(*r, *g, *b);
        [*r, *g, *b] = to_rgb(h.wrapping_add(by), s, v);
    }
}

/// Pillow's `rgb2hsv_row`, with its mix of f32 and f64; without branches. A gray has no S.
#[inline(always)]
fn to_hsv(r: u8, g: u8, b: u8) -> (u8, u8, u8) {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    // A gray's quotients are never used; 1 keeps them finite.
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

/// Pillow's `hsv2rgb`, likewise.
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
    // A colour without S is its value: p, q and t are v then.
    [pick([v, q, p, p, t, v]), pick([t, v, v, q, p, p]), pick([p, p, t, v, v, q])]
}

/// `t`, from 0 to 256, without its fraction.
#[inline(always)]
fn truncate(t: f64) -> u8 {
    // SAFETY: `t` is from 0 to 256.
    unsafe { t.to_int_unchecked::<i32>() as u8 }
}

/// C's `round` of `t`, from 0 to 255: a tie is rounded up.
#[inline(always)]
fn round(t: f64) -> u8 {
    truncate(t + 0.5)
}

#[cfg(test)]
mod tests {
    /// Adding a half rounds as `round` does for all that `to_rgb` can round: no product comes so near
    /// below a half that the sum is inexact.
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
