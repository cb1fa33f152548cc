//! Classifiers of images.

use super::{Case, Row, no_dropout};
use ukulele::{ImageLogits, ImageModel, Optimizer, Pass, Value};

fn named(y: &ImageLogits) -> Vec<(&str, Value)> {
    let aux = ["aux0", "aux1"].into_iter().zip(y.aux.iter().cloned());
    std::iter::once(("logits", y.logits.clone())).chain(aux).collect()
}

pub(crate) fn judge(case: &Case, row: &mut Row) {
    let (mut net, dialect) = ImageModel::from_pretrained(case.weights()).unwrap();
    if let (true, ImageModel::InceptionResNetV1(net)) = (case.facts["embeds"] == true, &mut net) {
        net.remove_head();
    }
    no_dropout(&mut net);
    let images = |key: &str| -> Value { case.tensor(&format!("{key}inputs.images")).into() };

    let mut pass = Pass::eval();
    case.outputs(row, "outputs", &named(&net.forward(&images(""), &mut pass).unwrap()));
    if case.has("odd.inputs.images") {
        case.outputs(row, "odd.outputs", &named(&net.forward(&images("odd."), &mut pass).unwrap()));
    }
    pass.watch_all(&net);
    let _logits = net.forward(&images(""), &mut pass).unwrap();
    case.taps(row, &pass, str::to_owned);

    let (x, labels) = (images("train."), case.integers("train.inputs.labels"));
    let mut optimizer = case.sgd();
    let mut losses = Vec::new();
    let mut want = Some(case.wanted_gradients(&mut net, &dialect));
    for step in 0..10 {
        let mut pass = Pass::train(step);
        let y = net.forward(&x, &mut pass).unwrap();
        let loss = y.cross_entropy(&labels).unwrap();
        let gradients = pass.backward(&loss).unwrap();
        if let Some(want) = want.take() {
            case.outputs(row, "train.outputs", &named(&y));
            case.gradients(row, &mut net, &gradients, want);
        }
        optimizer.step(&mut net, gradients).unwrap();
        losses.push(f64::from(loss.tensor().item().unwrap()));
    }
    case.losses(row, &losses);
}
