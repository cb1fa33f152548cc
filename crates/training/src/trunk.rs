//! Trunks that run as plans: where nothing learns, and where only the head does.
//!
//! A plan holds the weights of the moment in which it was made. Two types see to it that no other model's plan is run:
//! [`Planned`] borrows its model, so that nobody can change it; [`FrozenTrunk`] keeps the tensors that its plan was made of,
//! and throws it away when the model has others.

use crate::evaluate::rows;
use crate::{Classifier, Error, Labelled, Result, TrunkPlan};
use ukulele_inference::{PlanOptions, Precision};
use ukulele_layers::{Param, Pass, Tensor, Value};

/// Inputs from which on a plan pays. Making one takes as long as the model takes for 7 to 25 inputs, and it saves a third to a
/// half of each.
pub(crate) const PAYS: usize = 32;

/// A model that answers batch after batch, its trunk being a plan.
///
/// What the plan does not take (images of another size than the example's, texts with padding before their end) the model
/// runs itself. Numbers are the model's to 1e-4, relative in norm. A plan holds the trunk's weights once more, packed.
///
/// ```
/// use ukulele_layers::{Init, Tensor};
/// use ukulele_models::{ResNet, ResNetConfig};
/// use ukulele_training::Planned;
/// let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
/// let net = ResNet::new(&config, &mut Init::new(0));
/// let planned = Planned::new(&net, &Tensor::ones(&[1, 3, 32, 32])?);
/// assert!(planned.has_plan());
/// assert_eq!(planned.predict(&Tensor::ones(&[5, 3, 32, 32])?)?.len(), 5);
/// # Ok::<(), ukulele_training::Error>(())
/// ```
pub struct Planned<'a, N: Classifier> {
    net: &'a N,
    trunk: Trunk<N>,
}

impl<'a, N: Classifier> Planned<'a, N> {
    /// Compiles the trunk for inputs like the example's; where that cannot be, the model runs as it is.
    pub fn new(net: &'a N, example: &N::Batch) -> Self {
        Self { net, trunk: Trunk::or_none(net, example) }
    }

    /// As [`Planned::new`], with options. In another precision than f32 the plan computes everything, or it is an error: the model
    /// itself would do it in f32.
    ///
    /// # Errors
    /// A trunk, or in [`Planned::features`] a batch, that plans do not take, where the precision is not f32.
    pub fn with_options(net: &'a N, example: &N::Batch, options: PlanOptions) -> Result<Self> {
        Ok(Self { net, trunk: Trunk::compile(net, example, None, options)? })
    }

    /// Whether there is a plan.
    pub fn has_plan(&self) -> bool {
        self.trunk.plan.is_some()
    }

    /// [`Classifier::features`] in evaluation.
    ///
    /// # Errors
    /// Those of the model.
    pub fn features(&self, batch: &N::Batch) -> Result<Value> {
        self.trunk.run(self.net, batch)
    }

    /// [`Classifier::logits`] in evaluation.
    ///
    /// # Errors
    /// Those of the model.
    pub fn logits(&self, batch: &N::Batch) -> Result<Value> {
        Ok(self.net.head(&self.features(batch)?, &mut Pass::eval())?)
    }

    /// The probabilities of all classes for each input.
    ///
    /// # Errors
    /// Those of the model.
    pub fn predict(&self, batch: &N::Batch) -> Result<Vec<Vec<f32>>> {
        Ok(rows(self.logits(batch)?.softmax()?.tensor()))
    }
}

/// What of a trunk does not learn, as a plan. [`crate::fit`] has one by itself; this is for loops by hand.
///
/// Frozen are the groups of layers ([`Classifier::groups`]) below the first of which a weight, a statistic (other batch norms would
/// use those of the batch) or a dropout is not; what they say then is what a training pass would make of them. The rest runs in
/// the training pass. When groups are unfrozen, the next call makes another plan.
///
/// ```
/// use ukulele_layers::{Init, Pass, Tensor};
/// use ukulele_models::{ResNet, ResNetConfig};
/// use ukulele_training::{AdamW, Classifier, FrozenTrunk, Optimizer};
/// let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
/// let mut net = ResNet::new(&config, &mut Init::new(0));
/// net.freeze_groups(3); // stem, layer1, layer2
/// let (mut trunk, mut adamw) = (FrozenTrunk::default(), AdamW::new(1e-3));
/// for step in 0..3 {
///     let images = Tensor::full(&[4, 3, 32, 32], step as f32)?; // changed at random, say
///     let mut pass = Pass::train(step);
///     let logits = trunk.logits(&mut net, &images, &mut pass)?;
///     adamw.step(&mut net, pass.backward(&logits.cross_entropy(&[0, 1, 0, 1])?)?)?;
/// }
/// assert!(trunk.has_plan());
/// # Ok::<(), ukulele_training::Error>(())
/// ```
pub struct FrozenTrunk<N: Classifier> {
    trunk: Trunk<N>,
    /// The trunk's tensors when the plan was made, or could not be. As long as they are held here, a change of the model's is
    /// made to a copy.
    made_of: Option<Vec<Tensor>>,
    /// [`Classifier::measures`] then: another model may share its tensors.
    measures: String,
    /// What the plan computes in.
    precision: Precision,
}

impl<N: Classifier> Default for FrozenTrunk<N> {
    /// Without a plan yet.
    fn default() -> Self {
        Self { trunk: Trunk::none(), made_of: None, measures: String::new(), precision: Precision::F32 }
    }
}

impl<N: Classifier> FrozenTrunk<N> {
    /// What the head sees, in f32, by a plan that is made when it is first wanted, and again when the trunk has changed. `None` if a
    /// part of the trunk is not frozen, or no plan takes the batch: its features are the business of a training pass.
    /// What a layer has beside parameters (strides, epsilons) is known by [`Classifier::measures`]: changed by hand in the layer
    /// alone, it goes unseen.
    ///
    /// # Errors
    /// Those of the model.
    pub fn features(&mut self, net: &mut N, batch: &N::Batch) -> Result<Option<Value>> {
        if learning(net).is_some() {
            *self = Self::default();
            return Ok(None);
        }
        Ok(self.run(net, batch, None, Precision::F32))
    }

    /// Logits (N, classes) of a training pass: what is frozen below the first group that learns runs by a plan, which is made
    /// when it is first wanted, and again when it has changed; the rest runs in `pass`. Both are of the precision of `pass`.
    ///
    /// # Errors
    /// Those of the model.
    pub fn logits(&mut self, net: &mut N, batch: &N::Batch, pass: &mut Pass) -> Result<Value> {
        if learning(net).is_none() {
            return match self.run(net, batch, None, pass.precision()) {
                Some(features) => Ok(net.head(&features, pass)?),
                None => Ok(net.logits(batch, pass)?),
            };
        }
        let boundary = frozen_groups(net);
        if boundary == 0 {
            *self = Self::default();
            return Ok(net.logits(batch, pass)?);
        }
        let Some(value) = self.run(net, batch, Some(boundary), pass.precision()) else {
            return Ok(net.logits(batch, pass)?);
        };
        let features = net.above(&value, N::mask(batch).as_ref(), boundary, pass)?;
        Ok(net.head(&features, pass)?)
    }

    /// The trunk, or so many groups of it, by a plan of its tensors of now; `None` where there is none for this batch.
    fn run(&mut self, net: &mut N, batch: &N::Batch, boundary: Option<usize>, precision: Precision) -> Option<Value> {
        let tensors = trunk(net, boundary);
        let ready = self.trunk.boundary == boundary && self.precision == precision;
        let measures = net.measures();
        let known = self.made_of.as_ref().is_some_and(|made_of| same(made_of, &tensors)) && self.measures == measures;
        if !ready || !known {
            let options = PlanOptions { prepacked: false, precision, ..Default::default() };
            *self =
                Self { trunk: Trunk::of(net, batch, boundary, options), made_of: Some(tensors), measures, precision };
        }
        self.trunk.plan.as_ref()?(net, batch).ok()
    }

    /// Whether there is a plan.
    pub fn has_plan(&self) -> bool {
        self.trunk.plan.is_some()
    }
}

/// The first parameter of the trunk that is not frozen on its axis.
pub(crate) fn learning<N: Classifier>(net: &mut N) -> Option<String> {
    let head = net.head_names();
    let mut free = None;
    net.each("", &mut |name, param| {
        if !param.frozen && free.is_none() && !head.iter().any(|prefix| name.starts_with(prefix)) {
            free = Some(name.to_owned());
        }
    });
    free
}

/// The groups of layers below the first of which a part is not frozen, as far as the trunk can be cut.
pub(crate) fn frozen_groups<N: Classifier>(net: &mut N) -> usize {
    let (groups, mut count) = (net.groups(), net.stages());
    net.each("", &mut |name, param| {
        if !param.frozen {
            count = count.min(group_of(&groups, name));
        }
    });
    count
}

/// The place of the group of a parameter. What no group names may be used by any.
fn group_of(groups: &[Vec<String>], name: &str) -> usize {
    groups.iter().position(|group| group.iter().any(|prefix| name.starts_with(prefix.as_str()))).unwrap_or(0)
}

/// Visits the parameters of the trunk, or of so many groups of it.
pub(crate) fn each_of<N: Classifier>(net: &mut N, boundary: Option<usize>, f: &mut dyn FnMut(&str, &mut Param)) {
    let (head, groups) = (net.head_names(), net.groups());
    net.each("", &mut |name, param| {
        let below = match boundary {
            Some(boundary) => group_of(&groups, name) < boundary,
            None => !head.iter().any(|prefix| name.starts_with(prefix)),
        };
        if below {
            f(name, param);
        }
    });
}

/// The tensors of the trunk, or of so many groups of it.
fn trunk<N: Classifier>(net: &mut N, boundary: Option<usize>) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    each_of(net, boundary, &mut |_, param| tensors.push(param.value.clone()));
    tensors
}

/// Whether these are the very tensors, in the same memory.
fn same(a: &[Tensor], b: &[Tensor]) -> bool {
    let one = |(a, b): (&Tensor, &Tensor)| std::ptr::eq(a.strided(), b.strided()) && a.same_layout(b);
    a.len() == b.len() && a.iter().zip(b).all(one)
}

/// The plan of a trunk, or of its groups below a boundary, if there is one.
struct Trunk<N: Classifier> {
    plan: Option<TrunkPlan<N>>,
    /// How many groups; `None` for all of the trunk.
    boundary: Option<usize>,
    /// Whether the model itself must not stand in for it.
    strict: bool,
}

impl<N: Classifier> Trunk<N> {
    fn none() -> Self {
        Self { plan: None, boundary: None, strict: false }
    }

    /// The plan; where that cannot be, none.
    fn or_none(net: &N, example: &N::Batch) -> Self {
        Self::of(net, example, None, PlanOptions::default())
    }

    fn of(net: &N, example: &N::Batch, boundary: Option<usize>, options: PlanOptions) -> Self {
        let plan = compile(net, example, boundary, options).unwrap_or_default();
        Self { plan, boundary, strict: false }
    }

    /// The plan; where that cannot be, none in f32, and else an error.
    fn compile(net: &N, example: &N::Batch, boundary: Option<usize>, options: PlanOptions) -> Result<Self> {
        let strict = options.precision != Precision::F32;
        match compile(net, example, boundary, options) {
            Err(error) if strict => Err(error.into()),
            Ok(None) if strict => {
                Err(Error::Argument("this model has no plans, and itself computes in f32".to_owned()))
            }
            plan => Ok(Self { plan: plan.unwrap_or_default(), boundary, strict }),
        }
    }

    /// Features by the plan; what it does not take the model runs, and then has the word about what is wrong.
    fn run(&self, net: &N, batch: &N::Batch) -> Result<Value> {
        match self.plan.as_ref().map(|plan| plan(net, batch)) {
            Some(Ok(features)) => Ok(features),
            Some(Err(error)) if self.strict => Err(error.into()),
            _ => match self.boundary {
                Some(boundary) => Ok(net.below(batch, boundary, &mut Pass::eval())?),
                None => Ok(net.features(batch, &mut Pass::eval())?),
            },
        }
    }
}

/// The compiled trunk, or so many groups of it.
fn compile<N: Classifier>(
    net: &N,
    example: &N::Batch,
    boundary: Option<usize>,
    options: PlanOptions,
) -> ukulele_layers::Result<Option<TrunkPlan<N>>> {
    match boundary {
        Some(boundary) => net.compile_below(example, boundary, options),
        None => net.compile(example, options),
    }
}

/// Gives what the trunk, or so many groups of it, say of batch after batch, and the batch: by a plan if there are inputs enough
/// or another precision than f32 is asked for, all by it or none.
pub(crate) fn over<N: Classifier>(
    net: &N,
    boundary: Option<usize>,
    options: PlanOptions,
    batches: &mut dyn Iterator<Item = Result<Labelled<N::Batch>>>,
    each: &mut dyn FnMut(Value, Labelled<N::Batch>) -> Result<()>,
) -> Result<()> {
    let mut batches = batches.fuse();
    let (mut waiting, mut inputs) = (Vec::new(), 0);
    while inputs < PAYS {
        let Some(batch) = batches.next().transpose()? else { break };
        inputs += N::count(&batch.inputs);
        waiting.push(batch);
    }
    let trunk = match waiting.first() {
        Some(first) if inputs >= PAYS || options.precision != Precision::F32 => {
            Trunk::compile(net, &first.inputs, boundary, options)?
        }
        _ => Trunk { boundary, ..Trunk::none() },
    };
    for batch in waiting.into_iter().map(Ok).chain(batches) {
        let batch = batch?;
        each(trunk.run(net, &batch.inputs)?, batch)?;
    }
    Ok(())
}
