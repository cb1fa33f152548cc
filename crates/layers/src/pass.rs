//! One forward pass, and the way back.

use crate::{Error, Module, ModuleId, Param, ParamId, Result};
use std::collections::BTreeMap;
use ukulele_autograd::{Gradient, Graph, NodeId, OpProfile, Precision, Tape, Tensor, Unreached, Value};
use ukulele_kernels::random;

/// ONE forward pass: its mode, tape, randomness, and the changes of statistics it asks for.
#[derive(Debug)]
pub struct Pass {
    training: bool,
    precision: Precision,
    tape: Option<Tape>,
    key: u64,
    drawn: u64,
    leaves: BTreeMap<ParamId, (NodeId, Value)>,
    updates: BTreeMap<ParamId, Tensor>,
    watched: BTreeMap<ModuleId, Vec<String>>,
    tapped: Vec<(String, Value)>,
    /// The module whose output is the input of a recording.
    start: Option<ModuleId>,
}

/// What a pass leaves for the optimiser: gradients of the trainable parameters, and new running statistics.
#[derive(Debug, Default)]
pub struct Gradients {
    gradients: BTreeMap<ParamId, Tensor>,
    updates: BTreeMap<ParamId, Tensor>,
}

impl Pass {
    fn new(training: bool, tape: Option<Tape>, seed: u64) -> Self {
        let key = random::key(&[seed]);
        Self {
            training,
            precision: Precision::F32,
            tape,
            key,
            drawn: 0,
            leaves: BTreeMap::new(),
            updates: BTreeMap::new(),
            watched: BTreeMap::new(),
            tapped: Vec::new(),
            start: None,
        }
    }

    /// A training pass: dropout drops, batch norm uses the statistics of the batch, the tape records. Give every step
    /// its own seed; equal seeds drop equal elements.
    pub fn train(seed: u64) -> Self {
        Self::new(true, Some(Tape::new()), seed)
    }

    /// An inference pass: nothing is random, nothing is recorded.
    pub fn eval() -> Self {
        Self::new(false, None, 0)
    }

    /// A pass that computes as in inference and still records, for gradients of a model in evaluation mode.
    pub fn eval_with_gradients() -> Self {
        Self::new(false, Some(Tape::new()), 0)
    }

    /// A pass that computes as in inference and records every op that depends on its input ([`Pass::input`]), for
    /// [`Pass::graph`].
    pub fn record() -> Self {
        Self::new(false, Some(Tape::recorder()), 0)
    }

    /// As [`Pass::record`]; the input is the output of the module of this name: what leads there is not recorded.
    ///
    /// # Errors
    /// A name that no module has.
    pub fn record_from(net: &impl Module, name: &str) -> Result<Self> {
        let mut pass = Self::record();
        pass.watch(net, &[name])?;
        pass.start = std::mem::take(&mut pass.watched).into_keys().next();
        Ok(pass)
    }

    /// An input of the pass. Only a recording pass treats it otherwise than any tensor.
    pub fn input(&self, x: Tensor) -> Value {
        match &self.tape {
            Some(tape) if !tape.differentiates() => tape.leaf("input", x),
            _ => x.into(),
        }
    }

    /// The ops that lead from the inputs to `output`.
    ///
    /// # Errors
    /// The pass was not made by [`Pass::record`]; `output` depends on no input.
    pub fn graph(&self, output: &Value) -> Result<Graph> {
        self.tape
            .as_ref()
            .ok_or_else(|| Error::argument("graph", "this pass records nothing; use Pass::record"))?
            .graph(output)
    }

    /// The pass in another precision than f32. In [`Precision::Bf16`] the convolutions and linear layers of any module multiply
    /// factors that are rounded to bf16, in backward too: each product has a relative error of at most 2^-7. Convolutions write bf16
    /// ([`ukulele_autograd::Data`]), which norms, ReLU, max pools and concatenations keep, and gradients lie as their values do:
    /// each rounding is off by at most 2^-8 of the number. Sums, results of linear layers, parameters and their gradients, attention and losses
    /// stay f32, and so do the products that [`ukulele_kernels::conv::conv2d_in`] names. In [`Precision::Int8`] nothing learns: those
    /// layers return an error.
    ///
    /// ```
    /// use ukulele_layers::{Init, Linear, Pass, Precision, Tensor};
    /// let layer = Linear::new(4, 3, &mut Init::new(0));
    /// let x = Tensor::ones(&[2, 4])?.into();
    /// let [exact, rounded] = [Precision::F32, Precision::Bf16]
    ///     .map(|precision| layer.forward(&x, &mut Pass::train(7).with_precision(precision)));
    /// let (exact, rounded) = (exact?.tensor().to_vec(), rounded?.tensor().to_vec());
    /// assert!(exact != rounded && exact.iter().zip(&rounded).all(|(a, b)| (a - b).abs() < 0.01));
    /// # Ok::<(), ukulele_layers::Error>(())
    /// ```
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The pass with a tape that keeps outputs here and there only ([`Tape::checkpointing`]): gradients have the same bits, and
    /// the step takes less memory, and at most another forward pass more. Of no effect without a tape.
    #[must_use]
    pub fn with_gradient_checkpointing(self) -> Self {
        Self { tape: self.tape.map(Tape::checkpointing), ..self }
    }

    /// The pass with a tape that notes what each op takes, for [`Pass::take_profile`]. Of no effect without a tape.
    #[must_use]
    pub fn with_profile(self) -> Self {
        Self { tape: self.tape.map(Tape::profiling), ..self }
    }

    /// What each op took in forward and in backward, after backward ([`Tape::take_profile`]). What depends on nothing trainable is not
    /// in it.
    ///
    /// ```
    /// use ukulele_layers::{Init, Linear, Pass, Tensor};
    /// let layer = Linear::new(4, 3, &mut Init::new(0));
    /// let mut pass = Pass::train(7).with_profile();
    /// let loss = layer.forward(&Tensor::ones(&[2, 4])?.into(), &mut pass)?.cross_entropy(&[0, 2])?;
    /// pass.backward(&loss)?;
    /// let profile = pass.take_profile();
    /// assert_eq!((profile.len(), profile[0].what.as_str()), (2, "linear 4 -> 3 [2, 3]"));
    /// # Ok::<(), ukulele_layers::Error>(())
    /// ```
    pub fn take_profile(&self) -> Vec<OpProfile> {
        self.tape.as_ref().map(Tape::take_profile).unwrap_or_default()
    }

    /// What convolutions and linear layers round their factors to.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether this pass trains.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// The tape, if the pass records.
    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// The parameter as a value of this pass: traced if it is trainable and the pass records. A parameter used twice
    /// (tied weights) is one leaf, and its gradients add up.
    pub fn param(&mut self, param: &Param) -> Value {
        let Some(tape) = self.tape.as_ref().filter(|tape| param.is_trainable() && tape.differentiates()) else {
            return param.value.clone().into();
        };
        if let Some((_, value)) = self.leaves.get(&param.id()) {
            return value.clone();
        }
        let value = tape.leaf("parameter", param.value.clone());
        if let Some((_, node)) = value.trace() {
            self.leaves.insert(param.id(), (node, value.clone()));
        }
        value
    }

    /// A key for the next random op of this pass: it depends on the seed and on how many were drawn before.
    pub fn draw_key(&mut self) -> u64 {
        self.drawn += 1;
        random::key(&[self.key, self.drawn])
    }

    /// The statistic as the pass has it: what an earlier layer of this pass made of it, or its own value.
    pub fn statistic(&self, param: &Param) -> Tensor {
        self.updates.get(&param.id()).unwrap_or(&param.value).clone()
    }

    /// Asks that the statistic become `value` when the step is taken.
    pub fn update(&mut self, param: &Param, value: Tensor) {
        self.updates.insert(param.id(), value);
    }

    /// Keeps the outputs of these modules of `net`, to be read after the forward pass ([`Pass::tapped`]). `net` must not
    /// be moved in between.
    ///
    /// # Errors
    /// A name that no module has.
    pub fn watch(&mut self, net: &impl Module, names: &[&str]) -> Result<()> {
        let mut modules = Vec::new();
        net.modules("", &mut |name, id| modules.push((name.to_owned(), id)));
        for &wanted in names {
            let Some((name, id)) = modules.iter().find(|(name, _)| name == wanted) else {
                let shared = |name: &str| name.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
                modules.sort_by_key(|(name, _)| (std::cmp::Reverse(shared(name)), name.len()));
                let names = modules.iter().map(|(name, _)| name.as_str()).filter(|name| !name.is_empty());
                let near: Vec<&str> = names.take(5).collect();
                return Err(Error::argument("watch", format!("no module `{wanted}`; near are {}", near.join(", "))));
            };
            self.watched.entry(*id).or_default().push(name.clone());
        }
        Ok(())
    }

    /// Keeps the outputs of all modules of `net`.
    pub fn watch_all(&mut self, net: &impl Module) {
        net.modules("", &mut |name, id| {
            if !name.is_empty() {
                self.watched.entry(id).or_default().push(name.to_owned());
            }
        });
    }

    /// Said by a module at the end of its forward pass: `y` is its output. It is kept if somebody watches, and given back.
    pub fn tap<M>(&mut self, module: &M, y: Value) -> Value {
        if self.start.is_some() && self.start == Some(ModuleId::of(module)) {
            return self.input(y.into_tensor());
        }
        if !self.watched.is_empty()
            && let Some(names) = self.watched.get(&ModuleId::of(module))
        {
            self.tapped.extend(names.iter().map(|name| (name.clone(), y.clone())));
        }
        y
    }

    /// Whether somebody watches this module, so that it must have an output of its own.
    pub fn is_watched<M>(&self, module: &M) -> bool {
        !self.watched.is_empty() && self.watched.contains_key(&ModuleId::of(module))
    }

    /// The outputs of the watched modules, in the order in which they were computed.
    pub fn taps(&self) -> &[(String, Value)] {
        &self.tapped
    }

    /// The last output of the watched module of this name.
    pub fn tapped(&self, name: &str) -> Option<&Value> {
        self.tapped.iter().rev().find(|(tapped, _)| tapped == name).map(|(_, value)| value)
    }

    /// The gradients of `loss` by the trainable parameters, and the new statistics. The tape is used up; each record is
    /// freed as the walk passes it.
    ///
    /// # Errors
    /// The pass does not record, nothing trainable lies behind `loss`, or `loss` is no scalar.
    pub fn backward(&mut self, loss: &Value) -> Result<Gradients> {
        let Some(tape) = &self.tape else { return Err(records_nothing()) };
        let leaves = std::mem::take(&mut self.leaves);
        let mut gradients = tape.backward(loss)?;
        let gradients = leaves.iter().filter_map(|(id, (node, _))| Some((*id, gradients.take(*node)?))).collect();
        Ok(Gradients { gradients, updates: std::mem::take(&mut self.updates) })
    }

    /// As [`Pass::backward`], giving each gradient away as soon as it is known, when the pass has let go of the parameter's own
    /// tensor: who then moves the parameter holds one gradient at a time. The new statistics come by [`Pass::take_updates`].
    ///
    /// # Errors
    /// As [`Pass::backward`]; the first of `each`, which ends the walk.
    pub fn backward_each(
        &mut self,
        loss: &Value,
        each: &mut (dyn FnMut(ParamId, Gradient) -> Result<()> + Send),
    ) -> Result<()> {
        let Some(tape) = &self.tape else { return Err(records_nothing()) };
        let leaves: BTreeMap<NodeId, ParamId> =
            std::mem::take(&mut self.leaves).into_iter().map(|(id, (node, _))| (node, id)).collect();
        tape.backward_each(loss, &mut |node, gradient| match leaves.get(&node) {
            Some(id) => each(*id, gradient),
            None => Ok(()),
        })
    }

    /// The changes of statistics alone.
    pub fn take_updates(&mut self) -> Gradients {
        Gradients { gradients: BTreeMap::new(), updates: std::mem::take(&mut self.updates) }
    }

    /// The changes of statistics alone, for a pass whose gradients are not wanted.
    pub fn into_updates(mut self) -> Gradients {
        self.take_updates()
    }

    pub(crate) fn node(&self, id: ParamId) -> Option<NodeId> {
        self.leaves.get(&id).map(|(node, _)| *node)
    }

    pub(crate) fn unreached(&self, loss: &Value) -> Vec<Unreached> {
        self.tape.as_ref().map(|tape| tape.unreached(loss)).unwrap_or_default()
    }
}

fn records_nothing() -> Error {
    Error::argument("backward", "an evaluation pass records nothing; use Pass::train")
}

impl Gradients {
    /// The gradient of a parameter; `None` if it is frozen or has no part in the loss.
    pub fn of(&self, param: &Param) -> Option<&Tensor> {
        self.gradients.get(&param.id())
    }

    /// Takes the gradient of a parameter out.
    pub fn take(&mut self, param: &Param) -> Option<Tensor> {
        self.gradients.remove(&param.id())
    }

    /// The new value of a statistic, if the pass changed it.
    pub fn statistic(&self, param: &Param) -> Option<&Tensor> {
        self.updates.get(&param.id())
    }

    /// All gradients, in the order the parameters were made, to be read or changed (clipping).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        self.gradients.values_mut()
    }

    /// Adds the gradients of another pass (accumulation over small batches); its statistics replace the earlier ones.
    ///
    /// # Errors
    /// Gradients of another model.
    pub fn accumulate(&mut self, other: Self) -> Result<()> {
        for (id, gradient) in other.gradients {
            match self.gradients.entry(id) {
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(gradient);
                }
                std::collections::btree_map::Entry::Occupied(mut slot) => {
                    let gradient = gradient.laid_as(slot.get())?;
                    ukulele_kernels::elementwise::axpy(1.0, gradient.dense_memory(), slot.get_mut().memory_mut());
                }
            }
        }
        self.updates.extend(other.updates);
        Ok(())
    }
}
