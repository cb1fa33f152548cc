//! What the Rust peers share: the works, and the server that answers as benches/peers/models.py does.

use std::io::{BufRead, Write};
use std::time::Instant;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One run of a work.
pub type Run = Box<dyn FnMut() -> Result<()>>;

/// The lengths of the texts of a size such as `8x128` or `8x8-128`, as benches/peers/models.py has them.
pub fn lengths(size: &str) -> Result<Vec<usize>> {
    let (batch, tokens) = size.split_once('x').ok_or("no size of texts")?;
    let batch: usize = batch.parse()?;
    let (least, most) = tokens.split_once('-').unwrap_or((tokens, tokens));
    let (least, most): (usize, usize) = (least.parse()?, most.parse()?);
    Ok((0..batch).map(|i| least + (most - least) * i / (batch - 1).max(1)).collect())
}

/// Ids and mask of a size, padded to the longest text, and their shape.
pub fn texts(size: &str) -> Result<([usize; 2], Vec<i64>, Vec<i64>)> {
    let lengths = lengths(size)?;
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let there = |own: usize| (0..longest).map(move |t| (t as i64, t < own));
    let all: Vec<(i64, bool)> = lengths.iter().flat_map(|&own| there(own)).collect();
    let ids = all.iter().map(|&(t, there)| if there { 1000 + t * 7919 % 20000 } else { 0 }).collect();
    Ok(([lengths.len(), longest], ids, all.iter().map(|&(_, there)| i64::from(there)).collect()))
}

/// Numbers that look like images.
pub fn images(model: &str, batch: usize) -> ([usize; 4], Vec<f32>) {
    let size = if model == "inception_v3" { 299 } else { 224 };
    let data = (0..batch * 3 * size * size).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect();
    ([batch, 3, size, size], data)
}

/// Megabytes that were resident at most.
fn most_resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line =
        text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    line.unwrap_or(0.0) * 1024e-6
}

/// The labels of a training step.
#[allow(dead_code)] // not all sides train
pub fn labels(batch: usize) -> Vec<i64> {
    (0..batch as i64).map(|i| i % 2).collect()
}

/// Answers each line, a work `MODEL KIND SIZE` (`infer`, `train` or `frozen`), with the milliseconds of one run, which comes after
/// two, or one that took a second, and the most megabytes that are resident.
pub fn serve(build: impl Fn(&str, &str, &str) -> Result<Run>) {
    let mut current = None;
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        if line.is_empty() {
            break;
        }
        match answer(&mut current, &line, &build) {
            Ok(milliseconds) => println!("{milliseconds:.3} {:.1}", most_resident()),
            Err(error) => println!("error: {}", error.to_string().lines().next().unwrap_or_default()),
        }
        let _ = std::io::stdout().flush();
    }
}

fn answer(
    current: &mut Option<(String, Run)>,
    line: &str,
    build: &impl Fn(&str, &str, &str) -> Result<Run>,
) -> Result<f64> {
    if current.as_ref().is_none_or(|(name, _)| name != line) {
        *current = None; // free the work before: one at a time
        let [model, kind, size] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("no `{line}` here: f32 only").into());
        };
        let mut run = build(model, kind, size)?;
        let start = Instant::now();
        run()?;
        if start.elapsed().as_secs() < 1 {
            run()?;
        }
        *current = Some((line.to_owned(), run));
    }
    let start = Instant::now();
    if let Some((_, run)) = current {
        run()?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
