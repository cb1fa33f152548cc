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
            config.extend(net.to_json(labels));
            if let TextHead::SequenceClassification(head) = &net.head {
                config.insert("problem_type".into(), "single_label_classification".into());
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
    config.insert("num_labels".into(), labels.len().into());
    let numbered = labels.iter().enumerate();
    config.insert(
        "id2label".into(),
        numbered.clone().map(|(i, l)| (i.to_string(), l.clone().into())).collect::<Map<_, _>>().into(),
    );
    config.insert("label2id".into(), numbered.map(|(i, l)| (l.clone(), i.into())).collect::<Map<_, _>>().into());
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
        let mut labels = labels(&config["id2label"]);
        let measures = match config["model_type"].as_str() {
            Some(model) if model.starts_with(TORCHVISION) => {
                // Before other networks than ResNets were saved, the entry had their name.
                let measures = if ours["image"].is_null() { &ours["resnet"] } else { &ours["image"] };
                let measures = ImageConfig::from_json(measures).map_err(|error| error.to_string())?;
                Measures::Image(measures.with_classes(labels.as_ref().map_or(0, Vec::len)))
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
                if !matches!(task, TextTask::SequenceClassification | TextTask::TokenClassification) {
                    labels = labels.or(Ok(Vec::new()));
                }
                Measures::Text(measures, task, pooling)
            }
            None => return Err(format!("has no `model_type`; known are bert, roberta .. and {TORCHVISION}resnet ..")),
        };
        let labels = labels?;
        let files = ours["files"].as_object().ok_or("has no `files` under `ukulele`")?;
        let files =
            files.iter().map(|(name, print)| (name.clone(), print.as_str().unwrap_or_default().to_owned())).collect();
        Ok(Self { measures, labels, metrics: ours["metrics"].as_object().cloned().unwrap_or_default(), files })
    }

    /// Whether a file's tensors are of these measures: to be asked before memory is taken for a model of any size.
    pub(super) fn fits(&self, found: &Architecture) -> bool {
        match (&self.measures, found) {
            (Measures::Text(config, ..), Architecture::Bert(found)) => config.fits(found),
            (Measures::Image(config), found) => ImageConfig::from_weights(found, &Dialect::plain(), config.classes())
                .is_ok_and(|f| config.same_trunk(&f)),
            _ => false,
        }
    }

    /// The model, with fresh weights.
    pub(super) fn build(&self) -> ukulele_layers::Result<Network> {
        let (init, classes) = (&mut Init::zeros(), self.labels.len());
        Ok(match &self.measures {
            Measures::Text(config, _, Some(pooling)) => TextModel::classifier(config, classes, *pooling, init)?.into(),
            Measures::Text(config, task, None) => TextModel::new(config, *task, classes, init)?.into(),
            Measures::Image(config) => ImageModel::new(config, init).into(),
        })
    }
}

/// The labels in order of their numbers.
fn labels(numbered: &Json) -> Result<Vec<String>, String> {
    let entries = numbered.as_object().filter(|entries| !entries.is_empty()).ok_or("has no `id2label`")?;
    let label = |i: usize| entries.get(&i.to_string()).and_then(Json::as_str).map(str::to_owned);
    let count = entries.len();
    (0..count).map(|i| label(i).ok_or_else(|| format!("`id2label` of {count} labels has no text for {i}"))).collect()
}
