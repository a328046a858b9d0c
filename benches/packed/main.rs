//! Unpacking of packed images, against the entropy decoding of libjpeg: size and time.
//!
//! Run with `PHOTOS=DIR cargo bench --bench packed`, where `benches/photos.py DIR` has made the
//! files.

mod libjpeg;

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tied_augment::packed::{Packed, pack};

/// How many of the photographs are used: enough for all qualities, few enough to stay in the cache.
const FILES: usize = 32;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("PHOTOS is a folder of benches/photos.py");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut files: Vec<_> =
        paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

fn packed(c: &mut Criterion) {
    let Ok(folder) = std::env::var("PHOTOS") else {
        eprintln!("packed: left out; it needs PHOTOS=DIR with files of benches/photos.py");
        return;
    };
    let mut paths = files(folder.as_ref());
    paths.truncate(FILES);
    let jpegs: Vec<_> = paths.iter().map(|path| std::fs::read(path).expect("a file")).collect();
    let read: Vec<_> = jpegs.iter().map(|jpeg| libjpeg::read(jpeg)).collect();
    let images: Vec<_> = read
        .iter()
        .map(|file| pack(&file.coefficients, &file.side, &file.geometry).expect("a packed image"))
        .collect();
    let bytes = |files: &[Vec<u8>]| files.iter().map(Vec::len).sum::<usize>();
    let ratio = bytes(&images) as f64 / bytes(&jpegs) as f64;
    println!("{} files, packed size {ratio:.3} of the JPEG files' size", images.len());

    let mut group = c.benchmark_group("all blocks");
    group.throughput(Throughput::Bytes(bytes(&jpegs) as u64));
    group.sample_size(20);
    group.bench_function("libjpeg", |b| {
        b.iter(|| jpegs.iter().for_each(|jpeg| libjpeg::skip_all(jpeg)));
    });
    let mut blocks = vec![[0; 64]; 256];
    for simd in Packed::available() {
        group.bench_function(simd.name(), |b| {
            b.iter(|| images.iter().for_each(|image| unpack(image, simd, &mut blocks)));
        });
    }
    group.bench_function("pack", |b| {
        b.iter(|| {
            for file in &read {
                black_box(pack(&file.coefficients, &file.side, &file.geometry)).expect("an image");
            }
        });
    });
    group.finish();
}

/// Unpacks every tile, one after the other into the same memory.
fn unpack(image: &[u8], simd: tied_augment::simd::Simd, blocks: &mut [[i16; 64]]) {
    let packed = Packed::open(image).expect("a packed image").with_simd(simd);
    let (rows, columns) = packed.grid().tiles();
    for row in 0..rows {
        for column in 0..columns {
            let tile = &mut blocks[..packed.grid().tile_blocks(column)];
            packed.tile(row, column, tile).expect("a tile");
            black_box(tile);
        }
    }
}

criterion_group!(benches, packed);
criterion_main!(benches);
