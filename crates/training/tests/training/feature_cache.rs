//! Features on disk: found again, never trusted.

use crate::common::{bert, images, resnet, tokens};
use std::fs;
use std::path::PathBuf;
use ukulele_data::{Image, ImageDataset, Labels, Photo, Preprocess};
use ukulele_layers::{Init, Module, Pass, Tensor};
use ukulele_models::{Pooling, ResNet, ResNetConfig};
use ukulele_training::{
    AdamW, Cached, Classifier, Control, DataKey, FeatureCache, Features, FitOptions, HeadOnly, Labelled, evaluate, fit,
};

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ukulele-features-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn frozen() -> ResNet {
    let mut net = resnet(4);
    net.freeze_trunk();
    net
}

fn batches() -> Vec<Labelled<Tensor>> {
    (0..3).map(|i| images(4, 32, i)).collect()
}

fn asked(cache: &FeatureCache, net: &mut ResNet, key: &DataKey) -> Cached {
    cache.features(net, key, batches().into_iter().map(Ok)).unwrap()
}

#[test]
fn what_was_kept_is_what_was_computed() {
    let folder = Folder::new("kept");
    let (cache, key, mut net) = (FeatureCache::new(&folder.0).unwrap(), DataKey::new("twelve", 12), frozen());
    let plain = Features::of(&mut net, batches().into_iter().map(Ok)).unwrap();
    let first = asked(&cache, &mut net, &key);
    // What is there is not computed.
    let again = cache.features(&mut net, &key, std::iter::empty()).unwrap();
    assert!(!first.read && again.read && first.warning.is_none() && again.warning.is_none());
    assert_eq!(first.features.values.to_vec(), again.features.values.to_vec());
    assert_eq!((&first.features.labels, &plain.labels), (&again.features.labels, &again.features.labels));
    for (kept, exact) in again.features.values.to_vec().iter().zip(&plain.values.to_vec()) {
        assert!((kept - exact).abs() <= (exact.abs() / 2048.0).max(3e-8), "{kept} for {exact}");
    }
    // Half of f32, and little beside.
    let [file] = &folder.files()[..] else { panic!("one file is wanted") };
    let size = fs::metadata(file).unwrap().len() as usize;
    assert!(size < plain.values.numel() * 2 + 12 * 8 + 1024, "{size}");
    let open = weights_import::open(file).unwrap();
    assert_eq!(open.get("features").unwrap().to_vec(), again.features.values.to_vec());
}

#[test]
fn other_weights_measures_or_data_have_other_features() {
    let folder = Folder::new("keys");
    let (cache, key, mut net) = (FeatureCache::new(&folder.0).unwrap(), DataKey::new("twelve", 12), frozen());
    asked(&cache, &mut net, &key);
    // The head does not matter.
    net.fc.weight.value.memory_mut()[0] += 1.0;
    assert!(asked(&cache, &mut net, &key).read);
    let mut changed = net.clone();
    changed.layer3[0].bn1.running_mean.value.memory_mut()[1] += 1.0;
    assert!(!asked(&cache, &mut changed, &key).read);
    let config = ResNetConfig { bn_eps: 1e-3, ..net.config().clone() };
    let mut other = ResNet::new(&config, &mut Init::new(1));
    other.set_state(&net.state()).unwrap();
    other.freeze_trunk();
    assert!(!asked(&cache, &mut other, &key).read);
    assert!(!asked(&cache, &mut net, &DataKey::new("twelve others", 12)).read);
    assert_eq!(folder.files().len(), 4);
    net.unfreeze(|name| name == "conv1.weight");
    let error = cache.features(&mut net, &key, batches().into_iter().map(Ok)).unwrap_err().to_string();
    assert!(error.contains("`conv1.weight` is not frozen"), "{error}");
}

#[test]
fn keys_tell_data_apart() {
    let net = |pooling| bert(16, 0.0, pooling).measures();
    assert_ne!(net(Pooling::Mean), net(Pooling::Cls));
    let key = |batch: &Labelled<_>| DataKey::tokens(std::iter::once(Ok(batch.clone()))).unwrap().to_string();
    let batch = tokens(4, 6, 0);
    let mut others = vec![batch.clone(); 4];
    others[0].labels[1] += 1;
    others[1].inputs.ids[2] += 1;
    others[2].inputs.mask[5] = 0.0;
    others[3].inputs.types[0] = 1;
    assert_eq!(key(&batch), key(&batch.clone()));
    assert_ne!(DataKey::new("x", 1).to_string(), DataKey::new("x", 2).to_string());
    assert!(others.iter().all(|other| key(other) != key(&batch)));

    let folder = Folder::new("photos");
    fs::create_dir_all(&folder.0).unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.0.join(name), text).unwrap();
        Photo::File(folder.0.join(name))
    };
    let names = Labels::from_values(["a", "b"]).unwrap();
    let photos =
        |photos: Vec<Photo>, labels: &[usize]| ImageDataset { photos, labels: labels.to_vec(), names: names.clone() };
    let key = |data: &ImageDataset, side| DataKey::photos(data, &Preprocess::symmetric(side)).unwrap().to_string();
    let data = photos(vec![file("1", "one"), file("2", "two")], &[0, 1]);
    let first = key(&data, 32);
    assert_eq!(key(&photos(vec![file("3", "one"), file("4", "two")], &[0, 1]), 32), first, "names do not matter");
    assert_ne!(key(&data, 48), first);
    assert_ne!(key(&photos(data.photos.clone(), &[1, 0]), 32), first);
    assert_ne!(key(&photos(data.photos.iter().rev().cloned().collect(), &[0, 1]), 32), first);
    let grey = |side| Photo::Memory(Image::from_grey(side, 4 / side, &[7; 4]).unwrap().into());
    assert_ne!(key(&photos(vec![grey(1), grey(2)], &[0, 0]), 32), key(&photos(vec![grey(2), grey(2)], &[0, 0]), 32));
    file("1", "on");
    file("2", "etwo");
    assert_ne!(key(&data, 32), first);
    fs::remove_file(folder.0.join("2")).unwrap();
    let error = DataKey::photos(&data, &Preprocess::symmetric(32)).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains('2'), "{error}");
}

#[test]
fn damaged_and_foreign_files_are_not_trusted() {
    let folder = Folder::new("damaged");
    let (cache, key, mut net) = (FeatureCache::new(&folder.0).unwrap(), DataKey::new("twelve", 12), frozen());
    let good = asked(&cache, &mut net, &key).features.values.to_vec();
    let file = folder.files().remove(0);
    let bytes = fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        bytes
    };
    let last = bytes.len() - 1;
    let mut wrong = vec![Vec::new(), b"no features".to_vec(), bytes[..last].to_vec(), bytes[..header + 5].to_vec()];
    wrong.extend([0, 9, header, header + 7, last].map(flipped));
    let mut all = flipped(0);
    all.extend([0; 100]);
    wrong.push(all);
    // Of another key, under this name.
    let other = DataKey::new("twelve others", 12);
    asked(&cache, &mut net, &other);
    wrong.push(fs::read(folder.files().into_iter().find(|path| *path != file).unwrap()).unwrap());
    for (i, wrong) in wrong.iter().enumerate() {
        fs::write(&file, wrong).unwrap();
        let found = asked(&cache, &mut net, &key);
        let warning = found.warning.unwrap();
        assert!(!found.read && warning.contains("computed anew") && !warning.contains('\n'), "{i}: {warning}");
        assert!(warning.contains(&file.display().to_string()), "{i}: {warning}");
        assert_eq!(found.features.values.to_vec(), good);
        assert_eq!(fs::read(&file).unwrap(), bytes, "{i}: it is whole again");
    }
    // Each byte counts: of labels, of numbers, of what is said of them.
    for at in (header - 40..bytes.len()).step_by(97) {
        fs::write(&file, flipped(at)).unwrap();
        assert_eq!(asked(&cache, &mut net, &key).features.values.to_vec(), good, "byte {at}");
    }
}

#[test]
fn what_cannot_be_kept_is_said() {
    let folder = Folder::new("unkept");
    let (cache, key, mut net) = (FeatureCache::new(&folder.0).unwrap(), DataKey::new("twelve", 12), frozen());
    // Batches that end early are no features of the whole.
    let error = cache.features(&mut net, &key, batches().into_iter().take(2).map(Ok)).unwrap_err().to_string();
    assert!(error.contains("8 inputs came, the key is of 12"), "{error}");
    assert!(folder.files().is_empty());
    fs::remove_dir_all(&folder.0).unwrap();
    let found = asked(&cache, &mut net, &key);
    assert!(found.warning.unwrap().contains("not kept") && found.features.labels.len() == 12);
    fs::write(&folder.0, "a file").unwrap();
    assert!(FeatureCache::new(&folder.0).unwrap_err().to_string().contains("cannot create the folder"));
    fs::remove_file(&folder.0).unwrap();
}

#[test]
fn numbers_beyond_f16_are_kept_as_f32() {
    let folder = Folder::new("large");
    let (cache, key, mut net) = (FeatureCache::new(&folder.0).unwrap(), DataKey::new("twelve", 12), frozen());
    for x in net.layer4[0].bn2.weight.value.memory_mut() {
        *x = 1e6;
    }
    let plain = Features::of(&mut net, batches().into_iter().map(Ok)).unwrap().values.to_vec();
    assert!(plain.iter().any(|x| *x > 65504.0));
    asked(&cache, &mut net, &key);
    let again = asked(&cache, &mut net, &key);
    assert!(again.read && again.features.values.to_vec() == plain);
}

/// What f16 costs: a head learns the same from rounded features.
#[test]
fn a_head_learns_as_well_from_what_is_kept() {
    let folder = Folder::new("accuracy");
    let cache = FeatureCache::new(&folder.0).unwrap();
    let data: Vec<_> = (0..10).map(|i| images(12, 32, i)).collect();
    let mut net = resnet(8);
    net.freeze_trunk();
    let exact = Features::of(&mut net, data.iter().cloned().map(Ok)).unwrap();
    let kept = cache.features(&mut net, &DataKey::new("data", 120), data.iter().cloned().map(Ok)).unwrap().features;
    let logits =
        |features: &Features| net.head(&features.values.clone().into(), &mut Pass::eval()).unwrap().tensor().to_vec();
    let (a, b) = (logits(&kept), logits(&exact));
    let off: f32 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f32 = b.iter().map(|b| b * b).sum();
    assert!((off / norm).sqrt() < 5e-4, "{}", (off / norm).sqrt());
    let lists = || (0..10).map(|i| (12 * i..12 * i + 12).collect()).collect::<Vec<Vec<usize>>>();
    let learn = |features: &Features| {
        let mut net = net.clone();
        let options = FitOptions { epochs: 20, ..Default::default() };
        let mut batches = |_| Ok(features.batches(lists()));
        let mut adam = AdamW::new(0.02);
        fit(&mut HeadOnly(&mut net), &mut adam, &options, &mut batches, &mut |_| Ok(None), &mut |_| Control::Continue)
            .unwrap();
        // Judged on what the trunk really says.
        evaluate(&HeadOnly(&mut net), exact.batches(lists())).unwrap()
    };
    let (exact, kept) = (learn(&exact), learn(&kept));
    assert!(exact.score().accuracy > 0.8, "{:?}", exact.score());
    assert_eq!(exact.predictions, kept.predictions);
    for (a, b) in exact.probabilities.iter().flatten().zip(kept.probabilities.iter().flatten()) {
        assert!((a - b).abs() < 2e-3, "{a} {b}");
    }
}
