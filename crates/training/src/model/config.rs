//! `config.json`: a model's measures and labels.

use super::Network;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use ukulele_layers::Init;
use ukulele_models::{BertConfig, ImageConfig, ImageModel, Pooling, TextHead, TextModel, TextTask};
use weights_import::{Architecture, Dialect};

/// The layout of the folder; a larger number is of a later version of this library.
const LAYOUT: u64 = 1;

/// What `model_type` begins with for image models under torchvision's names. (`resnet` alone would be Hugging Face's, whose
/// names are others.)
const TORCHVISION: &str = "torchvision-";

/// The parsed file.
pub(super) struct Config {
    measures: Measures,
    pub(super) labels: Vec<String>,
    /// As many as labels, where there are any.
    classes: usize,
    pub(super) metrics: Map<String, Json>,
    /// Fingerprints of the other files.
    pub(super) files: BTreeMap<String, String>,
}

/// What a model is built from.
enum Measures {
    /// With the pooling of a model that sorts texts.
    Text(BertConfig, TextTask, Option<Pooling>),
    Image(ImageConfig),
}

/// The content of `config.json`.
pub(super) fn to_json(
    network: &Network,
    labels: &[String],
    metrics: &Map<String, Json>,
    files: Map<String, Json>,
) -> Json {
    let mut ours = json!({ "layout": LAYOUT, "version": env!("CARGO_PKG_VERSION") });
    let mut config = Map::new();
    match network {
        Network::Text(net) => {
            config.extend(net.to_json(&[]));
            if let TextHead::SequenceClassification(head) = &net.head {
                ours["pooling"] = head.pooling.name().into();
            }
        }
        Network::Image(net) => {
            let measures = net.config().to_json();
            let model = measures["model_type"].as_str().unwrap_or_default();
            config.insert("model_type".into(), format!("{TORCHVISION}{model}").into());
            ours["image"] = measures.into();
        }
    }
    if labels.is_empty() {
        if network.classes() > 0 {
            config.insert("num_labels".into(), network.classes().into());
        }
    } else {
        let numbered = labels.iter().enumerate();
        let names: Map<_, _> = numbered.clone().map(|(i, label)| (i.to_string(), label.clone().into())).collect();
        config.insert("id2label".into(), names.into());
        let numbers: Map<_, _> = numbered.map(|(i, label)| (label.clone(), i.into())).collect();
        config.insert("label2id".into(), numbers.into());
    }
    ours["metrics"] = metrics.clone().into();
    ours["files"] = files.into();
    config.insert("ukulele".into(), ours);
    config.into()
}

impl Config {
    /// Reads the content of `config.json`.
    ///
    /// # Errors
    /// What is missing or wrong, in words.
    pub(super) fn parse(config: &Json) -> Result<Self, String> {
        let ours = &config["ukulele"];
        if !ours.is_object() {
            return Err(
                "has no `ukulele` entry: this model was not saved by ukulele; load it as pretrained weights".into()
            );
        }
        match ours["layout"].as_u64() {
            Some(LAYOUT) => {}
            Some(later) => return Err(format!("has layout {later}, this version reads {LAYOUT}; use a newer ukulele")),
            None => return Err("has no `layout` under `ukulele`".into()),
        }
        let labels = labels(&config["id2label"])?;
        let classes = match &config["num_labels"] {
            number if labels.is_empty() => {
                number.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= 1 << 16)
            }
            _ => Some(labels.len()),
        };
        let classes = classes.unwrap_or(0);
        let measures = match config["model_type"].as_str() {
            Some(model) if model.starts_with(TORCHVISION) => {
                // Before other networks than ResNets were saved, the entry had their name.
                let measures = if ours["image"].is_null() { &ours["resnet"] } else { &ours["image"] };
                let measures = ImageConfig::from_json(measures).map_err(|error| error.to_string())?;
                Measures::Image(measures.with_classes(classes))
            }
            Some(_) => {
                let measures = BertConfig::from_json(config).map_err(|error| error.to_string())?;
                let named = |name| {
                    Pooling::from_name(name)
                        .ok_or("has a `pooling` under `ukulele` that is not pooler, cls, mean or max")
                };
                let pooling = ours["pooling"].as_str().map(named).transpose()?;
                let class = config["architectures"][0].as_str();
                let task = match pooling {
                    Some(_) => TextTask::SequenceClassification,
                    None => class.and_then(TextTask::of_class).ok_or("has no `architectures` that are known")?,
                };
                if classes == 0 && matches!(task, TextTask::SequenceClassification | TextTask::TokenClassification) {
                    return Err("has neither `id2label` nor `num_labels`".into());
                }
                Measures::Text(measures, task, pooling)
            }
            None => return Err(format!("has no `model_type`; known are bert, roberta .. and {TORCHVISION}resnet ..")),
        };
        let files = ours["files"].as_object().ok_or("has no `files` under `ukulele`")?;
        let files =
            files.iter().map(|(name, print)| (name.clone(), print.as_str().unwrap_or_default().to_owned())).collect();
        Ok(Self { measures, labels, classes, metrics: ours["metrics"].as_object().cloned().unwrap_or_default(), files })
    }

    /// Whether a file's tensors are of these measures: to be asked before memory is taken for a model of any size.
    pub(super) fn fits(&self, found: &Architecture) -> bool {
        if self.classes > 0 && found.classes().is_some_and(|classes| classes != self.classes) {
            return false;
        }
        match (&self.measures, found) {
            (Measures::Text(config, ..), Architecture::Bert(found)) => config.fits(found),
            (Measures::Image(config), found) => ImageConfig::from_weights(found, &Dialect::plain(), config.classes())
                .is_ok_and(|f| config.same_trunk(&f)),
            _ => false,
        }
    }

    /// The model of a file with such tensors, with fresh weights.
    pub(super) fn build(&self, found: &Architecture) -> ukulele_layers::Result<Network> {
        let init = &mut Init::zeros();
        let mut net = match &self.measures {
            Measures::Text(config, _, Some(pooling)) => TextModel::classifier(config, self.classes, *pooling, init)?,
            Measures::Text(config, task, None) => TextModel::new(config, *task, self.classes, init)?,
            Measures::Image(config) => return Ok(ImageModel::new(config, init).into()),
        };
        net.keep_pooler(matches!(found, Architecture::Bert(found) if found.pooler));
        Ok(net.into())
    }
}

/// The labels in order of their numbers; none where none are named.
fn labels(numbered: &Json) -> Result<Vec<String>, String> {
    let Some(entries) = numbered.as_object() else {
        return if numbered.is_null() { Ok(Vec::new()) } else { Err("has an `id2label` that is no object".into()) };
    };
    let label = |i: usize| entries.get(&i.to_string()).and_then(Json::as_str).map(str::to_owned);
    let count = entries.len();
    (0..count).map(|i| label(i).ok_or_else(|| format!("`id2label` of {count} labels has no text for {i}"))).collect()
}
