//! No dialect: names as they are.

use crate::dialect::{How, Knobs, Rule, Table};

pub(crate) static PLAIN: Table = Table {
    name: "plain",
    about: "the model's own names, as this library saves them",
    signs: &[],
    optional_suffix: "",
    map: None,
    when: None,
    optional_prefix: "",
    rules: &[Rule { target: "{*}", sources: &["{*}"], how: How::Copy }],
    ignored: &[],
    tied: &[],
    leading_ones: false,
    knobs: Knobs::STANDARD,
    preprocess: "none",
    tune: None,
};
