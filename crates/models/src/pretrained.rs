//! Loading: from named tensors of a file into the parameters of a model.

use ukulele_layers::{Module, Role};
use weights_import::{Dialect, Report, Result, Slot, Weights};

/// Every module can be loaded from weights.
pub trait Pretrained: Module + Sized {
    /// Fills the parameters whose names the weights have under `dialect`. Nothing is changed on an error, and what was
    /// not found, or has another shape, is kept as it is and named in the report.
    ///
    /// # Errors
    /// A file that breaks off or does not belong to this architecture.
    fn load(&mut self, weights: &Weights, dialect: &Dialect) -> Result<Report> {
        let mut tensors = self.state();
        let slots = tensors.iter_mut().map(|(name, tensor)| Slot { name: name.clone(), tensor }).collect();
        let report = weights_import::load(slots, weights, dialect)?;
        let mut tensors = tensors.into_iter();
        self.each("", &mut |_, param| {
            if param.role != Role::Rate
                && let Some((_, tensor)) = tensors.next()
            {
                param.value = tensor;
            }
        });
        Ok(report)
    }
}

impl<M: Module> Pretrained for M {}
