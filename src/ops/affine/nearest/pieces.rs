//! Transforms of which each output row is a piece of an input row: translations, and shears along
//! the rows. The pieces are moved within the planes.

use std::ops::Range;

use super::super::padded::Pixel;
use crate::image::Planes;

/// An output row that is a piece of an input row.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// The input row.
    pub row: usize,
    /// The input column of the first pixel.
    pub first: usize,
    /// The output columns. All others are outside the image.
    pub span: Range<usize>,
}

/// The order in which rows are moved, so that none is overwritten before it has been read.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// The upper rows first: the content moves up, or along the rows only.
    Down,
    /// The lower rows first.
    Up,
}

impl Order {
    /// The order for `pieces`, one per output row, if there is one.
    pub fn of(pieces: &[Piece]) -> Option<Self> {
        let rows = || pieces.iter().enumerate().filter(|(_, piece)| !piece.span.is_empty());
        if rows().all(|(y, piece)| piece.row >= y) {
            Some(Self::Down)
        } else {
            rows().all(|(y, piece)| piece.row <= y).then_some(Self::Up)
        }
    }
}

/// Writes output row `y` from `pieces[y]`.
///
/// Rows that are moved alike are moved at once, with what lies between their pieces, which is then
/// filled.
pub fn move_pieces(pieces: &[Piece], order: Order, fill: Pixel, planes: &mut Planes<'_>) {
    let width = planes.width();
    let alike = |a: &Piece, b: &Piece| a.span == b.span && a.first == b.first && a.row + 1 == b.row;
    for (plane, fill) in planes.channels().into_iter().zip(fill) {
        let mut write = |y: usize, group: &[Piece]| {
            let Piece { row, first, ref span } = group[0];
            let (from, to) = (row * width + first, y * width);
            let len = (group.len() - 1) * width + span.len();
            plane.copy_within(from..from + len, to + span.start);
            for row in plane[to..].chunks_exact_mut(width).take(group.len()) {
                paint(&mut row[..span.start], fill);
                paint(&mut row[span.end..], fill);
            }
        };
        let groups = pieces.chunk_by(alike);
        match order {
            Order::Down => {
                let mut y = 0;
                for group in groups {
                    write(y, group);
                    y += group.len();
                }
            }
            Order::Up => {
                let mut y = pieces.len();
                for group in groups.rev() {
                    y -= group.len();
                    write(y, group);
                }
            }
        }
    }
}

/// As `fill`, but what is short takes two stores that overlap rather than a call: a translation by a
/// few pixels took twice as long with calls.
#[inline(always)]
fn paint(row: &mut [u8], value: u8) {
    let len = row.len();
    match len {
        0 => {}
        4..8 => {
            row[..4].fill(value);
            row[len - 4..].fill(value);
        }
        8..16 => {
            row[..8].fill(value);
            row[len - 8..].fill(value);
        }
        16..=32 => {
            row[..16].fill(value);
            row[len - 16..].fill(value);
        }
        _ => row.fill(value),
    }
}
