//! What remains of a training: a folder that predicts.
//!
//! | file | holds |
//! |---|---|
//! | `model.safetensors` | the parameters, f32, under their checkpoint names |
//! | `config.json` | measures and labels, as Hugging Face has them; under `ukulele` what that has no place for |
//! | `vocab.txt`, `tokenizer_config.json` | the word pieces, and how text is cut into them |
//! | `preprocessor_config.json` | how a photo becomes an image |
//!
//! A save writes all files aside, syncs them, and renames them into place, the weights last. `config.json` knows the
//! fingerprint of each other file, so that what a crash between two renames leaves is recognised and never loaded.

mod config;
mod files;

use crate::{Classifier, Error, Result};
use config::Config;
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use ukulele_layers::{Module, ModuleId, Param};
use ukulele_models::{
    BertForSequenceClassification, CifarResNet, GoogLeNet, ImageModel, Inception, InceptionResNetV1, InceptionResNetV2,
    InceptionV4, Pretrained, ResNet, ResNetV2, Vgg,
};
use weights_import::{Dialect, Dtype};

pub use files::check_writable;

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const VOCAB: &str = "vocab.txt";
const TOKENIZER: &str = "tokenizer_config.json";
const PREPROCESS: &str = "preprocessor_config.json";

/// A classifier of any architecture.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per process; a box would only stand in the way of matching"
)]
#[derive(Debug, Clone)]
pub enum Network {
    /// Of text.
    Bert(BertForSequenceClassification),
    /// Of images.
    Image(ImageModel),
}

impl From<BertForSequenceClassification> for Network {
    fn from(net: BertForSequenceClassification) -> Self {
        Self::Bert(net)
    }
}

impl From<ImageModel> for Network {
    fn from(net: ImageModel) -> Self {
        Self::Image(net)
    }
}

macro_rules! image {
    ($($net:ident),*) => {
        $(impl From<$net> for Network {
            fn from(net: $net) -> Self {
                Self::Image(net.into())
            }
        })*
    };
}

image!(ResNet, ResNetV2, CifarResNet, Vgg, Inception, GoogLeNet, InceptionV4, InceptionResNetV1, InceptionResNetV2);

impl Module for Network {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        match self {
            Self::Bert(net) => net.each(path, f),
            Self::Image(net) => net.each(path, f),
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        match self {
            Self::Bert(net) => net.modules(path, f),
            Self::Image(net) => net.modules(path, f),
        }
    }
}

impl Network {
    /// The number of classes.
    pub fn classes(&self) -> usize {
        match self {
            Self::Bert(net) => net.classes(),
            Self::Image(net) => net.classes(),
        }
    }
}

/// How text was cut into word pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenizer {
    /// The content of `vocab.txt`: one word piece a line.
    pub vocab: String,
    /// Whether text is lowered first, and accents are taken off.
    pub lower_case: bool,
    /// Tokens of the longest sequence, the two special ones included.
    pub max_length: usize,
}

/// A trained model with all that predicting takes.
///
/// ```
/// use ukulele_layers::Init;
/// use ukulele_models::{ResNet, ResNetConfig};
/// use ukulele_training::{Checkpoint, Network};
/// let folder = std::env::temp_dir().join(format!("ukulele-checkpoint-doc-{}", std::process::id()));
/// let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
/// let net = ResNet::new(&config, &mut Init::new(0));
/// Checkpoint::new(net, &["cat", "dog"])?.save(&folder)?;
///
/// let checkpoint = Checkpoint::load(&folder)?;
/// assert_eq!(checkpoint.labels, ["cat", "dog"]);
/// assert!(matches!(checkpoint.network, Network::Image(_)));
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), ukulele_training::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The model.
    pub network: Network,
    /// The name of each class.
    pub labels: Vec<String>,
    /// For models of text.
    pub tokenizer: Option<Tokenizer>,
    /// For models of images: an object that whoever made the images understands.
    pub preprocess: Option<Json>,
    /// What was measured, for people; an object.
    pub metrics: Map<String, Json>,
}

impl Checkpoint {
    /// A model and the names of its classes.
    ///
    /// # Errors
    /// Another number of names than the model has classes, or a name given twice.
    pub fn new(network: impl Into<Network>, labels: &[impl AsRef<str>]) -> Result<Self> {
        let network = network.into();
        let labels: Vec<String> = labels.iter().map(|label| label.as_ref().to_owned()).collect();
        if labels.len() != network.classes() {
            return Err(Error::Argument(format!(
                "{} labels for a model of {} classes",
                labels.len(),
                network.classes()
            )));
        }
        if let Some(twice) = labels.iter().enumerate().find_map(|(i, l)| labels[..i].contains(l).then_some(l)) {
            return Err(Error::Argument(format!("two classes are named `{twice}`")));
        }
        Ok(Self { network, labels, tokenizer: None, preprocess: None, metrics: Map::new() })
    }

    /// Writes the folder; an earlier checkpoint in it is replaced.
    ///
    /// # Errors
    /// A folder that holds a model of another origin, or a file system that refuses (no permission, disk full). Nothing is
    /// left half written then, and what was there is as it was.
    pub fn save(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let state = self.network.state();
        let mut texts = Vec::new();
        if let Some(tokenizer) = &self.tokenizer {
            let config = json!({
                "tokenizer_class": "BertTokenizer",
                "do_lower_case": tokenizer.lower_case,
                "model_max_length": tokenizer.max_length,
            });
            texts.push((VOCAB, tokenizer.vocab.clone()));
            texts.push((TOKENIZER, pretty(&config)));
        }
        if let Some(preprocess) = &self.preprocess {
            texts.push((PREPROCESS, pretty(preprocess)));
        }
        let print = files::fingerprint_of(&state);
        let mut prints: Map<String, Json> =
            texts.iter().map(|(name, text)| ((*name).to_owned(), files::fingerprint(text).into())).collect();
        prints.insert(WEIGHTS.to_owned(), print.clone().into());
        texts.push((CONFIG, pretty(&config::to_json(&self.network, &self.labels, &self.metrics, prints))));

        let tensors: Vec<_> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        files::replace(folder.as_ref(), &[VOCAB, TOKENIZER, PREPROCESS, CONFIG, WEIGHTS], |aside| {
            for (name, text) in &texts {
                weights_import::atomic_write(aside.join(name), |out| out.write_all(text.as_bytes()))?;
            }
            let said = [("ukulele".to_owned(), print.clone())];
            Ok(weights_import::save_safetensors(aside.join(WEIGHTS), &tensors, &said, Dtype::F32)?)
        })
    }

    /// Reads a folder that [`Checkpoint::save`] wrote.
    ///
    /// # Errors
    /// Names the file that is missing, broken, or of another save than the others.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            return Err(Error::checkpoint(
                folder,
                "is no folder; a checkpoint is a folder with config.json and model.safetensors",
            ));
        }
        let path = folder.join(CONFIG);
        if !path.exists() {
            return Err(Error::checkpoint(folder, "holds no config.json, so it is no checkpoint"));
        }
        let config = Config::parse(&files::read_json(&path)?).map_err(|message| Error::checkpoint(&path, message))?;

        let listed = |name: &str| config.files.get(name);
        let text = |name: &str| -> Result<Option<String>> {
            let Some(print) = listed(name) else { return Ok(None) };
            let path = folder.join(name);
            let text = files::read_text(&path)?;
            if *print != files::fingerprint(&text) {
                return Err(Error::checkpoint(
                    &path,
                    "is not the one that config.json was saved with; save the checkpoint again",
                ));
            }
            Ok(Some(text))
        };
        let parsed = |name: &str| -> Result<Option<Json>> {
            text(name)?.map(|text| files::parse_json(&folder.join(name), &text)).transpose()
        };
        let preprocess = parsed(PREPROCESS)?;
        let tokenizer = match (text(VOCAB)?, parsed(TOKENIZER)?) {
            (Some(vocab), Some(about)) => {
                let wrong = |what: &str| Error::checkpoint(&folder.join(TOKENIZER), format!("has no {what}"));
                let lower_case =
                    about["do_lower_case"].as_bool().ok_or_else(|| wrong("`do_lower_case` that is true or false"))?;
                let length = about["model_max_length"].as_u64().and_then(|n| usize::try_from(n).ok());
                let max_length = length.ok_or_else(|| wrong("`model_max_length` that is a whole number"))?;
                Some(Tokenizer { vocab, lower_case, max_length })
            }
            _ => None,
        };

        let path = folder.join(WEIGHTS);
        if !path.exists() {
            return Err(Error::checkpoint(folder, "holds no model.safetensors, so it is no checkpoint"));
        }
        let weights = weights_import::open(&path)?;
        if listed(WEIGHTS) != weights.metadata().get("ukulele") {
            let message =
                "and config.json are of different saves: the last one was interrupted; save the checkpoint again";
            return Err(Error::checkpoint(&path, message));
        }
        let found = weights_import::guess(&weights, &Dialect::plain());
        if !found.as_ref().is_some_and(|found| config.fits(found)) {
            let found = found.map_or("no model that is known".to_owned(), |found| found.to_string());
            return Err(Error::checkpoint(&path, format!("holds {found}; config.json describes another model")));
        }
        let mut network = config.build();
        let _everything = network.load(&weights, &Dialect::plain())?.strict()?;
        Ok(Self { network, labels: config.labels, tokenizer, preprocess, metrics: config.metrics })
    }
}

fn pretty(value: &Json) -> String {
    format!("{value:#}\n")
}
