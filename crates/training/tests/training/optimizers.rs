//! Optimisers against torch's own numbers (`optimizers.json`, made by `optimizers.py`), and what no step may do.

use serde_json::Value as Json;
use ukulele_layers::{
    BatchNorm2d, Conv2d, Conv2dOptions, Gradients, Init, Linear, Module, Param, Pass, Role, Tensor, Value, module,
};
use ukulele_training::{Adam, AdamW, Group, Groups, Optimizer, Sgd, clip_norm};

struct Net {
    weight: Param,
    kernel: Param,
    bias: Param,
}

module!(Net { weight, kernel, bias });

fn numbers(shape: &[usize], stream: usize) -> Tensor {
    let count = shape.iter().product::<usize>();
    let value = |i| ((i * 7919 + stream * 104_729) % 2003) as f64 / 1001.0 - 1.0;
    Tensor::from_vec(shape, (0..count).map(|i| value(i) as f32).collect()).unwrap()
}

impl Net {
    /// The kernel's memory is channels-last, that of its gradients is not.
    fn new() -> Self {
        Self {
            weight: Param::new(numbers(&[2, 3], 0), Role::Weight),
            kernel: Param::new(numbers(&[2, 3, 2, 2], 1).channels_last(), Role::Weight),
            bias: Param::new(numbers(&[3], 2), Role::Bias),
        }
    }

    fn params(&self) -> [&Param; 3] {
        [&self.weight, &self.kernel, &self.bias]
    }

    /// Gradients that are these tensors: those of the loss Σ p·g.
    fn gradients(&self, wanted: [Tensor; 3]) -> Gradients {
        let mut pass = Pass::train(0);
        let mut loss: Option<Value> = None;
        for (param, gradient) in self.params().into_iter().zip(wanted) {
            let part = pass.param(param).mul(&gradient.into()).unwrap().sum().unwrap();
            loss = Some(loss.map_or(part.clone(), |sum| sum.add(&part).unwrap()));
        }
        pass.backward(&loss.unwrap()).unwrap()
    }

    fn gradients_of_step(&self, step: usize) -> Gradients {
        let stream = 10 + 3 * step;
        self.gradients([numbers(&[2, 3], stream), numbers(&[2, 3, 2, 2], stream + 1), numbers(&[3], stream + 2)])
    }
}

fn check(case: &str, mut optimizer: impl Optimizer) {
    let golden: Json = serde_json::from_str(include_str!("optimizers.json")).unwrap();
    let mut net = Net::new();
    for step in 0..10 {
        optimizer.set_factor(1.0 - step as f64 / 10.0);
        let gradients = net.gradients_of_step(step);
        optimizer.step(&mut net, gradients).unwrap();
    }
    for (name, param) in ["weight", "kernel", "bias"].into_iter().zip(net.params()) {
        let want: Vec<f64> = golden[case][name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let got = param.value.to_vec();
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() < 2e-6, "{case} {name}: {got} is not torch's {want}");
        }
    }
}

#[test]
fn sgd_is_torchs() {
    let all = || Groups::new().decay_all();
    check("sgd", Sgd::new(0.05));
    check("momentum", Sgd::new(0.05).momentum(0.9));
    check("nesterov", Sgd::new(0.05).momentum(0.8).nesterov().weight_decay(0.1).groups(all()));
}

#[test]
fn adam_is_torchs() {
    let all = || Groups::new().decay_all();
    check("adam", Adam::new(0.05));
    check("adam_decay", Adam::new(0.05).betas(0.8, 0.95).eps(1e-4).weight_decay(0.2).groups(all()));
    check("adamw", AdamW::new(0.05).weight_decay(0.3).groups(all()));
}

#[test]
fn groups_have_rates_and_decays_of_their_own() {
    let rule = |name: &str, _| Group { rate: if name == "kernel" { 0.1 } else { 1.0 }, decay: 1.0 };
    check("grouped", AdamW::new(0.05).weight_decay(0.3).groups(Groups::new().with(rule)));
}

#[test]
fn a_gradient_that_is_no_number_is_named_and_changes_nothing() {
    let mut net = Net::new();
    let mut adam = AdamW::new(0.1);
    let before: Vec<Vec<f32>> = net.params().map(|p| p.value.to_vec()).to_vec();
    for bad in [f32::NAN, f32::INFINITY] {
        let mut broken = numbers(&[3], 5);
        broken.memory_mut()[1] = bad;
        let gradients = net.gradients([numbers(&[2, 3], 3), numbers(&[2, 3, 2, 2], 4), broken]);
        let error = adam.step(&mut net, gradients).unwrap_err().to_string();
        assert_eq!(error, format!("gradient of bias: the gradient contains {bad}; nothing was changed"));
        assert_eq!(before, net.params().map(|p| p.value.to_vec()).to_vec());
    }
}

#[test]
fn a_step_within_backward_has_the_bits_of_one_after_it() {
    fn check(make: impl Fn() -> Box<dyn Optimizer>) {
        // Wide enough for gradients that are products, and one parameter that is used twice.
        let mut init = Init::new(3);
        let mut nets = [Deep::new(&mut init), Deep::new(&mut Init::new(3))];
        let mut rules = [make(), make()];
        let x: Value = numbers(&[3, 2, 4, 4], 1).into();
        for step in 0..3 {
            for (i, (net, rule)) in nets.iter_mut().zip(&mut rules).enumerate() {
                let mut pass = Pass::train(step);
                let loss = net.loss(&x, &mut pass);
                if i == 0 {
                    let gradients = pass.backward(&loss).unwrap();
                    rule.step(net, gradients).unwrap();
                } else {
                    rule.backward_and_step(net, &mut pass, &loss).unwrap();
                }
            }
        }
        let [a, b] = nets.each_mut().map(|net| net.state());
        let first = Deep::new(&mut Init::new(3)).state();
        for (((name, a), (_, b)), (_, before)) in a.iter().zip(&b).zip(&first) {
            assert!(a.to_vec() == b.to_vec(), "{name}");
            assert!(a.to_vec() != before.to_vec(), "{name} moved");
        }
    }
    check(|| Box::new(Sgd::new(0.1)));
    check(|| Box::new(Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(0.1)));
    check(|| Box::new(AdamW::new(1e-3)));
}

#[test]
fn a_step_within_backward_that_fails_leaves_the_model_whole() {
    let mut net = Deep::new(&mut Init::new(3));
    let names =
        |net: &mut Deep| net.state().into_iter().map(|(name, t)| (name, t.shape().to_vec())).collect::<Vec<_>>();
    let (before, id) = (names(&mut net), net.wide.weight.id());
    let x: Value = numbers(&[3, 2, 4, 4], 1).into();
    let mut pass = Pass::train(0);
    let loss = net.loss(&x, &mut pass).scale(f64::INFINITY).unwrap();
    let error = Sgd::new(0.1).backward_and_step(&mut net, &mut pass, &loss).unwrap_err().to_string();
    assert!(error.contains("the gradient contains"), "{error}");
    assert_eq!((before, id), (names(&mut net), net.wide.weight.id()));
}

struct Deep {
    conv: Conv2d,
    norm: BatchNorm2d,
    wide: Linear,
    tied: Linear,
}

module!(Deep { conv, norm, wide, tied });

impl Deep {
    fn new(init: &mut Init) -> Self {
        let options = Conv2dOptions { padding: [1; 4], ..Default::default() };
        let mut conv = Conv2d::new(2, 16, 3, options, init);
        conv = conv.with_bias();
        Self {
            conv,
            norm: BatchNorm2d::new(16, 1e-5),
            wide: Linear::new(256, 4200, init),
            tied: Linear::new(4200, 4200, init),
        }
    }

    fn loss(&self, x: &Value, pass: &mut Pass) -> Value {
        let y = self.norm.forward_relu(&self.conv.forward(x, pass).unwrap(), pass).unwrap();
        let y = self.wide.forward(&y.reshape(&[3, 256]).unwrap(), pass).unwrap();
        let y = self.tied.forward(&self.tied.forward(&y, pass).unwrap(), pass).unwrap();
        y.cross_entropy(&[0, 1, 2]).unwrap()
    }
}

#[test]
fn gradients_of_another_model_are_an_error() {
    let (net, mut other) = (Net::new(), Net::new());
    let error = Sgd::new(0.1).step(&mut other, net.gradients_of_step(0)).unwrap_err().to_string();
    assert_eq!(error, "3 of 3 gradients belong to parameters of another model");
}

#[test]
fn clipping_shortens_all_gradients_together() {
    let net = Net::new();
    let gradients = || {
        let mut kernel = Tensor::zeros(&[2, 3, 2, 2]).unwrap();
        kernel.memory_mut()[7] = -4.0;
        net.gradients([Tensor::zeros(&[2, 3]).unwrap(), kernel, Tensor::from_vec(&[3], vec![3., 0., 0.]).unwrap()])
    };
    let mut long = gradients();
    assert_eq!(clip_norm(&mut long, 1.0), 5.0);
    assert!((clip_norm(&mut long, 10.0) - 1.0).abs() < 1e-6);
    assert!((long.of(&net.bias).unwrap().to_vec()[0] - 0.6).abs() < 1e-6);
    let mut short = gradients();
    assert_eq!(clip_norm(&mut short, 5.1), 5.0);
    assert_eq!(short.of(&net.bias).unwrap().to_vec(), [3., 0., 0.]);
}
