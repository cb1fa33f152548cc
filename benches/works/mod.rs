//! The works that are measured: whole models, forward and training steps.

use ukulele::{
    AdamW, BertConfig, Classifier, Dialect, FrozenTrunk, ImageConfig, ImageModel, Init, Optimizer, Pass, Plan,
    PlanOptions, Pooling, Precision, Pretrained, ResNet, Result, Sgd, Tensor, TextModel, TextPlan, TextTask,
    TokenBatch, Value, weights_import,
};

/// All names that [`prepare`] is asked for.
#[allow(dead_code)] // each user takes what it needs
pub(crate) const NAMES: [&str; 6] = [
    "resnet50 infer 8",
    "resnet50 train 8",
    "resnet50 frozen 16",
    "bert-base infer 8x128",
    "bert-base train 8x128",
    "bert-base frozen 8x128",
];

/// One run of a work.
pub(crate) type Work = Box<dyn FnMut() -> std::result::Result<(), Box<dyn std::error::Error>>>;

/// Numbers that look like an image.
fn image(batch: usize, size: usize) -> Result<Value> {
    let count = batch * 3 * size * size;
    let data = (0..count).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect();
    Ok(Tensor::from_vec(&[batch, 3, size, size], data)?.channels_last().into())
}

/// Inference of any network of the zoo, by its plan.
fn infer(config: &ImageConfig, batch: usize, options: PlanOptions) -> Result<Work> {
    let mut net = ImageModel::new(config, &mut Init::new(0));
    net.remove_aux();
    let x = image(batch, config.image_size())?.into_tensor();
    let plan = Plan::compile_with(|x, pass| Ok(net.forward(x, pass)?.logits), &x, options)?;
    drop(net);
    if std::env::var_os("UKULELE_PROFILE").is_some() {
        let mut steps = plan.profile(&x)?;
        for _ in 0..20 {
            for (best, step) in steps.iter_mut().zip(plan.profile(&x)?) {
                best.seconds = best.seconds.min(step.seconds);
            }
        }
        for step in &steps {
            let flops = 2e-9 * step.multiply_adds as f64 / step.seconds;
            eprintln!("{:60} {:8.3} ms {flops:7.1} GFLOP/s", step.what, step.seconds * 1e3);
        }
        eprintln!("{:60} {:8.3} ms", "sum", steps.iter().map(|step| step.seconds * 1e3).sum::<f64>());
    }
    Ok(Box::new(move || {
        std::hint::black_box(plan.run(&x)?);
        Ok(())
    }))
}

/// A training step of any network of the zoo, with its auxiliary heads.
fn train_images(config: &ImageConfig, batch: usize, precision: Precision) -> Result<Work> {
    let mut net = ImageModel::new(config, &mut Init::new(0));
    let x = image(batch, config.image_size())?;
    let labels: Vec<i64> = (0..batch as i64).collect();
    let mut sgd = Sgd::new(1e-3).momentum(0.9);
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let mut pass = Pass::train(step).with_precision(precision);
        let loss = net.forward(&x, &mut pass)?.cross_entropy(&labels)?;
        Ok(sgd.backward_and_step(&mut net, &mut pass, &loss)?)
    }))
}

/// Texts of these lengths, padded to the longest.
fn texts(lengths: &[usize]) -> TokenBatch {
    let length = lengths.iter().copied().max().unwrap_or(0);
    let there = |own: usize| (0..length).map(move |t| (t, t < own));
    let all: Vec<(usize, bool)> = lengths.iter().flat_map(|&own| there(own)).collect();
    TokenBatch {
        batch: lengths.len(),
        length,
        ids: all.iter().map(|&(t, there)| if there { 1000 + t * 7919 % 20000 } else { 0 }).collect(),
        types: vec![0; all.len()],
        mask: all.iter().map(|&(_, there)| f32::from(u8::from(there))).collect(),
    }
}

/// Hidden states by a plan.
fn infer_texts(net: &TextModel, tokens: TokenBatch, options: PlanOptions) -> Result<Work> {
    let plan = TextPlan::compile_with(net, options)?;
    Ok(Box::new(move || {
        std::hint::black_box(plan.hidden(&tokens)?);
        Ok(())
    }))
}

fn bert(config: &BertConfig, train: bool, batch: usize, length: usize, options: PlanOptions) -> Result<Work> {
    let mut net = TextModel::classifier(config, 2, Pooling::Pooler, &mut Init::new(0))?;
    let tokens = texts(&vec![length; batch]);
    if !train {
        return infer_texts(&net, tokens, options);
    }
    let labels: Vec<i64> = (0..batch as i64).map(|i| i % 2).collect();
    let mut adamw = AdamW::new(2e-5);
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let mut pass = Pass::train(step).with_precision(options.precision);
        let loss = net.forward(&tokens, &mut pass)?.logits().cross_entropy(&labels)?;
        Ok(adamw.backward_and_step(&mut net, &mut pass, &loss)?)
    }))
}

/// A training step of the head behind a frozen trunk, which runs as a plan.
fn frozen<N: Classifier + 'static>(
    mut net: N,
    batch: N::Batch,
    labels: Vec<i64>,
    mut optimizer: impl Optimizer + 'static,
) -> Work
where
    N::Batch: 'static,
{
    net.freeze_trunk();
    let (mut trunk, mut step) = (FrozenTrunk::default(), 0);
    Box::new(move || {
        step += 1;
        let mut pass = Pass::train(step);
        let features = trunk.features(&mut net, &batch)?.ok_or("the trunk is not frozen")?;
        let loss = net.head(&features, &mut pass)?.cross_entropy(&labels)?;
        Ok(optimizer.backward_and_step(&mut net, &mut pass, &loss)?)
    })
}

/// Opens a file of weights and fills a model that is there. `benches/peers/torch_bench.py` writes the file.
fn load(model: &str, file: &str) -> std::result::Result<Work, Box<dyn std::error::Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/bench/").to_owned() + file;
    let open = move || -> std::result::Result<_, Box<dyn std::error::Error>> {
        let weights = weights_import::open(&path)?;
        let dialect = Dialect::detect(&weights)?;
        Ok((weights, dialect))
    };
    if model == "resnet50" {
        let mut net = ResNet::resnet50(1000);
        return Ok(Box::new(move || {
            let (weights, dialect) = open()?;
            net.load(&weights, &dialect)?.strict()?;
            Ok(())
        }));
    }
    let mut net = TextModel::classifier(&BertConfig::default(), 2, Pooling::Pooler, &mut Init::new(0))?;
    Ok(Box::new(move || {
        let (weights, dialect) = open()?;
        net.load(&weights, &dialect)?.strict()?;
        Ok(())
    }))
}

/// A value in bytes of `/proc/self/status`; 0 where there is no such file.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    1024 * kilobytes.unwrap_or(0)
}

/// Runs a work twice, once if that took a second, to warm up; how many bytes were resident before.
fn warm_up(work: &mut Work) -> std::result::Result<u64, Box<dyn std::error::Error>> {
    // 5 sets the peak (VmHWM) to what is resident now. Best effort: elsewhere nothing is reported.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, start) = (status("VmRSS"), std::time::Instant::now());
    work()?;
    if start.elapsed().as_secs() < 1 {
        work()?;
    }
    Ok(before)
}

/// By how many bytes the process grew at most since `before` was resident.
#[allow(dead_code)]
pub(crate) fn grown(before: u64) -> u64 {
    status("VmHWM").saturating_sub(before)
}

/// Builds the model and the batch of a work, and warms it up: the work, and how many bytes were resident before its first run.
pub(crate) fn prepare(name: &str) -> std::result::Result<(Work, u64), Box<dyn std::error::Error>> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let loading = match words.as_slice() {
        ["resnet50", "load", "pth"] => Some("resnet50.pth"),
        ["bert-base", "load", "safetensors"] => Some("bert-base/model.safetensors"),
        _ => None,
    };
    if let Some(file) = loading {
        let mut work = load(words[0], file)?;
        let before = warm_up(&mut work)?;
        return Ok((work, before));
    }
    if let &[model, "frozen", size] = words.as_slice() {
        let mut work = match (model, size.split_once('x')) {
            ("resnet50", None) => {
                let batch = size.parse()?;
                let labels = (0..batch as i64).collect();
                frozen(ResNet::resnet50(1000), image(batch, 224)?.into_tensor(), labels, Sgd::new(1e-3).momentum(0.9))
            }
            ("bert-base", Some((batch, length))) => {
                let (batch, length) = (batch.parse()?, length.parse()?);
                let net = TextModel::classifier(&BertConfig::default(), 2, Pooling::Pooler, &mut Init::new(0))?;
                let labels = (0..batch as i64).map(|i| i % 2).collect();
                frozen(net, texts(&vec![length; batch]), labels, AdamW::new(2e-5))
            }
            _ => return Err(format!("`{name}`: frozen are resnet50 16 and bert-base 8x128").into()),
        };
        let before = warm_up(&mut work)?;
        return Ok((work, before));
    }
    let (words, precision) = match words.as_slice() {
        [words @ .., "bf16"] => (words, Precision::Bf16),
        [words @ .., "int8"] => (words, Precision::Int8),
        words => (words, Precision::F32),
    };
    let options = PlanOptions { precision, ..Default::default() };
    let &[model, mode @ ("infer" | "train"), size] = words else {
        return Err(format!("`{name}`: a model, infer or train, a size and perhaps bf16 belong there").into());
    };
    let train = mode == "train";
    let mut work = match (model, size.split_once('x')) {
        (model, None) if ImageConfig::named(model, 1000).is_some() => {
            let config = ImageConfig::named(model, 1000).ok_or("no such network")?;
            if train {
                train_images(&config, size.parse()?, precision)?
            } else {
                infer(&config, size.parse()?, options)?
            }
        }
        ("bert-base" | "minilm", Some((batch, length))) => {
            let config = if model == "minilm" { BertConfig::named("minilm_l6") } else { Some(BertConfig::default()) };
            let (config, batch) = (config.ok_or("no such network")?, batch.parse::<usize>()?);
            match length.split_once('-') {
                // Texts of different lengths: see benches/peers/models.py.
                Some((least, most)) if !train => {
                    let (least, most): (usize, usize) = (least.parse()?, most.parse()?);
                    let length = |i: usize| least + (most - least) * i / (batch - 1).max(1);
                    let net = TextModel::new(&config, TextTask::Features, 2, &mut Init::new(0))?;
                    infer_texts(&net, texts(&(0..batch).map(length).collect::<Vec<_>>()), options)?
                }
                _ => bert(&config, train, batch, length.parse()?, options)?,
            }
        }
        _ => {
            return Err(format!(
                "`{name}`: a network of images with a batch, or bert-base or minilm with a batch x length belong there"
            )
            .into());
        }
    };
    let before = warm_up(&mut work)?;
    Ok((work, before))
}
