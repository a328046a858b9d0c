//! Interleaved RGB8 to planes, with flips and with what a padded crop has outside the image.
//!
//! Imports [`crate::image`].

use crate::image::{ImageRef, Planes, Rect};

/// Which axes are mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flips {
    /// Left and right change places.
    pub horizontal: bool,
    /// Top and bottom change places.
    pub vertical: bool,
}

/// Writes `source` into three planes of its own size, flipped.
///
/// # Panics
/// If `out` does not hold `3 * height * width` bytes.
pub(crate) fn planes(source: ImageRef<'_>, flips: Flips, out: &mut [u8]) {
    let mut planes = Planes::new((source.height, source.width), out);
    let (height, width) = (planes.height(), planes.width());
    let [red, green, blue] = planes.channels();
    for y in 0..height {
        let row = source.row(if flips.vertical { height - 1 - y } else { y } as u32);
        let part = y * width..(y + 1) * width;
        let [r, g, b] = [&mut red[part.clone()], &mut green[part.clone()], &mut blue[part]];
        let (pixels, _) = row.as_chunks::<3>();
        for (((r, g), b), pixel) in r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut()).zip(pixels) {
            [*r, *g, *b] = *pixel;
        }
        if flips.horizontal {
            [r, g, b].into_iter().for_each(<[u8]>::reverse);
        }
    }
}

/// Writes the part `crop` of `source` into three planes, flipped, with black where `crop` is
/// outside.
///
/// # Panics
/// If `out` does not hold `3 * crop.h * crop.w` bytes.
pub(crate) fn padded(source: ImageRef<'_>, crop: Rect, flips: Flips, out: &mut [u8]) {
    let (height, width) = (crop.h as usize, crop.w as usize);
    assert_eq!(out.len(), 3 * height * width, "the output must be 3 x {height} x {width}");
    let Some(inside) = crop.clip(source.width, source.height) else {
        return out.fill(0);
    };
    if inside == crop {
        return planes(source.crop(crop), flips, out);
    }
    out.fill(0);
    let part = source.crop(inside);
    let place = |offset: u32, total: usize, flip: bool| {
        move |i: usize| {
            let i = offset as usize + i;
            if flip { total - 1 - i } else { i }
        }
    };
    let to_x = place((inside.x - crop.x) as u32, width, flips.horizontal);
    let to_y = place((inside.y - crop.y) as u32, height, flips.vertical);
    for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
        for y in 0..inside.h {
            let row = &mut plane[to_y(y as usize) * width..][..width];
            for (x, pixel) in part.row(y).chunks_exact(3).enumerate() {
                row[to_x(x)] = pixel[channel];
            }
        }
    }
}
