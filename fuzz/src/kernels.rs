//! The kernels of every instruction set that the machine has, at any size, against the portable ones:
//! resizes, ops, and elements of batches. All must be the same bit for bit.

use arbitrary::{Result, Unstructured};
use half::{bf16, f16};
use tied_augment::image::{ImageRef, Planes, Rect};
use tied_augment::loader::{Format, Layout};
use tied_augment::ops::{self, Scratch};
use tied_augment::resize::{Filter, Flips, Part, Resizer};

use super::{draw, without_best_instructions};

/// More than any kernel has instruction sets.
const ALL: usize = 8;

pub fn check(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    // An error only means that the bytes are used up.
    let _ = match u.int_in_range(0..=2) {
        Ok(0) => resize(&mut u),
        Ok(1) => op(&mut u),
        _ => elements(&mut u),
    };
}

fn side(u: &mut Unstructured<'_>) -> Result<u32> {
    if u.ratio(1, 16)? { u.int_in_range(1..=400) } else { u.int_in_range(1..=48) }
}

/// A part of a resize, and that it is the part of the whole.
fn resize(u: &mut Unstructured<'_>) -> Result<()> {
    let (input, output) = ((side(u)?, side(u)?), (side(u)?, side(u)?));
    if input.0.max(output.0) * input.1.max(output.1) > 1 << 12 {
        return Ok(());
    }
    let filter = *u.choose(&Filter::ALL)?;
    let (x, y) = (u.int_in_range(0..=output.1 - 1)?, u.int_in_range(0..=output.0 - 1)?);
    let (w, h) = (u.int_in_range(1..=output.1 - x)?, u.int_in_range(1..=output.0 - y)?);
    let part = Part { input, output, rect: Rect { x: x as i32, y: y as i32, w, h }, filter };
    let flips = Flips { horizontal: u.arbitrary()?, vertical: u.arbitrary()? };
    let pixels = draw::pixels(u, 3 * input.0 as usize * input.1 as usize)?;
    let image = ImageRef::new(input.1, input.0, &pixels);

    let needed = part.needed();
    let run = |simd, part: Part, flips| {
        let mut out = vec![0; 3 * part.rect.w as usize * part.rect.h as usize];
        let (source, region) = match part.rect == Part::whole(input, output, filter).rect {
            true => (image, Rect { x: 0, y: 0, w: input.1, h: input.0 }),
            false => (image.crop(needed), needed),
        };
        Resizer::with_simd(simd).resize_part(source, region, part, flips, &mut out);
        out
    };
    let portable = Resizer::available().last().expect("there is one");
    let expected = run(portable, part, flips);
    for simd in Resizer::available() {
        assert!(run(simd, part, flips) == expected, "{}, {part:?}, {flips:?}", simd.name());
    }
    let whole = run(portable, Part::whole(input, output, filter), Flips::default());
    for (i, &value) in run(portable, part, Flips::default()).iter().enumerate() {
        let (plane, row, column) = (i / (w * h) as usize, i as u32 / w % h, i as u32 % w);
        let at = (plane * output.0 as usize + (y + row) as usize) * output.1 as usize;
        assert_eq!(value, whole[at + (x + column) as usize], "{part:?} at {i}");
    }
    Ok(())
}

/// A few ops, one after the other.
fn op(u: &mut Unstructured<'_>) -> Result<()> {
    let size = (side(u)?, side(u)?);
    let ops = draw::ops(u, 2)?;
    if size.0 * size.1 > 1 << 12 || ops.iter().any(|op| op.validate().is_err()) {
        return Ok(());
    }
    let pixels = draw::pixels(u, 3 * size.0 as usize * size.1 as usize)?;
    let run = |skipped| {
        without_best_instructions(skipped);
        let mut data = pixels.clone();
        ops::apply(&ops, &mut Planes::new(size, &mut data), &mut Scratch::default());
        without_best_instructions(0);
        data
    };
    let expected = run(ALL);
    for skipped in 0..3 {
        assert!(run(skipped) == expected, "without {skipped}: {ops:?} at {size:?}");
    }
    Ok(())
}

/// Normalised elements against their definition.
fn elements(u: &mut Unstructured<'_>) -> Result<()> {
    let number = |u: &mut Unstructured<'_>| match u.int_in_range(0..=3)? {
        0 => u.arbitrary::<f32>(),
        _ => u.arbitrary::<u8>().map(|v| f32::from(v) / 256.0),
    };
    let mean = [number(u)?, number(u)?, number(u)?];
    let std = [number(u)?, number(u)?, number(u)?];
    let size = *u.choose(&[0, 1, 2])?;
    let mut table = Vec::with_capacity(768 * 4);
    for (mean, std) in mean.into_iter().zip(std) {
        for v in 0..256u16 {
            let value = (f32::from(v) / 255.0 - mean) / std;
            match size {
                0 => table.extend(value.to_ne_bytes()),
                1 => table.extend(f16::from_f32(value).to_ne_bytes()),
                _ => table.extend(bf16::from_f32(value).to_ne_bytes()),
            }
        }
    }
    let layout = *u.choose(&[Layout::Planes, Layout::Interleaved])?;
    let (streaming, offset) = (u.arbitrary()?, u.int_in_range(0..=70)?);
    let count = u.int_in_range(0..=600usize)?;
    let view = draw::pixels(u, 3 * count)?;

    let bytes = table.len() / 768;
    let entry = |c: usize, i: usize| {
        let at = (256 * c + usize::from(view[c * count + i])) * bytes;
        &table[at..at + bytes]
    };
    let expected: Vec<u8> = match layout {
        Layout::Planes => {
            (0..3 * count).flat_map(|i| entry(i / count, i % count)).copied().collect()
        }
        Layout::Interleaved => (0..3 * count).flat_map(|i| entry(i % 3, i / 3)).copied().collect(),
    };
    for skipped in [0, 1, ALL] {
        without_best_instructions(skipped);
        let format = Format::new(Some(&table), Some([mean, std]), layout).expect("a table");
        without_best_instructions(0);
        let mut out = vec![0; offset + expected.len()];
        format.write(&view, streaming, &mut out[offset..]);
        assert!(out[offset..] == expected, "without {skipped}: mean {mean:?}, std {std:?}");
    }
    Ok(())
}
