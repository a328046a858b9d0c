//! Pixels of packed images with [`crate::decode::samples`].

use std::ops::Range;

use crate::decode::coefficients::Block;
use crate::decode::samples::{Buffers, Chroma, Images, Tiles};
use crate::error::{Error, Result};
use crate::image::{Image, Rect};
use crate::packed::Packed;
use crate::packed::geometry::Geometry;

impl Tiles for &Packed<'_> {
    type Error = Error;

    fn mcus(&self) -> usize {
        self.grid().tile_mcus
    }

    fn read(
        &mut self,
        (row, column): (usize, usize),
        _: Range<usize>,
        blocks: &mut [Block],
    ) -> Result<()> {
        self.tile(row, column, blocks)
    }
}

/// How to make pixels of such an image. `None` if libjpeg has to do it.
pub fn images(geometry: &Geometry) -> Option<Images> {
    Images::of(chroma(geometry)?)
}

/// As [`crate::decode::Opened::read`].
pub fn read(
    images: Images,
    mut packed: &Packed<'_>,
    parts: &[Rect],
    buffers: &mut Buffers,
    image: &mut Image,
) -> Result<Rect> {
    let geometry = packed.geometry();
    let size = (geometry.size.0.into(), geometry.size.1.into());
    let mut steps = [&[0; 64]; 3];
    for (steps, info) in steps.iter_mut().zip(&geometry.components) {
        *steps = &geometry.tables[usize::from(info.table)];
    }
    let steps = &steps[..geometry.components.len()];
    images.read(&mut packed, (size, steps), parts, buffers, image)
}

/// How the chroma of an image is sampled, if its colours are YCbCr or grey.
fn chroma(geometry: &Geometry) -> Option<Chroma> {
    let width = geometry.size.1.into();
    let [luma, cb, cr] = match &geometry.components[..] {
        [luma] => return Chroma::of(&[luma.sampling], width),
        [luma, cb, cr] => [luma, cb, cr],
        _ => return None,
    };
    // As `default_decompress_parms` of libjpeg's `jdapimin.c` finds out which colours they are.
    let named = [luma.id, cb.id, cr.id] == [1, 2, 3];
    let ycc = geometry.jfif || geometry.adobe.map_or(named, |transform| transform == 1);
    let samplings = [luma, cb, cr].map(|info| info.sampling);
    Chroma::of(&samplings, width).filter(|_| ycc)
}
