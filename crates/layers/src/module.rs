//! What all layers and models have in common: a walk over their parameters.

use crate::{Error, Param, Pass, Result, Role, Value};
use ukulele_autograd::Tensor;

/// Something with parameters.
pub trait Module {
    /// Calls `f` with the name and value of each parameter, in the order of the fields. `path` is the name of the module
    /// itself, empty for the whole model.
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param));

    /// Calls `f` with the name and identity of each module, itself first: what [`Pass::watch`] can listen to. A list of
    /// modules goes by the identity of its last one, as its output is the list's.
    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId));

    /// Freezes the parameters whose names `choose` selects, on all three axes: weights get no gradient, batch norm keeps
    /// its statistics, dropout drops nothing. The others stay as they are.
    fn freeze(&mut self, mut choose: impl FnMut(&str) -> bool)
    where
        Self: Sized,
    {
        self.each("", &mut |name, p| p.frozen |= choose(name));
    }

    /// The opposite of [`Module::freeze`].
    fn unfreeze(&mut self, mut choose: impl FnMut(&str) -> bool)
    where
        Self: Sized,
    {
        self.each("", &mut |name, p| p.frozen &= !choose(name));
    }

    /// Freezes (or unfreezes) one axis alone: the parameters of these roles whose names `choose` selects.
    fn set_frozen(&mut self, roles: &[Role], frozen: bool, mut choose: impl FnMut(&str) -> bool)
    where
        Self: Sized,
    {
        self.each("", &mut |name, p| {
            if roles.contains(&p.role) && choose(name) {
                p.frozen = frozen;
            }
        });
    }

    /// The number of trained numbers, and how many of them are not frozen.
    fn parameter_count(&mut self) -> (usize, usize)
    where
        Self: Sized,
    {
        let (mut all, mut trainable) = (0, 0);
        self.each("", &mut |_, p| {
            all += if p.role.is_trained() { p.value.numel() } else { 0 };
            trainable += if p.is_trainable() { p.value.numel() } else { 0 };
        });
        (all, trainable)
    }

    /// What a checkpoint holds: names and tensors, in order. Tensors share memory until one is changed.
    fn state(&mut self) -> Vec<(String, Tensor)>
    where
        Self: Sized,
    {
        let mut state = Vec::new();
        self.each("", &mut |name, p| {
            if p.role != Role::Rate {
                state.push((name.to_owned(), p.value.clone()));
            }
        });
        state
    }

    /// Sets the tensors of a state taken by [`Module::state`] from the same model.
    ///
    /// # Errors
    /// A name or shape that does not fit; then nothing is changed.
    fn set_state(&mut self, state: &[(String, Tensor)]) -> Result<()>
    where
        Self: Sized,
    {
        let own = self.state();
        if own.len() != state.len() {
            return Err(Error::argument(
                "set_state",
                format!("{} tensors given, the model has {}", state.len(), own.len()),
            ));
        }
        for ((name, mine), (other, theirs)) in own.iter().zip(state) {
            if name != other {
                return Err(Error::argument("set_state", format!("`{other}` given where the model has `{name}`")));
            }
            if mine.shape() != theirs.shape() {
                return Err(Error::shapes("set_state", mine.shape(), theirs.shape()));
            }
        }
        let mut state = state.iter();
        self.each("", &mut |_, p| {
            if p.role != Role::Rate
                && let Some((_, tensor)) = state.next()
            {
                p.value = tensor.clone();
            }
        });
        Ok(())
    }

    /// Checks that every trainable parameter has a way to `loss`: run it on the first pass of a training.
    ///
    /// # Errors
    /// Names each parameter without a way, and the op at which it ends.
    fn audit(&mut self, pass: &Pass, loss: &Value) -> Result<()>
    where
        Self: Sized,
    {
        let mut lost = Vec::new();
        let reasons = pass.unreached(loss);
        self.each("", &mut |name, p| {
            if !p.is_trainable() {
                return;
            }
            match pass.node(p.id()) {
                None => lost.push(format!("{name} (not used in the forward pass)")),
                Some(node) => {
                    lost.extend(reasons.iter().find(|u| u.node == node).map(|u| format!("{name} ({})", u.reason)))
                }
            }
        });
        if lost.is_empty() {
            return Ok(());
        }
        let message =
            format!("no way from the loss to {}; freeze what is not to be trained, or use it", lost.join(", "));
        Err(Error::argument("audit", message))
    }
}

/// Which part of a model a module is: its place in memory and its type, as a struct and its first field share a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleId(usize, &'static str);

impl ModuleId {
    /// The identity of this module for as long as it is not moved.
    pub fn of<M>(module: &M) -> Self {
        Self(std::ptr::from_ref(module).addr(), std::any::type_name::<M>())
    }
}

impl Module for Param {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        f(path, self);
    }

    fn modules(&self, _: &str, _: &mut dyn FnMut(&str, ModuleId)) {}
}

impl<M: Module> Module for Option<M> {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        if let Some(module) = self {
            module.each(path, f);
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        if let Some(module) = self {
            module.modules(path, f);
        }
    }
}

impl<M: Module> Module for Vec<M> {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        for (i, module) in self.iter_mut().enumerate() {
            module.each(&join(path, &i.to_string()), f);
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        let mut output = None;
        for (i, module) in self.iter().enumerate() {
            let own = join(path, &i.to_string());
            module.modules(&own, &mut |name, id| {
                if name == own {
                    output = Some(id);
                }
                f(name, id);
            });
        }
        if let Some(id) = output {
            f(path, id);
        }
    }
}

/// The name of a part: `path.part`, or `part` at the root.
pub fn join(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") }
}

/// Implements [`Module`] for a struct by listing its fields. A field whose checkpoint name is no Rust name is given one:
/// `module!(Layer { attention, mixer => "self" });`
#[macro_export]
macro_rules! module {
    ($type:ty { $($field:ident $(=> $name:literal)?),* $(,)? }) => {
        impl $crate::Module for $type {
            #[allow(unused_variables)] // a layer may have no fields
            fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut $crate::Param)) {
                $($crate::Module::each(&mut self.$field, &$crate::join(path, $crate::module!(@ $field $($name)?)), f);)*
            }

            fn modules(&self, path: &str, f: &mut dyn FnMut(&str, $crate::ModuleId)) {
                f(path, $crate::ModuleId::of(self));
                $($crate::Module::modules(&self.$field, &$crate::join(path, $crate::module!(@ $field $($name)?)), f);)*
            }
        }
    };
    (@ $field:ident) => { stringify!($field) };
    (@ $field:ident $name:literal) => { $name };
}
