//! `config.json` of Keras 3: which layer is in which folder, and what its variables are.
//!
//! A model keeps its layers in the folder `layers`, each under its class in small letters, `batch_normalization`, and the
//! second and further ones of a class with a counter, `batch_normalization_1`: not under its name. Layers of a nested model
//! are in the folder `layers` of that one. Source: keras 3.15 `saving/saving_lib.py`, `utils/naming.py` and `layers/`.

use crate::json::{Result, Scanner};
use std::collections::BTreeMap;

/// Deepest nesting of models.
const DEEPEST: usize = 8;

/// A layer (or part of one) that has variables.
#[derive(Debug, PartialEq)]
pub(super) struct Layer {
    /// Its folder, e.g. `layers/conv2d_1`.
    pub(super) path: String,
    /// Its name behind those of the models around it.
    pub(super) name: String,
    /// What Keras 2 called its variables, in their order.
    pub(super) variables: Vec<&'static str>,
}

const KERNEL: &[&str] = &["kernel", "bias"];
const SCALE: &[&str] = &["gamma", "beta"];
const CELL: &[&str] = &["kernel", "recurrent_kernel", "bias"];

/// Class, the folder within the layer's and how Keras 2 called it, variables.
const CLASSES: &[(&str, &str, &str, &[&str])] = &[
    ("Dense", "", "", KERNEL),
    ("EinsumDense", "", "", KERNEL),
    ("Conv1D", "", "", KERNEL),
    ("Conv2D", "", "", KERNEL),
    ("Conv3D", "", "", KERNEL),
    ("Conv1DTranspose", "", "", KERNEL),
    ("Conv2DTranspose", "", "", KERNEL),
    ("Conv3DTranspose", "", "", KERNEL),
    ("DepthwiseConv1D", "", "", &["depthwise_kernel", "bias"]),
    ("DepthwiseConv2D", "", "", &["depthwise_kernel", "bias"]),
    ("SeparableConv1D", "", "", &["depthwise_kernel", "pointwise_kernel", "bias"]),
    ("SeparableConv2D", "", "", &["depthwise_kernel", "pointwise_kernel", "bias"]),
    ("BatchNormalization", "", "", &["gamma", "beta", "moving_mean", "moving_variance"]),
    ("LayerNormalization", "", "", SCALE),
    ("GroupNormalization", "", "", SCALE),
    ("Embedding", "", "", &["embeddings"]),
    ("PReLU", "", "", &["alpha"]),
    ("LSTM", "/cell", "/lstm_cell", CELL),
    ("GRU", "/cell", "/gru_cell", CELL),
    ("SimpleRNN", "/cell", "/simple_rnn_cell", CELL),
    ("MultiHeadAttention", "/query_dense", "/query", KERNEL),
    ("MultiHeadAttention", "/key_dense", "/key", KERNEL),
    ("MultiHeadAttention", "/value_dense", "/value", KERNEL),
    ("MultiHeadAttention", "/output_dense", "/attention_output", KERNEL),
];

/// Settings that leave out a variable if they are false.
const SETTINGS: &[(&str, &str)] = &[("use_bias", "bias"), ("scale", "gamma"), ("center", "beta")];

/// The layer of this name in the folder `path`, by whose name its class is known, with so many variables. Fewer than its
/// class has are those without bias, or a batch norm without gamma (`scale=False`, as Keras' Inceptions have it), or without
/// both.
pub(super) fn by_folder(path: &str, name: String, number: usize) -> Option<Layer> {
    let folder = path.rsplit('/').next().unwrap_or(path);
    let class = folder.trim_end_matches(|c: char| c.is_ascii_digit());
    let class = class.strip_suffix('_').filter(|class| class.len() + 1 < folder.len()).unwrap_or(folder);
    let whole = |known: &str| [class, folder].contains(&snake_case(known).as_str());
    let (.., all) = CLASSES.iter().find(|(known, folder, ..)| folder.is_empty() && whole(known))?;
    let left_out: &[&str] = match (all.len().checked_sub(number)?, *all) {
        (0, _) => &[],
        (1, [.., "bias"]) => &["bias"],
        (1, ["gamma", _, _, _]) => &["gamma"],
        (2, ["gamma", "beta", _, _]) => &["gamma", "beta"],
        _ => return None,
    };
    let variables = all.iter().filter(|variable| !left_out.contains(variable)).copied().collect();
    Some(Layer { path: path.to_owned(), name, variables })
}

/// A layer's object.
#[derive(Default)]
struct Object<'t> {
    class: String,
    config: Option<&'t str>,
}

/// The texts of a flat object.
pub(super) fn texts(text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new(text);
    scanner.object(|s, key| match s.peek() {
        Some(b'"') => s.string().map(|value| found.push((key, value))),
        _ => s.skip(),
    })?;
    scanner.end().map(|()| found)
}

/// The layers with variables of a model, in the order of the configuration.
pub(super) fn layers(text: &str) -> Result<Vec<Layer>> {
    let mut walk = Walk { layers: Vec::new(), left: text.len().saturating_mul(8) };
    let mut scanner = Scanner::new(text);
    let model = object(&mut scanner)?;
    scanner.end()?;
    walk.model(model.config, "", "", DEEPEST)?;
    Ok(walk.layers)
}

fn object<'t>(scanner: &mut Scanner<'t>) -> Result<Object<'t>> {
    let mut object = Object::default();
    scanner.object(|s, key| match (key.as_str(), s.peek()) {
        ("class_name", Some(b'"')) => s.string().map(|class| object.class = class),
        ("config", Some(b'{')) => s.raw().map(|config| object.config = Some(config)),
        _ => s.skip(),
    })?;
    Ok(object)
}

struct Walk {
    layers: Vec<Layer>,
    /// Bytes that names may still take: no model has longer ones than its text.
    left: usize,
}

impl Walk {
    /// The layers of a model with this configuration, which is in the folder `path`.
    fn model(&mut self, config: Option<&str>, path: &str, name: &str, depth: usize) -> Result<()> {
        let Some(config) = config else { return Ok(()) };
        if depth == 0 {
            return Err(format!("models nested more than {DEEPEST} deep"));
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        Scanner::new(config).object(|s, key| match (key.as_str(), s.peek()) {
            ("layers", Some(b'[')) => s.array(|s| {
                let Object { class, config } = object(s)?;
                let snake = snake_case(&class);
                let count = counts.entry(snake.clone()).and_modify(|count| *count += 1).or_insert(0);
                let folder = if *count == 0 { snake } else { format!("{snake}_{count}") };
                let path = join(path, &format!("layers/{folder}"));
                self.layer(&class, config.unwrap_or("{}"), &path, name, depth)
            }),
            _ => s.skip(),
        })
    }

    fn layer(&mut self, class: &str, config: &str, path: &str, model: &str, depth: usize) -> Result<()> {
        let mut name = String::new();
        let mut without = Vec::new();
        let mut is_model = false;
        Scanner::new(config).object(|s, key| match (key.as_str(), s.peek()) {
            ("name", Some(b'"')) => s.string().map(|text| name = text),
            ("layers", Some(b'[')) => {
                is_model = true;
                s.skip()
            }
            (key, Some(b'f')) => {
                without.extend(SETTINGS.iter().filter(|(setting, _)| *setting == key).map(|(_, variable)| *variable));
                s.skip()
            }
            _ => s.skip(),
        })?;
        let name = join(model, &name);
        if is_model {
            return self.model(Some(config), path, &name, depth - 1);
        }
        for (_, folder, called, variables) in CLASSES.iter().filter(|(known, ..)| *known == class) {
            let (path, name) = (format!("{path}{folder}"), format!("{name}{called}"));
            let cost = path.len() + name.len() + 64;
            self.left = self.left.checked_sub(cost).ok_or("more names than its text has")?;
            let variables = variables.iter().filter(|variable| !without.contains(variable)).copied().collect();
            self.layers.push(Layer { path, name, variables });
        }
        Ok(())
    }
}

fn join(before: &str, name: &str) -> String {
    if before.is_empty() { name.to_string() } else { format!("{before}/{name}") }
}

/// `BatchNormalization` as `batch_normalization`, `Conv2D` as `conv2d`, `PReLU` as `p_re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    // First before a capital with small letters behind it, wherever something stands before it ...
    let mut cut = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        cut.push(letters[at]);
        let word = letters.get(at + 1).is_some_and(char::is_ascii_uppercase)
            && letters.get(at + 2).is_some_and(char::is_ascii_lowercase);
        at += 1;
        if word {
            cut.extend(['_', letters[at]]);
            at += 1;
            while letters.get(at).is_some_and(char::is_ascii_lowercase) {
                cut.push(letters[at]);
                at += 1;
            }
        }
    }
    // ... then between a small letter and a capital.
    let mut out = String::new();
    for (number, letter) in cut.iter().enumerate() {
        let before = number.checked_sub(1).map(|before| cut[before]);
        if letter.is_ascii_uppercase() && before.is_some_and(|before| before.is_ascii_lowercase()) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As keras 3.15's `to_snake_case` answers.
    #[test]
    fn snake_case_as_keras_writes_it() {
        for (class, folder) in [
            ("Conv2D", "conv2d"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("BatchNormalization", "batch_normalization"),
            ("PReLU", "p_re_lu"),
            ("ReLU", "re_lu"),
            ("LSTM", "lstm"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("MyHTTPLayerX", "my_http_layer_x"),
            ("A", "a"),
            ("", ""),
        ] {
            assert_eq!(snake_case(class), folder, "{class}");
        }
    }

    #[test]
    fn folders_tell_the_class() {
        let of = |path: &str, number: usize| by_folder(path, "a".into(), number).map(|layer| layer.variables);
        assert_eq!(of("layers/conv2d", 2).unwrap(), ["kernel", "bias"]);
        assert_eq!(of("layers/conv2d_transpose_12", 1).unwrap(), ["kernel"]);
        assert_eq!(of("layers/batch_normalization_7", 4).unwrap(), ["gamma", "beta", "moving_mean", "moving_variance"]);
        assert_eq!(of("layers/batch_normalization", 3).unwrap(), ["beta", "moving_mean", "moving_variance"]);
        assert_eq!(of("layers/batch_normalization", 2).unwrap(), ["moving_mean", "moving_variance"]);
        for (path, number) in [("layers/conv2d", 3), ("layers/layer_normalization", 1), ("layers/my_layer", 2), ("", 1)]
        {
            assert_eq!(of(path, number), None, "{path}");
        }
    }

    #[test]
    fn names_cannot_outgrow_their_text() {
        let inner = r#"{"class_name":"Dense","config":{"name":"a"}}"#;
        let long = "x".repeat(100_000);
        let layers = vec![inner; 2_000].join(",");
        let text = format!(
            r#"{{"class_name":"M","config":{{"layers":[{{"class_name":"N","config":{{"name":"{long}","layers":[{layers}]}}}}]}}}}"#
        );
        assert_eq!(super::layers(&text).unwrap_err(), "more names than its text has");
    }
}
