//! Names for tensors whose own the exporter lost.
//!
//! PyTorch's exporter calls what it folded `onnx::Conv_497` or `497`, but names its nodes after the modules:
//! `/layer1/layer1.0/conv1/Conv`. Such a tensor is named after the first node that consumes it: the path of the module,
//! and what the tensor is for the operator, `layer1.0.conv1.weight`. Where nodes have no path, where the operator does not
//! tell, or where the name is taken, the file's name stays.

use super::super::catalogue::Catalogue;
use super::graph::Graph;
use super::tensor::Stored;
use crate::{Dtype, Result};
use std::collections::BTreeSet;

/// What a node does with a tensor.
pub(super) struct Use {
    /// Of the module that the node is part of; empty if unknown.
    pub(super) path: String,
    pub(super) role: &'static str,
    /// Whether a matrix is [in, out], while a linear layer has [out, in].
    pub(super) transposed: bool,
}

/// What an operator's input is.
pub(super) fn role(operator: &str, input: usize) -> Option<&'static str> {
    Some(match (operator, input) {
        ("Conv" | "ConvTranspose" | "Gemm" | "MatMul" | "PRelu", 1) => "weight",
        ("Gather", 0) => "weight",
        ("Conv" | "ConvTranspose" | "Gemm", 2) => "bias",
        ("BatchNormalization" | "InstanceNormalization" | "LayerNormalization" | "GroupNormalization", 1) => "weight",
        ("BatchNormalization" | "InstanceNormalization" | "LayerNormalization" | "GroupNormalization", 2) => "bias",
        ("BatchNormalization", 3) => "running_mean",
        ("BatchNormalization", 4) => "running_var",
        ("LSTM" | "GRU" | "RNN", 1) => "W",
        ("LSTM" | "GRU" | "RNN", 2) => "R",
        ("LSTM" | "GRU" | "RNN", 3) => "B",
        _ => return None,
    })
}

/// The module of a node: `/layer1/layer1.0/conv1/Conv` is part of `layer1.0.conv1`.
pub(super) fn path(node: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let scopes = node.strip_prefix('/').and_then(|node| node.rsplit_once('/')).map_or("", |(scopes, _)| scopes);
    for part in scopes.split('/').filter(|part| !part.is_empty()) {
        match parts.last_mut() {
            // A member of a list repeats the name of the list.
            Some(last) if part.strip_prefix(*last).is_some_and(|rest| rest.starts_with('.')) => *last = part,
            _ => parts.push(part),
        }
    }
    parts.join(".")
}

/// Whether a name was made up by an exporter.
fn is_lost(name: &str) -> bool {
    let number = name.strip_prefix("val_").unwrap_or(name);
    name.starts_with("onnx::") || number.bytes().all(|b| b.is_ascii_digit()) || name.contains("Constant_")
}

/// Lists the tensors of a graph, under names that are unique.
pub(super) fn list(graph: Graph, list: &mut Catalogue) -> Result<Vec<Stored>> {
    let mut taken: BTreeSet<String> = graph.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    for (tensor, used) in graph.tensors.iter().zip(&graph.uses) {
        let used = used.as_ref();
        let better = match used.filter(|used| !used.path.is_empty() && is_lost(&tensor.name)) {
            Some(used) => Some(format!("{}.{}", used.path, used.role)),
            None => tensor.name.strip_suffix("_quantized").filter(|_| tensor.scale.is_some()).map(str::to_string),
        };
        let mut name = tensor.name.clone();
        if let Some(better) = better.filter(|better| !taken.contains(better)) {
            list.say(format!("renamed.{better}"), name)?;
            taken.insert(better.clone());
            name = better;
        }
        if let (true, Some(Use { transposed: true, role: "weight", .. })) = (tensor.shape.len() == 2, used) {
            list.say(format!("layout.{name}"), "in,out")?;
        }
        if let Some(scale) = &tensor.scale {
            list.say(format!("quantised.{name}"), scale.words(tensor))?;
        }
        let dtype = if tensor.scale.is_some() { Dtype::F32 } else { tensor.dtype };
        list.entry(name, tensor.shape.clone(), dtype)?;
    }
    Ok(graph.tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_modules() {
        for (node, module) in [
            ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
            ("/layer1/layer1.0/downsample/downsample.0/Conv", "layer1.0.downsample.0"),
            ("/bert/encoder/layer.10/attention/self/query/MatMul", "bert.encoder.layer.10.attention.self.query"),
            ("/features/features.3/conv/conv.0/conv.0.0/Conv_1", "features.3.conv.0.0"),
            ("/a/ab/Conv", "a.ab"),
            ("/Conv", ""),
            ("Conv_0", ""),
            ("model/conv/Conv2D", ""),
            ("", ""),
        ] {
            assert_eq!(path(node), module, "{node}");
        }
        for lost in ["onnx::Conv_497", "497", "val_3", "/fc/Constant_output_0"] {
            assert!(is_lost(lost), "{lost}");
        }
        for kept in ["conv1.weight", "layer1.0.bn1.running_var", "val_loss", "onnx", "4.weight"] {
            assert!(!is_lost(kept), "{kept}");
        }
    }
}
