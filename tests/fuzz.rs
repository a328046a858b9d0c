//! The inputs that fuzzing found worth keeping, each through the check of its fuzz target.
//!
//! They are lines of hexadecimal digits in `fuzz/regressions`. Most are a choice of those that reach
//! all code that was reached. One that made a check fail has a comment above it.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

fn bytes(line: &str) -> Vec<u8> {
    let digits = line.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("digits"));
    digits.map(|two| u8::from_str_radix(two, 16).expect("two hexadecimal digits")).collect()
}

#[test]
fn kept_inputs_pass_their_checks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for (target, check) in fuzz::TARGETS {
        let path = folder.join(target).with_extension("txt");
        let text = fs::read_to_string(&path).expect("a file for every target");
        let mut inputs = 0;
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
            let passes = catch_unwind(|| check(&bytes(line))).is_ok();
            assert!(passes, "{}:{number} fails", path.display());
            inputs += 1;
        }
        assert!(inputs > 0, "{target} has no inputs");
    }
}
