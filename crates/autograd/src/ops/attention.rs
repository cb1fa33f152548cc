//! out = dropout(softmax(scale·Q·Kᵀ + mask))·V for each head: scaled dot-product attention.
//!
//! With the weights P = softmax(..), D the dropout mask, dP = D·(∂L/∂out·Vᵀ) and δ = Σ out·∂L/∂out of each query:
//! ∂L/∂V = (D·P)ᵀ·∂L/∂out, dS = P·(dP − δ), ∂L/∂Q = scale·dS·K, ∂L/∂K = scale·dSᵀ·Q. The weights are computed again
//! from the kept logarithm of the sum of e^scores of each query.
//!
//! Source: Vaswani et al., "Attention Is All You Need", 2017; Dao et al., "FlashAttention", 2022.

use crate::gradcheck::{Example, numbers};
use crate::ops::dropout::Dropout;
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value, Way, Work};
use ukulele_kernels::attention::{self, Gradients, Inputs, Layout};

/// How attention is paid.
#[derive(Debug, Clone)]
pub struct AttentionOptions<T: Element = f32> {
    /// The number of heads, which share the last dimension evenly.
    pub heads: usize,
    /// What scores are multiplied by; 1/√(size of a head) if `None`.
    pub scale: Option<f64>,
    /// Added to the scores of all heads and queries, (B, Tk): 0 for a key that takes part, a large negative number for
    /// one that does not.
    pub mask: Option<Tensor<T>>,
    /// Dropout of the weights.
    pub dropout: Option<Dropout>,
}

impl<T: Element> Default for AttentionOptions<T> {
    /// One head, nothing masked or dropped.
    fn default() -> Self {
        Self { heads: 1, scale: None, mask: None, dropout: None }
    }
}

/// Attention: inputs Q (B, Tq, heads·D), K and V (B, Tk, heads·D).
#[derive(Debug, Clone)]
pub struct Attention<T: Element> {
    /// How it is paid.
    pub options: AttentionOptions<T>,
    /// ln Σ e^scores of each query (B, heads, Tq), known after a recorded forward.
    pub log_sum_exp: Option<Tensor<T>>,
}

impl<T: Element> Attention<T> {
    /// The sizes for the kernel.
    fn geometry(&self, q: &[usize], k: &[usize], v: &[usize]) -> Result<attention::Attention> {
        let (&[batch, tq, width], &[others, tk, inner]) = (q, k) else {
            return Err(Error::shapes("attention (queries and keys)", q, k));
        };
        if (batch, width) != (others, inner) {
            return Err(Error::shapes("attention (queries and keys)", q, k));
        }
        if k != v {
            return Err(Error::shapes("attention (keys and values)", k, v));
        }
        let heads = self.options.heads;
        if heads == 0 || !width.is_multiple_of(heads) {
            let message = format!("{heads} heads cannot share a width of {width} evenly");
            return Err(Error::argument("attention", message));
        }
        if tk == 0 {
            return Err(Error::shape("attention", k, "at least one key"));
        }
        if let Some(mask) = self.options.mask.as_ref().filter(|m| *m.shape() != [batch, tk]) {
            return Err(Error::shape("attention (mask)", mask.shape(), format!("[{batch}, {tk}]")));
        }
        let dim = width / heads;
        let scale = self.options.scale.unwrap_or(1.0 / (dim as f64).sqrt());
        let Dropout { rate, key } = self.options.dropout.unwrap_or_default();
        let dropout = Dropout { rate, key }.checked("attention")?;
        Ok(attention::Attention { batch, heads, tq, tk, dim, scale, dropout, key })
    }
}

/// Where the tokens of a tensor (B, T, heads·D) lie; the last dimension must be contiguous.
fn layout<T: Element>(x: &Tensor<T>, dim: usize) -> Layout {
    Layout { batch: x.strides()[0], token: x.strides()[1], head: dim }
}

/// The tensor with its last dimension contiguous: parts of a fused Q, K, V may stay where they are.
fn rows<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    if x.shape()[2] <= 1 || x.strides()[2] == 1 { x.clone() } else { x.contiguous() }
}

impl<T: Element> Op<T> for Attention<T> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn work(&self, shapes: &[&[usize]], wants: &[bool]) -> Work {
        let Ok(g) = self.geometry(shapes[0], shapes[1], shapes[2]) else { return Work::plain("attention") };
        let product = (g.batch * g.heads * g.tq * g.tk * g.dim) as u64;
        // Scores and out; dP if Q or K wants it, and each gradient.
        let gradients = u64::from(wants[0] || wants[1]) + wants.iter().filter(|wants| **wants).count() as u64;
        let way = |multiply_adds: u64| Way { multiply_adds, ..Way::default() };
        Work { what: "attention".to_owned(), forward: way(2 * product), backward: way(gradients * product) }
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::OUTPUT.and_inputs(&[0, 1, 2])
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], record: bool) -> Result<Tensor<T>> {
        let g = self.geometry(inputs[0].shape(), inputs[1].shape(), inputs[2].shape())?;
        self.options.mask = self.options.mask.as_ref().map(Tensor::contiguous);
        let [q, k, v] = [0, 1, 2].map(|i| rows(inputs[i]));
        let x = Inputs {
            q: q.strided(),
            q_layout: layout(&q, g.dim),
            k: k.strided(),
            k_layout: layout(&k, g.dim),
            v: v.strided(),
            v_layout: layout(&v, g.dim),
            mask: self.options.mask.as_ref().map(Tensor::dense_memory),
        };
        let [output, log_sum_exp] = Tensor::build_all([q.shape(), &[g.batch, g.heads, g.tq]], |[out, lse]| {
            attention::forward(&g, &x, out, Layout::dense(g.tq, g.heads, g.dim), record.then_some(lse));
        })?;
        self.log_sum_exp = record.then_some(log_sum_exp);
        Ok(output)
    }

    fn backward(&self, kept: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let g = self.geometry(slots.shape(0), slots.shape(1), slots.shape(2))?;
        let Some(log_sum_exp) = &self.log_sum_exp else {
            return Err(Error::argument("attention", "backward was called before forward"));
        };
        let (q, k, v) = (kept.input(0)?.contiguous(), kept.input(1)?.contiguous(), kept.input(2)?.contiguous());
        let (output, grad) = (kept.output()?, grad.contiguous());
        let (queries, keys) = (Layout::dense(g.tq, g.heads, g.dim), Layout::dense(g.tk, g.heads, g.dim));
        let x = Inputs {
            q: q.dense_memory(),
            q_layout: queries,
            k: k.dense_memory(),
            k_layout: keys,
            v: v.dense_memory(),
            v_layout: keys,
            mask: self.options.mask.as_ref().map(Tensor::dense_memory),
        };
        let (output, grad, lse) = (output.dense_memory(), grad.dense_memory(), log_sum_exp.dense_memory());
        let [dq, dk, dv] = Tensor::build_all([q.shape(), k.shape(), v.shape()], |[dq, dk, dv]| {
            attention::backward(&g, &x, output, queries, lse, grad, Gradients { dq, dk, dv });
        })?;
        slots.add(0, dq)?;
        slots.add(1, dk)?;
        slots.add(2, dv)
    }
}

impl<T: Element> Value<T> {
    /// Scaled dot-product attention of queries `self` (B, Tq, heads·D) to `keys` and `values` (B, Tk, heads·D):
    /// (B, Tq, heads·D).
    ///
    /// ```
    /// # use ukulele_autograd::{AttentionOptions, Tensor, Value};
    /// let q: Value = Tensor::from_vec(&[1, 1, 1], vec![0.])?.into();
    /// let k: Value = Tensor::from_vec(&[1, 2, 1], vec![5., 7.])?.into();
    /// let v: Value = Tensor::from_vec(&[1, 2, 1], vec![1., 2.])?.into();
    /// assert_eq!(q.attention(&k, &v, &AttentionOptions::default())?.tensor().to_vec(), [1.5]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, no keys, heads that cannot share the width evenly, a dropout rate outside [0, 1).
    pub fn attention(&self, keys: &Self, values: &Self, options: &AttentionOptions<T>) -> Result<Self> {
        Self::apply(Attention { options: options.clone(), log_sum_exp: None }, &[self, keys, values])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, [batch, tq, tk, heads, dim]: [usize; 5], options: AttentionOptions<T>| {
        let (queries, keys) = ([batch, tq, heads * dim], [batch, tk, heads * dim]);
        let inputs = vec![numbers(1, &queries), numbers(2, &keys), numbers(3, &keys)];
        let options = AttentionOptions { heads, ..options };
        Example::new(label, inputs, move |v| v[0].attention(&v[1], &v[2], &options))
    };
    let plain = AttentionOptions::default;
    let mask = Tensor::from_vec(&[2, 3], [0.0, 0.0, -1e4, 0.0, -1e4, -0.5].map(T::from_f64).to_vec()).ok();
    vec![
        example("one head", [1, 3, 3, 1, 2], plain()),
        example("heads", [2, 3, 3, 2, 2], plain()),
        example("other keys", [2, 2, 4, 2, 3], plain()),
        example("scale", [1, 2, 3, 2, 2], AttentionOptions { scale: Some(2.0), ..plain() }),
        example("mask", [2, 3, 3, 2, 2], AttentionOptions { mask, ..plain() }),
        example(
            "dropout",
            [2, 4, 4, 2, 2],
            AttentionOptions { dropout: Some(Dropout { rate: 0.4, key: 7 }), ..plain() },
        ),
        example("one", [1, 1, 1, 1, 1], plain()),
        example("no queries", [1, 0, 2, 1, 2], plain()),
        example("no batch", [0, 2, 2, 1, 2], plain()),
        Example::new("fused", vec![numbers(1, &[2, 3, 12])], |v| {
            let [q, k, v] = [0, 4, 8].map(|start| v[0].narrow(2, start, 4));
            q?.attention(&k?, &v?, &AttentionOptions { heads: 2, ..AttentionOptions::default() })
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let value = |shape: &[usize]| Value::<f32>::from(numbers(1, shape));
        let run = |q: &[usize], k: &[usize], v: &[usize], options: AttentionOptions| {
            value(q).attention(&value(k), &value(v), &options).unwrap_err().to_string()
        };
        let plain = AttentionOptions::default;
        assert!(run(&[2, 3, 4], &[2, 3, 5], &[2, 3, 5], plain()).contains("[2, 3, 4] and [2, 3, 5]"));
        assert!(run(&[2, 3, 4], &[2, 3, 4], &[2, 2, 4], plain()).contains("keys and values"));
        assert!(run(&[2, 4], &[2, 3, 4], &[2, 3, 4], plain()).contains("do not fit"));
        let heads = AttentionOptions { heads: 3, ..plain() };
        assert!(run(&[2, 3, 4], &[2, 3, 4], &[2, 3, 4], heads).contains("3 heads"));
        let mask = AttentionOptions { mask: Some(numbers(1, &[2, 2])), ..plain() };
        assert!(run(&[2, 3, 4], &[2, 3, 4], &[2, 3, 4], mask).contains("[2, 3] expected"));
        let dropout = AttentionOptions { dropout: Some(Dropout { rate: 1.0, key: 0 }), ..plain() };
        assert!(run(&[2, 3, 4], &[2, 3, 4], &[2, 3, 4], dropout).contains("rate"));
        assert!(run(&[2, 3, 4], &[2, 0, 4], &[2, 0, 4], plain()).contains("at least one key"));
    }
}
