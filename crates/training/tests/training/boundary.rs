//! Trunks that are frozen in part: the frozen groups of layers as a plan, and what they say kept.

use crate::common::{bert, bits, changed, images, resnet, tokens};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;
use ukulele_layers::{Init, Module, ModuleId, Param, Pass, Role, Tensor, Value};
use ukulele_models::{
    GoogLeNet, GoogLeNetConfig, ImageModel, Pooling, ResNetConfig, TextModel, TokenBatch, Vgg, VggConfig,
};
use ukulele_training::{
    AboveBoundary, Batches, BoundaryValues, Classifier, Control, DataKey, FeatureCache, Features, FitOptions,
    FrozenTrunk, Labelled, Sgd, evaluate, fit,
};

/// A model that is not cut: it runs in the training pass as a whole.
struct Whole<N>(N);

impl<N: Module> Module for Whole<N> {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        self.0.each(path, f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        self.0.modules(path, f);
    }
}

impl<N: Classifier> Classifier for Whole<N> {
    type Batch = N::Batch;

    fn features(&self, batch: &N::Batch, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        self.0.features(batch, pass)
    }

    fn head(&self, features: &Value, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        self.0.head(features, pass)
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn head_names(&self) -> Vec<String> {
        self.0.head_names()
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.0.groups()
    }

    fn count(batch: &N::Batch) -> usize {
        N::count(batch)
    }

    fn measures(&self) -> String {
        self.0.measures()
    }
}

fn resnet50() -> ImageModel {
    let config = ResNetConfig { width: 4, stem: 8, layers: [1, 2, 1, 1], ..ResNetConfig::depth(50, 3).unwrap() };
    ImageModel::new(&config.into(), &mut Init::new(1))
}

fn vgg() -> ImageModel {
    let stages = vec![vec![8], vec![8, 8], vec![16]];
    let config = VggConfig { stages, hidden: vec![24, 20], grid: 2, ..VggConfig::depth(11, false, 3).unwrap() };
    let mut net = Vgg::new(&config, &mut Init::new(1));
    // Fresh dense layers of a VGG are so small that nothing comes out of them.
    for dense in &mut net.classifier.as_mut().unwrap().hidden {
        dense.linear.weight.value.memory_mut().iter_mut().for_each(|w| *w *= 20.0);
    }
    net.into()
}

fn googlenet() -> ImageModel {
    let mut net = GoogLeNet::new(&GoogLeNetConfig::torchvision(3), &mut Init::new(1));
    net.remove_aux();
    // Of fresh weights so small the statistics of the batch make something; the running ones would make nothing.
    net.each("", &mut |name, param| {
        if name.ends_with("conv.weight") {
            param.value.memory_mut().iter_mut().for_each(|w| *w *= 8.0);
        }
    });
    net.into()
}

/// |a − b| <= most |b|.
#[track_caller]
fn close(a: &[f32], b: &[f32], most: f64, what: &str) {
    assert_eq!(a.len(), b.len());
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(&a, &b)| f(a.into(), b.into())).sum::<f64>().sqrt();
    let (off, norm) = (sum(&|a, b| (a - b).powi(2)), sum(&|_, b| b * b));
    assert!(off <= most * norm, "{what}: off by {off} of {norm}");
}

/// The gradients of a training pass, whichever way the logits come.
fn gradients<N: Classifier>(
    net: &mut N,
    labels: &[i64],
    logits: &mut dyn FnMut(&mut N, &mut Pass) -> Value,
) -> Vec<(String, Vec<f32>)> {
    let mut pass = Pass::train(7);
    let loss = logits(net, &mut pass).cross_entropy(labels).unwrap();
    let mut found = pass.backward(&loss).unwrap();
    let mut all = Vec::new();
    net.each("", &mut |name, param| {
        if let Some(gradient) = found.take(param) {
            all.push((name.to_owned(), gradient.to_vec()));
        }
    });
    all
}

/// The losses of ten steps.
fn losses<'a, N: Classifier>(net: &mut N, epoch: &mut dyn FnMut() -> Batches<'a, N::Batch>) -> Vec<f32>
where
    N::Batch: 'a,
{
    let options = FitOptions { epochs: 5, seed: 3, ..Default::default() };
    let mut sgd = Sgd::new(0.01).momentum(0.9);
    let mut batches = |_| Ok(epoch());
    let history = fit(net, &mut sgd, &options, &mut batches, &mut |_| Ok(None), &mut |_| Control::Continue).unwrap();
    history.steps.iter().map(|step| step.loss as f32).collect()
}

fn all<B: Clone + 'static>(batches: &[Labelled<B>]) -> Batches<'static, B> {
    let batches = batches.to_vec();
    Box::new(batches.into_iter().map(Ok))
}

/// With these groups frozen, gradients and losses are those of the whole pass, by plan and from kept values.
fn learned<N: Classifier + Clone>(net: &N, boundaries: &[usize], statistics: bool, batches: &[Labelled<N::Batch>])
where
    N::Batch: Clone + 'static,
{
    for &boundary in boundaries {
        let mut net = net.clone();
        net.freeze_groups(boundary);
        if statistics {
            net.set_frozen(&[Role::Statistic], true, |_| true);
        }
        let (inputs, labels) = (&batches[0].inputs, &batches[0].labels);
        let mut trunk = FrozenTrunk::default();
        let want = gradients(&mut net, labels, &mut |net, pass| net.logits(inputs, pass).unwrap());
        let got = gradients(&mut net, labels, &mut |net, pass| trunk.logits(net, inputs, pass).unwrap());
        assert!(trunk.has_plan(), "{boundary}");
        let join = |all: &[(String, Vec<f32>)]| all.iter().flat_map(|(_, g)| g.clone()).collect::<Vec<f32>>();
        close(&join(&got), &join(&want), 1e-4, "all gradients");
        let norm = join(&want).iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        for ((name, got), (same, want)) in got.iter().zip(&want) {
            assert_eq!(name, same);
            let own = want.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            // What is zero but for rounding has no relative error.
            if own > 1e-3 * norm {
                close(got, want, 1e-4, &format!("{boundary}: {name}"));
            }
        }

        let plain = losses(&mut Whole(net.clone()), &mut || all(batches));
        let mut planned = net.clone();
        let found = losses(&mut planned, &mut || all(batches));
        close(&found, &plain, 1e-4, &format!("{boundary}: losses by plan"));
        let moved = changed(&bits(&mut net), &bits(&mut planned));
        let low: Vec<String> = net.groups().into_iter().take(boundary).flatten().collect();
        assert!(!moved.is_empty() && !moved.iter().any(|name| low.iter().any(|prefix| name.starts_with(prefix))));

        let mut above = net.clone();
        let values = BoundaryValues::of(&mut above, all(batches)).unwrap();
        assert_eq!(values.boundary(), boundary);
        let mut first = 0;
        let lists = batches.iter().map(|batch| {
            first += batch.labels.len();
            (first - batch.labels.len()..first).collect()
        });
        let lists: Vec<Vec<usize>> = lists.collect();
        let found = losses(&mut AboveBoundary { net: &mut above, boundary }, &mut || values.batches(lists.clone()));
        close(&found, &plain, 1e-4, &format!("{boundary}: losses of kept values"));
        // Both learned the same, and say the same of inputs.
        let [kept, whole] = [&above, &planned].map(|net| evaluate(net, all(batches)).unwrap());
        let flat = |rows: &[Vec<f32>]| rows.concat();
        close(&flat(&kept.probabilities), &flat(&whole.probabilities), 1e-3, "answers");
        let seen = evaluate(&AboveBoundary { net: &mut above, boundary }, values.batches(lists)).unwrap();
        close(&flat(&seen.probabilities), &flat(&kept.probabilities), 1e-3, "answers from the boundary");
    }
}

fn photos() -> Vec<Labelled<Tensor>> {
    (0..2).map(|i| images(6, 32, i)).collect()
}

#[test]
fn a_resnet_learns_above_a_boundary() {
    learned(&resnet50(), &[1, 3, 5], true, &photos());
    learned(&resnet50(), &[2, 4], false, &photos());
    learned(&resnet(4), &[3], true, &photos());
}

#[test]
fn a_vgg_learns_above_a_boundary() {
    learned(&vgg(), &[1, 2, 3, 4], false, &photos());
}

#[test]
fn a_googlenet_learns_above_a_boundary() {
    learned(&googlenet(), &[1, 4, 9], true, &photos());
}

#[test]
fn a_bert_learns_above_a_boundary() {
    let batches: Vec<_> = (0..2).map(|i| tokens(6, 7, i)).collect();
    for pooling in [Pooling::Mean, Pooling::Pooler] {
        learned(&bert(16, 0.1, pooling), &[2, 3], false, &batches);
    }
}

#[test]
fn embeddings_alone_need_no_plan() {
    let mut net = bert(16, 0.1, Pooling::Mean);
    net.freeze_groups(1);
    let batch = tokens(6, 7, 0);
    let mut trunk = FrozenTrunk::default();
    let want = gradients(&mut net, &batch.labels, &mut |net, pass| net.logits(&batch.inputs, pass).unwrap());
    let got = gradients(&mut net, &batch.labels, &mut |net, pass| trunk.logits(net, &batch.inputs, pass).unwrap());
    assert_eq!(got, want);
}

/// The boundary is where the first part learns: a weight, a statistic, a dropout.
#[test]
fn the_boundary_is_below_the_first_part_that_learns() {
    let photo = images(4, 32, 0);
    let mut net = vgg();
    let boundary =
        |net: &mut ImageModel| BoundaryValues::of(net, std::iter::once(Ok(photo.clone()))).map(|v| v.boundary());
    let error = boundary(&mut net).unwrap_err().to_string();
    assert!(error.contains("below `features.0.weight`"), "{error}");
    net.freeze_trunk();
    assert_eq!(boundary(&mut net).unwrap(), 4);
    net.unfreeze(|name| name == "classifier.2.p");
    assert_eq!(boundary(&mut net).unwrap(), 3);
    net.unfreeze(|name| name == "features.5.bias");
    assert_eq!(boundary(&mut net).unwrap(), 1);
    let mut net = resnet50();
    net.freeze_groups(4);
    net.unfreeze(|name| name == "layer2.1.bn3.running_var");
    assert_eq!(boundary(&mut net).unwrap(), 2);
    let mut whole = Whole(resnet50());
    whole.freeze_trunk();
    let error = BoundaryValues::of(&mut whole, std::iter::once(Ok(photo.clone()))).unwrap_err().to_string();
    assert!(error.contains("not cut"), "{error}");
    assert!(Classifier::below(&whole, &photo.inputs, 1, &mut Pass::eval()).is_err());
}

#[test]
fn a_plan_moves_with_the_boundary() {
    let (mut net, batch) = (resnet50(), images(4, 32, 0));
    let mut trunk = FrozenTrunk::default();
    net.set_frozen(&[Role::Statistic], true, |_| true);
    for count in [5, 3, 1, 0] {
        net.unfreeze(|_| true);
        net.set_frozen(&[Role::Statistic], true, |_| true);
        net.freeze_groups(count);
        for change in [0.0, 0.5] {
            // A frozen weight that is set by hand makes another plan.
            if let ImageModel::ResNet(net) = &mut net {
                net.conv1.each("", &mut |_, param| param.value.memory_mut()[0] += change);
            }
            let got = trunk.logits(&mut net, &batch.inputs, &mut Pass::train(1)).unwrap();
            let want = net.logits(&batch.inputs, &mut Pass::train(1)).unwrap();
            close(&got.tensor().to_vec(), &want.tensor().to_vec(), 1e-4, "logits");
            assert_eq!(trunk.has_plan(), count > 0);
        }
    }
    // Images of another size the model runs itself.
    net.freeze_groups(2);
    let _plan = trunk.logits(&mut net, &batch.inputs, &mut Pass::train(1)).unwrap();
    let other = images(4, 48, 0).inputs;
    let got = trunk.logits(&mut net, &other, &mut Pass::train(1)).unwrap();
    assert_eq!(got.tensor().to_vec(), net.logits(&other, &mut Pass::train(1)).unwrap().tensor().to_vec());
}

#[test]
fn values_are_those_of_their_examples() {
    let mut net = bert(16, 0.1, Pooling::Mean);
    net.freeze_groups(2);
    let batches: Vec<_> = (0..3).map(|i| tokens(3, 5 + i, i)).collect();
    let values = BoundaryValues::of(&mut net, all(&batches)).unwrap();
    assert_eq!((values.len(), values.is_empty()), (9, false));
    let found = values.batch(&[7, 0, 7]).unwrap();
    let Labelled { inputs, labels } = &found;
    assert_eq!(
        (&labels[..], &values.labels()[..3]),
        (&[batches[2].labels[1], batches[0].labels[0], batches[2].labels[1]][..], &batches[0].labels[..])
    );
    // Padded to the longest of them; zeros where padding is.
    assert_eq!(inputs.value.shape(), [3, 6, 16]);
    let mask = inputs.mask.as_ref().unwrap();
    assert_eq!(mask.to_vec(), [[1.0f32; 6].as_slice(), &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], &[1.0; 6]].concat());
    let plain = net.below(&batches[2].inputs, 2, &mut Pass::eval()).unwrap().tensor().to_vec();
    close(&inputs.value.to_vec()[..6 * 16], &plain[7 * 16..7 * 16 + 6 * 16], 1e-4, "a text");
    assert!(inputs.value.to_vec()[11 * 16..12 * 16].iter().all(|x| *x == 0.0));
    assert!(values.batch(&[9]).is_err());
    let mut front = tokens(3, 6, 0);
    front.inputs.mask[0] = 0.0;
    let error = BoundaryValues::of(&mut net, all(&[front])).unwrap_err().to_string();
    assert!(error.contains("padding before its end"), "{error}");

    let mut net = resnet50();
    net.freeze_groups(3);
    let error = BoundaryValues::of(&mut net, all(&[images(2, 32, 0), images(2, 64, 0)])).unwrap_err().to_string();
    assert!(error.contains("unequal size"), "{error}");
    assert!(BoundaryValues::of(&mut net, all::<Tensor>(&[])).is_err());
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ukulele-boundary-{name}-{}", std::process::id()));
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

#[test]
fn values_are_kept_for_each_boundary() {
    let folder = Folder::new("kept");
    let (cache, key, mut net) = (FeatureCache::new(&folder.0).unwrap(), DataKey::new("twelve", 12), resnet50());
    let ask = |net: &mut ImageModel| cache.boundary(net, &key, all(&photos())).unwrap();
    let numbers = |values: &BoundaryValues| values.batch(&(0..12).collect::<Vec<_>>()).unwrap().inputs.value.to_vec();
    net.freeze_groups(4);
    let first = ask(&mut net);
    let again = cache.boundary(&mut net, &key, std::iter::empty()).unwrap();
    assert!(!first.read && again.read && first.warning.is_none());
    assert_eq!(
        (numbers(&first.features), first.features.labels()),
        (numbers(&again.features), again.features.labels())
    );
    let exact = BoundaryValues::of(&mut net, all(&photos())).unwrap();
    for (kept, exact) in numbers(&first.features).iter().zip(&numbers(&exact)) {
        assert!((kept - exact).abs() <= (exact.abs() / 2048.0).max(3e-8), "{kept} for {exact}");
    }
    let size = fs::metadata(&folder.files()[0]).unwrap().len() as usize;
    assert!(size < numbers(&exact).len() * 2 + 12 * 8 + 1024, "{size}");
    // What learns above does not matter, also that of the stage above.
    net.each("", &mut |name, param| {
        if name.starts_with("layer4.") || name.starts_with("fc.") {
            param.value.memory_mut()[0] += 1.0;
        }
    });
    assert!(ask(&mut net).read);
    // Unfreezing moves the boundary; what was kept stays for when it is there again.
    net.unfreeze(|name| name.starts_with("layer3."));
    let lower = ask(&mut net);
    assert!(!lower.read && lower.features.boundary() == 3 && ask(&mut net).read);
    net.freeze_groups(4);
    assert!(ask(&mut net).read);
    net.each("", &mut |name, param| {
        if name == "layer3.0.bn1.running_mean" {
            param.value.memory_mut()[0] += 1.0;
        }
    });
    assert!(!ask(&mut net).read);
    assert_eq!(folder.files().len(), 3);
    // Features of a whole trunk are other files.
    net.freeze_trunk();
    let whole = cache.features(&mut net, &key, all(&photos())).unwrap();
    let all_below = ask(&mut net);
    assert!(!whole.read && !all_below.read);
    assert_eq!(whole.features.values.to_vec(), numbers(&all_below.features));
    let plain = Features::of(
        &mut AboveBoundary { net: &mut net, boundary: 5 },
        all_below.features.batches(vec![(0..12).collect()]),
    );
    assert_eq!(plain.unwrap().values.to_vec(), whole.features.values.to_vec());
    net.unfreeze(|_| true);
    assert!(cache.boundary(&mut net, &key, all(&photos())).is_err());
}

fn texts() -> Vec<Labelled<TokenBatch>> {
    (0..2).map(|i| tokens(4, 6 + i, i)).collect()
}

#[test]
fn damaged_and_hostile_files_are_made_anew() {
    let folder = Folder::new("damaged");
    let (cache, key) = (FeatureCache::new(&folder.0).unwrap(), DataKey::new("eight", 8));
    let mut net: TextModel = bert(16, 0.1, Pooling::Mean);
    net.freeze_groups(2);
    let mut ask = || cache.boundary(&mut net, &key, all(&texts())).unwrap();
    let numbers = |values: &BoundaryValues| values.batch(&(0..8).collect::<Vec<_>>()).unwrap().inputs.value.to_vec();
    let good = numbers(&ask().features);
    let file = folder.files().remove(0);
    let bytes = fs::read(&file).unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut anew = |what: &str| {
        let found = ask();
        assert!(!found.read && found.warning.unwrap().contains("computed anew"), "{what}");
        assert!(numbers(&found.features) == good && fs::read(&file).unwrap() == bytes, "{what}");
    };
    for at in (0..bytes.len()).step_by(61) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 4;
        fs::write(&file, wrong).unwrap();
        anew(&format!("byte {at}"));
        fs::write(&file, &bytes[..at]).unwrap();
        anew(&format!("{at} bytes"));
    }
    // Lists that do not fit, with the hash that belongs to them.
    let open = weights_import::open(&file).unwrap();
    let (features, labels, lengths) =
        (open.raw("features").unwrap(), open.raw("labels").unwrap(), open.raw("lengths").unwrap());
    let layout = open.metadata().get("layout").unwrap().clone();
    let list = |numbers: &[i64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let rows = features.shape[0] as i64;
    let mut hostile = vec![(lengths.bytes.clone(), vec![features.shape[0] * 16], 8)];
    for lengths in [[-1, 1, 1, 1, 1, 1, 1, rows - 5], [0, 1, 1, 1, 1, 1, 1, rows - 6], [1; 8], [i64::MAX; 8]] {
        hostile.push((list(&lengths), features.shape.clone(), 8));
    }
    hostile.push((list(&[1, 1, 1, 1, 1, 1, rows - 6]), features.shape.clone(), 7));
    hostile.push((lengths.bytes.clone(), vec![features.shape[0], 0], 8));
    for (i, (lengths, shape, count)) in hostile.into_iter().enumerate() {
        let bytes = &features.bytes[..2 * shape.iter().product::<usize>()];
        let mut hash = DataKey::new(&name, 0);
        hash.add(format!("{} {:?}", features.dtype, shape).as_bytes());
        hash.add(&Sha256::digest(bytes));
        hash.add(&labels.bytes);
        hash.add(&lengths);
        let hash = hash.to_string();
        let said = [("layout", &layout), ("key", &name), ("sha256", &hash)].map(|(k, v)| (k.to_owned(), v.clone()));
        let entry = |name: &str, shape: &[usize], dtype| weights_import::Entry {
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype,
        };
        let entries = [
            entry("features", &shape, features.dtype),
            entry("labels", &[8], labels.dtype),
            entry("lengths", &[count], labels.dtype),
        ];
        let parts = [bytes.to_vec(), labels.bytes.clone(), lengths];
        weights_import::write_safetensors(&file, &entries, &said, |i| Ok(parts[i].clone())).unwrap();
        anew(&format!("hostile {i}"));
    }
}

/// What f16 costs: the groups above learn the same from rounded values.
#[test]
fn what_is_kept_teaches_the_same() {
    let folder = Folder::new("accuracy");
    let (cache, mut net) = (FeatureCache::new(&folder.0).unwrap(), resnet50());
    net.freeze_groups(3);
    net.set_frozen(&[Role::Statistic], true, |_| true);
    let exact = BoundaryValues::of(&mut net, all(&photos())).unwrap();
    let kept = cache.boundary(&mut net, &DataKey::new("twelve", 12), all(&photos())).unwrap().features;
    let learn = |values: &BoundaryValues| {
        let mut net = net.clone();
        losses(&mut AboveBoundary { net: &mut net, boundary: 3 }, &mut || {
            values.batches(vec![(0..6).collect(), (6..12).collect()])
        })
    };
    close(&learn(&kept), &learn(&exact), 2e-3, "losses");
}
