//! Head-only training: a frozen trunk is run once, and the head is trained on what it said.

use crate::trunk::{learning, over};
use crate::{Batches, Classifier, Error, Labelled, Result};
use ukulele_inference::PlanOptions;
use ukulele_layers::{Module, ModuleId, Param, Pass, Tensor, Value};

/// The features of labelled examples, in order.
#[derive(Debug, Clone)]
pub struct Features {
    /// (N, features).
    pub values: Tensor,
    /// N classes.
    pub labels: Vec<i64>,
}

impl Features {
    /// Runs the trunk of `net` once over all batches, by a plan if they are many. What the head makes of the result is what it
    /// would make of the inputs, as long as the trunk stays frozen and preprocessing has no randomness.
    ///
    /// # Errors
    /// A trunk that is not frozen ([`Classifier::freeze_trunk`]), no batches, or one that cannot be made or run.
    pub fn of<N: Classifier>(
        net: &mut N,
        mut batches: impl Iterator<Item = Result<Labelled<N::Batch>>>,
    ) -> Result<Self> {
        frozen(net)?;
        let (mut parts, mut labels) = (Vec::new(), Vec::new());
        over(net, None, PlanOptions::default(), &mut batches, &mut |features, batch| {
            parts.push(features.into_tensor());
            labels.extend(batch.labels);
            Ok(())
        })?;
        Self::joined(&parts, labels)
    }

    /// Of the features of all batches, and their labels.
    fn joined(parts: &[Tensor], labels: Vec<i64>) -> Result<Self> {
        if parts.is_empty() {
            return Err(Error::Argument("no batches to take features of".into()));
        }
        let values = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)?.contiguous();
        if values.shape().len() != 2 {
            let shape = values.shape();
            return Err(Error::Argument(format!("features {shape:?}, where each input has a row of them")));
        }
        if values.shape()[0] != labels.len() {
            let (rows, labels) = (values.shape()[0], labels.len());
            return Err(Error::Argument(format!("{rows} inputs have {labels} labels")));
        }
        Ok(Self { values, labels })
    }

    /// The examples at these places.
    ///
    /// # Errors
    /// A place past the end.
    pub fn batch(&self, places: &[usize]) -> Result<Labelled<Tensor>> {
        let [_, width] = self.values.dims("features", "(N, features)")?;
        let rows = self.values.as_slice()?;
        let mut values = Vec::with_capacity(places.len() * width);
        let mut labels = Vec::with_capacity(places.len());
        for &place in places {
            let Some(&label) = self.labels.get(place) else {
                return Err(Error::Argument(format!("example {place} of {}", self.labels.len())));
            };
            values.extend_from_slice(&rows[place * width..(place + 1) * width]);
            labels.push(label);
        }
        Ok(Labelled { inputs: Tensor::from_vec(&[places.len(), width], values)?, labels })
    }

    /// One batch for each list of places: an epoch.
    pub fn batches(&self, lists: Vec<Vec<usize>>) -> Batches<'_, Tensor> {
        Box::new(lists.into_iter().map(|places| self.batch(&places)))
    }
}

/// Fails if a part of the trunk is not frozen.
pub(crate) fn frozen<N: Classifier>(net: &mut N) -> Result<()> {
    match learning(net) {
        Some(name) => {
            Err(Error::Argument(format!("features change while `{name}` is not frozen; freeze the trunk first")))
        }
        None => Ok(()),
    }
}

/// A model seen from behind its trunk: it takes features for inputs. [`crate::fit`] then trains the head alone.
#[derive(Debug)]
pub struct HeadOnly<'a, N>(pub &'a mut N);

impl<N: Classifier> Module for HeadOnly<'_, N> {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        self.0.each(path, f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        self.0.modules(path, f);
    }
}

impl<N: Classifier> Classifier for HeadOnly<'_, N> {
    type Batch = Tensor;

    fn features(&self, batch: &Tensor, _: &mut Pass) -> ukulele_layers::Result<Value> {
        Ok(batch.clone().into())
    }

    fn head(&self, features: &Value, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        self.0.head(features, pass)
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn head_names(&self) -> Vec<String> {
        self.0.head_names()
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.0.groups()
    }

    fn count(features: &Tensor) -> usize {
        features.shape().first().copied().unwrap_or(0)
    }

    fn measures(&self) -> String {
        String::new()
    }
}
