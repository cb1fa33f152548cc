//! The table of the zoo is what its networks are.
#![allow(missing_docs)]

use ukulele_layers::{Init, Module, Pass, Tensor};
use ukulele_models::{
    BertConfig, ImageConfig, ImageModel, TextModel, TextTask, TokenBatch, Variant, ZOO, multiply_adds,
};

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

fn text(name: &'static str) -> Variant {
    let config = BertConfig::named(name).unwrap();
    let mut net = TextModel::new(&config, TextTask::Features, 0, &mut Init::zeros()).unwrap();
    let (parameters, _) = net.parameter_count();
    let (mut pass, input) = (Pass::eval(), 128);
    pass.watch_all(&net);
    let _hidden = net.hidden(&TokenBatch::unpadded(1, input, vec![7; input]).unwrap(), &mut pass).unwrap();
    // Q·Kᵀ and the product with V.
    let attention = 2 * config.num_hidden_layers * input * input * config.hidden_size;
    let multiply_adds = multiply_adds(&mut net, &pass) + attention as u64;
    Variant { name, parameters, multiply_adds, input, text: true }
}

#[test]
fn the_table_is_right() {
    let names = |text| ZOO.iter().filter(|v| v.text == text).map(|v| v.name).collect::<Vec<_>>();
    let mut wrong = Vec::new();
    for name in ImageConfig::NAMES {
        let variant = image(name);
        if !ZOO.contains(&variant) {
            wrong
                .push(format!("image({name:?}, {}, {}, {})", variant.parameters, variant.multiply_adds, variant.input));
        }
    }
    for name in BertConfig::NAMES {
        let variant = text(name);
        if !ZOO.contains(&variant) {
            wrong.push(format!("text({name:?}, {}, {})", variant.parameters, variant.multiply_adds));
        }
    }
    assert!(wrong.is_empty(), "these rows belong in the table:\n    {},\n", wrong.join(",\n    "));
    assert_eq!((names(false), names(true)), (ImageConfig::NAMES.to_vec(), BertConfig::NAMES.to_vec()));
}
