//! The inputs that fuzzing found worth keeping, each through the check of its fuzz target.
//!
//! `make fuzz` looks for new ones. An input that made a check fail is kept under a name that says why.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

#[test]
fn kept_inputs_pass_their_checks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for (target, check) in fuzz::TARGETS {
        let files = fs::read_dir(folder.join(target)).unwrap_or_else(|e| panic!("{target}: {e}"));
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            let input = fs::read(&path).expect("readable");
            if std::panic::catch_unwind(|| check(&input)).is_err() {
                panic!("{} fails", path.display());
            }
            count += 1;
        }
        assert!(count > 0, "{target} has no inputs");
    }
}
