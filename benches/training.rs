//! Training steps of whole models, and what a frozen trunk saves: `cargo bench --bench training`.

mod works;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;
use ukulele::{AdamW, BertConfig, Init, Module, Optimizer, Pass, Pooling, TextModel, TokenBatch};

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("training");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    for name in works::NAMES.into_iter().filter(|name| !name.contains(" infer ")) {
        group.bench_function(name, |bencher| {
            let (mut work, _) = works::prepare(name).expect(name);
            bencher.iter(|| work().expect(name));
        });
    }
    group.finish();
}

/// BERT-mini on 16 texts of 64 tokens, all of it and its head alone.
fn freezing(c: &mut Criterion) {
    let config = BertConfig::named("bert_mini").expect("a name of the zoo");
    let tokens = TokenBatch::unpadded(16, 64, (0..16 * 64).map(|i| 1000 + i * 7919 % 20000).collect());
    let tokens = tokens.expect("16 texts of 64 tokens");
    let labels: Vec<i64> = (0..16).map(|i| i % 2).collect();
    let mut group = c.benchmark_group("freezing");
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    for (name, frozen) in [("bert_mini 16x64, all learns", false), ("bert_mini 16x64, the head learns", true)] {
        let mut net = TextModel::classifier(&config, 2, Pooling::Mean, &mut Init::new(0)).expect("a classifier");
        if frozen {
            let head = net.head_names();
            net.freeze(|name| !head.iter().any(|head| name.starts_with(head.as_str())));
        }
        let (mut adam, mut seed) = (AdamW::new(1e-5), 0);
        let mut step = || -> Result<(), Box<dyn std::error::Error>> {
            seed += 1;
            let mut pass = Pass::train(seed);
            let loss = net.forward(&tokens, &mut pass)?.logits().cross_entropy(&labels)?;
            Ok(adam.step(&mut net, pass.backward(&loss)?)?)
        };
        group.bench_function(name, |bencher| bencher.iter(|| step().expect(name)));
    }
    group.finish();
}

criterion_group!(benches, steps, freezing);
criterion_main!(benches);
