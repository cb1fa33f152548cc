//! Opening files of weights and filling a ResNet-18 from them: `cargo bench --bench import`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::path::Path;
use std::time::Duration;
use ukulele::weights_import::{Dtype, open, save_npz, save_pytorch, save_safetensors};
use ukulele::{Dialect, Module, Pretrained, ResNet, Tensor};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn load(net: &mut ResNet, path: &Path) -> Result {
    let weights = open(path)?;
    net.load(&weights, &Dialect::detect(&weights)?)?.strict()?;
    Ok(())
}

fn formats(c: &mut Criterion) {
    let mut net = ResNet::resnet18(1000);
    let state = net.state();
    let tensors: Vec<(String, &Tensor)> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    let mut group = c.benchmark_group("import");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for (name, dtype) in [
        ("resnet18.safetensors", Dtype::F32),
        ("resnet18-f16.safetensors", Dtype::F16),
        ("resnet18.pth", Dtype::F32),
        ("resnet18.npz", Dtype::F32),
    ] {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let saved = match path.extension().and_then(|ending| ending.to_str()) {
            Some("pth") => save_pytorch(&path, &tensors, dtype),
            Some("npz") => save_npz(&path, &tensors, dtype),
            _ => save_safetensors(&path, &tensors, &[], dtype),
        };
        saved.expect(name);
        group.throughput(Throughput::Bytes(path.metadata().expect(name).len()));
        group.bench_function(name, |bencher| bencher.iter(|| load(&mut net, &path).expect(name)));
        std::fs::remove_file(&path).expect(name);
    }
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
