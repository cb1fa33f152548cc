//! What layers promise beyond their ops: names, the three axes of freezing, statistics, randomness, the audit.

use ukulele_layers::{
    BatchNorm2d, Conv2d, Conv2dOptions, Dropout, Init, LayerNorm, Linear, Module, MultiHeadAttention, Param, Pass,
    Role, Sequential, Tensor, Value, module,
};

/// A small net with every kind of parameter.
struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    dropout: Dropout,
    fc: Linear,
}

module!(Net { conv1, bn1, dropout, fc });

impl Net {
    fn new(seed: u64) -> Self {
        let mut init = Init::new(seed);
        let options = Conv2dOptions { padding: [1; 4], ..Default::default() };
        Self {
            conv1: Conv2d::new(3, 8, 3, options, &mut init),
            bn1: BatchNorm2d::new(8, 1e-5),
            dropout: Dropout::new(0.5),
            fc: Linear::new(8, 4, &mut init),
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        let y = self.bn1.forward_relu(&self.conv1.forward(x, pass)?, pass)?;
        let y = self.dropout.forward(&y.mean_dims(&[2, 3], false)?, pass)?;
        self.fc.forward(&y, pass)
    }
}

fn image() -> Value {
    let data = (0..2 * 3 * 5 * 5).map(|i| ((i * 37) % 17) as f32 / 8.0 - 1.0).collect();
    Tensor::from_vec(&[2, 3, 5, 5], data).unwrap().into()
}

fn names(net: &mut impl Module) -> Vec<String> {
    let mut names = Vec::new();
    net.each("", &mut |name, _| names.push(name.to_owned()));
    names
}

#[test]
fn names_are_those_of_checkpoints() {
    let want = "conv1.weight bn1.weight bn1.bias bn1.running_mean bn1.running_var dropout.p fc.weight fc.bias";
    assert_eq!(names(&mut Net::new(0)).join(" "), want);
    assert_eq!(Net::new(0).state().len(), 7, "a dropout rate is in no checkpoint");
    let mut init = Init::new(0);
    let mut stack = Sequential::new().with(Linear::new(2, 3, &mut init)).with(LayerNorm::new(3, 1e-5));
    assert_eq!(names(&mut stack), ["0.weight", "0.bias", "1.weight", "1.bias"]);
    let mut attention = MultiHeadAttention::new(4, 2, 0.1, 0.02, &mut init);
    assert!(names(&mut attention).contains(&"query.weight".to_owned()));
}

#[test]
fn a_seed_gives_the_same_net_and_another_seed_another() {
    let weights = |seed| Net::new(seed).conv1.weight.value.to_vec();
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
    let all: Vec<f32> = Init::new(3).normal(&[4000], 2.0).to_vec();
    let deviation = (all.iter().map(|x| x * x).sum::<f32>() / 4000.0).sqrt();
    assert!((deviation - 2.0).abs() < 0.1, "{deviation}");
}

#[test]
fn freezing_has_three_axes() {
    let run = |net: &mut Net| {
        let mut pass = Pass::train(5);
        let loss = net.forward(&image(), &mut pass).unwrap().cross_entropy(&[0, 3]).unwrap();
        pass.backward(&loss).unwrap()
    };
    let mut net = Net::new(0);
    let all = run(&mut net);
    assert!(all.of(&net.conv1.weight).is_some() && all.statistic(&net.bn1.running_mean).is_some());

    net.freeze(|name| !name.starts_with("fc."));
    assert_eq!(net.parameter_count(), (8 * 27 + 16 + 36, 36));
    let head = run(&mut net);
    assert!(head.of(&net.fc.weight).is_some() && head.of(&net.conv1.weight).is_none());
    assert!(head.of(&net.bn1.weight).is_none() && head.statistic(&net.bn1.running_mean).is_none());
    let mut pass = Pass::train(1);
    let frozen = net.forward(&image(), &mut pass).unwrap();
    let eval = net.forward(&image(), &mut Pass::eval()).unwrap();
    assert_eq!(frozen.tensor().to_vec(), eval.tensor().to_vec(), "a frozen trunk neither drops nor follows the batch");

    net.set_frozen(&[Role::Statistic], false, |_| true);
    let moving = run(&mut net);
    assert!(moving.statistic(&net.bn1.running_mean).is_some() && moving.of(&net.bn1.weight).is_none());
    net.set_frozen(&[Role::Statistic], true, |_| true);
    net.set_frozen(&[Role::Rate], false, |_| true);
    let dropping = net.forward(&image(), &mut Pass::train(1)).unwrap();
    assert_ne!(dropping.tensor().to_vec(), eval.tensor().to_vec());
    net.unfreeze(|_| true);
    assert_eq!(net.parameter_count().0, net.parameter_count().1);
}

#[test]
fn a_frozen_trunk_leaves_no_trace() {
    let mut net = Net::new(0);
    net.freeze(|name| !name.starts_with("fc."));
    let mut pass = Pass::train(0);
    net.forward(&image(), &mut pass).unwrap();
    assert_eq!(pass.tape().unwrap().len(), 3, "two leaves and one op");
}

#[test]
fn running_statistics_move_as_in_torch() {
    let net = Net::new(0);
    let mut pass = Pass::train(0);
    let x = image();
    let convolved = net.conv1.forward(&x, &mut Pass::eval()).unwrap();
    let loss = net.forward(&x, &mut pass).unwrap().cross_entropy(&[0, 1]).unwrap();
    let gradients = pass.backward(&loss).unwrap();
    let rows = convolved.tensor().permute(&[1, 0, 2, 3]).unwrap().to_vec();
    for (c, row) in rows.chunks(50).enumerate() {
        let mean = row.iter().sum::<f32>() / 50.0;
        let unbiased = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / 49.0;
        let moved = |p: &Param| gradients.statistic(p).unwrap().to_vec()[c];
        assert!((moved(&net.bn1.running_mean) - 0.1 * mean).abs() < 1e-6);
        assert!((moved(&net.bn1.running_var) - (0.9 + 0.1 * unbiased)).abs() < 1e-5);
    }
}

#[test]
fn tied_weights_are_one_leaf_and_their_gradients_add_up() {
    let layer = Linear::new(3, 3, &mut Init::new(0));
    let x: Value = Tensor::from_vec(&[1, 3], vec![1.0, -2.0, 0.5]).unwrap().into();
    let mut pass = Pass::train(0);
    let y = layer.forward(&x, &mut pass).unwrap();
    let loss = layer.forward(&y, &mut pass).unwrap().sum().unwrap();
    let tied = pass.backward(&loss).unwrap();
    let (first, second) = (layer.clone(), layer.clone());
    let mut pass = Pass::train(0);
    let y = first.forward(&x, &mut pass).unwrap();
    let loss = second.forward(&y, &mut pass).unwrap().sum().unwrap();
    let apart = pass.backward(&loss).unwrap();
    let [a, b] = [&first, &second].map(|l| apart.of(&l.weight).unwrap().to_vec());
    let sum: Vec<f32> = a.iter().zip(b).map(|(a, b)| a + b).collect();
    for (x, y) in tied.of(&layer.weight).unwrap().to_vec().iter().zip(sum) {
        assert!((x - y).abs() < 1e-6);
    }
}

#[test]
fn accumulated_gradients_add_up() {
    let layer = Linear::new(3, 2, &mut Init::new(0));
    let run = |row: &[f32]| {
        let mut pass = Pass::train(0);
        let x: Value = Tensor::from_vec(&[1, 3], row.to_vec()).unwrap().into();
        let loss = layer.forward(&x, &mut pass).unwrap().square().unwrap().sum().unwrap();
        pass.backward(&loss).unwrap()
    };
    let mut sum = run(&[1.0, 2.0, 3.0]);
    let (a, b) = (sum.of(&layer.weight).unwrap().to_vec(), run(&[-1.0, 0.0, 1.0]));
    let want: Vec<f32> = a.iter().zip(b.of(&layer.weight).unwrap().to_vec()).map(|(a, b)| a + b).collect();
    sum.accumulate(b).unwrap();
    assert_eq!(sum.of(&layer.weight).unwrap().to_vec(), want);
}

#[test]
fn the_audit_names_what_has_no_way_to_the_loss() {
    let mut net = Net::new(0);
    let mut pass = Pass::train(0);
    let y = net.bn1.forward(&net.conv1.forward(&image(), &mut pass).unwrap().detach(), &mut pass).unwrap();
    let y = net.fc.forward(&y.mean_dims(&[2, 3], false).unwrap(), &mut pass).unwrap();
    let loss = y.cross_entropy(&[0, 1]).unwrap();
    let message = net.audit(&pass, &loss).unwrap_err().to_string();
    assert!(
        message.contains("conv1.weight") && message.contains("detach") && !message.contains("fc.weight"),
        "{message}"
    );
    net.freeze(|name| name.starts_with("conv1."));
    net.audit(&pass, &loss).unwrap();
    let mut pass = Pass::train(0);
    let loss = net.fc.forward(&Tensor::ones(&[1, 8]).unwrap().into(), &mut pass).unwrap().cross_entropy(&[0]).unwrap();
    let message = net.audit(&pass, &loss).unwrap_err().to_string();
    assert!(message.contains("bn1.weight (not used in the forward pass)"), "{message}");
}

#[test]
fn a_state_is_set_whole_or_not_at_all() {
    let (mut a, mut b) = (Net::new(1), Net::new(2));
    let state = a.state();
    b.set_state(&state).unwrap();
    assert_eq!(b.fc.weight.value.to_vec(), a.fc.weight.value.to_vec());
    let mut wrong = Net::new(3).state();
    wrong[6].1 = Tensor::zeros(&[5]).unwrap();
    assert!(b.set_state(&wrong).unwrap_err().to_string().contains("[4] and [5]"));
    assert_eq!(b.conv1.weight.value.to_vec(), a.conv1.weight.value.to_vec());
}

#[test]
fn wrong_inputs_are_errors() {
    let net = Net::new(0);
    let mut pass = Pass::eval();
    assert!(net.bn1.forward(&image(), &mut pass).is_err(), "3 channels for 8");
    assert!(net.fc.forward(&Tensor::ones(&[2, 7]).unwrap().into(), &mut pass).is_err());
    let loss = Tensor::scalar(0.0).into();
    assert!(Pass::eval().backward(&loss).unwrap_err().to_string().contains("Pass::train"));
}
