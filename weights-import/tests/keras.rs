//! Files of h5py and Keras, bit for bit.
#![allow(missing_docs)]

mod common;

use common::golden;

#[test]
fn files_of_h5py_and_keras() {
    let files = golden::check("hdf5");
    assert!(files >= 40, "{files}");
}
