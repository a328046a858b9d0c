//! Every op against golden pixels of Pillow, timm and torchvision, which `golden/generate_ops.py`
//! wrote.
//!
//! `ops.png` is a strip of tiles: the image that all ops are applied to, then the result of each op
//! in `ops.json`, in its order.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use tied_augment::image::Planes;
use tied_augment::ops::{Interpolation, Op, Scratch, apply};

const HEIGHT: usize = 17;
const WIDTH: usize = 24;
const TILE: usize = 3 * HEIGHT * WIDTH;

fn open(name: &str) -> BufReader<File> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    BufReader::new(File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn ops() -> Vec<Op> {
    let ops: Vec<Op> = serde_json::from_reader(open("ops.json")).expect("a list of ops");
    assert!(!ops.is_empty(), "there are no golden ops");
    ops
}

/// The tiles of `ops.png`, each as three planes.
fn tiles() -> Vec<Vec<u8>> {
    let mut reader = png::Decoder::new(open("ops.png")).read_info().expect("a PNG file");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
    let info = reader.next_frame(&mut pixels).expect("a picture");
    assert_eq!(info.width as usize, WIDTH);
    let planes = |tile: &[u8]| {
        (0..3).flat_map(|channel| tile.iter().skip(channel).step_by(3)).copied().collect()
    };
    pixels.chunks_exact(TILE).map(planes).collect()
}

#[test]
fn ops_make_the_golden_pixels() {
    let (ops, tiles) = (ops(), tiles());
    let (image, results) = tiles.split_first().expect("a picture of tiles");
    assert_eq!(ops.len(), results.len());
    let mut scratch = Scratch::default();
    for (op, expected) in ops.iter().zip(results) {
        op.validate().expect("a valid op");
        let mut ours = image.clone();
        let size = (HEIGHT as u32, WIDTH as u32);
        apply(std::slice::from_ref(op), &mut Planes::new(size, &mut ours), &mut scratch);
        // torchvision's sums of floats have another order, so that a few values are rounded
        // otherwise.
        let most = if matches!(op, Op::GaussianKernel(_)) { 1 } else { 0 };
        let apart = ours.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart <= Some(most), "{op:?}: values are up to {apart:?} apart");
    }
}

#[test]
fn every_op_is_golden() {
    let ops = ops();
    let named: BTreeSet<&str> = ops.iter().map(Op::name).collect();
    assert_eq!(named, Op::NAMES.iter().copied().collect());
    for op in ["Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"] {
        for interpolation in Interpolation::ALL.map(|filter| format!("{filter:?}")) {
            let covered = |text: String| text.starts_with(op) && text.contains(&interpolation);
            assert!(ops.iter().any(|op| covered(format!("{op:?}"))), "{op} {interpolation}");
        }
    }
}

#[test]
fn ops_are_written_as_they_were_read() {
    let stored: Vec<serde_json::Value> = serde_json::from_reader(open("ops.json")).expect("JSON");
    for (op, stored) in ops().iter().zip(stored) {
        assert_eq!(serde_json::to_value(op).expect("an op is plain data"), stored);
    }
}

#[test]
fn arguments_are_neither_missing_nor_unknown() {
    let stored: Vec<serde_json::Value> = serde_json::from_reader(open("ops.json")).expect("JSON");
    for op in stored {
        let name = op[0].as_str().expect("a name").to_string();
        let refused = |changed: serde_json::Value| {
            let error =
                serde_json::from_value::<Op>(changed.clone()).expect_err(&changed.to_string());
            assert!(error.to_string().starts_with(&format!("{name}: ")), "{error}");
        };
        let mut more = op.clone();
        more[1]["colour"] = 1.into();
        refused(more);
        for argument in op[1].as_object().expect("arguments").keys() {
            let mut fewer = op.clone();
            fewer[1].as_object_mut().expect("arguments").remove(argument);
            refused(fewer);
        }
    }
}

/// The planes `values` of height and width `side`, after `op`.
fn applied(op: &str, side: u32, values: [&[u8]; 3]) -> Vec<u8> {
    let op: Op = serde_json::from_str(op).expect("an op");
    let mut planes = values.concat();
    let mut image = Planes::new((side, side), &mut planes);
    apply(&[op], &mut image, &mut Scratch::default());
    planes
}

#[test]
fn a_square_is_turned_without_a_border() {
    let planes: Vec<u8> = (0..27).collect();
    let [first, second, third] = [&planes[..9], &planes[9..18], &planes[18..]];
    for (degrees, order) in [(90, [2, 5, 8, 1, 4, 7, 0, 3, 6]), (270, [6, 3, 0, 7, 4, 1, 8, 5, 2])]
    {
        let op = format!(
            r#"["Rotate", {{"degrees": {degrees}.0, "interpolation": "bilinear", "fill": [9, 9, 9]}}]"#
        );
        let expected: Vec<u8> = [0, 9, 18].iter().flat_map(|at| order.map(|v| v + at)).collect();
        assert_eq!(applied(&op, 3, [first, second, third]), expected, "{degrees}");
    }
}

#[test]
fn contrast_of_a_channel_of_one_value_is_left() {
    let planes = [[7; 4], [0, 128, 255, 64], [255; 4]];
    let values = [&planes[0][..], &planes[1], &planes[2]];
    assert_eq!(applied(r#"["AutoContrast", {}]"#, 2, values), planes.concat());
}
