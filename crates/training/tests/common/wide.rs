//! A model whose frozen layers say much and take little time.

use std::path::{Path, PathBuf};
use ukulele_layers::{Module, ModuleId, Param, Pass, Result, Tensor, Value};
use ukulele_training::{Classifier, Labelled};

/// Says `width` numbers of each input.
pub(crate) struct Wide(pub(crate) usize);

impl Wide {
    /// What it says of an input, at this place.
    pub(crate) fn number(input: f32, place: usize) -> f32 {
        input * (1.0 + (place % 1009) as f32 / 1009.0)
    }
}

impl Module for Wide {
    fn each(&mut self, _: &str, _: &mut dyn FnMut(&str, &mut Param)) {}

    fn modules(&self, _: &str, _: &mut dyn FnMut(&str, ModuleId)) {}
}

impl Classifier for Wide {
    type Batch = Tensor;

    fn features(&self, batch: &Tensor, pass: &mut Pass) -> Result<Value> {
        self.below(batch, 1, pass)
    }

    fn head(&self, features: &Value, _: &mut Pass) -> Result<Value> {
        Ok(features.clone())
    }

    fn classes(&self) -> usize {
        self.0
    }

    fn head_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn groups(&self) -> Vec<Vec<String>> {
        Vec::new()
    }

    fn count(batch: &Tensor) -> usize {
        batch.shape()[0]
    }

    fn measures(&self) -> String {
        format!("wide {}", self.0)
    }

    fn stages(&self) -> usize {
        1
    }

    fn below(&self, batch: &Tensor, _: usize, _: &mut Pass) -> Result<Value> {
        let inputs = batch.to_vec();
        let value = Tensor::build(&[inputs.len(), self.0], |numbers| {
            for (row, &input) in numbers.chunks_mut(self.0).zip(&inputs) {
                row.iter_mut().enumerate().for_each(|(place, x)| *x = Self::number(input, place));
            }
        });
        Ok(value?.into())
    }
}

/// Batches of four of these inputs; the label of each is its place.
pub(crate) fn fours(inputs: &[f32]) -> impl Iterator<Item = ukulele_training::Result<Labelled<Tensor>>> {
    let inputs = inputs.to_vec();
    (0..inputs.len()).step_by(4).map(move |start| {
        let four = inputs[start..(start + 4).min(inputs.len())].to_vec();
        let labels = (start as i64..).take(four.len()).collect();
        Ok(Labelled { inputs: Tensor::from_vec(&[four.len(), 1], four)?, labels })
    })
}

/// A folder that is removed in the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ukulele-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    /// All that is in it.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(&self.0).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        files
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
