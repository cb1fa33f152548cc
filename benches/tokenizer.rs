//! Word pieces of tweets: `cargo bench --bench tokenizer`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use ukulele::data::{EncodeOptions, Tokenizer};

const TWEETS: &str = include_str!("../assets/tweets/tweets.tsv");

fn tweets(c: &mut Criterion) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/bert-tiny");
    let tokenizer = Tokenizer::from_files(folder).expect(folder);
    let texts: Vec<&str> = TWEETS.lines().filter_map(|line| line.rsplit('\t').next()).collect();
    let pairs: Vec<(&str, Option<&str>)> = texts.iter().map(|text| (*text, None)).collect();
    let mut group = c.benchmark_group("tokenizer");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.bench_function("reading the vocabulary", |bencher| {
        bencher.iter(|| Tokenizer::from_files(folder).expect(folder));
    });
    group.throughput(Throughput::Bytes(texts.iter().map(|text| text.len() as u64).sum()));
    group.bench_function("tweets one by one", |bencher| {
        bencher.iter(|| texts.iter().map(|text| tokenizer.encode(text).ids.len()).sum::<usize>());
    });
    group.bench_function("tweets together", |bencher| {
        bencher.iter(|| tokenizer.encode_batch(&pairs, &EncodeOptions::default()).expect("tweets").len());
    });
    group.finish();
}

criterion_group!(benches, tweets);
criterion_main!(benches);
