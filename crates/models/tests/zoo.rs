//! The table of the zoo is what its networks are.
#![allow(missing_docs)]

use ukulele_layers::{Init, Module, Pass, Tensor};
use ukulele_models::{BertConfig, BertModel, ImageConfig, ImageModel, TokenBatch, Variant, ZOO, multiply_adds};

fn image(name: &'static str) -> Variant {
    let classes = if name.starts_with("cifar") { 10 } else { 1000 };
    let config = ImageConfig::named(name, classes).unwrap();
    let input = config.image_size();
    let mut net = ImageModel::new(&config, &mut Init::zeros());
    let (parameters, _) = net.parameter_count();
    let mut pass = Pass::eval();
    pass.watch_all(&net);
    let _logits = net.forward(&Tensor::zeros(&[1, 3, input, input]).unwrap().into(), &mut pass).unwrap();
    Variant { name, parameters, multiply_adds: multiply_adds(&mut net, &pass), input, text: false }
}

/// Google's sizes.
fn bert(name: &'static str) -> Variant {
    let (num_hidden_layers, hidden_size) = match name {
        "bert_tiny" => (2, 128),
        "bert_mini" => (4, 256),
        "bert_small" => (4, 512),
        "bert_medium" => (8, 512),
        "bert_base" => (12, 768),
        "bert_large" => (24, 1024),
        other => panic!("{other}"),
    };
    let config = BertConfig {
        num_hidden_layers,
        hidden_size,
        intermediate_size: 4 * hidden_size,
        num_attention_heads: hidden_size / 64,
        ..BertConfig::default()
    };
    let mut net = BertModel::new(&config, true, &mut Init::zeros());
    let (parameters, _) = net.parameter_count();
    let (mut pass, input) = (Pass::eval(), 128);
    pass.watch_all(&net);
    let _hidden = net.forward(&TokenBatch::unpadded(1, input, vec![7; input]).unwrap(), &mut pass).unwrap();
    // Q·Kᵀ and the product with V.
    let attention = 2 * num_hidden_layers * input * input * hidden_size;
    let multiply_adds = multiply_adds(&mut net, &pass) + attention as u64;
    Variant { name, parameters, multiply_adds, input, text: true }
}

#[test]
fn the_table_is_right() {
    let names: Vec<&str> = ZOO.iter().filter(|v| !v.text).map(|v| v.name).collect();
    let mut wrong = Vec::new();
    for name in ImageConfig::NAMES {
        let variant = image(name);
        if !ZOO.contains(&variant) {
            wrong
                .push(format!("image({name:?}, {}, {}, {})", variant.parameters, variant.multiply_adds, variant.input));
        }
    }
    for name in ["bert_tiny", "bert_mini", "bert_small", "bert_medium", "bert_base", "bert_large"] {
        let variant = bert(name);
        if !ZOO.contains(&variant) {
            wrong.push(format!("text({name:?}, {}, {})", variant.parameters, variant.multiply_adds));
        }
    }
    assert!(wrong.is_empty(), "these rows belong in the table:\n    {},\n", wrong.join(",\n    "));
    assert_eq!(names, ImageConfig::NAMES);
}
