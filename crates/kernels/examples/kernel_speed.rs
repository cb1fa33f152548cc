//! Speed of matrix products, of the layers of text models and of the convolutions of ResNet-50, in GFLOP/s.
//!
//! `cargo run --release -p ukulele-kernels --example kernel_speed [gemm] [linear] [winograd] [conv] [step]`; threads by
//! `RAYON_NUM_THREADS`, instruction set by `UKULELE_ISA`. Times are the best of several runs, so that other work on the machine
//! counts little.

use std::time::Instant;
use ukulele_kernels::conv::*;
use ukulele_kernels::gemm::*;
use ukulele_kernels::in_pool;
use ukulele_kernels::isa;
use ukulele_kernels::numbers::{Numbers, NumbersMut};

/// Seconds of the fastest run, over at least 5 runs and half a second.
fn best(mut f: impl FnMut()) -> f64 {
    let (start, mut best, mut runs) = (Instant::now(), f64::INFINITY, 0);
    while runs < 5 || start.elapsed().as_secs_f64() < 0.5 {
        let run = Instant::now();
        f();
        best = best.min(run.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

/// [`best`] of two that take turns.
fn best_of_both(mut f: impl FnMut(), mut g: impl FnMut()) -> [f64; 2] {
    let (start, mut best, mut runs) = (Instant::now(), [f64::INFINITY; 2], 0);
    let time = |f: &mut dyn FnMut(), best: &mut f64| {
        let run = Instant::now();
        f();
        *best = best.min(run.elapsed().as_secs_f64());
    };
    while runs < 5 || start.elapsed().as_secs_f64() < 1.0 {
        time(&mut f, &mut best[0]);
        time(&mut g, &mut best[1]);
        runs += 1;
    }
    best
}

/// Numbers between -1 and 1.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn gemm_speed(m: usize, n: usize, k: usize) {
    let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![0.0; m * n]);
    let (none, flops) = (Epilogue::NONE, 2e-9 * (m * n * k) as f64);
    let packed = Packed::new(Mat::new(&b, n, k).t());
    let fast = best(|| gemm_packed(Mat::new(&a, m, k), &packed, &mut c, n, false, &none));
    let packed = Packed::with_precision(Mat::new(&b, n, k).t(), Precision::Bf16);
    let bf16 = best(|| gemm_packed(Mat::new(&a, m, k), &packed, &mut c, n, false, &none));
    let nt = best(|| gemm(Mat::new(&a, m, k), Mat::new(&b, n, k).t(), &mut c, n, false, &none));
    let nn = best(|| gemm(Mat::new(&a, m, k), Mat::new(&b, k, n), &mut c, n, false, &none));
    let tn = best(|| gemm(Mat::new(&a, k, m).t(), Mat::new(&b, k, n), &mut c, n, false, &none));
    let mut in_bf16 = |a, b| best(|| gemm_in(Precision::Bf16, a, b, &mut c, n, false, &none));
    let rounded_nt = in_bf16(Mat::new(&a, m, k), Mat::new(&b, n, k).t());
    let rounded_nn = in_bf16(Mat::new(&a, m, k), Mat::new(&b, k, n));
    let rounded_tn = in_bf16(Mat::new(&a, k, m).t(), Mat::new(&b, k, n));
    println!(
        "gemm {m:5} x {n:5} x {k:5}: packed {:6.1}  bf16 {:6.1}  A·Bt {:6.1} {:6.1}  A·B {:6.1} {:6.1}  At·B {:6.1} {:6.1}",
        flops / fast,
        flops / bf16,
        flops / nt,
        flops / rounded_nt,
        flops / nn,
        flops / rounded_nn,
        flops / tn,
        flops / rounded_tn
    );
}

/// A layer of a text model for m tokens: n outputs, k inputs.
fn linear_speed(m: usize, n: usize, k: usize) {
    let (a, b, bias, mut c) = (numbers(m * k), numbers(k * n), numbers(n), vec![0.0; m * n]);
    print!("linear {m:5} x {k:5} -> {n:5}:");
    for precision in [Precision::F32, Precision::Bf16] {
        let packed = Packed::with_precision(Mat::new(&b, n, k).t(), precision);
        for activation in [Activation::None, Activation::GeluErf] {
            let epilogue = Epilogue { bias: Some(&bias), residual: None, activation };
            let time = best(|| gemm_packed(Mat::new(&a, m, k), &packed, &mut c, n, false, &epilogue));
            print!("  {precision:?} {activation:?} {:6.1}", 2e-9 * (m * n * k) as f64 / time);
        }
    }
    println!();
}

/// Input size, channels in and out, kernel, stride, and how often ResNet-50 has it.
const RESNET50: [(usize, usize, usize, usize, usize, usize); 20] = [
    (224, 3, 64, 7, 2, 1),
    (56, 64, 64, 1, 1, 1),
    (56, 64, 64, 3, 1, 3),
    (56, 64, 256, 1, 1, 4),
    (56, 256, 64, 1, 1, 2),
    (56, 256, 128, 1, 1, 1),
    (56, 128, 128, 3, 2, 1),
    (28, 128, 512, 1, 1, 4),
    (56, 256, 512, 1, 2, 1),
    (28, 512, 128, 1, 1, 3),
    (28, 128, 128, 3, 1, 3),
    (28, 512, 256, 1, 1, 1),
    (28, 256, 256, 3, 2, 1),
    (14, 256, 1024, 1, 1, 6),
    (28, 512, 1024, 1, 2, 1),
    (14, 1024, 256, 1, 1, 5),
    (14, 256, 256, 3, 1, 5),
    (14, 1024, 512, 1, 1, 1),
    (14, 512, 512, 3, 2, 1),
    (7, 512, 2048, 1, 1, 3),
];
/// The rest of the list.
const RESNET50_TAIL: [(usize, usize, usize, usize, usize, usize); 3] =
    [(14, 1024, 2048, 1, 2, 1), (7, 2048, 512, 1, 1, 2), (7, 512, 512, 3, 1, 2)];

/// Where Winograd's algorithm may or may not pay.
fn winograd_speed() {
    println!("one image, 3x3       direct          winograd");
    let shapes = [
        (16, 32, 28),
        (32, 64, 14),
        (32, 64, 56),
        (32, 64, 147),
        (48, 64, 28),
        (64, 96, 35),
        (96, 208, 14),
        (192, 384, 7),
    ];
    for (cin, cout, size) in shapes {
        let g = Conv2d {
            n: 1,
            h: size,
            w: size,
            cin,
            cout,
            kh: 3,
            kw: 3,
            stride: (1, 1),
            pad: [1; 4],
            dilation: (1, 1),
            groups: 1,
        };
        let (x, w, mut y) = (numbers(g.x_len()), numbers(g.w_len()), numbers(g.y_len()));
        print!("{size:3}² {cin:4} -> {cout:4}");
        for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
            let packed = PackedConv::new(&g, &w, algorithm);
            let time = best(|| conv2d_packed(&g, Pixels::dense(&x, cin), &packed, &mut y, cout, &Epilogue::NONE));
            print!("{:8.3} ms {:6.1}", time * 1e3, 2e-9 * g.mults() as f64 / time);
        }
        println!();
    }
}

fn conv_speed(batch: usize) {
    let mut total = [0.0; 10];
    println!(
        "ResNet-50, batch {batch}                   packed          winograd            bf16         forward   backward data   backward weight  and these in bf16"
    );
    for (size, cin, cout, kernel, stride, count) in RESNET50.into_iter().chain(RESNET50_TAIL) {
        let pad = [kernel / 2; 4];
        let g = Conv2d {
            n: batch,
            h: size,
            w: size,
            cin,
            cout,
            kh: kernel,
            kw: kernel,
            stride: (stride, stride),
            pad,
            dilation: (1, 1),
            groups: 1,
        };
        let (mut x, w, mut y) = (numbers(g.x_len()), numbers(g.w_len()), numbers(g.y_len()));
        let (bias, mut dw) = (numbers(cout), w.clone());
        let epilogue = Epilogue { bias: Some(&bias), residual: None, activation: Activation::Relu };
        let [packed, winograd] = [Algorithm::Direct, Algorithm::Winograd].map(|algorithm| {
            let algorithm = if algorithm.supports(&g) { algorithm } else { Algorithm::Direct };
            PackedConv::new(&g, &w, algorithm)
        });
        let bf16 = PackedConv::with_precision(&g, &w, Algorithm::Direct, Precision::Bf16);
        let times = [
            best(|| conv2d_packed(&g, Pixels::dense(&x, cin), &packed, &mut y, cout, &epilogue)),
            best(|| conv2d_packed(&g, Pixels::dense(&x, cin), &winograd, &mut y, cout, &epilogue)),
            best(|| conv2d_packed(&g, Pixels::dense(&x, cin), &bf16, &mut y, cout, &epilogue)),
            best(|| conv2d(&g, &x, &w, &mut y, &epilogue)),
            best(|| conv2d_backward_data(&g, &y, &w, &mut x, false)),
            best(|| conv2d_backward_weight(&g, &x, &y, &mut dw)),
            best(|| conv2d_in(Precision::Bf16, &g, &x, &w, &mut y, &epilogue)),
            best(|| conv2d_backward_data_in(Precision::Bf16, &g, &y, &w, &mut x, false)),
            best(|| conv2d_backward_weight_in(Precision::Bf16, &g, &x, &y, &mut dw)),
        ];
        let flops = 2e-9 * g.mults() as f64;
        print!("{count} x {size:3}² {cin:4} -> {cout:4}, {kernel}x{kernel} / {stride}");
        for (time, total) in times.iter().zip(&mut total) {
            print!("{:8.2} ms {:6.1}", time * 1e3, flops / time);
            *total += time * count as f64;
        }
        total[9] += flops * count as f64;
        println!();
    }
    let passes = ["forward", "backward data", "backward weight"];
    let rounded = ["forward bf16", "backward data bf16", "backward weight bf16"];
    for (what, time) in ["packed", "winograd", "bf16"].iter().chain(&passes).chain(&rounded).zip(total) {
        println!("{what:20} {:7.1} ms, {:6.1} GFLOP/s", time * 1e3, total[9] / time);
    }
}

/// The three passes of a training step in bf16 of images that lie as f32, and as bf16.
fn step_speed(batch: usize) {
    println!(
        "ResNet-50 in bf16, batch {batch}, of f32 and of bf16    forward        backward data   backward weight, ms"
    );
    let mut total = [[0.0; 2]; 3];
    for (size, cin, cout, kernel, stride, count) in RESNET50.into_iter().chain(RESNET50_TAIL) {
        let (n, h, w, kh, kw) = (batch, size, size, kernel, kernel);
        let (stride, pad) = ((stride, stride), [kernel / 2; 4]);
        let g = Conv2d { n, h, w, cin, cout, kh, kw, stride, pad, dilation: (1, 1), groups: 1 };
        let (x, w, dy) = (numbers(g.x_len()), numbers(g.w_len()), numbers(g.y_len()));
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
        let bf16 = |x: &[f32]| x.iter().map(|x| (x.to_bits() >> 16) as u16).collect::<Vec<_>>();
        let (short_x, short_dy) = (bf16(&x), bf16(&dy));
        let (mut short_y, mut short_dx, mut short_dw) = (short_dy.clone(), short_x.clone(), w.clone());
        // Images to learn from are f32.
        let from = if cin == 3 { Numbers::F32(&x) } else { Numbers::Bf16(&short_x) };
        let rounded = Precision::Bf16;
        let times = [
            best_of_both(
                || conv2d_in(rounded, &g, &x, &w, &mut y, &Epilogue::NONE),
                || conv2d_mixed(rounded, &g, from, &w, NumbersMut::Bf16(&mut short_y), None),
            ),
            best_of_both(
                || conv2d_backward_data_in(rounded, &g, &dy, &w, &mut dx, false),
                || {
                    let (dy, dx) = (Numbers::Bf16(&short_dy), NumbersMut::Bf16(&mut short_dx));
                    conv2d_backward_data_mixed(rounded, &g, dy, &w, dx, false);
                },
            ),
            best_of_both(
                || conv2d_backward_weight_in(rounded, &g, &x, &dy, &mut dw),
                || conv2d_backward_weight_mixed(rounded, &g, from, Numbers::Bf16(&short_dy), &mut short_dw),
            ),
        ];
        print!("{count} x {size:3}² {cin:4} -> {cout:4}, {kernel}x{kernel} / {}    ", stride.0);
        for (times, total) in times.iter().zip(&mut total) {
            print!("{:8.3} {:8.3}", times[0] * 1e3, times[1] * 1e3);
            (0..2).for_each(|i| total[i] += times[i] * count as f64);
        }
        println!();
    }
    println!("all of them, ms: {:?}", total.map(|total| total.map(|time| (time * 1e4).round() / 10.0)));
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wants = |what: &str| args.is_empty() || args.iter().any(|arg| arg == what);
    println!("{:?}, {} threads, GFLOP/s", isa::current(), rayon::current_num_threads());
    if wants("gemm") {
        for (m, n, k) in
            [(1024, 1024, 1024), (1024, 3072, 768), (128, 768, 768), (128, 3072, 768), (128, 768, 3072), (8, 768, 768)]
        {
            gemm_speed(m, n, k);
        }
    }
    if wants("linear") {
        in_pool(|| {
            for (m, n, k) in [
                (1024, 1152, 384),
                (1024, 384, 384),
                (1024, 1536, 384),
                (1024, 384, 1536),
                (4096, 384, 384),
                (1024, 3072, 768),
                (1024, 768, 3072),
                (128, 768, 768),
            ] {
                linear_speed(m, n, k);
            }
        });
    }
    if wants("winograd") {
        in_pool(winograd_speed);
    }
    if wants("conv") {
        conv_speed(1);
        conv_speed(8);
    }
    if wants("step") {
        in_pool(|| step_speed(8));
    }
}
