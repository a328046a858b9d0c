//! Whether the loader's threads hold each other up: tiny images from memory, on up to 64 threads.
//!
//! ```text
//! cargo bench --bench scaling [-- SECONDS]
//! ```
//!
//! An image of 8 x 8 pixels costs microseconds, a thousandth of a photograph. So what a sample costs
//! beside its pixels (the queue, its lock, wake-ups, allocations) is most of what is measured here,
//! and comes round a thousand times as often. If anything in the loader serialised the threads,
//! more of them than cores would bring the rate down, and CPU time or context switches up. With
//! photographs on a thousand cores the threads would meet as often as here on one.
//!
//! The rounds of the numbers of threads alternate, and the table has the median of each. All figures
//! are per sample, of which each makes two views.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tied_augment::batch::Pipeline;
use tied_augment::loader::{Format, Job, Loader, Memory, OwnedSample};
use tied_augment::plan::{Crop, Shared, ViewSpec};
use tied_augment::policy::Augment;
use tied_augment::resize::Filter;
use tied_augment::rng::Key;
use tied_augment::source::OwnedSource;

const SIDE: u32 = 8;
const BATCH: usize = 256;
/// Batches under way.
const AHEAD: usize = 3;
const THREADS: [usize; 6] = [1, 2, 4, 8, 16, 64];
const ROUNDS: usize = 5;

fn pipeline() -> Arc<Pipeline> {
    let view = ViewSpec {
        size: (SIDE, SIDE),
        crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) },
        interpolation: vec![Filter::Bicubic],
        hflip: 0.5,
        vflip: 0.0,
        augment: Augment::default(),
    };
    Arc::new(Pipeline::new(vec![view.clone(), view], Shared::Nothing).expect("valid views"))
}

fn pixels() -> Vec<u8> {
    (0..3 * SIDE * SIDE).map(|i| (i * 37 % 251) as u8).collect()
}

fn jpeg() -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    let side = SIDE as u16;
    encoder.encode(&pixels(), side, side, jpeg_encoder::ColorType::Rgb).expect("encodes");
    file
}

/// What the process has used so far.
#[derive(Clone, Copy)]
struct Usage {
    cpu: Duration,
    switches: i64,
    faults: i64,
}

impl Usage {
    #[cfg(unix)]
    fn now() -> Self {
        let mut usage = std::mem::MaybeUninit::zeroed();
        // SAFETY: `getrusage` writes the struct, of which zeros are a valid value, too.
        let usage: libc::rusage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
        Self {
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
            switches: usage.ru_nvcsw + usage.ru_nivcsw,
            faults: usage.ru_minflt,
        }
    }

    #[cfg(not(unix))]
    fn now() -> Self {
        Self { cpu: Duration::ZERO, switches: 0, faults: 0 }
    }
}

/// Per sample: nanoseconds, nanoseconds of CPU time, context switches and page faults.
type Row = [f64; 4];

/// An epoch of `seconds`, without its first batches.
fn epoch(pipeline: &Arc<Pipeline>, source: &OwnedSource, threads: usize, seconds: f64) -> Row {
    let format = Arc::new(Format::PLAIN);
    let loader = Loader::new(threads).expect("a number of threads");
    let submit = |batch: usize| {
        let sample = |i| OwnedSample {
            source: source.clone(),
            key: Key { seed: 0, epoch: 0, index: (batch * BATCH + i) as u64, view: 0 },
        };
        let samples = (0..BATCH).map(sample).collect();
        let out = Memory::from(vec![0; 2 * BATCH * 3 * (SIDE * SIDE) as usize]);
        let (pipeline, format) = (Arc::clone(pipeline), Arc::clone(&format));
        loader.submit(Job { pipeline, samples, format, out }).expect("memory of the right size");
    };
    (0..AHEAD).for_each(submit);
    let mut batches = 0;
    let mut take = || {
        let batch = loader.wait(Duration::from_secs(60)).expect("a batch takes milliseconds");
        assert!(batch.failures().is_empty());
        batches += 1;
        submit(AHEAD + batches);
    };
    (0..20).for_each(|_| take());
    let (start, before) = (Instant::now(), Usage::now());
    let mut samples = 0;
    while start.elapsed().as_secs_f64() < seconds {
        take();
        samples += BATCH;
    }
    let (time, after) = (start.elapsed(), Usage::now());
    let each = |total: f64| total / samples as f64;
    [
        each(time.as_nanos() as f64),
        each((after.cpu - before.cpu).as_nanos() as f64),
        each((after.switches - before.switches) as f64),
        each((after.faults - before.faults) as f64),
    ]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(0.25);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let pipeline = pipeline();
    let sources = [
        ("pixels", OwnedSource::Pixels { width: SIDE, height: SIDE, data: Bytes::from(pixels()) }),
        ("JPEG files", OwnedSource::Bytes(Bytes::from(jpeg()))),
    ];
    for (name, source) in &sources {
        println!("\n{name} of {SIDE} x {SIDE} in memory, batches of {BATCH}, {cores} core(s)\n");
        let mut rows: Vec<Vec<Row>> = vec![Vec::new(); THREADS.len()];
        for _ in 0..ROUNDS {
            for (rows, threads) in rows.iter_mut().zip(THREADS) {
                rows.push(epoch(&pipeline, source, threads, seconds));
            }
        }
        println!("| threads | samples/s | ns | ns of CPU | context switches | page faults |");
        println!("|---|---|---|---|---|---|");
        for (rows, threads) in rows.iter().zip(THREADS) {
            let column = |i: usize| median(rows.iter().map(|row| row[i]).collect());
            let [ns, cpu, switches, faults] = [0, 1, 2, 3].map(column);
            let rate = 1e9 / ns;
            println!(
                "| {threads} | {rate:.0} | {ns:.0} | {cpu:.0} | {switches:.4} | {faults:.4} |"
            );
        }
    }
}
