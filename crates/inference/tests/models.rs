//! Plans of the zoo against passes: the same numbers, for any number of images.

use ukulele_inference::{Plan, PlanOptions, Precision};
use ukulele_layers::{Conv2d, Conv2dOptions, Init, Module, Pass, Role, Tensor, Value};
use ukulele_models::{ImageConfig, ImageModel};

/// Numbers between -1 and 1 that look random.
fn numbers(shape: &[usize], seed: u64) -> Tensor {
    Init::new(seed).uniform(shape, 1.0)
}

/// A network whose norms do something: fresh ones would fold into nothing.
fn network(name: &str) -> ImageModel {
    let mut net = ImageModel::new(&ImageConfig::named(name, 10).unwrap(), &mut Init::new(1));
    let mut seed = 0;
    net.each("", &mut |name, param| {
        seed += 1;
        let (shape, noise) = (param.value.shape().to_vec(), numbers(param.value.shape(), seed));
        let around = |middle: f32, scale: f32| noise.to_vec().iter().map(|x| middle + scale * x).collect();
        if name.ends_with("running_var") || param.role == Role::Bias && name.ends_with("weight") {
            param.value = Tensor::from_vec(&shape, around(1.0, 0.3)).unwrap();
        } else if matches!(param.role, Role::Bias | Role::Statistic) {
            param.value = Tensor::from_vec(&shape, around(0.0, 0.2)).unwrap();
        }
    });
    net
}

fn relative(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let (a, b) = (a.to_vec(), b.to_vec());
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(&b).map(|(&a, &b)| f(a.into(), b.into())).sum::<f64>();
    (sum(&|a, b| (a - b).powi(2)) / sum(&|_, b| b * b)).sqrt()
}

/// The plan's logits and features are the pass's, for one and for three images.
fn check(name: &str, size: [usize; 2], tolerance: f64) {
    let net = network(name);
    let images = numbers(&[3, 3, size[0], size[1]], 7);
    let pass = |x: &Value, pass: &mut Pass| Ok(net.forward(x, pass)?.logits);
    let eager = net.forward(&images.clone().into(), &mut Pass::eval()).unwrap().logits.into_tensor();
    let mut direct: Option<Tensor> = None;
    for (winograd, prepacked) in [(false, true), (true, true), (true, false)] {
        let options = PlanOptions { winograd, prepacked, ..Default::default() };
        let plan = Plan::compile_with(pass, &images, options).unwrap();
        let all = plan.run(&images).unwrap();
        if !prepacked {
            assert_eq!(direct.as_ref().unwrap().to_vec(), all.to_vec(), "{name}: packed by each run");
        }
        direct.get_or_insert(all.clone());
        println!("{name} {winograd}: {:.1e}, on the example {:.1e}", relative(&all, &eager), plan.error());
        assert!(relative(&all, &eager) < if winograd { tolerance } else { 5e-6 }, "{name}");
        for i in 0..3 {
            let one = plan.run(&images.narrow(0, i, 1).unwrap()).unwrap();
            assert!(relative(&one, &all.narrow(0, i, 1).unwrap()) < 5e-6, "{name}: image {i} alone");
        }
    }
    let features = net.features(&images.clone().into(), &mut Pass::eval()).unwrap().into_tensor();
    let plan = Plan::compile(|x, pass| net.features(x, pass), &images).unwrap();
    assert!(relative(&plan.run(&images).unwrap(), &features) < tolerance, "{name}: features");
    assert_eq!(plan.run(&Tensor::zeros(&[0, 3, size[0], size[1]]).unwrap()).unwrap().shape()[0], 0);
}

#[test]
fn plans_of_the_zoo_give_the_numbers_of_passes() {
    let of_size = |size, names: &[&str]| names.iter().for_each(|name| check(name, size, 1e-5));
    of_size([97, 161], &["resnet18", "resnet50d", "resnext50_32x4d", "resnetv2_50d", "resnet50v2"]);
    of_size([97, 97], &["inception_v3", "googlenet", "inception_resnet_v1", "inception_v4", "inception_resnet_v2"]);
    of_size([64, 64], &["vgg16_bn"]);
    of_size([32, 48], &["cifar_resnet20"]);
}

#[test]
fn what_has_no_plan_says_why() {
    let images = numbers(&[2, 3, 8, 8], 1);
    let compile = |forward: &dyn Fn(&Value) -> ukulele_layers::Result<Value>| {
        Plan::compile(|x, _| forward(x), &images).unwrap_err().to_string()
    };
    assert!(compile(&|x| x.sum()).contains("no plan for sum"), "{}", compile(&|x| x.sum()));
    assert!(compile(&|x| x.softmax()).contains("an op that plans do not know"));
    assert!(compile(&|_| Ok(Tensor::ones(&[2])?.into())).contains("does not depend"));
    let last = compile(&|x| x.permute(&[0, 2, 3, 1])?.relu()?.flatten(1));
    assert!(last.contains("channels that were put last"), "{last}");
    assert!(compile(&|x| x.permute(&[0, 2, 3, 1])).contains("channels were put last"));
    let two = Plan::compile(|x, pass| x.add(&pass.input(images.clone())), &images).unwrap_err().to_string();
    assert!(two.contains("more than one input"), "{two}");
    let one = images.narrow(0, 0, 1).unwrap();
    let baked = |x: &Value, _: &mut Pass| Value::concat(&[x, &x.tensor().clone().into()], 1);
    assert!(Plan::compile(baked, &one).unwrap_err().to_string().contains("differs from image to image"));
    let plan = Plan::compile(|x, _| x.relu(), &images).unwrap();
    assert!(plan.run(&numbers(&[2, 3, 8, 9], 1)).unwrap_err().to_string().contains("for which the plan was compiled"));
    assert_eq!(plan.run(&images).unwrap().to_vec(), images.to_vec().iter().map(|x| x.max(0.0)).collect::<Vec<_>>());
}

/// Parameters of single numbers of a vector that was flattened from an image.
#[test]
fn flattened_images_keep_the_order_of_the_pass() {
    let images = numbers(&[2, 3, 4, 5], 1);
    let [gamma, beta]: [Value; 2] = [2, 3].map(|seed| numbers(&[60], seed).into());
    let weight: Value = numbers(&[7, 60], 4).into();
    let forward = |x: &Value, _: &mut Pass| {
        x.relu()?.flatten(1)?.layer_norm(&gamma, &beta, 1e-5)?.add(&beta)?.linear(&weight, None)
    };
    let plan = Plan::compile(forward, &images).unwrap();
    assert!(plan.error() < 1e-6, "{}", plan.error());
    let hwc = |x: &Value, _: &mut Pass| x.permute(&[0, 2, 3, 1])?.flatten(1)?.mul(&gamma)?.linear(&weight, None);
    assert!(Plan::compile(hwc, &images).unwrap().error() < 1e-6);
}

#[test]
fn a_plan_runs_on_several_threads_at_once() {
    let net = network("cifar_resnet20");
    let images = numbers(&[3, 3, 32, 32], 2);
    let plan = Plan::compile(|x, pass| Ok(net.forward(x, pass)?.logits), &images).unwrap();
    let want = plan.run(&images).unwrap().to_vec();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(plan.run(&images).unwrap().to_vec(), want)));
        }
    });
}

/// bf16 and int8 change the numbers, by little: of what has the sizes of networks in use, with fresh weights.
#[test]
fn fewer_bits_are_near() {
    let of = |precision, stated: [f64; 4]| {
        let names = ["resnet18", "resnet50", "googlenet", "vgg11"];
        names.into_iter().zip(stated).map(move |(name, stated)| (precision, name, stated))
    };
    let larger = [("vgg16", 0.02), ("inception_v3", 0.03)].map(|(name, stated)| (Precision::Bf16, name, stated));
    for (precision, name, stated) in of(Precision::Bf16, [0.02; 4]).chain(of(Precision::Int8, [0.02; 4])).chain(larger)
    {
        let options = PlanOptions { precision, ..Default::default() };
        let (net, images) = (network(name), numbers(&[2, 3, 96, 96], 5));
        let want = net.forward(&images.clone().into(), &mut Pass::eval()).unwrap().logits.into_tensor();
        let forward = |x: &Value, pass: &mut Pass| Ok(net.forward(x, pass)?.logits);
        let plan = Plan::compile_with(forward, &images, options).unwrap();
        let error = relative(&plan.run(&images).unwrap(), &want);
        println!("{name} {precision:?}: {error:.1e}");
        assert!(error > 1e-5 && error < stated, "{name} {precision:?}: {error:.1e}");
        assert_eq!(error, plan.error());
        let named = format!("{precision:?}").to_lowercase();
        assert!(plan.profile(&images).unwrap().iter().any(|step| step.what.contains(&named)));
        // More images than a step takes at a time, and no multiple of these: each as it is alone.
        let many = numbers(&[if name == "resnet18" { 37 } else { 3 }, 3, 96, 96], 6);
        let (all, last) = (plan.run(&many).unwrap(), many.shape()[0] - 1);
        let alone = plan.run(&many.narrow(0, last, 1).unwrap()).unwrap();
        assert!(relative(&all.narrow(0, last, 1).unwrap(), &alone) < 1e-5, "{name} {precision:?}: the last image");
        // Weights packed by each run.
        let by_run = Plan::compile_with(forward, &images, PlanOptions { prepacked: false, ..options }).unwrap();
        let packed = Plan::compile_with(forward, &images, PlanOptions { winograd: false, ..options }).unwrap();
        assert_eq!(
            by_run.run(&images).unwrap().to_vec(),
            packed.run(&images).unwrap().to_vec(),
            "{name} {precision:?}"
        );
    }
}

#[test]
fn a_layer_is_without_winograds_algorithm_where_that_is_too_far_off() {
    let new = |seed| Conv2d::new(64, 64, 3, Conv2dOptions::default(), &mut Init::new(seed));
    let (mut first, last) = (new(0), new(1));
    // Positive in the middle, and else 0.
    let mut kernels = first.weight.value.contiguous();
    for kernel in kernels.memory_mut().chunks_mut(9) {
        kernel.copy_from_slice(&[0.0, 0.0, 0.0, 0.0, kernel[4].abs(), 0.0, 0.0, 0.0, 0.0]);
    }
    first.weight.value = kernels;
    // One pixel in 16 is far below 0, and ReLU makes 0 of what comes of it; by transforms it spoils all outputs of its tile.
    let ways = |far: f32| {
        let mut images = numbers(&[1, 64, 36, 36], 1);
        let pixels = images.memory_mut().iter_mut().enumerate();
        pixels.filter(|(i, _)| i / 36 % 4 == 2 && i % 4 == 2).for_each(|(_, pixel)| *pixel -= far);
        let forward = |x: &Value, pass: &mut Pass| last.forward(&first.forward(x, pass)?.relu()?, pass);
        let plan = Plan::compile(forward, &images).unwrap();
        let eager = forward(&images.clone().into(), &mut Pass::eval()).unwrap();
        assert!(plan.error() < 3e-6 && relative(&plan.run(&images).unwrap(), eager.tensor()) < 3e-6);
        let steps = plan.profile(&images).unwrap().into_iter();
        let ways: Vec<bool> =
            steps.filter(|step| step.what.starts_with("conv")).map(|step| step.what.contains(" winograd ")).collect();
        let errors = Plan::winograd_errors(forward, &images).unwrap().into_iter().map(|(_, error)| error);
        (ways, errors.collect::<Vec<f64>>())
    };
    let (all, errors) = ways(0.0);
    assert_eq!(all, [true, true]);
    assert!(errors.iter().all(|&error| error < 2e-6), "{errors:?}");
    let (some, errors) = ways(1e4);
    assert_eq!(some, [false, true]);
    assert!(errors[0] > 3e-4 && errors[1] < 2e-6, "{errors:?}");
}

#[test]
fn winograds_error_is_small_in_each_layer_of_the_zoo() {
    for (name, size, least) in [("vgg16", 32, 5), ("resnet50", 64, 5), ("inception_v3", 97, 30), ("googlenet", 64, 5)] {
        let net = network(name);
        let pass = |x: &Value, pass: &mut Pass| Ok(net.forward(x, pass)?.logits);
        let errors = Plan::winograd_errors(pass, &numbers(&[2, 3, size, size], 5)).unwrap();
        assert!(errors.len() >= least, "{name}: {} layers", errors.len());
        for (what, error) in errors {
            assert!(error > 1e-9 && error < 4e-6, "{name}: {what}: {error:.1e}");
        }
    }
}
