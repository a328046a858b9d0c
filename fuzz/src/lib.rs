//! What each fuzz target checks, as a function of any bytes that panics if something is wrong.
//!
//! `fuzz_targets` hands these functions to libFuzzer. `tests/fuzz.rs` calls them with the inputs that
//! are kept in `regressions`, so nothing here may depend on libFuzzer.

pub mod images;
pub mod jpeg;
pub mod kernels;
pub mod loss;
pub mod packed;
pub mod pipeline;
pub mod plans;
pub mod policy;

mod allocations;
mod draw;
mod region;

/// The check of a target.
pub type Check = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Check); 8] = [
    ("images", images::check),
    ("jpeg", jpeg::check),
    ("kernels", kernels::check),
    ("loss", loss::check),
    ("packed", packed::check),
    ("pipeline", pipeline::check),
    ("plans", plans::check),
    ("policy", policy::check),
];

/// libFuzzer ends at the first panic. The panics of decoders that the crate depends on must be
/// exempt, since the crate catches them. One that it doesn't catch still ends the process, when it
/// arrives at libFuzzer.
#[cfg(fuzzing)]
pub fn let_decoders_panic() {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        if !file.contains("/registry/src/") {
            end(panic);
        }
    }));
}

/// Lets this thread use the machine's best instruction sets but `n`. Needs a build for fuzzing.
fn without_best_instructions(n: usize) {
    #[cfg(fuzzing)]
    tied_augment::simd::skip_best(n);
    #[cfg(not(fuzzing))]
    let _ = n;
}
