//! A table of vectors, one per token.

use crate::{Init, Param, Pass, Result, Role, Value, module};

/// Row `id` of a table, for each id.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// The table, [entries, D].
    pub weight: Param,
    /// The id of padding, whose row does not learn.
    pub padding: Option<usize>,
}

module!(Embedding { weight });

impl Embedding {
    /// A table of numbers, normal with this deviation.
    pub fn new(entries: usize, size: usize, deviation: f64, init: &mut Init) -> Self {
        Self { weight: Param::new(init.normal(&[entries, size], deviation), Role::Weight), padding: None }
    }

    /// `ids`, in the shape `shape`, to shape + `[D]`.
    ///
    /// # Errors
    /// An id beyond the table.
    pub fn forward(&self, ids: &[usize], shape: &[usize], pass: &mut Pass) -> Result<Value> {
        let y = pass.param(&self.weight).embedding_with(ids, shape, self.padding)?;
        Ok(pass.tap(self, y))
    }
}
