//! Speed of the kernels other than products and convolutions, at the sizes of ResNet-50 (batch 8) and BERT (8 x 128).
//!
//! `cargo run --release -p ukulele-kernels --example norm_speed [name part]`. Memory-bound kernels in GB/s of the numbers
//! that they must read and write, beside the same for a copy: median time, and the rates of the median and of the fastest
//! run (on a machine with other work the latter says more).

use std::hint::black_box;
use std::time::Instant;
use ukulele_kernels::attention::{self, Attention, Gradients, Inputs, Layout};
use ukulele_kernels::elementwise::{self, Binary, Unary};
use ukulele_kernels::norm::{self, BatchNormBackward, BatchNormGradients};
use ukulele_kernels::optim::{self, Adam, Sgd};
use ukulele_kernels::pool::{self, AdaptivePool2d, Pool2d};
use ukulele_kernels::softmax::{self, CrossEntropy};
use ukulele_kernels::{embedding, random, reduce, strided};

/// Random numbers.
fn numbers(key: u64, len: usize) -> Vec<f32> {
    let mut x = vec![0.0; len];
    random::fill_uniform(key, -1.0, 1.0, &mut x);
    x
}

/// Median and least seconds of `f`.
fn time(mut f: impl FnMut()) -> (f64, f64) {
    f();
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || (start.elapsed().as_secs_f64() < 0.5 && times.len() < 200) {
        let start = Instant::now();
        f();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

/// Prints one line if the name has the wanted part.
struct Report {
    wanted: String,
}

impl Report {
    /// `numbers` f32 are read or written.
    fn memory(&self, name: &str, numbers: usize, f: impl FnMut()) {
        if name.contains(&self.wanted) {
            let (median, least) = time(f);
            let rate = |t: f64| numbers as f64 * 4e-9 / t;
            println!("{name:<44} {:>9.3} ms {:>7.1} {:>7.1} GB/s", median * 1e3, rate(median), rate(least));
        }
    }

    /// `flop` multiplications and additions.
    fn compute(&self, name: &str, flop: f64, f: impl FnMut()) {
        if name.contains(&self.wanted) {
            let (median, least) = time(f);
            let rate = |t: f64| flop * 1e-9 / t;
            println!("{name:<44} {:>9.3} ms {:>7.1} {:>7.1} GFLOP/s", median * 1e3, rate(median), rate(least));
        }
    }
}

fn main() {
    let report = Report { wanted: std::env::args().nth(1).unwrap_or_default() };
    println!("{:?}, {} threads", ukulele_kernels::isa::current(), rayon::current_num_threads());
    elementwise_functions(&report);
    batch_norms(&report);
    rows(&report);
    pools(&report);
    attentions(&report);
    updates(&report);
}

fn elementwise_functions(report: &Report) {
    // BERT: the inner layer's activation; ResNet-50: the output of the first stage.
    for (what, n) in [("bert 1024x3072", 1024 * 3072), ("resnet 8x56x56x256", 8 * 56 * 56 * 256)] {
        let (x, dy, mut y) = (numbers(1, n), numbers(2, n), vec![0.0; n]);
        report.memory(&format!("copy {what}"), 2 * n, || black_box(&mut y).copy_from_slice(&x));
        report.memory(&format!("copy_parallel {what}"), 2 * n, || {
            elementwise::affine(1.0, 0.0, &x, black_box(&mut y));
        });
        report.memory(&format!("add {what}"), 3 * n, || {
            elementwise::binary(Binary::Add, &x, &dy, black_box(&mut y));
        });
        report.memory(&format!("axpy {what}"), 3 * n, || elementwise::axpy(0.5, &x, black_box(&mut y)));
        for op in [Unary::Relu, Unary::GeluErf, Unary::GeluTanh, Unary::Tanh, Unary::Exp] {
            report.memory(&format!("{op:?} {what}"), 2 * n, || elementwise::unary(op, &x, black_box(&mut y)));
            report.memory(&format!("{op:?} backward {what}"), 3 * n, || {
                elementwise::unary_backward(op, &x, &dy, black_box(&mut y));
            });
        }
        report.memory(&format!("dropout {what}"), 2 * n, || {
            elementwise::dropout(1, 0.1, &x, black_box(&mut y));
        });
        report.memory(&format!("sum_squares {what}"), n, || {
            black_box(reduce::sum_squares(&x));
        });
        let cols = if n.is_multiple_of(3072) { 3072 } else { 256 };
        let mut sums = vec![0.0; cols];
        report.memory(&format!("column_sums {what}"), n, || reduce::column_sums(&x, black_box(&mut sums)));
        let rows = n / cols;
        report.memory(&format!("bias by broadcast {what}"), 2 * n, || {
            let bias = (&sums[..], &[0, 1][..]);
            strided::binary(Binary::Add, &[rows, cols], (&x, &[cols, 1]), bias, black_box(&mut y));
        });
        report.memory(&format!("transpose {what}"), 2 * n, || {
            let pixels = rows / 8;
            strided::gather(&[8, cols, pixels], &x, &[pixels * cols, 1, cols], black_box(&mut y));
        });
    }
}

fn batch_norms(report: &Report) {
    for (rows, cols) in [(8 * 112 * 112, 64), (8 * 56 * 56, 256), (8 * 28 * 28, 512), (8 * 7 * 7, 2048)] {
        let n = rows * cols;
        let (x, r, mut dy) = (numbers(1, n), numbers(2, n), numbers(3, n));
        let [mut y, mut dr] = [(); 2].map(|()| vec![0.0; n]);
        let (gamma, beta) = (numbers(4, cols), numbers(5, cols));
        let [mut mean, mut variance, mut dgamma, mut dbeta] = [(); 4].map(|()| vec![0.0; cols]);
        let what = format!("{rows}x{cols}");
        report.memory(&format!("batch_norm statistics {what}"), n, || {
            norm::batch_norm_statistics(&x, black_box(&mut mean), &mut variance);
        });
        report.memory(&format!("batch_norm apply relu {what}"), 2 * n, || {
            norm::batch_norm_apply(&x, &mean, &variance, &gamma, &beta, 1e-5, None, true, black_box(&mut y));
        });
        report.memory(&format!("batch_norm apply residual relu {what}"), 3 * n, || {
            norm::batch_norm_apply(&x, &mean, &variance, &gamma, &beta, 1e-5, Some(&r), true, black_box(&mut y));
        });
        let (mean, variance) = (&mean, &variance);
        for residual in [false, true] {
            let name = format!("batch_norm backward relu{} {what}", if residual { " residual" } else { "" });
            report.memory(&name, (7 + residual as usize) * n, || {
                let p = BatchNormBackward {
                    x: &x[..],
                    relu: norm::Relu::Output(&y[..]),
                    mean,
                    variance,
                    gamma: &gamma,
                    eps: 1e-5,
                    batch_statistics: true,
                };
                let dresidual = residual.then_some(&mut dr[..]);
                let out = BatchNormGradients { dx_in_dy: true, dresidual, dgamma: &mut dgamma, dbeta: &mut dbeta };
                norm::batch_norm_backward(&p, &mut dy, out);
            });
        }
    }
}

fn rows(report: &Report) {
    for (rows, cols) in [(1024, 768), (4096, 384)] {
        let n = rows * cols;
        let (x, r, dy, gamma) = (numbers(1, n), numbers(2, n), numbers(3, n), numbers(4, cols));
        let [mut y, mut sum, mut dx] = [(); 3].map(|()| vec![0.0; n]);
        let [mut mean, mut inv_std] = [(); 2].map(|()| vec![0.0; rows]);
        let [mut dgamma, mut dbeta] = [(); 2].map(|()| vec![0.0; cols]);
        report.memory(&format!("layer_norm {rows}x{cols}"), 2 * n, || {
            norm::layer_norm(&x, &gamma, &gamma, 1e-12, black_box(&mut y), &mut mean, &mut inv_std);
        });
        report.memory(&format!("layer_norm residual {rows}x{cols}"), 4 * n, || {
            let out = (black_box(&mut y), &mut mean, &mut inv_std);
            norm::layer_norm_residual(&x, &r, &mut sum, &gamma, &gamma, 1e-12, out.0, out.1, out.2);
        });
        report.memory(&format!("layer_norm backward {rows}x{cols}"), 5 * n, || {
            let grads = (Some(&mut dx[..]), &mut dgamma, &mut dbeta);
            norm::layer_norm_backward(&x, &mean, &inv_std, &gamma, &dy, grads.0, grads.1, grads.2);
        });
    }
    for (rows, cols) in [(8 * 12 * 128, 128), (154, 30522)] {
        let n = rows * cols;
        let (x, mut y) = (numbers(1, n), vec![0.0; n]);
        report.memory(&format!("softmax {rows}x{cols}"), 2 * n, || {
            softmax::softmax(&x, cols, black_box(&mut y));
        });
        let targets: Vec<i64> = (0..rows as i64).map(|i| i % cols as i64).collect();
        report.memory(&format!("cross_entropy {rows}x{cols}"), 2 * n, || {
            softmax::cross_entropy(&CrossEntropy::new(cols), &x, &targets, Some(black_box(&mut y)));
        });
    }
    let (dim, table) = (768, numbers(1, 30522 * 768));
    let ids: Vec<i64> = (0..1024).map(|i| (i * 7919) % 30522).collect();
    let (mut y, mut d) = (vec![0.0; 1024 * dim], table.clone());
    report.memory("embedding gather 1024x768", 2 * y.len(), || {
        embedding::gather(&table, dim, &ids, black_box(&mut y));
    });
    report.memory("embedding scatter_add 1024x768", 3 * y.len(), || {
        embedding::scatter_add(&y, dim, &ids, Some(0), black_box(&mut d));
    });
}

fn pools(report: &Report) {
    let g = Pool2d {
        n: 8,
        h: 112,
        w: 112,
        c: 64,
        kh: 3,
        kw: 3,
        stride: (2, 2),
        pad: [1; 4],
        ceil_mode: false,
        count_include_pad: true,
    };
    let x = numbers(1, g.x_len());
    let (mut y, mut places, mut dx) = (vec![0.0; g.y_len()], vec![0; g.places_len()], x.clone());
    for n in [1, 8] {
        let g = Pool2d { n, ..g };
        let (x, y) = (&x[..g.x_len()], &mut y[..g.y_len()]);
        report.memory(&format!("max_pool2d {n}x112x112x64"), g.x_len() + g.y_len(), || {
            pool::max_pool2d(&g, x, black_box(&mut *y));
        });
    }
    let same = Pool2d { n: 1, h: 28, w: 28, c: 256, stride: (1, 1), ..g };
    report.memory("max_pool2d stride 1 1x28x28x256", 2 * same.x_len(), || {
        pool::max_pool2d(&same, &x[..same.x_len()], black_box(&mut y[..same.y_len()]));
    });
    report.memory("max_pool2d with places 8x112x112x64", g.x_len() + g.y_len() * 5 / 4, || {
        pool::max_pool2d_places(&g, &x, black_box(&mut y), &mut places);
    });
    report.memory("max_pool2d backward 8x112x112x64", g.x_len() + g.y_len() * 5 / 4, || {
        pool::max_pool2d_backward(&g, &y, &places, black_box(&mut dx));
    });
    report.memory("avg_pool2d 8x112x112x64", g.x_len() + g.y_len(), || {
        pool::avg_pool2d(&g, &x, black_box(&mut y));
    });
    report.memory("avg_pool2d backward 8x112x112x64", g.x_len() + g.y_len(), || {
        pool::avg_pool2d_backward(&g, &y, black_box(&mut dx));
    });
    let g = AdaptivePool2d { n: 8, h: 7, w: 7, c: 2048, out_h: 1, out_w: 1 };
    let x = numbers(1, 8 * 49 * 2048);
    let (mut y, mut dx) = (vec![0.0; 8 * 2048], x.clone());
    report.memory("global average 8x7x7x2048", x.len(), || {
        pool::adaptive_avg_pool2d(&g, &x, black_box(&mut y));
    });
    report.memory("global average backward 8x7x7x2048", x.len(), || {
        pool::adaptive_avg_pool2d_backward(&g, &y, black_box(&mut dx));
    });
}

fn attentions(report: &Report) {
    for (heads, t, dim, dropout) in [(12, 128, 64, 0.0), (12, 128, 64, 0.1), (12, 128, 32, 0.1), (12, 512, 64, 0.1)] {
        let g = Attention { batch: 8, heads, tq: t, tk: t, dim, scale: 1.0 / (dim as f64).sqrt(), dropout, key: 1 };
        let n = 8 * t * heads * dim;
        let [q, k, v, dout] = [1, 2, 3, 4].map(|key| numbers(key, n));
        let mask = vec![0.0; 8 * t];
        let l = Layout::dense(t, heads, dim);
        let x = Inputs { q: &q, q_layout: l, k: &k, k_layout: l, v: &v, v_layout: l, mask: Some(&mask) };
        let [mut out, mut dq, mut dk, mut dv] = [(); 4].map(|()| vec![0.0; n]);
        let mut lse = vec![0.0; 8 * heads * t];
        let what = format!("8x{heads}x{t}x{dim} dropout {dropout}");
        // Forward 2 products, backward 5.
        let product = 2.0 * (8 * heads * t * t * dim) as f64;
        report.compute(&format!("attention {what}"), 2.0 * product, || {
            attention::forward(&g, &x, black_box(&mut out), l, Some(&mut lse));
        });
        report.compute(&format!("attention backward {what}"), 5.0 * product, || {
            let grads = Gradients { dq: &mut dq, dk: &mut dk, dv: &mut dv };
            attention::backward(&g, &x, &out, l, &lse, &dout, grads);
        });
    }
}

fn updates(report: &Report) {
    let n = 25_000_000;
    let (grad, mut p) = (numbers(1, n), numbers(2, n));
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    let sgd = Sgd { rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 1e-4, grad_scale: 1.0 };
    report.memory("sgd 25M", 5 * n, || optim::sgd(&sgd, &mut p, &grad, &mut m));
    let adam =
        Adam { rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decoupled: true, grad_scale: 1.0 };
    report.memory("adamw 25M", 7 * n, || optim::adam(&adam, 3, &mut p, &grad, &mut m, &mut v));
}
