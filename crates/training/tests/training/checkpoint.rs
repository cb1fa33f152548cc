//! Checkpoints: what is saved is loaded bit for bit, and nothing else is.

use crate::common::{bert, bits, images, resnet, tokens};
use std::fs;
use std::path::{Path, PathBuf};
use ukulele_layers::{Init, Module};
use ukulele_models::{
    GoogLeNet, GoogLeNetConfig, ImageConfig, ImageModel, Pooling, ResNetV2Config, StemPool, Vgg, VggConfig,
};
use ukulele_training::{Checkpoint, Network, Tokenizer, check_writable, predict};

/// A folder of one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ukulele-training-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const LABELS: [&str; 3] = ["good", "\"bad\"", "häßlich"];

fn text(pooling: Pooling) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(bert(16, 0.1, pooling), &LABELS).unwrap();
    let vocab = (0..97).map(|i| format!("piece{i}\n")).collect();
    checkpoint.tokenizer = Some(Tokenizer { vocab, lower_case: true, max_length: 64 });
    checkpoint.metrics.insert("accuracy".into(), 0.75.into());
    checkpoint
}

fn photos() -> Checkpoint {
    let mut checkpoint = Checkpoint::new(resnet(4), &LABELS).unwrap();
    checkpoint.preprocess = Some(serde_json::json!({ "size": 32, "image_mean": [0.1, 0.2, 0.3] }));
    checkpoint
}

#[test]
fn a_bert_comes_back_bit_for_bit() {
    let folder = Folder::new("bert");
    for pooling in [Pooling::Mean, Pooling::Pooler, Pooling::Cls] {
        let mut saved = text(pooling);
        saved.save(folder.join("out")).unwrap();
        let expected = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"];
        assert_eq!(names(&folder.join("out")), expected);
        let mut loaded = Checkpoint::load(folder.join("out")).unwrap();
        assert!(bits(&mut saved.network) == bits(&mut loaded.network));
        assert_eq!((&loaded.labels, &loaded.tokenizer), (&saved.labels, &saved.tokenizer));
        assert_eq!((&loaded.metrics, &loaded.preprocess), (&saved.metrics, &None));
        let (Network::Bert(a), Network::Bert(b)) = (&saved.network, &loaded.network) else { panic!("no BERT") };
        assert_eq!((a.pooling, a.bert.config()), (b.pooling, b.bert.config()));
        let batch = tokens(3, 5, 1).inputs;
        assert_eq!(predict(a, &batch).unwrap(), predict(b, &batch).unwrap());
    }
}

#[test]
fn a_resnet_comes_back_bit_for_bit_and_replaces_what_was_there() {
    let folder = Folder::new("resnet");
    text(Pooling::Mean).save(&folder.0).unwrap();
    fs::write(folder.join("report.html"), "mine").unwrap();
    let mut saved = photos();
    saved.save(&folder.0).unwrap();
    let expected = ["config.json", "model.safetensors", "preprocessor_config.json", "report.html"];
    assert_eq!(names(&folder.0), expected);
    let mut loaded = Checkpoint::load(&folder.0).unwrap();
    assert!(bits(&mut saved.network) == bits(&mut loaded.network));
    assert_eq!((&loaded.labels, &loaded.preprocess), (&saved.labels, &saved.preprocess));
    let (Network::Image(a), Network::Image(b)) = (&saved.network, &loaded.network) else { panic!("no image model") };
    assert_eq!(a.config(), b.config());
    let batch = images(2, 32, 0).inputs;
    assert_eq!(predict(a, &batch).unwrap(), predict(b, &batch).unwrap());
}

#[test]
fn other_networks_of_images_come_back() {
    let init = &mut Init::new(3);
    let plain = VggConfig::depth(11, true, 3).unwrap();
    let stages = vec![vec![4], vec![6], vec![8, 8]];
    let vgg = VggConfig { stages, hidden: vec![10, 12], grid: 2, ..plain };
    let googlenet = GoogLeNetConfig { aux: false, ..GoogLeNetConfig::torchvision(3) };
    let plain = ResNetV2Config::named("resnet50v2", 3).unwrap();
    let second = ResNetV2Config { width: 4, stem: 8, stem_pool: StemPool::Same, ..plain };
    let mut networks: Vec<Network> = vec![Vgg::new(&vgg, init).into(), GoogLeNet::new(&googlenet, init).into()];
    networks.push(ImageModel::new(&second.into(), init).into());
    for name in ["inception_v4", "inception_resnet_v1", "inception_resnet_v2"] {
        networks.push(ImageModel::new(&ImageConfig::named(name, 3).unwrap(), init).into());
    }
    for (number, network) in networks.into_iter().enumerate() {
        let side = if number < 3 { 32 } else { 75 };
        let folder = Folder::new(&format!("image-model-{number}"));
        let mut saved = Checkpoint::new(network, &LABELS).unwrap();
        saved.save(&folder.0).unwrap();
        let mut loaded = Checkpoint::load(&folder.0).unwrap();
        assert!(bits(&mut saved.network) == bits(&mut loaded.network));
        let (Network::Image(a), Network::Image(b)) = (&saved.network, &loaded.network) else {
            panic!("no image model")
        };
        assert_eq!(a.config(), b.config());
        let batch = images(2, side, 0).inputs;
        assert_eq!(predict(a, &batch).unwrap(), predict(b, &batch).unwrap());
    }
}

#[test]
fn the_configuration_is_hugging_faces() {
    let folder = Folder::new("config");
    for (pooling, class) in [(Pooling::Pooler, "BertForSequenceClassification"), (Pooling::Mean, "BertModel")] {
        text(pooling).save(&folder.0).unwrap();
        let config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["architectures"][0], class);
        assert_eq!((&config["model_type"], &config["hidden_size"]), (&"bert".into(), &16.into()));
        assert_eq!((&config["id2label"]["2"], &config["label2id"]["häßlich"]), (&"häßlich".into(), &2.into()));
        assert_eq!(config["ukulele"]["metrics"]["accuracy"], 0.75);
    }
}

/// A saved checkpoint after `harm` must not load, for a reason that names all of `words`.
fn harmed(test: &str, mut checkpoint: Checkpoint, harm: impl FnOnce(&Path), words: &[&str]) {
    let folder = Folder::new(test);
    checkpoint.save(&folder.0).unwrap();
    harm(&folder.0);
    let error = Checkpoint::load(&folder.0).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn every_missing_or_broken_piece_is_named() {
    for name in ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"] {
        let remove = |folder: &Path| fs::remove_file(folder.join(name)).unwrap();
        harmed(&format!("missing-{name}"), text(Pooling::Mean), remove, &[name]);
        let cut = |folder: &Path| {
            let path = folder.join(name);
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        };
        harmed(&format!("cut-{name}"), text(Pooling::Mean), cut, &[name]);
        let no_text = |folder: &Path| fs::write(folder.join(name), [b'{', 0xff]).unwrap();
        harmed(&format!("bytes-{name}"), text(Pooling::Mean), no_text, &[name]);
    }
    harmed("list", photos(), |f| fs::write(f.join("config.json"), "[1]").unwrap(), &["not an object"]);
}

#[test]
fn configurations_that_do_not_fit_are_errors() {
    let case = |test: &str, from: &str, to: &str, words: &[&str]| {
        harmed(test, text(Pooling::Mean), |f| edit(f, from, to), words);
    };
    case("foreign", "\"ukulele\"", "\"other\"", &["config.json", "was not saved by ukulele"]);
    case("layout", "\"layout\": 1", "\"layout\": 2", &["layout 2", "newer"]);
    case("type", "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", &["gpt2", "bert"]);
    case("pooling", "\"pooling\": \"mean\"", "\"pooling\": \"median\"", &["pooling"]);
    case("label", "\"1\":", "\"7\":", &["id2label", "1"]);
    // Far more memory than there is: refused before any is taken.
    case("huge", "\"hidden_size\": 16", "\"hidden_size\": 16777216", &["describes another model", "hidden 16"]);
    case("zero", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", &["num_hidden_layers"]);
    harmed("resnet-huge", photos(), |f| edit(f, "\"width\": 4", "\"width\": 65536"), &["describes another model"]);
    harmed("resnet-block", photos(), |f| edit(f, "\"basic\"", "\"cubic\""), &["basic or bottleneck"]);
}

#[test]
fn files_of_two_saves_never_load_together() {
    let (old, new) = (Folder::new("old"), Folder::new("new"));
    text(Pooling::Mean).save(&old.0).unwrap();
    let mut other = text(Pooling::Mean);
    other.network.each("", &mut |_, param| param.value.memory_mut()[0] += 1.0);
    other.tokenizer.as_mut().unwrap().vocab.push_str("more\n");
    for (name, words) in [
        ("model.safetensors", ["model.safetensors", "different saves"]),
        ("vocab.txt", ["vocab.txt", "saved with"]),
        ("config.json", ["vocab.txt", "saved with"]),
    ] {
        other.save(&new.0).unwrap();
        fs::copy(old.join(name), new.join(name)).unwrap();
        let error = Checkpoint::load(&new.0).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn weights_of_another_origin_are_not_overwritten() {
    let folder = Folder::new("foreign");
    for (name, content) in [("model.safetensors", "weights"), ("config.json", "{\"model_type\": \"bert\"}")] {
        fs::write(folder.join(name), content).unwrap();
        let asked = check_writable(&folder.0).unwrap_err().to_string();
        let saved = photos().save(&folder.0).unwrap_err().to_string();
        assert!(asked == saved && saved.contains(name) && saved.contains("choose another folder"), "{saved}");
        assert_eq!(
            (names(&folder.0), fs::read_to_string(folder.join(name)).unwrap()),
            (vec![name.into()], content.into())
        );
        fs::remove_file(folder.join(name)).unwrap();
    }
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let folder = Folder::new("unwritable");
    fs::write(folder.join("file"), "").unwrap();
    for place in ["file", "file/out", "file/a/b"] {
        let place = folder.join(place);
        let errors = [check_writable(&place).unwrap_err(), photos().save(&place).unwrap_err()].map(|e| e.to_string());
        assert!(errors.iter().all(|error| error.contains("file")), "{errors:?}");
    }
    let place = folder.join("a/b/c");
    check_writable(&place).unwrap();
    assert_eq!(names(&folder.0), ["file"]);

    // A folder stands where the first file is to go.
    photos().save(&place).unwrap();
    check_writable(&place).unwrap();
    let before = names(&place);
    fs::create_dir(place.join("vocab.txt")).unwrap();
    let mut blocked = text(Pooling::Mean);
    assert!(blocked.save(&place).unwrap_err().to_string().contains("vocab.txt"));
    fs::remove_dir(place.join("vocab.txt")).unwrap();
    assert_eq!(names(&place), before);
    Checkpoint::load(&place).unwrap();
}

#[test]
fn what_an_interrupted_save_left_is_cleared() {
    let folder = Folder::new("leftovers");
    fs::create_dir(folder.join(".saving")).unwrap();
    fs::write(folder.join(".saving/vocab.txt"), "half").unwrap();
    photos().save(&folder.0).unwrap();
    assert_eq!(names(&folder.0), ["config.json", "model.safetensors", "preprocessor_config.json"]);
}

#[test]
fn labels_are_one_per_class_and_differ() {
    let error = Checkpoint::new(resnet(4), &["a", "b"]).unwrap_err().to_string();
    assert_eq!(error, "2 labels for a model of 3 classes");
    assert!(Checkpoint::new(resnet(4), &["a", "b", "a"]).unwrap_err().to_string().contains("`a`"));
}
