//! Many files of each form, written now by the formats' own packages and read bit for bit:
//!
//!     JUDGES_PYTHON=$(scripts/judges | tail -n 1) cargo test --release -p weights-import --features judges --test many
#![cfg(feature = "judges")]
#![allow(missing_docs)]

mod common;

use common::{Folder, golden};

#[test]
fn at_least_twenty_files_of_each_form() {
    let folder = Folder::new("many");
    let python = std::env::var("JUDGES_PYTHON").expect("JUDGES_PYTHON=$(scripts/judges | tail -n 1)");
    let made = std::process::Command::new(python).arg("../tests/import/many.py").arg(&folder.0).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for form in ["zip", "legacy", "tar", "safetensors", "sharded", "numpy"] {
        let count = golden::check(folder.0.join(form).canonicalize().unwrap().to_str().unwrap());
        assert!(count >= 20, "{form}: {count} files");
    }
}
