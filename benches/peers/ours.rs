//! Our side of the paired speed comparison: one line in names a work, one line out gives its milliseconds, and by how many
//! megabytes the process grew at most in its runs, of which there are two at least; or why there are none.
//!
//! Works: `resnet50 infer 8`, `resnet50 train 8`, `resnet50 load pth`, `bert-base infer 8x128`, `bert-base train 8x128`,
//! `bert-base load safetensors`, `resnet50 frozen 16`, `bert-base frozen 8x128`; `bf16` behind an inference or a training does it
//! in bf16, `int8` an inference in int8. Each is prepared and warmed up when first named; `RAYON_NUM_THREADS` sets the threads.
//! Driven by `benches/peers/run` and `benches/peers/paired`.

#[path = "../works/mod.rs"]
mod works;

use std::io::{BufRead, Write};
use std::time::Instant;
use works::{Work, grown, prepare};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The milliseconds of one run of the work `name`, and the bytes; `current` is the one work in memory.
fn answer(name: &str, current: &mut Option<(String, Work, u64)>) -> Result<(f64, u64)> {
    if current.as_ref().is_none_or(|(prepared, ..)| prepared != name) {
        *current = None;
        let (work, before) = prepare(name)?;
        *current = Some((name.to_owned(), work, before));
    }
    let (_, work, before) = current.as_mut().ok_or("no work")?;
    let start = Instant::now();
    work()?;
    Ok((start.elapsed().as_secs_f64() * 1e3, grown(*before)))
}

fn main() -> Result<()> {
    let mut current = None;
    for line in std::io::stdin().lock().lines() {
        let name = line?.trim().to_owned();
        if name.is_empty() {
            break;
        }
        match answer(&name, &mut current) {
            Ok((milliseconds, bytes)) => println!("{milliseconds:.3} {:.1}", bytes as f64 / 1e6),
            Err(error) => println!("error: {error}"),
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
