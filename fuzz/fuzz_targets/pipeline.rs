#![no_main]

libfuzzer_sys::fuzz_target!(init: tied_augment_fuzz::let_decoders_panic(), |bytes: &[u8]| {
    tied_augment_fuzz::pipeline::check(bytes);
});
