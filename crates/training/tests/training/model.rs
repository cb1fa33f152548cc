//! Models in folders: what is saved is loaded bit for bit, and nothing else is.

use crate::common::{bert, bits, images, resnet, tokens};
use std::fs;
use std::path::{Path, PathBuf};
use ukulele_data::{Casing, Preprocess, Tokenizer};
use ukulele_layers::{Init, Module, Pass};
use ukulele_models::{
    BertConfig, GoogLeNet, GoogLeNetConfig, ImageConfig, ImageModel, Pooling, ResNetV2Config, StemPool, TextHead,
    TextModel, TextTask, Vgg, VggConfig,
};
use ukulele_training::{Model, Network, TextInput, check_writable, predict};
use weights_import::TextFamily;

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

fn tokenizer(pieces: usize) -> Tokenizer {
    let rest: String = (4..pieces).map(|i| format!("piece{i}\n")).collect();
    Tokenizer::from_vocab(&format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n{rest}"), Casing::Uncased).unwrap()
}

/// What a folder says of texts.
fn said(text: &Option<TextInput>) -> (String, usize) {
    let text = text.as_ref().unwrap();
    (text.tokenizer.to_json().to_string(), text.max_length)
}

fn text(pooling: Pooling) -> Model {
    let mut model = Model::new(bert(16, 0.1, pooling), &LABELS).unwrap();
    model.text = Some(TextInput { tokenizer: tokenizer(97), max_length: 64 });
    model.metrics.insert("accuracy".into(), 0.75.into());
    model
}

fn photos() -> Model {
    let mut model = Model::new(resnet(4), &LABELS).unwrap();
    model.preprocess = Some(Preprocess { mean: [0.1, 0.2, 0.3], ..Preprocess::imagenet_torchvision().with_side(32) });
    model
}

#[test]
fn a_bert_comes_back_bit_for_bit() {
    let folder = Folder::new("bert");
    for pooling in [Pooling::Mean, Pooling::Pooler, Pooling::Cls] {
        let mut saved = text(pooling);
        saved.save(folder.join("out")).unwrap();
        let expected = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
        assert_eq!(names(&folder.join("out")), expected);
        let mut loaded = Model::load(folder.join("out")).unwrap();
        assert!(bits(&mut saved.network) == bits(&mut loaded.network));
        assert_eq!((&loaded.labels, said(&loaded.text)), (&saved.labels, said(&saved.text)));
        assert_eq!((&loaded.metrics, &loaded.preprocess), (&saved.metrics, &None));
        let (Network::Text(a), Network::Text(b)) = (&saved.network, &loaded.network) else { panic!("no BERT") };
        assert_eq!(a.config(), b.config());
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
    let mut loaded = Model::load(&folder.0).unwrap();
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
        let mut saved = Model::new(network, &LABELS).unwrap();
        saved.save(&folder.0).unwrap();
        let mut loaded = Model::load(&folder.0).unwrap();
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
fn harmed(test: &str, mut model: Model, harm: impl FnOnce(&Path), words: &[&str]) {
    let folder = Folder::new(test);
    model.save(&folder.0).unwrap();
    harm(&folder.0);
    let error = Model::load(&folder.0).unwrap_err().to_string();
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
    for name in ["config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json"] {
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
    case("labels", "\"id2label\"", "\"names\"", &["neither `id2label` nor"]);
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
    other.text.as_mut().unwrap().tokenizer = tokenizer(96);
    for (name, words) in [
        ("model.safetensors", ["model.safetensors", "different saves"]),
        ("vocab.txt", ["vocab.txt", "saved with"]),
        ("tokenizer.json", ["tokenizer.json", "saved with"]),
        ("config.json", ["tokenizer.json", "saved with"]),
    ] {
        other.save(&new.0).unwrap();
        fs::copy(old.join(name), new.join(name)).unwrap();
        let error = Model::load(&new.0).unwrap_err().to_string();
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
    Model::load(&place).unwrap();
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
    let error = Model::new(resnet(4), &["a", "b"]).unwrap_err().to_string();
    assert_eq!(error, "2 labels for a model of 3 classes");
    assert!(Model::new(resnet(4), &["a", "b", "a"]).unwrap_err().to_string().contains("`a`"));
}

#[test]
fn a_model_of_before_tokenizer_json_is_read() {
    let folder = Folder::new("older");
    text(Pooling::Mean).save(&folder.0).unwrap();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let config: String = fs::read_to_string(folder.join("config.json")).unwrap();
    let lines: Vec<&str> = config.lines().filter(|line| !line.contains("\"tokenizer.json\"")).collect();
    assert_eq!(lines.len() + 1, config.lines().count());
    fs::write(folder.join("config.json"), lines.join("\n")).unwrap();
    let model = Model::load(&folder.0).unwrap();
    assert_eq!(said(&model.text).1, 64);
    assert_eq!(model.text.unwrap().tokenizer.vocab_text(), tokenizer(97).vocab_text());
}

/// Every family with every head, saved and read again.
#[test]
fn all_models_of_texts_come_back() {
    let base = |family| BertConfig {
        vocab_size: 40,
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 16,
        ..BertConfig::of_family(family)
    };
    let mut count = 0;
    for family in TextFamily::ALL {
        for class in [
            "Model",
            "ForSequenceClassification",
            "ForTokenClassification",
            "ForQuestionAnswering",
            "ForMultipleChoice",
            "ForMaskedLM",
            "ForPreTraining",
        ] {
            let task = TextTask::of_class(class).unwrap();
            let Ok(net) = TextModel::new(&base(family), task, 3, &mut Init::new(5)) else { continue };
            let folder = Folder::new(&format!("{}-{class}", family.prefix()));
            let labels: &[&str] = if net.classes().is_some() { &LABELS } else { &[] };
            let mut saved = Model::new(net, labels).unwrap();
            saved.text = Some(TextInput { tokenizer: tokenizer(40), max_length: 8 });
            saved.save(&folder.0).unwrap();
            let mut loaded = Model::from_pretrained(&folder.0).unwrap();
            assert!(bits(&mut saved.network) == bits(&mut loaded.network), "{family:?} {class}");
            let Network::Text(net) = &loaded.network else { panic!("no model of text") };
            assert_eq!((net.task(), &loaded.labels[..]), (task, &saved.labels[..]));
            let tokens = loaded.tokens(&["piece7", "piece9 piece10 and more than eight tokens long"]).unwrap();
            assert_eq!((tokens.batch, tokens.length), (2, 8));
            net.hidden(&tokens, &mut Pass::eval()).unwrap();
            count += 1;
        }
    }
    assert!(count > 25, "{count}");
}

/// A pooler that was trained is there for the next head, though the head of now does not look at it.
#[test]
fn a_trained_pooler_outlives_other_heads() {
    let folder = Folder::new("pooler");
    let mut trained = bert(16, 0.0, Pooling::Pooler);
    let mut state = trained.state();
    state.retain(|(name, _)| !name.starts_with("classifier."));
    let words = TextModel::new(trained.config(), TextTask::MaskedLM, 0, &mut Init::new(3)).unwrap();
    state.extend(words.clone().state().into_iter().filter(|(name, _)| name.starts_with("cls.")));
    let tensors: Vec<_> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    weights_import::save_safetensors(folder.join("model.safetensors"), &tensors, &[], weights_import::Dtype::F32)
        .unwrap();
    fs::write(folder.join("config.json"), serde_json::Value::from(words.to_json(&[])).to_string()).unwrap();

    let mut model = Model::from_pretrained(&folder.0).unwrap();
    assert_eq!(model.text_model().unwrap().task(), TextTask::MaskedLM);
    model.network.each("", &mut |name, param| assert_eq!(param.frozen, name.contains("pooler"), "{name}"));
    // It is saved and read again, too.
    model.save(folder.join("again")).unwrap();
    let mut model = Model::from_pretrained(folder.join("again")).unwrap();
    model.replace_head(&["a", "b"], &mut Init::new(0)).unwrap();
    model.network.each("", &mut |name, param| assert!(!param.frozen, "{name}"));
    let pooler = |network: &mut Network| -> Vec<_> {
        bits(network).into_iter().filter(|(name, _)| name.starts_with("bert.pooler.")).collect()
    };
    let (ours, theirs) = (pooler(&mut model.network), pooler(&mut trained.into()));
    assert!(ours.len() == 2 && ours == theirs);
    let TextHead::SequenceClassification(head) = &model.text_model().unwrap().head else { panic!("a classifier") };
    assert_eq!(head.pooling, Pooling::Pooler);
}

/// Where no pooler was trained, the mean of the tokens is taken.
#[test]
fn a_model_without_pooler_pools_by_mean() {
    let words =
        TextModel::new(bert(16, 0.0, Pooling::Mean).config(), TextTask::MaskedLM, 0, &mut Init::new(3)).unwrap();
    let mut model = Model::new(words, &[""; 0]).unwrap();
    model.replace_head(&["a", "b"], &mut Init::new(0)).unwrap();
    let TextHead::SequenceClassification(head) = &model.text_model().unwrap().head else { panic!("a classifier") };
    assert_eq!((head.pooling, model.text_model().unwrap().has_pooler()), (Pooling::Mean, false));
    let folder = Folder::new("mean");
    model.save(&folder.0).unwrap();
    // The folder or its weights: the same model.
    for path in [folder.0.clone(), folder.join("model.safetensors")] {
        let mut again = Model::from_pretrained(path).unwrap();
        assert!(again.labels == ["a", "b"] && bits(&mut again.network) == bits(&mut model.network));
    }
}

#[test]
fn models_without_names_of_classes_come_back() {
    let folder = Folder::new("nameless");
    let mut model = Model::new(resnet(4), &LABELS).unwrap();
    model.labels.clear();
    model.save(&folder.0).unwrap();
    let again = Model::load(&folder.0).unwrap();
    assert_eq!((again.network.classes(), again.labels.len()), (3, 0));
    let mut net =
        TextModel::new(bert(16, 0.0, Pooling::Mean).config(), TextTask::Features, 0, &mut Init::new(3)).unwrap();
    for pooler in [true, false] {
        net.keep_pooler(pooler);
        Model::new(net.clone(), &[""; 0]).unwrap().save(&folder.0).unwrap();
        let config = fs::read_to_string(folder.join("config.json")).unwrap();
        assert!(!config.contains("num_labels") && !config.contains("id2label"), "{config}");
        assert_eq!(Model::load(&folder.0).unwrap().text_model().unwrap().has_pooler(), pooler);
    }
}

/// Far more memory than there is: refused before any is taken.
#[test]
fn a_number_of_classes_that_the_file_has_not_is_an_error() {
    let mut model = Model::new(resnet(4), &LABELS).unwrap();
    model.labels.clear();
    let edited = |f: &Path| edit(f, "\"num_labels\": 3", "\"num_labels\": 60000");
    harmed("classes", model, edited, &["describes another model"]);
}

/// A file of weights as others distribute it: the folder tells labels, tokens and preprocessing.
#[test]
fn foreign_folders_are_models_too() {
    let folder = Folder::new("foreign-text");
    let mut net = bert(16, 0.0, Pooling::Pooler);
    let state = net.state();
    let tensors: Vec<_> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    weights_import::save_safetensors(folder.join("model.safetensors"), &tensors, &[], weights_import::Dtype::F32)
        .unwrap();
    let labels = LABELS.map(str::to_owned);
    fs::write(folder.join("config.json"), serde_json::Value::from(net.to_json(&labels)).to_string()).unwrap();
    let bare = Model::from_pretrained(&folder.0).unwrap();
    fs::write(folder.join("vocab.json"), "{}").unwrap();
    assert!(Model::from_pretrained(&folder.0).unwrap().text.is_none());
    fs::remove_file(folder.join("vocab.json")).unwrap();
    assert!(bare.text.is_none() && bare.tokens(&["a"]).unwrap_err().to_string().contains("tokenizer"));
    fs::write(folder.join("vocab.txt"), tokenizer(97).vocab_text().unwrap()).unwrap();
    let mut model = Model::from_pretrained(&folder.0).unwrap();
    assert_eq!((&model.labels[..], said(&model.text).1), (&labels[..], 64));
    assert!(bits(&mut model.network) == bits(&mut net));
    assert!(model.images(&[]).unwrap_err().to_string().contains("photos"));
    fs::write(folder.join("vocab.txt"), tokenizer(98).vocab_text().unwrap()).unwrap();
    assert!(Model::from_pretrained(&folder.0).unwrap_err().to_string().contains("98 tokens"));
    assert!(model.replace_head(&["a", "a"], &mut Init::new(0)).unwrap_err().to_string().contains("`a`"));
    model.replace_head(&["a", "b"], &mut Init::new(0)).unwrap();
    assert_eq!((model.network.classes(), model.labels.len()), (2, 2));

    let folder = Folder::new("foreign-image");
    let mut net = resnet(4);
    let state = net.state();
    let tensors: Vec<_> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    weights_import::save_safetensors(folder.join("model.safetensors"), &tensors, &[], weights_import::Dtype::F32)
        .unwrap();
    fs::write(
        folder.join("config.json"),
        r#"{"label_names": ["a", "b", "c"], "pretrained_cfg": {"input_size": [3, 96, 96]}}"#,
    )
    .unwrap();
    let model = Model::from_pretrained(folder.join("model.safetensors")).unwrap();
    assert_eq!(model.labels, ["a", "b", "c"]);
    let photo = ukulele_data::Image::new(120, 100, vec![7; 120 * 100 * 3]).unwrap();
    assert_eq!(model.images(&[photo]).unwrap().shape(), [1, 3, 96, 96]);
    // The names of another model's classes are none of ours.
    fs::write(folder.join("config.json"), r#"{"label_names": ["a", "b", "c", "d"]}"#).unwrap();
    assert!(Model::from_pretrained(&folder.0).unwrap().labels.is_empty());
    fs::write(folder.join("config.json"), "{").unwrap();
    assert!(Model::from_pretrained(&folder.0).unwrap_err().to_string().contains("config.json"));
}
