//! candle, a side of the speed tests: the networks of candle-transformers that are among the works. They do not train: the norms of its
//! BERT end the gradient, and those of its ResNets are always in evaluation.

#[path = "../../serve.rs"]
mod serve;

use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Module, ModuleT, Optimizer, VarBuilder, VarMap, linear, loss};
use candle_transformers::models::{bert, resnet, vgg};
use serve::{Result, Run, images, labels, serve, texts};
use std::collections::HashMap;

/// A network with the numbers its layers begin with, as plain tensors: those of a `VarMap` would record the pass.
fn with_weights<T>(make: impl Fn(VarBuilder<'static>) -> candle_core::Result<T>) -> candle_core::Result<T> {
    let map = VarMap::new();
    make(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
    let tensors: HashMap<_, _> = map.data().lock().map_or_else(
        |_| HashMap::new(),
        |vars| vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect(),
    );
    make(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

/// A step of a head of two classes by what it says of features of this width.
fn step(width: usize, features: impl Fn() -> candle_core::Result<Tensor> + 'static) -> Result<Run> {
    let map = VarMap::new();
    let head = linear(width, 2, VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
    let mut adamw = AdamW::new_lr(map.all_vars(), 2e-5)?;
    Ok(Box::new(move || {
        let logits = head.forward(&features()?)?;
        let labels = labels(logits.dim(0)?).into_iter().map(|label| label as u32).collect();
        let labels = Tensor::from_vec(labels, logits.dim(0)?, &Device::Cpu)?;
        adamw.backward_step(&loss::cross_entropy(&logits, &labels)?)?;
        Ok(())
    }))
}

fn text(model: &str, kind: &str, size: &str) -> Result<Run> {
    let mut config = bert::Config::default();
    if model == "minilm" {
        (config.hidden_size, config.num_hidden_layers, config.intermediate_size) = (384, 6, 1536);
    }
    let (shape, ids, mask) = texts(size)?;
    let ids = Tensor::from_vec(ids, &shape, &Device::Cpu)?;
    let (types, mask) = (ids.zeros_like()?, Tensor::from_vec(mask, &shape, &Device::Cpu)?);
    let net = with_weights(|weights| bert::BertModel::load(weights, &config))?;
    let hidden = move || net.forward(&ids, &types, Some(&mask));
    if kind == "infer" {
        return Ok(Box::new(move || {
            std::hint::black_box(hidden()?);
            Ok(())
        }));
    }
    step(config.hidden_size, move || hidden()?.narrow(1, 0, 1)?.squeeze(1))
}

fn build(model: &str, kind: &str, size: &str) -> Result<Run> {
    if !matches!(kind, "infer" | "frozen") {
        return Err("the networks of candle-transformers do not train".into());
    }
    if let "bert-base" | "minilm" = model {
        return text(model, kind, size);
    }
    let (shape, data) = images(model, size.parse()?);
    let x = Tensor::from_vec(data, &shape, &Device::Cpu)?;
    if (model, kind) == ("resnet50", "frozen") {
        let net = with_weights(resnet::resnet50_no_final_layer)?;
        return step(2048, move || net.forward(&x));
    }
    if kind != "infer" {
        return Err(format!("no {model} {kind} here").into());
    }
    let forward: Box<dyn Fn(&Tensor) -> candle_core::Result<Tensor>> = match model {
        "resnet18" => {
            let net = with_weights(|weights| resnet::resnet18(1000, weights))?;
            Box::new(move |x| net.forward(x))
        }
        "resnet50" => {
            let net = with_weights(|weights| resnet::resnet50(1000, weights))?;
            Box::new(move |x| net.forward(x))
        }
        "vgg16" if shape[0] > 1 => return Err("the VGG of candle-transformers takes one image".into()),
        "vgg16" => {
            let net = with_weights(|weights| {
                // Vgg::new leaves this layer to each pass, which cannot make it.
                candle_nn::linear(4096, 1000, weights.pp("head.fc"))?;
                vgg::Vgg::new(weights, vgg::Models::Vgg16)
            })?;
            Box::new(move |x| net.forward_t(&x.squeeze(0)?, false))
        }
        _ => return Err(format!("candle-transformers has no {model}").into()),
    };
    Ok(Box::new(move || {
        std::hint::black_box(forward(&x)?);
        Ok(())
    }))
}

fn main() {
    serve(build);
}
