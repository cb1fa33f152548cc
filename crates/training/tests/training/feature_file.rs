//! Values at a boundary that are in a file and not in memory.

use crate::common::wide::{Folder, Wide, fours};
use std::fs;
use std::path::Path;
use ukulele_layers::Tensor;
use ukulele_training::{BoundaryValues, Cached, DataKey, Error, FeatureCache, Labelled, Result};

/// A row is more than is read at a time, and the file more than is hashed at a time.
const WIDTH: usize = 100_000;

const INPUTS: [f32; 12] = [0.1, -0.7, 3.0, 0.0, 1.5, -2.5, 100.0, 1e-3, 0.3, 7.0, -9.0, 0.6];

fn cache(folder: &Folder) -> FeatureCache {
    FeatureCache::new(&folder.0).unwrap()
}

fn key() -> DataKey {
    DataKey::new("twelve", 12)
}

fn ask(
    cache: &FeatureCache,
    batches: impl Iterator<Item = Result<Labelled<Tensor>>>,
) -> Result<Cached<BoundaryValues>> {
    cache.boundary(&mut Wide(WIDTH), &key(), batches)
}

/// Asks for the values of the inputs with room for nothing in memory.
fn kept(folder: &Folder) -> Cached<BoundaryValues> {
    ask(&cache(folder).held_at_most(0), fours(&INPUTS)).unwrap()
}

/// All values, asked for backwards in batches of five.
fn numbers(values: &BoundaryValues) -> Vec<f32> {
    let places: Vec<usize> = (0..values.len()).rev().collect();
    let batches: Vec<_> =
        values.batches(places.chunks(5).map(<[usize]>::to_vec).collect()).map(Result::unwrap).collect();
    assert!(
        batches.iter().flat_map(|batch| &batch.labels).eq(places
            .iter()
            .map(|&place| place as i64)
            .collect::<Vec<_>>()
            .iter())
    );
    batches.iter().flat_map(|batch| batch.inputs.value.to_vec()).collect()
}

/// Of these inputs, without a cache.
fn exact(inputs: &[f32]) -> Vec<f32> {
    numbers(&BoundaryValues::of(&mut Wide(WIDTH), fours(inputs)).unwrap())
}

#[track_caller]
fn near(kept: &[f32], exact: &[f32]) {
    assert_eq!(kept.len(), exact.len());
    for (kept, exact) in kept.iter().zip(exact) {
        assert!((kept - exact).abs() <= (exact.abs() / 2048.0).max(3e-8), "{kept} for {exact}");
    }
}

#[test]
fn values_of_a_file_are_those_of_memory() {
    let folder = Folder::new("file");
    let first = kept(&folder);
    let again = ask(&cache(&folder).held_at_most(0), std::iter::empty()).unwrap();
    assert!(!first.read && again.read && first.warning.is_none() && again.warning.is_none());
    let found = numbers(&first.features);
    near(&found, &exact(&INPUTS));
    assert_eq!(found, numbers(&again.features));
    assert_eq!(found, numbers(&first.features.clone()));
    // What is not written is rounded the same, up to the limit.
    fs::remove_dir_all(&folder).unwrap();
    let cache = cache(&folder);
    fs::remove_dir_all(&folder).unwrap();
    let held = ask(&cache.clone().held_at_most(INPUTS.len() * WIDTH * 2), fours(&INPUTS)).unwrap();
    let warning = held.warning.unwrap();
    assert!(
        !held.read && warning.contains("not kept") && warning.contains(&folder.0.display().to_string()),
        "{warning}"
    );
    assert_eq!(found, numbers(&held.features));
    let error = ask(&cache.held_at_most(INPUTS.len() * WIDTH * 2 - 1), fours(&INPUTS)).unwrap_err();
    assert!(matches!(&error, Error::NoRoom(why) if why.contains(&folder.0.display().to_string())), "{error}");
}

#[test]
fn what_is_damaged_is_computed_anew() {
    let folder = Folder::new("file-damaged");
    let good = numbers(&kept(&folder).features);
    let [file] = &folder.files()[..] else { panic!("one file is wanted") };
    let bytes = fs::read(file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let len = bytes.len();
    // In the head, in the first and the last number, where stretches meet, in a label.
    let mut wrong: Vec<_> = [200, 1000, 1 << 20, (1 << 20) + 1000, len / 2, len - 97, len - 1].map(flipped).into();
    wrong.extend([0, 1, 999, 1000, 1 << 20, len - 97, len - 1].map(|len| bytes[..len].to_vec()));
    wrong.push([&bytes[..], b"x"].concat());
    for (i, wrong) in wrong.iter().enumerate() {
        fs::write(file, wrong).unwrap();
        let found = kept(&folder);
        let warning = found.warning.unwrap();
        assert!(!found.read && warning.contains("computed anew") && !warning.contains('\n'), "{i}: {warning}");
        assert!(numbers(&found.features) == good, "{i}");
        assert!(fs::read(file).unwrap() == bytes && folder.files() == [file.clone()], "{i}: it is whole again");
    }
}

#[test]
fn a_late_number_beyond_f16_makes_all_f32() {
    let folder = Folder::new("file-wide");
    let inputs = [&INPUTS[..8], &[0.3, 7.0, 1e5, 0.6]].concat();
    let ask = || ask(&cache(&folder).held_at_most(0), fours(&inputs)).unwrap();
    let (first, again) = (ask(), ask());
    assert!(!first.read && again.read && first.warning.is_none() && again.warning.is_none());
    let (found, exact) = (numbers(&first.features), exact(&inputs));
    assert_eq!(found, numbers(&again.features));
    near(&found, &exact);
    // What came with it and after it is not rounded.
    assert_eq!(found[..4 * WIDTH], exact[..4 * WIDTH]);
    let [file] = &folder.files()[..] else { panic!("one file is wanted") };
    let size = fs::metadata(file).unwrap().len() as usize;
    assert!((0..2048).contains(&(size - 12 * WIDTH * 4)), "{size}");
    assert_eq!(weights_import::open(file).unwrap().get("features").unwrap().shape(), [12, WIDTH]);
    // In memory, too.
    let cache = cache(&folder);
    fs::remove_dir_all(&folder).unwrap();
    let held = cache.boundary(&mut Wide(WIDTH), &key(), fours(&inputs)).unwrap();
    assert!(held.warning.is_some() && numbers(&held.features) == found);
}

#[test]
fn a_folder_may_go_while_it_is_written_to() {
    let folder = Folder::new("file-gone");
    let good = numbers(&kept(&folder).features);
    let gone = |held: usize| {
        let _ = fs::remove_dir_all(&folder);
        let cache = cache(&folder).held_at_most(held);
        let mut count = 0;
        let batches = fours(&INPUTS).inspect(|_| {
            count += 1;
            if count == 2 {
                fs::remove_dir_all(&folder).unwrap();
            }
        });
        ask(&cache, batches)
    };
    let found = gone(INPUTS.len() * WIDTH * 2).unwrap();
    assert!(found.warning.unwrap().contains("not kept") && numbers(&found.features) == good);
    assert!(matches!(gone(INPUTS.len() * WIDTH * 2 - 1), Err(Error::NoRoom(_))));
}

#[test]
fn what_ends_early_leaves_nothing() {
    let folder = Folder::new("file-early");
    let broken = || fours(&INPUTS[..8]).chain(std::iter::once(Err(Error::data("no photo"))));
    let error = ask(&cache(&folder), broken()).unwrap_err().to_string();
    assert!(error.contains("no photo") && folder.files().is_empty(), "{error}");
    let error = ask(&cache(&folder), fours(&INPUTS[..8])).unwrap_err().to_string();
    assert!(error.contains("8 inputs came, the key is of 12") && folder.files().is_empty(), "{error}");
}

#[test]
fn a_file_may_change_while_it_is_read() {
    let folder = Folder::new("file-changed");
    let first = kept(&folder).features;
    let good = numbers(&first);
    let values = kept(&folder).features;
    let [file] = &folder.files()[..] else { panic!("one file is wanted") };
    // Another one takes its place, or none.
    if cfg!(unix) {
        fs::rename(file, file.with_extension("old")).unwrap();
        fs::write(file, "another").unwrap();
        assert!(numbers(&values) == good && numbers(&first) == good);
        fs::remove_file(file).unwrap();
        assert_eq!(numbers(&values), good);
        fs::rename(file.with_extension("old"), file).unwrap();
    }
    // It is cut.
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(1000 + 5 * WIDTH as u64).unwrap();
    assert_eq!(values.batch(&[0, 1]).unwrap().inputs.value.to_vec().len(), 2 * WIDTH);
    for values in [&values, &first] {
        let error = values.batch(&[0, 2]).unwrap_err().to_string();
        let said = ["cannot read", &file.display().to_string(), "train again"];
        assert!(said.iter().all(|said| error.contains(said)), "{error}");
    }
    let found = kept(&folder);
    assert!(found.warning.unwrap().contains("computed anew") && numbers(&found.features) == good);
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_left_alone() {
    let folder = Folder::new("file-foreign");
    let good = numbers(&kept(&folder).features);
    let file = folder.files().remove(0);
    let elsewhere = folder.0.join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    let pipe = |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let link = |path: &Path| std::os::unix::fs::symlink(&elsewhere, path).unwrap();
    for make in [&pipe as &dyn Fn(&Path), &link] {
        make(&file);
        let found = ask(&cache(&folder), fours(&INPUTS)).unwrap();
        assert!(!found.read && found.warning.unwrap().contains("no regular file"));
        assert_eq!(numbers(&found.features), good);
        assert!(matches!(ask(&cache(&folder).held_at_most(99), fours(&INPUTS)), Err(Error::NoRoom(_))));
        assert!(!fs::symlink_metadata(&file).unwrap().is_file() && folder.files().len() == 2);
        fs::remove_file(&file).unwrap();
    }
}

/// The disk is full half-way: this test runs itself again where no file may grow above 1 MiB.
#[cfg(unix)]
#[test]
fn a_full_disk_is_no_end() {
    const LIMITED: &str = "UKULELE_TEST_LIMITED";
    if std::env::var_os(LIMITED).is_none() {
        // A shell counts blocks of 512 or 1,024 bytes. The signal is ignored, so that the write is what fails.
        let done = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact feature_file::a_full_disk_is_no_end"])
            .arg(std::env::current_exe().unwrap())
            .env(LIMITED, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let folder = Folder::new("file-full");
    cache(&folder);
    let probe = folder.0.join("probe");
    let limit = (1..).map(|i| i * 4096).find(|&len| fs::write(&probe, vec![0; len]).is_err()).unwrap();
    fs::remove_file(probe).unwrap();
    // Two of three batches fit as f16, one of them as f32.
    let width = limit / 20;
    let size = INPUTS.len() * width * 2;
    let ask =
        |most, inputs: &[f32]| cache(&folder).held_at_most(most).boundary(&mut Wide(width), &key(), fours(inputs));
    // The third batch is one too many; or it has numbers beyond f16, and as f32 not even the others fit.
    for (inputs, most) in [(INPUTS.to_vec(), size), ([&[0.1; 8][..], &[1e5; 4]].concat(), 2 * size)] {
        let found = ask(most, &inputs).unwrap();
        assert!(found.warning.unwrap().contains("cannot write") && folder.files().is_empty());
        let exact = BoundaryValues::of(&mut Wide(width), fours(&inputs)).unwrap();
        near(&numbers(&found.features), &numbers(&exact));
        let error = ask(most - 1, &inputs).unwrap_err();
        assert!(matches!(error, Error::NoRoom(_)) && folder.files().is_empty(), "{error}");
    }
    // Fewer fit.
    let four = cache(&folder).boundary(&mut Wide(1000), &key(), fours(&INPUTS)).unwrap();
    assert!(four.warning.is_none() && folder.files().len() == 1);
    // Features of a whole trunk are in memory anyway.
    let features = cache(&folder).held_at_most(0).features(&mut Wide(WIDTH), &key(), fours(&INPUTS)).unwrap();
    assert!(features.warning.is_some() && features.features.values.shape() == [12, WIDTH]);
}
