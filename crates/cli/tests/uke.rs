//! The binary from outside: what it says, its exit codes, and what it leaves behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/bert-tiny");

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("uke-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), bytes).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Forty opinions of two kinds.
    fn table(&self, name: &str) -> String {
        let line = |i: usize| match i % 2 {
            0 => format!("what a lovely day number {i},good\n"),
            _ => format!("a terrible and sad day number {i},bad\n"),
        };
        self.file(name, format!("text,label\n{}", (0..40).map(line).collect::<String>()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn uke(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uke")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command says as JSON.
fn json(args: &[&str]) -> serde_json::Value {
    let output = uke(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The command fails with this code and one line that contains all of `says`.
#[track_caller]
fn fails(args: &[&str], code: i32, says: &[&str]) {
    let output = uke(args);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    let last = errors.lines().filter(|l| l.starts_with("error: ")).collect::<Vec<_>>();
    assert_eq!(last.len(), 1, "{errors}");
    for word in says {
        assert!(last[0].contains(word), "`{word}` is not in: {}", last[0]);
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

/// `finetune text` with these weights and data; nothing may be left.
#[track_caller]
fn finetune_fails(folder: &Folder, weights: &str, train: &str, more: &[&str], says: &[&str]) {
    let out = folder.path("out");
    let mut args = vec!["finetune", "text", "--weights", weights, "--train", train, "--out", &out, "-q"];
    args.extend_from_slice(more);
    fails(&args, 1, says);
    assert!(!Path::new(&out).exists(), "something was left in {out}");
}

#[test]
fn help_has_examples() {
    let all: [&[&str]; 13] = [
        &["demo"],
        &["finetune"],
        &["finetune", "text"],
        &["finetune", "image"],
        &["predict"],
        &["evaluate"],
        &["inspect"],
        &["convert"],
        &["pull"],
        &["bench"],
        &["models"],
        &["forward"],
        &["verify"],
    ];
    for command in all {
        let output = uke(&[command, &["--help"]].concat());
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("Example:\n  uke "), "{command:?}: {}", text(&output.stdout));
    }
    assert!(text(&uke(&["--help"]).stdout).contains("130"));
}

#[test]
fn wrong_usage_is_2() {
    for args in
        [&["fly"][..], &["finetune", "text"], &["demo", "--seeds", "0"], &["predict"], &["demo", "--threads", "0"]]
    {
        assert_eq!(uke(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn broken_weights_are_named() {
    let folder = Folder::new("weights");
    let table = folder.table("train.csv");
    let whole = fs::read(Path::new(TINY).join("model.safetensors")).unwrap();
    let cut = folder.file("cut.safetensors", &whole[..whole.len() / 2]);
    finetune_fails(&folder, &cut, &table, &[], &["cut.safetensors", "broken safetensors"]);
    let noise = folder.file("noise.bin", [7u8; 4096]);
    finetune_fails(&folder, &noise, &table, &[], &["noise.bin"]);
    finetune_fails(&folder, &folder.path("absent"), &table, &[], &["absent"]);
}

#[test]
fn weights_of_another_architecture_are_refused() {
    let folder = Folder::new("architecture");
    for class in ["a", "b"] {
        fs::create_dir_all(folder.0.join("photos").join(class)).unwrap();
        fs::write(folder.0.join("photos").join(class).join("1.png"), png()).unwrap();
    }
    let out = folder.path("out");
    let args = ["finetune", "image", "--weights", TINY, "--data", &folder.path("photos"), "--out", &out];
    fails(&args, 1, &["look like a BERT", "`finetune text`"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn bad_tables_are_named() {
    let folder = Folder::new("tables");
    let good = folder.table("good.csv");
    finetune_fails(&folder, TINY, &good, &["--label-column", "mood"], &["mood", "text", "label"]);
    finetune_fails(&folder, TINY, &folder.file("empty.csv", ""), &[], &["empty.csv"]);
    finetune_fails(&folder, TINY, &folder.file("head.csv", "text,label\n"), &[], &["head.csv", "no rows"]);
    let one = folder.file("one.csv", "text,label\na,x\nb,x\nc,x\n");
    finetune_fails(&folder, TINY, &one, &[], &["one.csv", "one class only", "`x`"]);
    let latin = folder.file("latin.csv", b"text,label\ncaf\xe9,x\ntea,y\n");
    finetune_fails(&folder, TINY, &latin, &[], &["latin.csv", "line 2", "not UTF-8"]);
    let unseen = folder.file("unseen.csv", "text,label\nfine,good\nso so,neutral\n");
    finetune_fails(&folder, TINY, &good, &["--val", &unseen], &["unseen.csv", "line 3", "neutral"]);
}

#[test]
fn an_unwritable_output_is_found_before_training() {
    let folder = Folder::new("unwritable");
    let table = folder.table("train.csv");
    let file = folder.file("a-file", "");
    let args = ["finetune", "text", "--weights", TINY, "--train", &table, "--out", &file, "-q"];
    fails(&args, 1, &["a-file"]);
    let json = folder.path("no/such/folder.json");
    finetune_fails(&folder, TINY, &table, &["--json", &json], &["folder.json"]);
}

/// A folder that not even the administrator may write into.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_found_before_training() {
    let folder = Folder::new("proc");
    let table = folder.table("train.csv");
    let args = ["finetune", "text", "--weights", TINY, "--train", &table, "--out", "/proc/uke-out"];
    let output = uke(&args);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("error: ") && errors.contains("/proc") && !errors.contains("epoch"), "{errors}");
    fails(&["demo", "--out", "/proc/uke-out", "-q"], 1, &["/proc"]);
}

/// The disk takes a megabyte and no more: the shell limits the size of files, and the signal is ignored, so that the
/// write is what fails.
#[cfg(unix)]
#[test]
fn a_save_cut_short_leaves_the_old_model() {
    let folder = Folder::new("limited");
    let table = folder.table("train.csv");
    let out = folder.path("out");
    let args = ["finetune", "text", "--weights", TINY, "--train", &table, "--epochs", "1", "--out", &out, "-q"];
    let limited = |args: &[&str]| {
        let line = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"";
        Command::new("sh").args(["-c", line, env!("CARGO_BIN_EXE_uke")]).args(args).output().unwrap()
    };
    let failed = limited(&args);
    let errors = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{errors}");
    assert!(errors.contains("model.safetensors") && errors.contains("nothing was changed"), "{errors}");
    assert!(!Path::new(&out).exists(), "something was left in {out}");

    assert!(uke(&args).status.success());
    let files = || {
        let mut all: Vec<_> = fs::read_dir(&out).unwrap().map(|item| item.unwrap().path()).collect();
        all.sort();
        all.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = files();
    assert_eq!(limited(&[&args[..], &["--seed", "9"]].concat()).status.code(), Some(1));
    assert!(before == files(), "the model that was there has changed");
}

#[test]
fn a_model_is_trained_predicts_and_is_evaluated() {
    let folder = Folder::new("whole");
    let table = folder.table("train.csv");
    let (out, json) = (folder.path("out"), folder.path("result.json"));
    let output = uke(&[
        "finetune",
        "text",
        "--weights",
        TINY,
        "--train",
        &table,
        "--val-share",
        "0.25",
        "--epochs",
        "6",
        "--out",
        &out,
        "--json",
        &json,
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("loaded") && said.contains("epoch 1/6") && said.contains("pooling by mean"), "{said}");
    let result: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert!(result["validation"]["accuracy"].as_f64().unwrap() >= 0.9, "{result}");
    assert_eq!(result["precision"], "f32");

    let rounded = folder.path("rounded");
    let learn = ["finetune", "text", "--weights", TINY, "--train", &table, "--val-share", "0.25", "--epochs", "6"];
    let output = uke(&[&learn[..], &["--out", &rounded, "--json", &json, "--precision", "bf16"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("of learning in bf16"), "{}", text(&output.stdout));
    let other: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert!(other["precision"] == "bf16" && other["epochs"][0]["loss"] != result["epochs"][0]["loss"], "{other}");
    assert!(other["validation"]["accuracy"].as_f64().unwrap() >= 0.9, "{other}");
    fails(&[&learn[..], &["--out", &rounded, "--precision", "int8"]].concat(), 2, &["--precision", "int8"]);
    let again = folder.path("again");
    let output = uke(&[&learn[..], &["--out", &again, "--gradient-checkpointing"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let weights = |folder: &str| fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    assert!(weights(&again) == weights(&out), "what is computed again has other bits");

    let lines = folder.file("lines.txt", "a lovely day\n\na terrible day\n");
    let output = uke(&["predict", &out, &lines, "what a lovely day", "--json", &json]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let labels: Vec<String> =
        text(&output.stdout).lines().map(|l| l.split_whitespace().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(labels, ["good", "bad", "good"]);
    let result: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert!(result[1]["probabilities"]["bad"].as_f64().unwrap() > 0.5);

    let output = uke(&["evaluate", &out, &table]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("of 40 right"), "{}", text(&output.stdout));
    for precision in ["bf16", "int8"] {
        let output = uke(&["evaluate", &out, &table, "--precision", precision, "--json", &json]);
        assert!(text(&output.stdout).contains(&format!("in {precision}: accuracy")), "{}", text(&output.stdout));
        let result: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        assert_eq!(result["precision"], precision);
        assert!(result["accuracy"].as_f64().unwrap() >= 0.9, "{result}");
        assert!(uke(&["predict", &out, "a lovely day", "--precision", precision]).status.success());
    }
    let other = folder.file("other.csv", "text,label\nx,good\ny,ugly\n");
    fails(&["evaluate", &out, &other], 1, &["other.csv", "ugly"]);
    let report = folder.path("out/report.txt");
    assert!(!Path::new(&report).exists());
}

#[test]
fn a_frozen_trunk_trains_a_head_alone() {
    let folder = Folder::new("trunk");
    let table = folder.table("train.csv");
    let out = folder.path("out");
    let args = [
        "finetune",
        "text",
        "--weights",
        TINY,
        "--train",
        &table,
        "--freeze",
        "trunk",
        "--out",
        &out,
        "--epochs",
        "30",
    ];
    let output = uke(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("258 parameters learn"), "{}", text(&output.stderr));
    let output = uke(&["finetune", "text", "--weights", TINY, "--train", &table, "--freeze", "9", "--out", &out]);
    assert_eq!(output.status.code(), Some(2));
}

/// The files of a folder, by name.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn features_are_kept_for_the_next_training() {
    let folder = Folder::new("features");
    let table = folder.table("train.csv");
    let (out, cache) = (folder.path("out"), folder.path("features"));
    let args = ["finetune", "text", "--weights", TINY, "--train", &table, "--out", &out, "--epochs", "3"];
    let args = [&args[..], &["--feature-cache", &cache]].concat();
    fails(&args, 2, &["--feature-cache", "--freeze trunk"]);
    assert!(!Path::new(&cache).exists() && !Path::new(&out).exists());
    let args = [&args[..], &["--freeze", "trunk"]].concat();
    let train = || {
        let output = uke(&args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stderr), fs::read(Path::new(&out).join("model.safetensors")).unwrap())
    };
    let (said, first) = train();
    assert!(!said.contains("earlier training") && !said.contains("warning"), "{said}");
    let kept = files(&cache);
    assert_eq!(kept.len(), 2, "of the texts to learn from, and to validate");
    let (said, again) = train();
    assert!(said.contains("34 features are there from an earlier training") && again == first, "{said}");
    // A damaged file is made anew.
    let mut bytes = fs::read(&kept[0]).unwrap();
    let whole = bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&kept[0], bytes).unwrap();
    let (said, again) = train();
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(matches!(warnings[..], [line] if line.contains("computed anew")), "{said}");
    assert!(again == first && fs::read(&kept[0]).unwrap() == whole && files(&cache) == kept);
    // Other data have files of their own.
    fs::write(&table, fs::read_to_string(&table).unwrap().replace("lovely", "splendid")).unwrap();
    train();
    assert_eq!(files(&cache).len(), 4);
    let nowhere = folder.file("file", "");
    fails(
        &[&args[..args.len() - 4], &["--feature-cache", &nowhere, "--freeze", "trunk"]].concat(),
        1,
        &["create the folder", "file"],
    );
}

#[test]
fn frozen_layers_of_texts_are_run_once() {
    let folder = Folder::new("boundary");
    let table = folder.table("train.csv");
    let cache = folder.path("features");
    let args = ["finetune", "text", "--weights", TINY, "--train", &table, "--epochs", "2"];
    let train = |out: &str, more: &[&str]| {
        let out = folder.path(out);
        let output = uke(&[&args[..], &["--out", &out], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stderr), fs::read(Path::new(&out).join("model.safetensors")).unwrap())
    };
    let kept = ["--feature-cache", &cache];
    fails(&[&args[..], &kept, &["--freeze", "0"]].concat(), 2, &["--feature-cache", "--freeze N"]);
    let (_, plain) = train("plain", &["--freeze", "2"]);
    let (said, first) = train("first", &[&kept[..], &["--freeze", "2"]].concat());
    assert!(!said.contains("earlier training") && files(&cache).len() == 2, "{said}");
    let (said, again) = train("again", &[&kept[..], &["--freeze", "2"]].concat());
    assert!(said.contains("34 features are there from an earlier training") && again == first, "{said}");
    assert_eq!(plain.len(), first.len());
    // Another boundary has files of its own, whatever the batches.
    train("lower", &[&kept[..], &["--freeze", "1", "--batch", "4"]].concat());
    assert_eq!(files(&cache).len(), 4);
    let (said, _) = train("lower", &[&kept[..], &["--freeze", "1", "--batch", "8"]].concat());
    assert!(said.contains("34 features are there") && files(&cache).len() == 4, "{said}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_training_leaves_a_model() {
    use std::io::{BufRead, BufReader};
    let folder = Folder::new("interrupt");
    let table = folder.table("train.csv");
    let out = folder.path("out");
    let mut child = Command::new(env!("CARGO_BIN_EXE_uke"))
        .args([
            "finetune",
            "text",
            "--weights",
            TINY,
            "--train",
            &table,
            "--epochs",
            "100000",
            "--patience",
            "100000",
            "--out",
            &out,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("epoch 1/")), "the training ended early");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.iter().any(|l| l.starts_with("interrupted: saved")), "{rest:?}");
    assert!(uke(&["predict", &out, "a lovely day"]).status.success());
}

#[test]
fn weights_are_inspected_and_converted() {
    let folder = Folder::new("inspect");
    let original = json(&["inspect", TINY, "--json"]);
    assert_eq!(original["format"], "safetensors");
    assert_eq!(
        (original["dialect"].as_str(), original["architecture"].as_str()),
        (Some("huggingface_bert"), Some("BERT"))
    );
    let hashes = |found: &serde_json::Value| -> Vec<(String, String)> {
        let tensors = found["tensors"].as_array().unwrap();
        let of = |t: &serde_json::Value, key: &str| t[key].as_str().unwrap().to_owned();
        tensors.iter().map(|t| (of(t, "name"), of(t, "sha256"))).collect()
    };
    let mut sorted = hashes(&original);
    sorted.sort();
    // Through the other formats and back, every byte is the same.
    let (mut from, mut formats) = (TINY.to_owned(), Vec::new());
    for name in ["a.pth", "b.npz", "c.safetensors"] {
        let to = folder.path(name);
        let output = uke(&["convert", &from, &to, "-q"]);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
        let found = json(&["inspect", &to, "--json"]);
        formats.push(found["format"].as_str().unwrap().to_owned());
        let mut same = hashes(&found);
        same.sort();
        assert_eq!(same, sorted, "{name}");
        from = to;
    }
    assert_eq!(formats, ["pytorch", "npz", "safetensors"]);

    let wide = folder.path("wide.safetensors");
    assert!(uke(&["convert", TINY, &wide, "--dtype", "f32", "--dialect", "huggingface_bert"]).status.success());
    let found = json(&["inspect", &wide, "--json"]);
    assert!(found["tensors"].as_array().unwrap().iter().all(|t| t["dtype"] == "F32"));
    assert_eq!(found["parameters"], original["parameters"]);
    let said = text(&uke(&["inspect", &wide]).stdout);
    assert!(said.contains("a BERT (2 layers, hidden 128") && said.contains("word_embeddings.weight"), "{said}");

    fails(&["convert", TINY, &folder.path("x.h5")], 2, &["x.h5", "--to"]);
    fails(&["convert", TINY, &wide, "--dialect", "torchvision"], 1, &["huggingface_bert", "torchvision"]);
    fails(&["convert", TINY, &wide, "--dialect", "keras"], 2, &["huggingface_bert"]);
    let before = fs::read(&wide).unwrap();
    let huge = folder.path("huge.safetensors");
    let header = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"z":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}}"#;
    let values: Vec<u8> = [f32::NAN, 1e30, 0.0, 0.0, 0.0, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(&huge, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &values].concat()).unwrap();
    fails(&["convert", &huge, &wide, "--dtype", "f16"], 1, &["x", "too large for F16"]);
    assert!(fs::read(&wide).unwrap() == before, "the file that was there has changed");
    let said = json(&["inspect", &huge, "--json"]);
    let kinds: Vec<&str> = said["findings"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["nan", "zero"]);
}

/// RoBERTa, ELECTRA, DistilBERT and ALBERT, with a tokenizer that is no WordPiece.
#[test]
fn relatives_of_bert_are_learned() {
    use ukulele_data::Tokenizer;
    use ukulele_layers::Init;
    use ukulele_models::{BertConfig, TextModel, TextTask};
    use ukulele_training::{Model, TextInput};
    let pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁so", "▁good", "▁bad", "▁", "g", "b"];
    let pieces: Vec<_> = pieces.iter().enumerate().map(|(i, piece)| serde_json::json!([piece, -(i as f64)])).collect();
    let json = serde_json::json!({
        "added_tokens": (0..4).map(|i| serde_json::json!({ "id": i, "content": pieces[i][0], "special": true })).collect::<Vec<_>>(),
        "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always" },
        "post_processor": { "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0] },
        "model": { "type": "Unigram", "unk_id": 3, "vocab": pieces },
    });
    let tokenizer = Tokenizer::from_tokenizer_json(&json.to_string(), "tokenizer.json").unwrap();
    let table: String = (0..20).map(|i| format!("so {0},{0}\n", if i % 2 == 0 { "good" } else { "bad" })).collect();
    for family in weights_import::TextFamily::ALL {
        let folder = Folder::new(&format!("relative-{}", family.prefix()));
        let config = BertConfig {
            vocab_size: 10,
            hidden_size: 32,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 64,
            max_position_embeddings: 20,
            ..BertConfig::of_family(family)
        };
        let net = TextModel::new(&config, TextTask::MaskedLM, 0, &mut Init::new(1)).unwrap();
        let mut model = Model::new(net, &[""; 0]).unwrap();
        model.text = Some(TextInput { tokenizer: tokenizer.clone(), max_length: 16 });
        model.save(folder.path("weights")).unwrap();
        let table = folder.file("table.csv", format!("text,label\n{table}"));
        let (weights, out) = (folder.path("weights"), folder.path("out"));
        let args = ["finetune", "text", "--weights", &weights, "--train", &table, "--out", &out, "--max-length", "5"];
        let output = uke(&[&args[..], &["--rate", "0.01", "--epochs", "12", "--patience", "12"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let long = format!("so good{}", " good".repeat(9));
        let output = uke(&["predict", &out, "so good", "so bad", &long]);
        let said = text(&output.stdout);
        let first: Vec<&str> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(first, ["good", "bad", "good"], "{family:?}: {said}");
        assert!(text(&output.stderr).contains("1 of 3 texts are longer than 5 tokens"), "{}", text(&output.stderr));
        let config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(Path::new(&out).join("config.json")).unwrap()).unwrap();
        assert_eq!(config["model_type"], family.prefix());
    }
}

#[test]
fn what_is_no_model_is_said() {
    let folder = Folder::new("nothing");
    fails(&["predict", &folder.path("absent"), "x"], 1, &["absent"]);
    fails(&["evaluate", &folder.path(""), "x.csv"], 1, &["config.json"]);
}

#[test]
fn photos_are_learned_and_broken_ones_are_named() {
    use ukulele_layers::Init;
    use ukulele_models::{ResNet, ResNetConfig};
    let folder = Folder::new("photos");
    let config = ResNetConfig { width: 4, stem: 4, ..ResNetConfig::depth(18, 2).unwrap() };
    let net = ResNet::new(&config, &mut Init::new(0));
    ukulele_training::Model::new(net, &["x", "y"]).unwrap().save(folder.path("weights")).unwrap();
    let photos = folder.path("photos");
    for class in ["cat", "dog", "owl"] {
        fs::create_dir_all(Path::new(&photos).join(class)).unwrap();
        for i in 0..6 {
            fs::write(Path::new(&photos).join(class).join(format!("{i}.png")), png()).unwrap();
        }
    }
    let (weights, out) = (folder.path("weights/model.safetensors"), folder.path("out"));
    let mut args = vec!["finetune", "image", "--weights", &weights, "--data", &photos];
    args.extend(["--epochs", "1", "--size", "32", "--augment", "flip,flip-vertical"]);
    let images = args.clone();
    args.extend(["--out", &out]);
    let broken = Path::new(&photos).join("dog/broken.jpg");
    fs::write(&broken, b"no picture").unwrap();
    fails(&args, 1, &["dog/broken.jpg", "--skip-broken"]);
    assert!(!Path::new(&out).exists());
    fails(&[&args[..], &["--skip-broken", "--model", "resnet50"]].concat(), 1, &["ResNet-18", "resnet50"]);
    let output = uke(&[&args[..], &["--skip-broken"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("left out: ") && text(&output.stderr).contains("broken.jpg"));

    let cache = folder.path("features");
    let kept = [&images[..], &["--skip-broken", "--freeze", "trunk", "--feature-cache", &cache]].concat();
    for (i, folder) in ["one", "two"].map(|name| folder.path(name)).iter().enumerate() {
        let output = uke(&[&kept[..], &["--out", folder]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr).contains("15 features are there"), i == 1, "{}", text(&output.stderr));
        assert_eq!(files(&cache).len(), 2);
    }
    let weights = |name| fs::read(Path::new(&folder.path(name)).join("model.safetensors")).unwrap();
    assert!(weights("one") == weights("two"));

    // Of layers that are frozen in part the boundary is kept as well, if photos do not change.
    let cache = folder.path("boundary");
    let partly = ["--skip-broken", "--freeze", "3", "--feature-cache", &cache, "--augment", "none"];
    let still = [&images[..images.len() - 2], &partly[..]].concat();
    for (i, folder) in ["three", "four"].map(|name| folder.path(name)).iter().enumerate() {
        let output = uke(&[&still[..], &["--out", folder]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert_eq!(said.matches("15 features are there").count(), 2 * i, "{said}");
        assert_eq!(files(&cache).len(), 4);
    }
    assert!(weights("three") == weights("four"));
    let cache = folder.path("head");
    let moving = [&images[..], &["--skip-broken", "--freeze", "3", "--feature-cache", &cache, "--out", &out]].concat();
    assert!(uke(&moving).status.success());
    assert_eq!(files(&cache).len(), 2, "what the new head wants");

    fails(&["predict", &out, &broken.display().to_string()], 1, &["broken.jpg"]);
    let output = uke(&["predict", &out, &Path::new(&photos).join("cat").display().to_string()]);
    assert_eq!(text(&output.stdout).lines().count(), 6, "{}", text(&output.stderr));
    let output = uke(&["evaluate", &out, &photos, "--skip-broken"]);
    assert!(text(&output.stdout).contains("of 18 right"), "{}", text(&output.stderr));
}

/// A grey picture of 1 x 1.
fn png() -> &'static [u8] {
    const PNG: [u8; 67] = [
        0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1,
        8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x60, 0, 0, 0,
        2, 0, 1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
    ];
    &PNG
}

#[test]
fn known_weights_are_listed_and_pulled() {
    let folder = Folder::new("pull");
    let cache = folder.path("cache");
    let output = uke(&["pull", "--list", "--json", "--cache", &cache]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = list.as_array().unwrap();
    assert!(list.len() > 50, "{}", list.len());
    let vgg = list.iter().find(|model| model["name"] == "vgg16").unwrap();
    assert_eq!(
        (&vgg["cached"], &vgg["files"][0]["check"]),
        (&serde_json::Value::from(false), &serde_json::Value::from("sha256 397923af.."))
    );
    assert!(text(&uke(&["pull", "--list", "--cache", &cache]).stdout).contains("bert-base-uncased"));

    fails(&["pull", "resnet51", "--cache", &cache], 1, &["no weights named resnet51", "resnet50"]);
    let offline = ["pull", "vgg16", "--offline", "--cache", &cache];
    fails(&offline, 1, &["vgg16-397923af.pth", "--from", "download.pytorch.org"]);
    let wrong = folder.file("vgg16-397923af.pth", "no weights");
    fails(&["pull", "vgg16", "--from", &wrong, "--cache", &cache], 1, &["397923af was expected"]);
    assert_eq!(uke(&["pull"]).status.code(), Some(2));

    // Nothing is published of google's archive: what is given is taken, and then is in the cache.
    let zip = folder.path("uncased_L-12_H-768_A-12.zip");
    let zipped = uke(&["convert", TINY, &zip, "--to", "npz", "-q"]);
    assert!(zipped.status.success(), "{}", text(&zipped.stderr));
    let name = "google/uncased_L-12_H-768_A-12";
    let taken = uke(&["pull", name, "--from", &zip, "--cache", &cache]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let again = uke(&["pull", name, "--offline", "--json", "--cache", &cache]);
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(
        (&again["cached"], again["path"].as_str()),
        (&serde_json::Value::from(true), Some(text(&taken.stdout).trim()))
    );
}

/// The encoder of BERT-tiny on raw ids, against itself and against numbers that are wrong in one layer.
#[test]
fn raw_tensors_go_forward_and_are_verified() {
    let folder = Folder::new("forward");
    let npy = |name: &str, descr: &str, shape: &str, values: &[u8]| {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let head = format!("{text:<0$}\n", 117);
        let bytes = [b"\x93NUMPY\x01\0", &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), values].concat();
        folder.file(name, bytes)
    };
    let ids: Vec<u8> =
        [101_i64, 2023, 2003, 102, 101, 7592, 2088, 102].iter().flat_map(|id| id.to_le_bytes()).collect();
    let input = npy("ids.npy", "<i8", "(2, 4)", &ids);
    let (output, tap) = (folder.path("hidden.npy"), folder.path("layer.npy"));
    let forward = |output: &str, more: &[&str]| {
        uke(&[&["forward", "--weights", TINY, "--input", &input, "--output", output], more].concat())
    };
    let said = forward(&output, &[]);
    assert!(said.status.success() && text(&said.stdout).contains("[2, 4, 128]"), "{}", text(&said.stderr));
    assert!(forward(&tap, &["--tap", "encoder.layer.1", "-q"]).status.success());
    assert_eq!(fs::read(&output).unwrap(), fs::read(&tap).unwrap(), "the last layer's output is the encoder's");
    let wrong = forward(&tap, &["--tap", "encoder.layer.2"]);
    assert!(
        text(&wrong.stderr).contains("no module `encoder.layer.2`; near are encoder.layer.0, encoder.layer.1"),
        "{}",
        text(&wrong.stderr)
    );

    let verify = |expect: &str| uke(&["verify", "--weights", TINY, "--input", &input, "--expect", expect]);
    let said = verify(&output);
    assert!(said.status.success() && text(&said.stdout).contains("1 of 1 agree"), "{}", text(&said.stderr));
    // The activations of both layers, the second one's doubled.
    let mut arrays = Vec::new();
    for (name, scale) in [("encoder.layer.0", 1.0), ("encoder.layer.1", 2.0)] {
        assert!(forward(&tap, &["--tap", name, "-q"]).status.success());
        let y = weights_import::open(&tap).unwrap();
        let y = y.get(&y.entries()[0].name).unwrap();
        let values = y.to_vec().into_iter().map(|v| v * scale).collect();
        arrays.push((name.to_owned(), ukulele_layers::Tensor::from_vec(y.shape(), values).unwrap()));
    }
    let mut given = arrays.iter().map(|(name, y)| (name.clone(), y)).collect::<Vec<_>>();
    // Hooks see modules that are no layers here.
    given.push(("encoder.layer.0.intermediate.intermediate_act_fn".to_owned(), given[0].1));
    let expect = folder.path("activations.npz");
    weights_import::save_npz(&expect, &given, weights_import::Dtype::F32).unwrap();
    let json = folder.path("rows.json");
    let said = uke(&["verify", "--weights", TINY, "--input", &input, "--expect", &expect, "--json", &json]);
    assert_eq!(said.status.code(), Some(1));
    let errors = text(&said.stderr);
    assert!(errors.contains("`encoder.layer.1` is the first to part") && errors.contains("1 of 2 agree"), "{errors}");
    assert!(errors.contains("not compared: 1 array"), "{errors}");
    let rows: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!((&rows["first"], &rows["agrees"]), (&"encoder.layer.1".into(), &false.into()));
    let stranger = vec![("encoder.layer.7".to_owned(), given[0].1)];
    weights_import::save_npz(&expect, &stranger, weights_import::Dtype::F32).unwrap();
    fails(&["verify", "--weights", TINY, "--input", &input, "--expect", &expect], 1, &["encoder.layer.7", "near are"]);
    fails(
        &["forward", "--weights", TINY, "--input", &expect, "--output", &output, "--model", "resnet18"],
        1,
        &["look like a BERT", "--model resnet18"],
    );
    fails(
        &["forward", "--weights", TINY, "--input", &input, "--output", &output, "--model", "resnet81"],
        2,
        &["resnet81"],
    );
}

#[test]
fn the_zoo_is_listed() {
    let said = uke(&["models"]);
    let lines = text(&said.stdout);
    assert!(lines.contains("resnet50               25,557,032       8.18  224 x 224"), "{lines}");
    let json: serde_json::Value = serde_json::from_slice(&uke(&["models", "--json"]).stdout).unwrap();
    assert!(json.as_array().unwrap().len() > 30 && json[0]["parameters"] == 11_689_512);
}

#[test]
fn layers_are_measured() {
    let folder = Folder::new("bench");
    let picture = folder.path("roofline.svg");
    let said = json(&["bench", "cifar_resnet20", "--batch", "2", "--runs", "2", "--json", "--plot", &picture]);
    assert_eq!((said["model"].as_str(), said["mode"].as_str()), (Some("cifar_resnet20"), Some("infer")));
    assert_eq!((said["input"].clone(), said["runs"].clone()), (serde_json::json!([2, 3, 32, 32]), 2.into()));
    let known = ukulele_models::ZOO.iter().find(|variant| variant.name == "cifar_resnet20").unwrap();
    let layers = said["layers"].as_array().unwrap();
    let counted: u64 = layers.iter().map(|layer| layer["multiply_adds"].as_u64().unwrap()).sum();
    assert_eq!(counted, 2 * known.multiply_adds);
    for number in ["ms", "per_second", "compile_ms", "peak_memory_bytes"] {
        assert!(said[number].as_f64().is_some_and(|x| x > 0.0), "{number}: {said}");
    }
    for (of, keys) in [
        (&said["machine"], &["gflops", "memory_gb_per_s", "cache_gb_per_s"][..]),
        (&layers[0], &["ms", "gflops", "of_peak", "gb_per_s", "of_memory"]),
        (&said["total"], &["ms", "gflops", "of_peak", "gb_per_s", "of_memory"]),
    ] {
        assert!(keys.iter().all(|key| of[*key].as_f64().is_some_and(|x| x > 0.0)), "{of}");
    }
    let picture = fs::read_to_string(picture).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("cifar_resnet20") && picture.contains("<circle"));

    let said = json(&["bench", "cifar_resnet20", "--batch", "2", "--train", "--runs", "1", "--json", "--threads", "1"]);
    assert_eq!((said["threads"].clone(), said["optimizer"].as_str()), (1.into(), Some("SGD")));
    assert_eq!(said["forward_multiply_adds"], 2 * known.multiply_adds);
    let parts = ["forward_ms", "backward_ms", "optimizer_ms"].map(|part| said[part].as_f64().unwrap());
    assert!((parts.iter().sum::<f64>() - said["ms"].as_f64().unwrap()).abs() < 1e-6, "{said}");
    // All ops, and none twice.
    let layers = said["layers"].as_array().unwrap();
    let way = |way: &str| {
        let of = layers.iter().filter(move |layer| layer["what"].as_str().unwrap().starts_with(way));
        of.map(|layer| layer["ms"].as_f64().unwrap()).sum::<f64>()
    };
    let [forward, backward, update] = ["forward ", "backward ", "SGD "].map(way);
    assert!(forward <= parts[0] && backward <= parts[1] && update == parts[2], "{said}");
    // The image's gradient is nobody's.
    let adds = |layer: &serde_json::Value| layer["multiply_adds"].as_u64().unwrap();
    let first = adds(&layers[0]);
    assert_eq!(layers.iter().map(adds).sum::<u64>(), 3 * 2 * known.multiply_adds - first, "{said}");

    // How far Winograd's algorithm is off.
    let said = json(&["bench", "cifar_resnet20", "--runs", "1", "--json", "--errors"]);
    let errors = said["winograd_errors"].as_array().unwrap();
    assert!(errors.len() > 5 && errors.iter().all(|layer| layer["error"].as_f64().is_some_and(|x| x < 4e-6)), "{said}");
    let said = text(&uke(&["bench", TINY, "--length", "8", "--runs", "1", "--errors"]).stdout);
    assert!(said.contains("no layer is computed by Winograd's algorithm"), "{said}");

    // Weights out of a folder, texts, and people as readers.
    // Which layers take longest is up to the machine.
    for (top, layers) in [("2", 2), ("100", 7)] {
        let output = uke(&["bench", TINY, "--length", "16", "--batch", "3", "--runs", "1", "--top", top]);
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains("texts of 3x16") && said.contains("tokens/s"), "{said}");
        let lines = said.lines().skip_while(|line| !line.ends_with("layer")).skip(1);
        assert_eq!(lines.take_while(|line| !line.ends_with("all layers")).count(), layers, "{said}");
        assert!(layers == 2 || said.contains("2 x linear 128 -> 512"), "{said}");
    }
    let picture = folder.path("steps.svg");
    let output =
        uke(&["bench", "bert_tiny", "--length", "8", "--runs", "1", "--train", "--top", "4", "--plot", &picture]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains(" backward ") && said.contains("AdamW"), "{said}");
    let lines = said.lines().skip_while(|line| !line.ends_with("layer")).skip(1);
    assert_eq!(lines.take_while(|line| !line.ends_with("all layers")).count(), 4, "{said}");
    assert!(fs::read_to_string(picture).unwrap().contains("backward linear"));
    let output =
        uke(&["bench", "bert_tiny", "--length", "8", "--runs", "1", "--train", "--precision", "bf16", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["precision"], &said["mode"]), (&"bf16".into(), &"train".into()), "{said}");
}

#[test]
fn fewer_bits_have_a_peak_of_their_own() {
    for precision in ["bf16", "int8"] {
        let said = json(&["bench", TINY, "--length", "8", "--runs", "1", "--json", "--precision", precision]);
        assert_eq!(said["precision"], precision);
        let peak = |key: &str| said["machine"][key].as_f64();
        let reduced = peak(&format!("{precision}_gflops")).unwrap();
        assert!(reduced > 0.0 && peak("measurements_apart").is_some_and(|apart| (0.0..1.0).contains(&apart)), "{said}");
        let layers = said["layers"].as_array().unwrap();
        let of = |layer: &serde_json::Value| layer["gflops"].as_f64().unwrap() / layer["of_peak"].as_f64().unwrap();
        for layer in layers.iter().filter(|layer| layer["multiply_adds"].as_u64().unwrap() > 0) {
            let what = layer["what"].as_str().unwrap();
            let want = if what.contains(precision) { reduced } else { peak("gflops").unwrap() };
            assert!((of(layer) / want - 1.0).abs() < 1e-6, "{what}: {} of {want}", of(layer));
        }
        assert!(layers.iter().any(|layer| layer["what"].as_str().unwrap().contains(precision)), "{said}");
    }
}

#[test]
fn a_file_of_a_network_of_images_is_measured() {
    use ukulele_layers::Init;
    use ukulele_models::{ResNet, ResNetConfig};
    let folder = Folder::new("bench-file");
    let config = ResNetConfig { width: 4, stem: 4, ..ResNetConfig::depth(18, 2).unwrap() };
    let net = ResNet::new(&config, &mut Init::new(0));
    ukulele_training::Model::new(net, &["x", "y"]).unwrap().save(folder.path("net")).unwrap();
    let said = json(&["bench", &folder.path("net/model.safetensors"), "--runs", "1", "--json"]);
    assert_eq!(said["input"], serde_json::json!([1, 3, 224, 224]));
    let layers = said["layers"].as_array().unwrap();
    assert!(layers.iter().any(|layer| layer["what"].as_str().unwrap().starts_with("linear 32 -> 2 ")), "{said}");
}

/// The mask of signals that a process has its own answer to, of which 2 is SIGINT.
#[cfg(target_os = "linux")]
fn listens(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> 1 & 1 == 1
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_measurement_says_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uke"));
    command.args(["bench", "bert_tiny", "--runs", "100000", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while !listens(child.id()) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(output.stdout.is_empty() && text(&output.stderr).contains("interrupted: "), "{}", text(&output.stderr));
}

/// What writes to the standard output, each in its way.
#[cfg(target_os = "linux")]
const TALKATIVE: [&[&str]; 6] = [
    &["models"],
    &["models", "--json"],
    &["pull", "--list"],
    &["inspect", TINY, "--index-only"],
    &["bench", "bert_tiny", "--length", "8", "--runs", "1", "--json"],
    &["bench", "bert_tiny", "--length", "8", "--runs", "1", "--top", "1"],
];

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_the_output_is_an_error() {
    for args in TALKATIVE {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_uke")).args(args).stdout(full).output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
        assert!(errors.contains("error: cannot write to the standard output: No space left"), "{args:?}: {errors}");
        assert!(!errors.contains("panicked"), "{args:?}: {errors}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn when_nobody_reads_it_ends_quietly() {
    for args in TALKATIVE {
        let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        let closed = reader.stdin.take().unwrap();
        reader.wait().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_uke")).args(args).stdout(closed).output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
        assert!(errors.lines().all(|line| line.starts_with("warning: what the machine")), "{args:?}: {errors}");
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    fails(&["bench", "resnet51"], 2, &["resnet51", "resnet50", "uke models"]);
    fails(&["bench", "bert_tiny", "--length", "513"], 2, &["513", "bert_tiny", "at most 512"]);
    fails(&["bench", "resnet18", "--length", "8"], 2, &["--length", "images"]);
    fails(&["bench", "resnet18", "--precision", "int8", "--train"], 2, &["--precision", "int8"]);
    fails(&["bench", "resnet18", "--plot", "/absent/x.svg"], 1, &["/absent"]);
    let folder = Folder::new("bench-broken");
    fails(&["bench", "resnet18", "--plot", &folder.path("x.png")], 2, &["x.png", ".svg"]);
    assert!(!Path::new(&folder.path("x.png")).exists());
    fails(&["bench", &folder.file("noise.bin", [7u8; 4096])], 1, &["noise.bin"]);
    for args in [
        &["--batch", "0"][..],
        &["--threads", "0"],
        &["--runs", "0"],
        &["--top", "2", "--json"],
        &["--errors", "--train"],
        &["--errors", "--precision", "bf16"],
    ] {
        assert_eq!(uke(&[&["bench", "resnet18"], args].concat()).status.code(), Some(2), "{args:?}");
    }
}
