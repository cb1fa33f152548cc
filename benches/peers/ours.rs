//! Our side of the paired speed comparison: one line in names a work, one line out gives its milliseconds,
//! and by how many megabytes the process grew at most in the first run.
//!
//! Works: `resnet50 infer 8`, `resnet50 train 8`, `resnet50 load pth`, `bert-base infer 8x128`, `bert-base train 8x128`,
//! `bert-base load safetensors`. Each is prepared and warmed up when first named; `RAYON_NUM_THREADS` sets the threads.
//! Driven by `benches/peers/paired`.

#[path = "../works/mod.rs"]
mod works;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::time::Instant;
use works::{Work, prepare};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut works: BTreeMap<String, (Work, u64)> = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let name = line?.trim().to_owned();
        if name.is_empty() {
            break;
        }
        if !works.contains_key(&name) {
            works.clear(); // one model at a time in memory
            works.insert(name.clone(), prepare(&name)?);
        }
        if let Some((work, growth)) = works.get_mut(&name) {
            let start = Instant::now();
            work()?;
            println!("{:.3} {:.1}", start.elapsed().as_secs_f64() * 1e3, *growth as f64 / 1e6);
            std::io::stdout().flush()?;
        }
    }
    Ok(())
}
