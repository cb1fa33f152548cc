//! Models out of whatever file the world distributes.

use super::{CONFIG, Model, Network, TextInput, WEIGHTS, distinct, files};
use crate::{Error, Result};
use serde_json::{Map, Value as Json};
use std::path::Path;
use ukulele_data::{Preprocess, Tokenizer};
use ukulele_models::{ImageModel, TextModel};
use weights_import::{Architecture, Dialect, guess};

/// Files out of which [`Tokenizer::from_files`] makes a tokenizer (`merges.txt` with `vocab.json`).
const TOKENIZERS: [&str; 5] = ["tokenizer.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "vocab.txt"];

impl Model {
    /// The model of a file of weights or of a folder: one that [`Model::save`] wrote, or pretrained weights in any format and
    /// naming that is known. Labels, tokenizer and preprocessing come from the files beside it; what these do not say of photos,
    /// the dialect does. Weights without a head for classes become a model without labels: see [`Model::replace_head`].
    ///
    /// # Errors
    /// No file of weights, no architecture that is known, or a file beside them that is broken.
    pub fn from_pretrained(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let config = Some(folder.join(CONFIG)).filter(|path| path.is_file());
        let config = config.map(|path| files::read_json(&path)).transpose()?.unwrap_or(Json::Null);
        let ours = path.is_dir() || path.file_name().is_some_and(|name| name == WEIGHTS);
        if ours && config["ukulele"].is_object() {
            return Self::load(folder);
        }
        let weights = weights_import::open(path)?;
        let dialect = Dialect::detect(&weights)?;
        let found = guess(&weights, &dialect);
        let mut model = Self {
            labels: Vec::new(),
            text: None,
            preprocess: None,
            metrics: Map::new(),
            network: match &found {
                Some(Architecture::Bert(_)) => TextModel::from_pretrained(path)?.0.into(),
                _ => ImageModel::from_pretrained(path)?.0.into(),
            },
        };
        match &model.network {
            Network::Text(net) => {
                if TOKENIZERS.iter().any(|name| folder.join(name).is_file()) {
                    let tokenizer = Tokenizer::from_files(folder).map_err(Error::data)?;
                    let (size, most) = (tokenizer.vocab_size(), net.config().vocab_size);
                    if size > most {
                        let message = format!(
                            "the vocabulary has {size} tokens, the model's table {most}: they do not belong together"
                        );
                        return Err(Error::checkpoint(folder, message));
                    }
                    model.text = Some(TextInput { tokenizer, max_length: net.config().longest() });
                }
            }
            Network::Image(net) => {
                let side = net.config().image_size();
                let preprocess = Preprocess::of_weights(path, dialect.preprocess(), side).map_err(Error::data)?;
                model.preprocess = Some(preprocess);
            }
        }
        let classes = found.and_then(|found| found.classes());
        if classes == Some(model.network.classes()) {
            model.labels = labels(&config, model.network.classes());
        }
        Ok(model)
    }
}

/// The names of the classes that `config.json` states (Hugging Face: `id2label`; timm: `label_names`), if it names just these.
fn labels(config: &Json, classes: usize) -> Vec<String> {
    let count = config["id2label"].as_object().map(Map::len).or(config["label_names"].as_array().map(Vec::len));
    if count != Some(classes) {
        return Vec::new();
    }
    let numbered = |i: usize| config["id2label"][&i.to_string()].as_str().or(config["label_names"][i].as_str());
    let labels: Option<Vec<&str>> = (0..classes).map(numbered).collect();
    labels.and_then(|labels| distinct(&labels).ok()).unwrap_or_default()
}
