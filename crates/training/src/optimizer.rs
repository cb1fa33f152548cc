//! What all optimisers have in common: one step over a model.

use crate::{Error, Group, Groups, Result};
use std::collections::BTreeMap;
use ukulele_autograd::Gradient;
use ukulele_layers::{Gradients, Module, Param, ParamId, Pass, Role, Tensor, Value};

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

    /// [`Pass::backward`] and [`Optimizer::step`] in one, with the same bits: each parameter moves as soon as its gradient is
    /// known, so that all gradients are never there together. For steps of one pass that change no gradient: without clipping
    /// and accumulation.
    ///
    /// ```
    /// use ukulele_layers::{Init, Linear, Pass, Tensor};
    /// use ukulele_training::{Optimizer, Sgd};
    /// let mut net = Linear::new(4, 2, &mut Init::new(0));
    /// let mut pass = Pass::train(0);
    /// let loss = net.forward(&Tensor::ones(&[3, 4])?.into(), &mut pass)?.cross_entropy(&[0, 1, 1])?;
    /// Sgd::new(0.1).backward_and_step(&mut net, &mut pass, &loss)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of both. What a gradient shows on the way comes when the parameters behind it have moved.
    fn backward_and_step(&mut self, net: &mut dyn Module, pass: &mut Pass, loss: &Value) -> Result<()> {
        let gradients = pass.backward(loss)?;
        self.step(net, gradients)
    }
}

/// A part of the gradient of a parameter: where it begins in the memory of both, and its numbers.
pub(crate) type Pieces<'a> = dyn FnMut(&mut dyn FnMut(usize, &[f32])) -> Result<()> + 'a;

/// Moves one parameter, whose memory is dense and in the same order as that of the gradient, which comes in pieces.
type Update<'a> = dyn FnMut(&mut Param, &mut Pieces<'_>, Group) -> Result<()> + Send + 'a;

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
                Ok(gradient) => {
                    let mut pieces = |each: &mut dyn FnMut(usize, &[f32])| {
                        each(0, gradient.dense_memory());
                        Ok(())
                    };
                    update(param, &mut pieces, groups.of(name, param.role))
                }
                Err(error) => Err(error.into()),
            };
        }
    });
    done
}

/// [`Optimizer::backward_and_step`] of any optimiser.
pub(crate) fn backward_and_step(
    net: &mut dyn Module,
    pass: &mut Pass,
    loss: &Value,
    groups: &Groups,
    update: &mut Update<'_>,
) -> Result<()> {
    let mut statistics = pass.take_updates();
    check(net, &mut statistics)?;
    let mut taken = Taken::of(net, groups);
    let mut failed = Ok(());
    let walked = pass.backward_each(loss, &mut |id, gradient| {
        failed = match taken.params.get_mut(&id) {
            Some((name, param, group)) => move_one(name, param, gradient, *group, update),
            None => Err(Error::Argument("a gradient belongs to a parameter of another model".into())),
        };
        // Any error ends the walk.
        failed.as_ref().map_err(|_| ukulele_layers::Error::argument("backward", "a step failed")).copied()
    });
    drop(taken);
    failed?;
    walked?;
    apply_statistics(net, &statistics);
    Ok(())
}

/// Moves one parameter by its gradient.
fn move_one(name: &str, param: &mut Param, gradient: Gradient, group: Group, update: &mut Update<'_>) -> Result<()> {
    param.value = param.value.dense();
    let gradient = match gradient {
        Gradient::Product(product) if product.shape() == *param.value.shape() && param.value.is_contiguous() => {
            let mut pieces = |each: &mut dyn FnMut(usize, &[f32])| {
                product.pieces(|at, piece| {
                    finite(name, "gradient", piece, "")?;
                    each(at, piece);
                    Ok(())
                })
            };
            return update(param, &mut pieces, group);
        }
        gradient => gradient.into_tensor()?,
    };
    if gradient.shape() != param.value.shape() {
        return Err(wrong_shape(name, "gradient", &gradient, param));
    }
    finite(name, "gradient", gradient.dense_memory(), "")?;
    let gradient = gradient.laid_as(&param.value)?;
    let mut pieces = |each: &mut dyn FnMut(usize, &[f32])| {
        each(0, gradient.dense_memory());
        Ok(())
    };
    update(param, &mut pieces, group)
}

/// The trainable parameters of a model, taken out of it: a walk over the model for each would take too long. They are put back
/// when this is dropped.
struct Taken<'a> {
    net: &'a mut dyn Module,
    /// In the order of the walk.
    order: Vec<ParamId>,
    params: BTreeMap<ParamId, (String, Param, Group)>,
}

impl<'a> Taken<'a> {
    fn of(net: &'a mut dyn Module, groups: &Groups) -> Self {
        let (mut order, mut params) = (Vec::new(), BTreeMap::new());
        net.each("", &mut |name, param| {
            if param.is_trainable() {
                let group = groups.of(name, param.role);
                let param = std::mem::replace(param, Param::new(Tensor::scalar(0.0), param.role));
                order.push(param.id());
                params.insert(param.id(), (name.to_owned(), param, group));
            }
        });
        Self { net, order, params }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let (mut order, params) = (self.order.iter(), &mut self.params);
        self.net.each("", &mut |_, place| {
            if place.is_trainable()
                && let Some((_, param, _)) = order.next().and_then(|id| params.remove(id))
            {
                *place = param;
            }
        });
    }
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
            first = if tensor.shape() == param.value.shape() {
                finite(name, what, tensor.dense().dense_memory(), "; nothing was changed")
            } else {
                Err(wrong_shape(name, what, tensor, param))
            };
        }
    });
    first?;
    let all = gradients.iter_mut().count();
    if found == all {
        return Ok(());
    }
    Err(Error::Argument(format!("{} of {all} gradients belong to parameters of another model", all - found)))
}

fn wrong_shape(name: &str, what: &str, tensor: &Tensor, param: &Param) -> Error {
    let (got, want) = (tensor.shape(), param.value.shape());
    Error::gradient(name, format!("a {what} of shape {got:?} for a parameter of shape {want:?}"))
}

/// Fails if a number is infinite or none.
fn finite(name: &str, what: &str, values: &[f32], then: &str) -> Result<()> {
    match not_finite(values) {
        Some(bad) => Err(Error::gradient(name, format!("the {what} contains {bad}{then}"))),
        None => Ok(()),
    }
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
