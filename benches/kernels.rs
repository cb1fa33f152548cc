//! Kernels beside the roofs of the machine: `cargo bench --bench kernels`. Elements are operations (two a multiply-add),
//! or bytes where a kernel only moves numbers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use ukulele_kernels::attention::{self, Attention, Inputs, Layout};
use ukulele_kernels::conv::{
    Algorithm, Conv2d, PackedConv, Pixels, conv2d, conv2d_backward_data, conv2d_backward_weight, conv2d_packed,
};
use ukulele_kernels::elementwise::{Unary, unary};
use ukulele_kernels::gemm::{Activation, Epilogue, Mat, Packed, gemm, gemm_packed};
use ukulele_kernels::{norm, optim, softmax};

/// Numbers from -1 to 1.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect()
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    // A square one, and the two of BERT-base's feed-forward part on 1024 tokens.
    for (m, k, n) in [(512, 512, 512), (1024, 768, 3072), (1024, 3072, 768)] {
        let (a, b, bias, mut y) = (numbers(m * k), numbers(n * k), numbers(n), vec![0.0; m * n]);
        let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, n, k).t());
        let packed = Packed::new(b);
        let gelu = Epilogue { bias: Some(&bias), residual: None, activation: Activation::GeluErf };
        let shape = format!("{m}x{k}x{n}");
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        group.bench_function(format!("{shape} plain"), |bencher| {
            bencher.iter(|| gemm(a, b, &mut y, n, false, &Epilogue::NONE));
        });
        group.bench_function(format!("{shape} packed, bias, GELU"), |bencher| {
            bencher.iter(|| gemm_packed(a, &packed, &mut y, n, false, &gelu));
        });
    }
    group.finish();
}

fn convolutions(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv");
    // Of ResNet-50: the first layer, a 1x1 and a 3x3 of the first stage, a 3x3 of the last.
    for (side, cin, cout, kernel, stride) in
        [(224, 3, 64, 7, 2), (56, 64, 256, 1, 1), (56, 64, 64, 3, 1), (7, 512, 512, 3, 1)]
    {
        let g = Conv2d {
            n: 1,
            h: side,
            w: side,
            cin,
            cout,
            kh: kernel,
            kw: kernel,
            stride: (stride, stride),
            pad: [kernel / 2; 4],
            dilation: (1, 1),
            groups: 1,
        };
        let (x, w, dy) = (numbers(g.x_len()), numbers(g.w_len()), numbers(g.y_len()));
        let (mut y, mut dx, mut dw) = (vec![0.0; g.y_len()], vec![0.0; g.x_len()], vec![0.0; g.w_len()]);
        let shape = format!("{kernel}x{kernel}/{stride} {cin} -> {cout} on {side}");
        group.throughput(Throughput::Elements(2 * g.mults() as u64));
        group.bench_function(format!("{shape} plain"), |bencher| {
            bencher.iter(|| conv2d(&g, &x, &w, &mut y, &Epilogue::NONE));
        });
        for algorithm in [Algorithm::Direct, Algorithm::Winograd].into_iter().filter(|it| it.supports(&g)) {
            let packed = PackedConv::new(&g, &w, algorithm);
            group.bench_function(format!("{shape} packed {algorithm:?}"), |bencher| {
                bencher.iter(|| conv2d_packed(&g, Pixels::dense(&x, cin), &packed, &mut y, cout, &Epilogue::NONE));
            });
        }
        group.bench_function(format!("{shape} gradient of x"), |bencher| {
            bencher.iter(|| conv2d_backward_data(&g, &dy, &w, &mut dx, false));
        });
        group.bench_function(format!("{shape} gradient of the weight"), |bencher| {
            bencher.iter(|| conv2d_backward_weight(&g, &x, &dy, &mut dw));
        });
    }
    group.finish();
}

fn attention(c: &mut Criterion) {
    let (batch, heads, tokens, dim) = (8, 12, 128, 64);
    let g = Attention { batch, heads, tq: tokens, tk: tokens, dim, scale: 0.125, dropout: 0.0, key: 0 };
    let (width, layout) = (heads * dim, Layout::fused(tokens, heads, dim));
    let qkv = numbers(batch * tokens * 3 * width);
    let inputs = Inputs {
        q: &qkv,
        q_layout: layout,
        k: &qkv[width..],
        k_layout: layout,
        v: &qkv[2 * width..],
        v_layout: layout,
        mask: None,
    };
    let (mut y, mut lse) = (vec![0.0; batch * tokens * width], vec![0.0; batch * heads * tokens]);
    let mut group = c.benchmark_group("attention");
    group.throughput(Throughput::Elements(4 * (batch * tokens * tokens * width) as u64));
    group.bench_function("8x128 tokens, 12 heads of 64", |bencher| {
        bencher.iter(|| attention::forward(&g, &inputs, &mut y, Layout::dense(tokens, heads, dim), Some(&mut lse)));
    });
    group.finish();
}

fn streams(c: &mut Criterion) {
    let (rows, cols) = (1024, 768);
    let (x, gamma, beta, mut y) = (numbers(rows * cols), numbers(cols), numbers(cols), vec![0.0; rows * cols]);
    let (mut mean, mut inverse) = (vec![0.0; rows], vec![0.0; rows]);
    let mut group = c.benchmark_group("streams");
    group.throughput(Throughput::Bytes(8 * (rows * cols) as u64));
    group.bench_function("layer norm 1024x768", |bencher| {
        bencher.iter(|| norm::layer_norm(&x, &gamma, &beta, 1e-12, &mut y, &mut mean, &mut inverse));
    });
    group.bench_function("softmax 1024x768", |bencher| bencher.iter(|| softmax::softmax(&x, cols, &mut y)));
    for op in [Unary::Relu, Unary::GeluErf] {
        group.bench_function(format!("{op:?} 1024x768"), |bencher| bencher.iter(|| unary(op, &x, &mut y)));
    }
    let adam = optim::Adam {
        rate: 1e-6,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.01,
        decoupled: true,
        grad_scale: 1.0,
    };
    let count = 1 << 22;
    let (gradient, mut weights) = (numbers(count), numbers(count));
    let (mut m, mut v) = (vec![0.0; count], vec![0.0; count]);
    let mut step = 0;
    group.throughput(Throughput::Bytes(28 * count as u64));
    group.bench_function("AdamW of 4 million", |bencher| {
        bencher.iter(|| {
            step += 1;
            optim::adam(&adam, step, &mut weights, &gradient, &mut m, &mut v);
        });
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
}

criterion_group!(name = benches; config = quick(); targets = products, convolutions, attention, streams);
criterion_main!(benches);
