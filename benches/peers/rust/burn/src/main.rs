//! burn on its flex backend, a side of the speed tests: the code that burn-onnx makes out of the exported ONNX files. What trains is
//! the network as exported: norms within convolutions, no dropout, no further heads, and embeddings as constants. That
//! is less work than the others have, but for AdamW, with which networks of images are moved as well.

#[path = "../../serve.rs"]
mod serve;

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serve::{Result, Run, images, labels, serve, texts};
use std::hint::black_box;

/// A run of a network: `infer`; `train`, a step of the weights of its layers; `frozen`, one of a head on what the network gives.
fn run<M: Module + 'static, I: Clone + 'static>(
    kind: &str,
    net: M,
    input: impl FnOnce(&Device) -> I,
    forward: impl Fn(&M, I) -> Tensor<2> + 'static,
) -> Result<Run> {
    let (plain, learning) = (Device::default(), Device::default().autodiff());
    match kind {
        "infer" => {
            let x = input(&plain);
            Ok(Box::new(move || {
                black_box(forward(&net, x.clone()));
                Ok(())
            }))
        }
        "train" => {
            let x = input(&learning);
            step(net.fork(&learning).train(), move |net| forward(net, x.clone()))
        }
        "frozen" => {
            let x = input(&plain);
            let [_, width] = forward(&net, x.clone()).dims();
            let head = LinearConfig::new(width, 2).init(&learning);
            step(head, move |head| head.forward(forward(&net, x.clone()).autodiff()))
        }
        _ => Err(format!("no {kind} here").into()),
    }
}

/// A step that moves the weights of a module by its logits.
fn step<M: Module + 'static>(net: M, logits: impl Fn(&M) -> Tensor<2> + 'static) -> Result<Run> {
    let (mut net, mut optimizer) = (Some(net), AdamWConfig::new().init());
    Ok(Box::new(move || {
        let before = net.take().ok_or("the step before failed")?;
        let logits = logits(&before);
        let (device, [batch, _]) = (logits.device(), logits.dims());
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels(batch), [batch]), &device);
        let loss = CrossEntropyLossConfig::new().init(&device).forward(logits, labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &before);
        net = Some(optimizer.step(2e-5, before, gradients));
        Ok(())
    }))
}

macro_rules! run_images {
    ($module:ident, $kind:expr, $size:expr) => {{
        let (shape, data) = images(stringify!($module), $size.parse()?);
        let input = |device: &Device| Tensor::<4>::from_data(TensorData::new(data, shape), device);
        run($kind, $module::Model::default(), input, |net: &$module::Model, x: Tensor<4>| net.forward(x))?
    }};
}

macro_rules! run_texts {
    ($module:ident, $kind:expr, $size:expr) => {{
        let (shape, ids, mask) = texts($size)?;
        let input = |device: &Device| {
            let of = |data| Tensor::<2, Int>::from_data(TensorData::new(data, shape), device);
            (of(ids), of(mask))
        };
        let forward = |net: &$module::Model, (ids, mask): (Tensor<2, Int>, Tensor<2, Int>)| {
            let hidden = net.forward(ids, mask);
            let [texts, _, width] = hidden.dims();
            hidden.narrow(1, 0, 1).reshape([texts, width])
        };
        run($kind, $module::Model::default(), input, forward)?
    }};
}

include!(concat!(env!("OUT_DIR"), "/models.rs"));

fn build(model: &str, kind: &str, size: &str) -> Result<Run> {
    match size.split_once('x') {
        // The code of a model of texts is for one number of texts and the longest length.
        Some((batch, tokens)) => {
            made(&format!("{model}-{batch}x{}", tokens.rsplit('-').next().unwrap_or(tokens)), kind, size)
        }
        None => made(&format!("{model}-1"), kind, size),
    }
}

fn main() {
    serve(build);
}
