//! Classification: a trunk that makes features, and a head that makes logits of them.

use serde_json::json;
use ukulele_inference::{Plan, PlanOptions, TextPlan};
use ukulele_layers::{Error, Module, Pass, Result, Tensor, Value};
use ukulele_models::{ImageModel, ResNet, TextHead, TextModel, TokenBatch};

/// Inputs with the class of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled<B> {
    /// A batch of N inputs.
    pub inputs: B,
    /// N classes.
    pub labels: Vec<i64>,
}

/// A compiled trunk: what [`Classifier::features`] says of a batch in evaluation. It is given the model that it was made of.
pub type TrunkPlan<N> = Box<dyn Fn(&N, &<N as Classifier>::Batch) -> Result<Value> + Send + Sync>;

/// A model that sorts inputs into classes.
pub trait Classifier: Module + Sized {
    /// A batch of inputs.
    type Batch;

    /// What the head sees: (N, features).
    ///
    /// # Errors
    /// Those of the model.
    fn features(&self, batch: &Self::Batch, pass: &mut Pass) -> Result<Value>;

    /// Logits of features: (N, features) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value>;

    /// The number of classes.
    fn classes(&self) -> usize;

    /// Prefixes of the names of the head's parameters; all others belong to the trunk.
    fn head_names(&self) -> Vec<String>;

    /// Prefixes of names from the input to the output, one list per group.
    fn groups(&self) -> Vec<Vec<String>>;

    /// The number of inputs of a batch.
    fn count(batch: &Self::Batch) -> usize;

    /// What decides on the features beside the parameters and the input: strides, epsilons, pooling and the like. Models
    /// that differ in it differ here; [`crate::FeatureCache`] tells them apart by it.
    fn measures(&self) -> String;

    /// The trunk, compiled with the weights of now for inputs like these; `None` where it always runs as it is.
    ///
    /// # Errors
    /// A trunk that plans do not know.
    fn compile(&self, example: &Self::Batch, options: PlanOptions) -> Result<Option<TrunkPlan<Self>>> {
        let _ = (example, options);
        Ok(None)
    }

    /// Logits: (N, classes).
    ///
    /// # Errors
    /// Those of the model.
    fn logits(&self, batch: &Self::Batch, pass: &mut Pass) -> Result<Value> {
        let features = self.features(batch, pass)?;
        self.head(&features, pass)
    }

    /// Freezes everything but the head: weights, statistics and dropout.
    fn freeze_trunk(&mut self) {
        let head = self.head_names();
        self.freeze(|name| !head.iter().any(|prefix| name.starts_with(prefix.as_str())));
    }

    /// Freezes the first `count` groups of [`Classifier::groups`], at most all of the trunk.
    fn freeze_groups(&mut self, count: usize) {
        let (head, groups) = (self.head_names(), self.groups());
        let low: Vec<&String> = groups.iter().take(count).flatten().collect();
        self.freeze(|name| {
            low.iter().any(|prefix| name.starts_with(prefix.as_str()))
                && !head.iter().any(|prefix| name.starts_with(prefix.as_str()))
        });
    }
}

/// Of models that sort texts; those of other tasks say so when they run.
impl Classifier for TextModel {
    type Batch = TokenBatch;

    fn features(&self, batch: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        Self::features(self, batch, pass)
    }

    fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        let TextHead::SequenceClassification(head) = &self.head else {
            let message = format!("a model for {:?} sorts no texts; give it a new head", self.task());
            return Err(Error::argument("classifier", message));
        };
        head.forward(features, pass)
    }

    fn classes(&self) -> usize {
        Self::classes(self).unwrap_or(0)
    }

    fn head_names(&self) -> Vec<String> {
        Self::head_names(self)
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.layer_groups()
    }

    fn count(batch: &TokenBatch) -> usize {
        batch.batch
    }

    fn measures(&self) -> String {
        let pooling = match &self.head {
            TextHead::SequenceClassification(head) => head.pooling.name(),
            _ => "",
        };
        json!([self.to_json(&[]), pooling]).to_string()
    }

    /// Texts of any lengths.
    fn compile(&self, _: &TokenBatch, options: PlanOptions) -> Result<Option<TrunkPlan<Self>>> {
        let plan = TextPlan::compile_with(self, options)?;
        Ok(Some(Box::new(move |net: &Self, tokens| net.features_of(plan.hidden(tokens)?, tokens, &mut Pass::eval()))))
    }
}

impl Classifier for ResNet {
    type Batch = Tensor;

    fn features(&self, batch: &Tensor, pass: &mut Pass) -> Result<Value> {
        Self::features(self, &batch.clone().into(), pass)
    }

    fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.fc.forward(features, pass)
    }

    fn classes(&self) -> usize {
        self.fc.outputs()
    }

    fn head_names(&self) -> Vec<String> {
        vec!["fc.".to_owned()]
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.layer_groups()
    }

    fn count(batch: &Tensor) -> usize {
        batch.shape().first().copied().unwrap_or(0)
    }

    fn measures(&self) -> String {
        json!(self.config().to_json()).to_string()
    }

    /// Images of one size.
    fn compile(&self, example: &Tensor, options: PlanOptions) -> Result<Option<TrunkPlan<Self>>> {
        let plan = Plan::compile_with(|x, pass| Self::features(self, x, pass), example, options)?;
        Ok(Some(Box::new(move |_: &Self, images| plan.run(images).map(Value::from))))
    }
}

/// Auxiliary heads are not trained: take them away before ([`ImageModel::remove_aux`]).
impl Classifier for ImageModel {
    type Batch = Tensor;

    fn features(&self, batch: &Tensor, pass: &mut Pass) -> Result<Value> {
        Self::features(self, &batch.clone().into(), pass)
    }

    fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        Self::head(self, features, pass)
    }

    fn classes(&self) -> usize {
        Self::classes(self)
    }

    fn head_names(&self) -> Vec<String> {
        Self::head_names(self)
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.layer_groups()
    }

    fn count(batch: &Tensor) -> usize {
        batch.shape().first().copied().unwrap_or(0)
    }

    fn measures(&self) -> String {
        json!(self.config().to_json()).to_string()
    }

    /// Images of one size.
    fn compile(&self, example: &Tensor, options: PlanOptions) -> Result<Option<TrunkPlan<Self>>> {
        let plan = Plan::compile_with(|x, pass| Self::features(self, x, pass), example, options)?;
        Ok(Some(Box::new(move |_: &Self, images| plan.run(images).map(Value::from))))
    }
}
