//! Files of h5py and Keras, bit for bit.
#![allow(missing_docs)]

mod common;

use common::golden;
use weights_import::{examine_names, open};

#[test]
fn files_of_h5py_and_keras() {
    let files = golden::check("hdf5");
    // 38 are kept; the generator makes 14 larger ones.
    assert!(files >= 38, "{files}");
}

#[test]
fn the_state_of_an_optimiser_is_seen() {
    for name in ["optimiser-full.h5", "optimiser.keras"] {
        let weights = open(format!("../tests/import/hdf5/{name}")).unwrap();
        let findings = examine_names(&weights, None);
        assert!(findings.iter().any(|finding| finding.kind == "optimiser"), "{name}: {findings:?}");
    }
}
