//! Classification: a trunk that makes features, and a head that makes logits of them.

use serde_json::json;
use std::ops::Range;
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

    /// How many of [`Classifier::groups`] can be run apart from the rest: the trunk can be cut at a boundary with 1 to so many
    /// groups below it, by the three functions that follow. 0 of models that run as a whole alone.
    fn stages(&self) -> usize {
        0
    }

    /// What the `boundary` groups below a boundary say of a batch: (N, ..). They use no parameter of another group.
    ///
    /// # Errors
    /// Those of the model; more groups than [`Classifier::stages`].
    fn below(&self, batch: &Self::Batch, boundary: usize, pass: &mut Pass) -> Result<Value> {
        let _ = (batch, pass);
        Err(no_boundary(boundary))
    }

    /// [`Classifier::features`], of what the `boundary` groups below a boundary said of a batch, and the batch's
    /// [`Classifier::mask`].
    ///
    /// # Errors
    /// Those of the model; more groups than [`Classifier::stages`].
    fn above(&self, value: &Value, mask: Option<&Tensor>, boundary: usize, pass: &mut Pass) -> Result<Value> {
        let _ = (value, mask, pass);
        Err(no_boundary(boundary))
    }

    /// Which rows of a batch at a boundary count, (N, T) of ones and zeros, where inputs have several: tokens, and padding.
    fn mask(batch: &Self::Batch) -> Option<Tensor> {
        let _ = batch;
        None
    }

    /// [`Classifier::below`] in evaluation, compiled as [`Classifier::compile`] does it.
    ///
    /// # Errors
    /// Groups that plans do not know.
    fn compile_below(
        &self,
        example: &Self::Batch,
        boundary: usize,
        options: PlanOptions,
    ) -> Result<Option<TrunkPlan<Self>>> {
        let _ = (example, boundary, options);
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

fn no_boundary(boundary: usize) -> Error {
    Error::argument("boundary", format!("this model is not cut behind {boundary} groups of layers"))
}

/// Images to what `run` makes of them, compiled.
fn plan_of_images<N: Classifier<Batch = Tensor>>(
    run: impl FnOnce(&Value, &mut Pass) -> Result<Value>,
    example: &Tensor,
    options: PlanOptions,
) -> Result<Option<TrunkPlan<N>>> {
    let plan = Plan::compile_with(run, example, options)?;
    Ok(Some(Box::new(move |_: &N, images| plan.run(images).map(Value::from))))
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
        Ok(Some(Box::new(move |net: &Self, tokens| {
            // The model pools something where no token is; the plan has nothing there.
            if tokens.mask.chunks(tokens.length.max(1)).any(|mask| mask.iter().all(|&m| m == 0.0)) {
                return Err(Error::argument("plan", "a text without tokens"));
            }
            net.features_of(plan.hidden(tokens)?, tokens, &mut Pass::eval())
        })))
    }

    fn stages(&self) -> usize {
        self.layer_groups().len() - 1
    }

    fn below(&self, batch: &TokenBatch, boundary: usize, pass: &mut Pass) -> Result<Value> {
        self.run_stages(0..boundary, None, batch, pass)
    }

    fn above(&self, value: &Value, mask: Option<&Tensor>, boundary: usize, pass: &mut Pass) -> Result<Value> {
        let [batch, length, _] = value.dims::<3>("boundary", "hidden states (B, T, D)")?;
        let mask = mask.map_or_else(|| vec![1.0; batch * length], Tensor::to_vec);
        // Behind the embeddings nothing is seen of the tokens but their mask.
        let tokens = TokenBatch { mask, ..TokenBatch::unpadded(batch, length, vec![0; batch * length])? };
        let hidden = self.run_stages(boundary..Classifier::stages(self), Some(value), &tokens, pass)?;
        self.features_of(hidden, &tokens, pass)
    }

    fn mask(batch: &TokenBatch) -> Option<Tensor> {
        Tensor::from_vec(&[batch.batch, batch.length], batch.mask.clone()).ok()
    }

    /// Texts of any lengths.
    fn compile_below(&self, _: &TokenBatch, boundary: usize, options: PlanOptions) -> Result<Option<TrunkPlan<Self>>> {
        let plan = TextPlan::compile_stages(self, boundary, options)?;
        Ok(Some(Box::new(move |_: &Self, tokens| plan.hidden(tokens))))
    }
}

/// Some groups of layers before the head.
fn groups(net: &ResNet, range: Range<usize>, x: &Value, pass: &mut Pass) -> Result<Value> {
    range.into_iter().try_fold(x.clone(), |x, at| net.group(at, &x, pass))
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
        plan_of_images(|x, pass| Self::features(self, x, pass), example, options)
    }

    fn stages(&self) -> usize {
        self.layer_groups().len() - 1
    }

    fn below(&self, batch: &Tensor, boundary: usize, pass: &mut Pass) -> Result<Value> {
        groups(self, 0..boundary, &batch.clone().into(), pass)
    }

    fn above(&self, value: &Value, _: Option<&Tensor>, boundary: usize, pass: &mut Pass) -> Result<Value> {
        groups(self, boundary..Classifier::stages(self), value, pass)
    }

    /// Images of one size.
    fn compile_below(
        &self,
        example: &Tensor,
        boundary: usize,
        options: PlanOptions,
    ) -> Result<Option<TrunkPlan<Self>>> {
        plan_of_images(|x, pass| groups(self, 0..boundary, x, pass), example, options)
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
        plan_of_images(|x, pass| Self::features(self, x, pass), example, options)
    }

    fn stages(&self) -> usize {
        self.layer_groups().len() - 1
    }

    fn below(&self, batch: &Tensor, boundary: usize, pass: &mut Pass) -> Result<Value> {
        self.run_stages(0..boundary, &batch.clone().into(), pass)
    }

    fn above(&self, value: &Value, _: Option<&Tensor>, boundary: usize, pass: &mut Pass) -> Result<Value> {
        self.run_stages(boundary..Classifier::stages(self), value, pass)
    }

    /// Images of one size.
    fn compile_below(
        &self,
        example: &Tensor,
        boundary: usize,
        options: PlanOptions,
    ) -> Result<Option<TrunkPlan<Self>>> {
        plan_of_images(|x, pass| self.run_stages(0..boundary, x, pass), example, options)
    }
}
