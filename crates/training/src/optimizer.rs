//! What all optimisers have in common: one step over a model.

use crate::{Error, Group, Groups, Result};
use ukulele_layers::{Gradients, Module, Param, Role};

/// Moves parameters against their gradients.
pub trait Optimizer {
    /// The learning rate of the next step, the factor included.
    fn rate(&self) -> f64;

    /// Sets the factor on the learning rate, as a [`crate::Schedule`] gives it.
    fn set_factor(&mut self, factor: f64);

    /// Takes one step: every trainable parameter that has a gradient moves, and the running statistics of batch norm
    /// become what the pass found. Frozen parameters keep their bits.
    ///
    /// # Errors
    /// A gradient or statistic that is infinite or no number, that has another shape than its parameter, or that belongs
    /// to another model. Nothing is changed then.
    fn step(&mut self, net: &mut dyn Module, gradients: Gradients) -> Result<()>;
}

/// Moves one parameter, whose memory is dense and in the same order as that of the gradient.
type Update<'a> = dyn FnMut(&mut Param, &[f32], Group) -> Result<()> + 'a;

/// The step of any optimiser: checks everything, then moves everything.
pub(crate) fn step(
    net: &mut dyn Module,
    mut gradients: Gradients,
    groups: &Groups,
    update: &mut Update<'_>,
) -> Result<()> {
    check(net, &mut gradients)?;
    apply_statistics(net, &gradients);
    let mut done = Ok(());
    net.each("", &mut |name, param| {
        if done.is_err() || !param.is_trainable() {
            return;
        }
        if let Some(gradient) = gradients.take(param) {
            param.value = param.value.dense();
            done = match gradient.laid_as(&param.value) {
                Ok(gradient) => update(param, gradient.dense_memory(), groups.of(name, param.role)),
                Err(error) => Err(error.into()),
            };
        }
    });
    done
}

/// Sets the running statistics to what the pass found; frozen ones stay.
pub(crate) fn apply_statistics(net: &mut dyn Module, gradients: &Gradients) {
    net.each("", &mut |_, param| {
        if param.role == Role::Statistic
            && !param.frozen
            && let Some(new) = gradients.statistic(param)
        {
            param.value = new.clone();
        }
    });
}

/// Whether `net` can be moved by these gradients.
fn check(net: &mut dyn Module, gradients: &mut Gradients) -> Result<()> {
    let mut found = 0;
    let mut first = Ok(());
    net.each("", &mut |name, param| {
        let gradient = gradients.of(param);
        found += usize::from(gradient.is_some());
        for (what, tensor) in [("gradient", gradient), ("running statistic", gradients.statistic(param))] {
            let Some(tensor) = tensor.filter(|_| first.is_ok()) else { continue };
            if tensor.shape() != param.value.shape() {
                let (got, want) = (tensor.shape(), param.value.shape());
                first =
                    Err(Error::gradient(name, format!("a {what} of shape {got:?} for a parameter of shape {want:?}")));
            } else if let Some(bad) = not_finite(tensor.dense().dense_memory()) {
                first = Err(Error::gradient(name, format!("the {what} contains {bad}; nothing was changed")));
            }
        }
    });
    first?;
    let all = gradients.iter_mut().count();
    if found == all {
        return Ok(());
    }
    Err(Error::Argument(format!("{} of {all} gradients belong to parameters of another model", all - found)))
}

/// The first element that is infinite or no number.
fn not_finite(values: &[f32]) -> Option<f32> {
    const INFINITE: u32 = 0x7f80_0000;
    // A maximum of integers vectorises; a search for the first does not.
    let largest = values.iter().fold(0, |most, v| most.max(v.to_bits() & 0x7fff_ffff));
    if largest < INFINITE { None } else { values.iter().copied().find(|v| !v.is_finite()) }
}

#[cfg(test)]
mod tests {
    use super::not_finite;

    #[test]
    fn only_infinities_and_nan_are_not_finite() {
        assert_eq!(not_finite(&[0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45]), None);
        assert_eq!(not_finite(&[1.0, f32::NEG_INFINITY, f32::NAN]), Some(f32::NEG_INFINITY));
        assert!(not_finite(&[-f32::NAN]).is_some_and(f32::is_nan));
    }
}
