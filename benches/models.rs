//! Inference of whole models: `cargo bench --bench models`.

mod works;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;

fn models(c: &mut Criterion) {
    let mut group = c.benchmark_group("models");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    for name in works::NAMES.into_iter().filter(|name| name.contains(" infer ")) {
        group.bench_function(name, |bencher| {
            let (mut work, _) = works::prepare(name).expect(name);
            bencher.iter(|| work().expect(name));
        });
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
