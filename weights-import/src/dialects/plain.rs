//! No dialect: names as they are.

use crate::dialect::{How, Rule, Table};

pub(crate) static PLAIN: Table = Table {
    name: "plain",
    about: "the model's own names, as this library saves them",
    rules: &[Rule { target: "{*}", sources: &["{*}"], how: How::Copy }],
    ..Table::EMPTY
};
