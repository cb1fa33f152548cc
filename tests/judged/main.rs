//! Every variant against its original, live: nothing is stored, the original runs beside ours.
//!
//! `judge.py` fills an original with weights by formula, saves them as its library does, and writes what an f64 run gave. Here
//! the file of weights is opened as a user would open it, so that recognition and loading are judged as well. Ours must be
//! within the tolerances below of the f64 run, and not further from it than twice the original's own f32 run.
//!
//!     export JUDGES_PYTHON=$(scripts/judges | tail -n 1)
//!     cargo test --release --features judges --test judged                      # a few of each family
//!     JUDGED=resnet50,vgg16 cargo test --release --features judges --test judged
//!     JUDGED=all cargo test --release --features judges --test judged           # an hour or two
//!
//! Variants that are named are written into docs/parity.md.
#![cfg(feature = "judges")]

mod image;
mod text;

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use ukulele::training::Groups;
use ukulele::{Dialect, Gradients, Module, Pass, Role, Sgd, Tensor, Value, Weights};
use weights_import::Dtype;

/// What is run unless JUDGED says otherwise: each takes a few seconds.
const QUICK: [&str; 6] =
    ["resnet26d", "resnext50_32x4d", "googlenet", "bert_pretraining", "roberta_sequence", "albert_pretraining"];

/// Of outputs, relative in norm; of gradients and losses.
const OUTPUTS: f64 = 1e-4;
const GRADIENTS: f64 = 1e-3;
/// Of the largest gradient's norm: below lies what is zero by construction.
const ZERO: f64 = 1e-9;

/// What an original left in its folder.
pub(crate) struct Case {
    folder: PathBuf,
    facts: Json,
    expected: Weights,
}

/// How far ours is from f64, and the original's own f32 run.
#[derive(Default)]
pub(crate) struct Row(BTreeMap<&'static str, (f64, f64)>);

impl Row {
    fn add(&mut self, what: &'static str, ours: f64, own: f64, tolerance: f64) {
        println!("  {what}: {ours:.1e} (the original's own f32: {own:.1e})");
        assert!(
            ours <= tolerance.max(2.0 * own),
            "{what}: off by {ours:.2e}, tolerance {tolerance:.0e}, own {own:.1e}"
        );
        assert!(
            tolerance > OUTPUTS || ours <= 2.0 * own.max(3e-7),
            "{what}: off by {ours:.2e}, the original only by {own:.1e}"
        );
        self.0.insert(what, (ours, own));
    }
}

impl Case {
    /// The file of weights.
    pub(crate) fn weights(&self) -> PathBuf {
        self.folder.join(self.facts["weights"].as_str().unwrap())
    }

    /// An input or expected output.
    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        self.expected.get(name).unwrap_or_else(|e| panic!("{e}"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.expected.entry(name).is_some()
    }

    pub(crate) fn has_tap(&self, module: &str) -> bool {
        self.has(&format!("taps.{module}"))
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        self.expected.entry(name).unwrap().shape.clone()
    }

    /// What the original says of itself.
    pub(crate) fn fact(&self, key: &str) -> &Json {
        &self.facts[key]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        self.expected.get_i64(name).unwrap_or_else(|e| panic!("{e}")).1
    }

    /// The names behind `prefix`.
    fn names(&self, prefix: &str) -> BTreeSet<String> {
        let names = self.expected.entries().iter().filter_map(|e| e.name.strip_prefix(prefix));
        names.map(str::to_owned).collect()
    }

    /// The original names its tensors as its file does, which only the dialect translates.
    fn other_names(&self) -> bool {
        self.facts["names"] == "of the file"
    }

    fn own(&self, what: &str) -> f64 {
        self.facts["own"][what].as_f64().unwrap()
    }

    /// The original loads what ours saved in the folder `saved`, and gives the same outputs.
    fn saved(&self, row: &mut Row) {
        let said = python(&[self.folder.to_str().unwrap(), self.facts["name"].as_str().unwrap(), "saved"]);
        let error = said.trim().lines().last().and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("{said}"));
        row.add("saved", error, self.own("outputs"), OUTPUTS);
    }

    /// Outputs by name, as one error: the largest.
    fn outputs(&self, row: &mut Row, what: &'static str, ours: &[(&str, Value)]) {
        let names: BTreeSet<String> = ours.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names, self.names(&format!("{what}.")), "{what}");
        let errors = ours.iter().map(|(name, y)| relative(y.tensor(), &self.tensor(&format!("{what}.{name}"))));
        row.add(what, errors.fold(0.0, f64::max), self.own(what), OUTPUTS);
    }

    /// All taps of a pass that watched everything: each is a module of the original.
    fn taps(&self, row: &mut Row, pass: &Pass, renamed: impl Fn(&str) -> String) {
        let theirs = self.names("taps.");
        let mut left = theirs.clone();
        let (mut worst, mut place, mut count) = (0.0, "", 0);
        // Of a module that is gone through several times the last output, as the original's hooks keep it.
        let last: BTreeMap<&str, &Value> = pass.taps().iter().map(|(name, y)| (name.as_str(), y)).collect();
        for (name, y) in last {
            let other = renamed(name);
            left.remove(&other);
            if !theirs.contains(&other) {
                // Where names differ the original's are not translated for all modules.
                assert!(self.other_names(), "the original has no module {other}");
                continue;
            }
            count += 1;
            let want = self.tensor(&format!("taps.{other}"));
            let error = relative(&y.tensor().reshape(want.shape()).unwrap(), &want);
            if error > worst {
                (worst, place) = (error, name);
            }
        }
        println!("  {count} modules agree, {place} least");
        assert!(count > 0 && (left.is_empty() || !self.other_names()), "no modules {left:?} here");
        row.add("taps", worst, self.own("taps"), OUTPUTS);
    }

    /// The original's gradients by our names. Those that are named as the file's tensors go through its dialect, which also
    /// tells what the original does not train: that is frozen in `net`.
    fn wanted_gradients(&self, net: &mut impl Module, dialect: &Dialect) -> BTreeMap<String, Tensor> {
        let names = self.names("gradients.");
        let all: Vec<_> = names.into_iter().map(|n| (n.clone(), self.tensor(&format!("gradients.{n}")))).collect();
        if !self.other_names() {
            return all.into_iter().collect();
        }
        let path = self.folder.join("gradients.safetensors");
        let borrowed: Vec<_> = all.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        weights_import::save_safetensors(&path, &borrowed, &[], Dtype::F32).unwrap();
        let file = weights_import::open(path).unwrap();
        let mut trained = Vec::new();
        net.each("", &mut |name, param| {
            if param.role.is_trained() {
                trained.push((name.to_owned(), param.value.shape().to_vec()));
            }
        });
        let options = weights_import::Options { any_architecture: true, ..Default::default() };
        let (mut tensors, report) = weights_import::read(&trained, &file, dialect, options).unwrap();
        assert!(report.missing.is_empty() && report.misshapen.is_empty(), "{report:?}");
        net.each("", &mut |name, param| {
            if report.filled.iter().any(|(filled, _)| filled == name) {
                param.frozen = true;
                tensors.remove(name);
            }
        });
        // What the dialect folds into another tensor: the bias before a norm.
        let largest = tensors.values().map(norm).fold(0.0, f64::max);
        for name in report.unexpected {
            assert!(norm(&file.get(&name).unwrap()) <= largest * ZERO, "{name} has a gradient, but no place here");
        }
        tensors
    }

    /// Every parameter has a gradient, and it is the original's.
    fn gradients(
        &self,
        row: &mut Row,
        net: &mut impl Module,
        gradients: &Gradients,
        mut want: BTreeMap<String, Tensor>,
    ) {
        let largest = want.values().map(norm).fold(0.0, f64::max);
        let mut worst = (0.0, String::new());
        net.each("", &mut |name, param| {
            if !param.role.is_trained() || param.frozen {
                return;
            }
            let want = want.remove(name).unwrap_or_else(|| panic!("the original has no gradient of {name}"));
            let ours = gradients.of(param).unwrap_or_else(|| panic!("{name} has no gradient"));
            // Zero by construction: only rounding is left.
            if norm(&want) <= largest * ZERO {
                assert!(norm(ours) <= largest * 1e-5, "{name}: norm {:.2e}, zero expected", norm(ours));
                return;
            }
            let error = relative(ours, &want);
            if error > worst.0 {
                worst = (error, name.to_owned());
            }
        });
        assert!(want.is_empty(), "no such parameters here: {:?}", want.keys());
        let own = self.facts["own"]["gradients"].as_object().unwrap();
        let own = own.values().filter_map(Json::as_f64).fold(0.0, f64::max);
        println!("  gradients: {} least", worst.1);
        row.add("gradients", worst.0, own, GRADIENTS);
    }

    fn losses(&self, row: &mut Row, ours: &[f64]) {
        let want: Vec<f64> = self.tensor("losses").to_vec().into_iter().map(f64::from).collect();
        assert_eq!(ours.len(), want.len());
        let worst = ours.iter().zip(&want).map(|(a, b)| (a - b).abs() / b.abs()).fold(0.0, f64::max);
        row.add("losses", worst, self.own("losses"), GRADIENTS);
    }

    fn sgd(&self) -> Sgd {
        let number = |key: &str| self.facts["sgd"][key].as_f64().unwrap();
        Sgd::new(number("lr"))
            .momentum(number("momentum"))
            .weight_decay(number("weight_decay"))
            .groups(Groups::new().decay_all())
    }
}

fn norm(t: &Tensor) -> f64 {
    t.to_vec().iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

/// |ours − want| / |want| in norm.
fn relative(ours: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(ours.shape(), want.shape());
    let (mut off, mut norm) = (0.0, 0.0);
    for (a, b) in ours.to_vec().into_iter().zip(want.to_vec()) {
        off += (f64::from(a) - f64::from(b)).powi(2);
        norm += f64::from(b).powi(2);
    }
    if norm == 0.0 { off.sqrt() } else { (off / norm).sqrt() }
}

/// The originals here have dropouts of rate 0.
pub(crate) fn no_dropout(net: &mut impl Module) {
    net.each("", &mut |_, param| {
        if param.role == Role::Rate {
            param.value = Tensor::scalar(0.0);
        }
    });
}

fn python(arguments: &[&str]) -> String {
    let python = std::env::var("JUDGES_PYTHON").expect("JUDGES_PYTHON=$(scripts/judges | tail -n 1)");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judged/judge.py");
    let output = Command::new(python).arg(script).args(arguments).env("KERAS_BACKEND", "torch").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn judge(name: &str) -> (String, Row) {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("judged");
    let folder = root.join(name);
    python(&[folder.to_str().unwrap(), name]);
    let facts: Json = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let expected = weights_import::open(folder.join("expected.safetensors")).unwrap();
    let case = Case { folder: folder.clone(), facts, expected };
    let source = case.facts["source"].as_str().unwrap().to_owned();
    println!("{name} of {source}");
    let mut row = Row::default();
    match case.facts["family"].as_str().unwrap() {
        "image" => image::judge(&case, &mut row),
        "text" => text::judge(&case, &mut row),
        other => panic!("no family {other}"),
    }
    std::fs::remove_dir_all(folder).unwrap();
    (source, row)
}

/// The columns of docs/parity.md after variant and original.
const COLUMNS: [(&str, &str); 7] = [
    ("outputs", "Logits"),
    ("odd.outputs", "Odd size"),
    ("taps", "Modules"),
    ("train.outputs", "Training"),
    ("gradients", "Gradients"),
    ("losses", "Losses"),
    ("saved", "Saved"),
];

fn line(name: &str, source: &str, row: &Row) -> String {
    let mut text = format!("| {name} | {source} |");
    for (column, _) in COLUMNS {
        match row.0.get(column) {
            Some((ours, own)) => write!(text, " {ours:.1e} ({own:.1e}) |").unwrap(),
            None => text.push_str(" |"),
        }
    }
    text
}

/// docs/parity.md with these lines in place of those of the same variants, in the order of `all`.
fn merged(old: &str, new: &[String], all: &[&str]) -> String {
    let name = |line: &str| line.split('|').nth(1).map(|name| name.trim().to_owned());
    let mut lines: BTreeMap<String, &str> = BTreeMap::new();
    for line in old.lines().chain(new.iter().map(String::as_str)).filter(|line| line.starts_with("| ")) {
        lines.extend(name(line).map(|name| (name, line)));
    }
    let titles: Vec<&str> = COLUMNS.iter().map(|(_, title)| *title).collect();
    let mut text = format!(
        "# Parity with the originals\n\nWritten by `JUDGED=all cargo test --release --features judges --test judged`; a run of some \
         variants by name replaces their\nlines. Errors are relative in norm, against an f64 run of the original, the worst of all \
         outputs, modules, parameters or steps;\nin brackets the error of the original's own f32 run. Logits in evaluation, for an \
         odd size or padded texts, the output of every\nmodule, logits in training mode, gradients of one step, ten losses; and the \
         logits of the original with what we saved.\n\n| Variant | Original | {} |\n|---|---|{}\n",
        titles.join(" | "),
        "---|".repeat(titles.len())
    );
    for line in all.iter().filter_map(|name| lines.get(*name)) {
        text += line;
        text.push('\n');
    }
    text
}

#[test]
fn ours_are_as_exact_as_the_originals() {
    let listed = python(&[]);
    let all: Vec<&str> = listed.lines().collect();
    let wanted = std::env::var("JUDGED").unwrap_or_default();
    let chosen: Vec<&str> = match wanted.as_str() {
        "" => QUICK.to_vec(),
        "all" => all.clone(),
        names => names.split(',').collect(),
    };
    let mut rows = Vec::new();
    for name in chosen {
        assert!(all.contains(&name), "no original {name}; there are {}", all.join(", "));
        let (source, row) = judge(name);
        let line = line(name, &source, &row);
        println!("{line}");
        rows.push(line);
        if !wanted.is_empty() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/parity.md");
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(&path, merged(&old, &rows, &all)).unwrap();
        }
    }
}
