//! A model with all that using it takes: labels, tokenizer, preprocessing. Out of whatever file the world distributes, or out of
//! the folder that remains of a training.
//!
//! | file | holds |
//! |---|---|
//! | `model.safetensors` | the parameters, f32, under their checkpoint names |
//! | `config.json` | measures and labels, as Hugging Face has them; under `ukulele` what that has no place for |
//! | `tokenizer.json`, `tokenizer_config.json` | how text becomes tokens, and how many |
//! | `vocab.txt` | the word pieces, for programs that read no `tokenizer.json` |
//! | `preprocessor_config.json` | how a photo becomes an image |
//!
//! A save writes all files aside, syncs them, and renames them into place, the weights last. `config.json` knows the
//! fingerprint of each other file, so that what a crash between two renames leaves is recognised and never loaded.

mod config;
mod files;
mod pretrained;

use crate::{Error, Result};
use config::Config;
use serde_json::{Map, Value as Json};
use std::path::Path;
use ukulele_data::{Casing, EncodeOptions, Image, Preprocess, TextBatch, Tokenizer};
use ukulele_layers::{Init, Module, ModuleId, Param, Tensor};
use ukulele_models::{
    CifarResNet, GoogLeNet, ImageModel, Inception, InceptionResNetV1, InceptionResNetV2, InceptionV4, Pretrained,
    ResNet, ResNetV2, TextModel, TokenBatch, Vgg,
};
use weights_import::{Dialect, Dtype};

pub use files::check_writable;

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const VOCAB: &str = "vocab.txt";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const PREPROCESS: &str = "preprocessor_config.json";

/// A network of any architecture.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per process; a box would only stand in the way of matching"
)]
#[derive(Debug, Clone)]
pub enum Network {
    /// Of text.
    Text(TextModel),
    /// Of images.
    Image(ImageModel),
}

impl From<TextModel> for Network {
    fn from(net: TextModel) -> Self {
        Self::Text(net)
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
            Self::Text(net) => net.each(path, f),
            Self::Image(net) => net.each(path, f),
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        match self {
            Self::Text(net) => net.modules(path, f),
            Self::Image(net) => net.modules(path, f),
        }
    }
}

impl Network {
    /// The number of classes; 0 of a model that has none.
    pub fn classes(&self) -> usize {
        match self {
            Self::Text(net) => net.classes().unwrap_or(0),
            Self::Image(net) => net.classes(),
        }
    }

    /// Gives the model a fresh head for `classes` classes; the trunk keeps its weights.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        match self {
            Self::Text(net) => net.replace_head(classes, init),
            Self::Image(net) => net.replace_head(classes, init),
        }
    }

    /// Prefixes of names from the input to the output, one list per group; the last is the head's.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        match self {
            Self::Text(net) => net.layer_groups(),
            Self::Image(net) => net.layer_groups(),
        }
    }

    /// Prefixes of the names of the head.
    pub fn head_names(&self) -> Vec<String> {
        match self {
            Self::Text(net) => net.head_names(),
            Self::Image(net) => net.head_names(),
        }
    }
}

/// How texts become tokens.
#[derive(Debug, Clone)]
pub struct TextInput {
    /// Cuts texts.
    pub tokenizer: Tokenizer,
    /// Tokens of the longest sequence, special ones included. What is over is cut off.
    pub max_length: usize,
}

/// A network with all that using it takes.
///
/// ```
/// use ukulele_layers::Init;
/// use ukulele_models::{ResNet, ResNetConfig};
/// use ukulele_training::{Model, Network};
/// let folder = std::env::temp_dir().join(format!("ukulele-model-doc-{}", std::process::id()));
/// let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
/// let net = ResNet::new(&config, &mut Init::new(0));
/// Model::new(net, &["cat", "dog"])?.save(&folder)?;
///
/// let mut model = Model::from_pretrained(&folder)?;
/// assert_eq!(model.labels, ["cat", "dog"]);
/// assert!(matches!(model.network, Network::Image(_)));
/// model.replace_head(&["rose", "tulip", "daisy"], &mut Init::new(1))?;
/// assert_eq!(model.network.classes(), 3);
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), ukulele_training::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The name of each class; empty where none is known.
    pub labels: Vec<String>,
    /// For models of text.
    pub text: Option<TextInput>,
    /// For models of images.
    pub preprocess: Option<Preprocess>,
    /// What was measured, for people; an object.
    pub metrics: Map<String, Json>,
}

impl Model {
    /// A model and the names of its classes.
    ///
    /// # Errors
    /// Another number of names than the model has classes, or a name given twice.
    pub fn new(network: impl Into<Network>, labels: &[impl AsRef<str>]) -> Result<Self> {
        let network = network.into();
        let labels = distinct(labels)?;
        if labels.len() != network.classes() {
            let message = format!("{} labels for a model of {} classes", labels.len(), network.classes());
            return Err(Error::Argument(message));
        }
        Ok(Self { network, labels, text: None, preprocess: None, metrics: Map::new() })
    }

    /// Gives the network a fresh head for classes of these names; the trunk keeps its weights.
    ///
    /// # Errors
    /// No name, or a name given twice; nothing is changed then.
    pub fn replace_head(&mut self, labels: &[impl AsRef<str>], init: &mut Init) -> Result<()> {
        let labels = distinct(labels)?;
        if labels.is_empty() {
            return Err(Error::Argument("a head of no classes".to_owned()));
        }
        self.network.replace_head(labels.len(), init);
        self.labels = labels;
        Ok(())
    }

    /// The network, of a model of texts.
    ///
    /// # Errors
    /// A model of images.
    pub fn text_model(&self) -> Result<&TextModel> {
        match &self.network {
            Network::Text(net) => Ok(net),
            Network::Image(_) => Err(Error::Argument("this model is none for texts".to_owned())),
        }
    }

    /// The network, of a model of images.
    ///
    /// # Errors
    /// A model of texts.
    pub fn image_model(&self) -> Result<&ImageModel> {
        match &self.network {
            Network::Image(net) => Ok(net),
            Network::Text(_) => Err(Error::Argument("this model is none for photos".to_owned())),
        }
    }

    /// Texts as the network takes them; longer ones are cut.
    ///
    /// # Errors
    /// A model of images, or one without tokenizer.
    pub fn tokens(&self, texts: &[impl AsRef<str>]) -> Result<TokenBatch> {
        let none = || Error::Argument("this model has no tokenizer, so it is none for texts".to_owned());
        let TextInput { tokenizer, max_length } = self.text.as_ref().ok_or_else(none)?;
        let options = EncodeOptions { max_length: Some(*max_length), ..EncodeOptions::default() };
        let inputs: Vec<_> = texts.iter().map(|text| (text.as_ref(), None)).collect();
        let parts = tokenizer.encode_batch(&inputs, &options).map_err(Error::data)?;
        let firsts: Vec<_> = parts.iter().filter_map(|parts| parts.first()).collect();
        let TextBatch { batch, length, ids, types, mask, .. } =
            TextBatch::pad(&firsts, tokenizer.pad_id().unwrap_or(0));
        Ok(TokenBatch { batch, length, ids, types, mask })
    }

    /// Photos as the network takes them: (N, 3, H, W).
    ///
    /// # Errors
    /// A model of texts, or one that does not say how photos are to be prepared.
    pub fn images(&self, photos: &[Image]) -> Result<Tensor> {
        let none = || {
            Error::Argument(
                "this model does not say how photos are to be prepared, so it is none for photos".to_owned(),
            )
        };
        self.preprocess.as_ref().ok_or_else(none)?.batch(photos).map_err(Error::data)
    }

    /// Writes the folder; an earlier checkpoint in it is replaced.
    ///
    /// # Errors
    /// A folder that holds a model of another origin, or a file system that refuses (no permission, disk full). Nothing is
    /// left half written then, and what was there is as it was.
    pub fn save(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let state = self.network.state();
        let mut texts = Vec::new();
        if let Some(TextInput { tokenizer, max_length }) = &self.text {
            texts.push((TOKENIZER, format!("{}\n", tokenizer.to_json())));
            texts.push((TOKENIZER_CONFIG, pretty(&tokenizer.config_json(*max_length))));
            texts.extend(tokenizer.vocab_text().map(|text| (VOCAB, text)));
        }
        if let Some(preprocess) = &self.preprocess {
            texts.push((PREPROCESS, pretty(&preprocess.to_json())));
        }
        let print = files::fingerprint_of(&state);
        let mut prints: Map<String, Json> =
            texts.iter().map(|(name, text)| ((*name).to_owned(), files::fingerprint(text).into())).collect();
        prints.insert(WEIGHTS.to_owned(), print.clone().into());
        texts.push((CONFIG, pretty(&config::to_json(&self.network, &self.labels, &self.metrics, prints))));

        let tensors: Vec<_> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        files::replace(folder.as_ref(), &[VOCAB, TOKENIZER, TOKENIZER_CONFIG, PREPROCESS, CONFIG, WEIGHTS], |aside| {
            for (name, text) in &texts {
                weights_import::atomic_write(aside.join(name), |out| out.write_all(text.as_bytes()))?;
            }
            let said = [("ukulele".to_owned(), print.clone())];
            Ok(weights_import::save_safetensors(aside.join(WEIGHTS), &tensors, &said, Dtype::F32)?)
        })
    }

    /// Reads a folder that [`Model::save`] wrote.
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
        let broken = |name: &str, error: ukulele_data::Error| Error::checkpoint(&folder.join(name), error.to_string());
        let preprocess = parsed(PREPROCESS)?
            .map(|json| Preprocess::from_json(&json).map_err(|error| broken(PREPROCESS, error)))
            .transpose()?;
        let (whole, vocab, about) = (text(TOKENIZER)?, text(VOCAB)?, parsed(TOKENIZER_CONFIG)?);
        let wrong = |what: &str| Error::checkpoint(&folder.join(TOKENIZER_CONFIG), format!("has no {what}"));
        let tokenizer = match (whole, vocab, &about) {
            (Some(json), ..) => {
                let source = folder.join(TOKENIZER).display().to_string();
                Some(Tokenizer::from_tokenizer_json(&json, &source).map_err(Error::data)?)
            }
            // Of before tokenizer.json was written.
            (None, Some(vocab), Some(about)) => {
                let lower = about["do_lower_case"].as_bool();
                let lower = lower.ok_or_else(|| wrong("`do_lower_case` that is true or false"))?;
                let casing = if lower { Casing::Uncased } else { Casing::Cased };
                Some(Tokenizer::from_vocab(&vocab, casing).map_err(|error| broken(VOCAB, error))?)
            }
            _ => None,
        };
        let text = match (tokenizer, about) {
            (Some(tokenizer), Some(about)) => {
                let length = about["model_max_length"].as_u64().and_then(|n| usize::try_from(n).ok());
                let max_length = length.ok_or_else(|| wrong("`model_max_length` that is a whole number"))?;
                Some(TextInput { tokenizer, max_length })
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
        let Some(found) = found.as_ref().filter(|found| config.fits(found)) else {
            let found = found.map_or("no model that is known".to_owned(), |found| found.to_string());
            return Err(Error::checkpoint(&path, format!("holds {found}; config.json describes another model")));
        };
        let mut network = config.build(found)?;
        let _everything = network.load(&weights, &Dialect::plain())?.strict()?;
        Ok(Self { network, labels: config.labels, text, preprocess, metrics: config.metrics })
    }
}

/// Names that all differ.
pub(crate) fn distinct(labels: &[impl AsRef<str>]) -> Result<Vec<String>> {
    let labels: Vec<String> = labels.iter().map(|label| label.as_ref().to_owned()).collect();
    match labels.iter().enumerate().find_map(|(i, label)| labels[..i].contains(label).then_some(label)) {
        Some(twice) => Err(Error::Argument(format!("two classes are named `{twice}`"))),
        None => Ok(labels),
    }
}

fn pretty(value: &Json) -> String {
    format!("{value:#}\n")
}
