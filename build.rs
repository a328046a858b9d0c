//! Says loudly when libjpeg is about to be built without SIMD.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let needs_nasm = arch == "x86_64" || arch == "x86";
    let nasm = std::process::Command::new("nasm").arg("-v").output();
    if needs_nasm && nasm.is_err() {
        println!(
            "cargo::warning=nasm was not found: JPEG decoding will be about 2.5 times slower. \
             Install nasm (apt install nasm, brew install nasm) and rebuild."
        );
    }
}
