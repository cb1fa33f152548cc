//! Attacks a reader for as long as you like, from all golden files of a format.
//!
//! `cargo run --release -p weights-import --example fuzz -- pytorch 10` mutates the files of `tests/import/pytorch` for ten
//! minutes, each case with those beside it as they are, and counts what opened. A panic, a case of more than a second or of
//! more memory than sixteen times its size ends it with the number of the case, which `fuzz FORMAT 0 CASE` runs alone. In
//! every other case checksums are made right again (`fuzz/repair.rs`), or nothing would come past them.
#![allow(missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "fuzz/repair.rs"]
mod repair;

use common::Random;
use common::hostile::{self, mutate, poke_source};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};
use weights_import::{Source, from_source};

/// Largest golden file that is mutated: a case should take microseconds.
const LARGEST: usize = 1 << 16;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, minutes, case @ ..] = arguments.as_slice() else {
        return Err("usage: fuzz FORMAT MINUTES [CASE]; FORMAT is a folder of tests/import".into());
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/import").join(format);
    if format == "hdf5" {
        hostile::allow(64 << 20);
    }
    let mut files = BTreeMap::new();
    collect(&folder, "", &mut files)?;
    let opens = |name: &String| {
        let small = files[name].len() <= LARGEST;
        small && from_source(source(&files, name, files[name].clone())).is_ok()
    };
    let seeds: Vec<&String> = files.keys().filter(|name| opens(name)).collect();
    if seeds.is_empty() {
        return Err(format!("{}: no file that opens", folder.display()).into());
    }
    for name in &seeds {
        let mut bytes = files[*name].clone();
        repair::changed(&mut bytes, 0, &mut |_| ());
        assert!(from_source(source(&files, name, bytes)).is_ok(), "{name}: does not open once repaired");
    }
    if let [case] = case {
        println!("{format}: case {case} {}", if run(&files, &seeds, case.parse()?) { "opened" } else { "was refused" });
        return Ok(());
    }
    let (start, span) = (Instant::now(), Duration::from_secs_f64(60.0 * minutes.parse::<f64>()?));
    let (mut cases, mut opened) = (0u64, 0u64);
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    while start.elapsed() < span {
        match std::panic::catch_unwind(|| run(&files, &seeds, cases)) {
            Ok(good) => opened += u64::from(good),
            Err(_) => return Err(format!("{format}: case {cases} failed").into()),
        }
        cases += 1;
    }
    println!("{format}: {cases} cases from {} files, {opened} opened, none failed, {:?}", seeds.len(), start.elapsed());
    Ok(())
}

/// The files of a folder and those below it, by their path.
fn collect(folder: &Path, before: &str, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let name = format!("{before}{}", item.file_name().to_string_lossy());
        if item.file_type()?.is_dir() {
            collect(&item.path(), &format!("{name}/"), files)?;
        } else if !name.ends_with(".py") && !name.ends_with("expected.json") && !name.ends_with(".gitignore") {
            files.insert(name, std::fs::read(item.path())?);
        }
    }
    Ok(())
}

/// One file, with those of its folder beside it.
fn source(files: &BTreeMap<String, Vec<u8>>, name: &str, bytes: Vec<u8>) -> Source {
    let folder = name.rfind('/').map_or("", |end| &name[..=end]);
    let beside = files.iter().filter(|(other, _)| *other != name);
    let beside = beside.filter_map(|(other, bytes)| Some((other.strip_prefix(folder)?.to_string(), bytes.clone())));
    Source::memory_with(bytes, name.strip_prefix(folder).unwrap_or(name), beside.collect())
}

/// One case: a seed with one to five changes.
fn run(files: &BTreeMap<String, Vec<u8>>, seeds: &[&String], case: u64) -> bool {
    let mut random = Random(case);
    let name = seeds[random.below(seeds.len())];
    let mut bytes = files[name].clone();
    let changes = [1, 1, 2, 5][random.below(4)];
    let mut change = |bytes: &mut Vec<u8>| (0..changes).for_each(|_| mutate(bytes, &mut random));
    match case % 2 {
        0 => change(&mut bytes),
        _ => repair::changed(&mut bytes, case as usize / 2, &mut change),
    }
    // What lies beside counts too: a file may name all of it.
    let size = files.values().map(Vec::len).sum::<usize>().max(bytes.len());
    poke_source(&|| source(files, name, bytes.clone()), size)
}
