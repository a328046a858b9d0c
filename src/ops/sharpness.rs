//! [`Sharpness`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::blend::{Blend, byte};
use super::kernel::{Kernel, Scratch, check_finite};
use crate::image::Planes;
use crate::memory;

/// Pillow's `ImageEnhance.Sharpness(image).enhance(factor)`: the blend of the smoothed image and
/// the image.
///
/// The smoothing is `ImageFilter.SMOOTH`, the kernel (1,1,1; 1,5,1; 1,1,1) / 13. Each of its rows
/// is summed in f32. The sums of the rows are added to 0.5, the lowest row first, and the total is
/// truncated. The outermost pixels are not smoothed, so the blend leaves them as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharpness {
    /// 0 gives the smoothed image, 1 the image.
    pub factor: f64,
}

impl Kernel for Sharpness {
    fn validate(&self) -> Result<(), String> {
        check_finite("factor", self.factor)
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let (height, width) = (planes.height(), planes.width());
        // Pillow does not smooth an image that is smaller than the kernel.
        if self.factor as f32 == 1.0 || height < 3 || width < 3 {
            return;
        }
        let blend = Blend::new(self.factor as f32);
        let copy = &mut scratch.plane;
        for plane in planes.channels() {
            memory::copy(plane, copy);
            for y in 1..height - 1 {
                let row = |y: usize| &copy[y * width..][..width];
                let out = &mut plane[y * width + 1..][..width - 2];
                sharpen_row(row(y - 1), row(y), row(y + 1), blend, out);
            }
        }
    }
}

#[multiversion(targets = "simd")]
fn sharpen_row(above: &[u8], row: &[u8], below: &[u8], blend: Blend, out: &mut [u8]) {
    const EDGE: f32 = 1.0 / 13.0;
    const CENTRE: f32 = 5.0 / 13.0;
    let len = out.len();
    let (a0, a1, a2) = (&above[..len], &above[1..][..len], &above[2..][..len]);
    let (r0, r1, r2) = (&row[..len], &row[1..][..len], &row[2..][..len]);
    let (b0, b1, b2) = (&below[..len], &below[1..][..len], &below[2..][..len]);
    let f = |v: u8| f32::from(v);
    for x in 0..len {
        let mut sum = 0.5f32;
        sum += f(b0[x]) * EDGE + f(b1[x]) * EDGE + f(b2[x]) * EDGE;
        sum += f(r0[x]) * EDGE + f(r1[x]) * CENTRE + f(r2[x]) * EDGE;
        sum += f(a0[x]) * EDGE + f(a1[x]) * EDGE + f(a2[x]) * EDGE;
        out[x] = blend.of(byte(sum), r1[x]);
    }
}
