//! `config.json`: a model's measures and labels.

use super::Network;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use ukulele_layers::Init;
use ukulele_models::{BertConfig, BertForSequenceClassification, ImageConfig, ImageModel, Pooling};
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
    Bert(BertConfig, Pooling),
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
        Network::Bert(net) => {
            // Hugging Face's class always has a pooler: what pools otherwise is to be read as a trunk there.
            let class = if net.pooling == Pooling::Pooler { "BertForSequenceClassification" } else { "BertModel" };
            config.insert("architectures".into(), json!([class]));
            config.extend(net.bert.config().to_json());
            config.insert("problem_type".into(), "single_label_classification".into());
            ours["pooling"] = net.pooling.name().into();
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
        let labels = labels(&config["id2label"])?;
        let measures = match config["model_type"].as_str() {
            Some("bert") => {
                let measures = BertConfig::from_json(config).map_err(|error| error.to_string())?;
                let pooling = ours["pooling"].as_str().and_then(Pooling::from_name);
                Measures::Bert(
                    measures,
                    pooling.ok_or("has no `pooling` under `ukulele` that is pooler, cls, mean or max")?,
                )
            }
            Some(model) if model.starts_with(TORCHVISION) => {
                // Before other networks than ResNets were saved, the entry had their name.
                let measures = if ours["image"].is_null() { &ours["resnet"] } else { &ours["image"] };
                let measures = ImageConfig::from_json(measures).map_err(|error| error.to_string())?;
                Measures::Image(measures.with_classes(labels.len()))
            }
            Some(other) => {
                return Err(format!("has the `model_type` {other}; known are bert and {TORCHVISION}resnet .. "));
            }
            None => return Err(format!("has no `model_type`; known are bert and {TORCHVISION}resnet ..")),
        };
        let files = ours["files"].as_object().ok_or("has no `files` under `ukulele`")?;
        let files =
            files.iter().map(|(name, print)| (name.clone(), print.as_str().unwrap_or_default().to_owned())).collect();
        Ok(Self { measures, labels, metrics: ours["metrics"].as_object().cloned().unwrap_or_default(), files })
    }

    /// Whether a file's tensors are of these measures: to be asked before memory is taken for a model of any size.
    pub(super) fn fits(&self, found: &Architecture) -> bool {
        match (&self.measures, found) {
            (Measures::Bert(c, _), Architecture::Bert(f)) => {
                let own = (c.num_hidden_layers, c.hidden_size, c.intermediate_size, c.vocab_size);
                let (positions, types) = (c.max_position_embeddings, c.type_vocab_size);
                own == (f.layers, f.hidden, f.intermediate, f.vocab) && (positions, types) == (f.positions, f.types)
            }
            (Measures::Image(config), found) => ImageConfig::from_weights(found, &Dialect::plain(), config.classes())
                .is_ok_and(|f| config.same_trunk(&f)),
            _ => false,
        }
    }

    /// The model, with fresh weights.
    pub(super) fn build(&self) -> Network {
        let init = &mut Init::zeros();
        match &self.measures {
            Measures::Bert(config, pooling) => {
                BertForSequenceClassification::new(config, self.labels.len(), *pooling, init).into()
            }
            Measures::Image(config) => ImageModel::new(config, init).into(),
        }
    }
}

/// The labels in order of their numbers.
fn labels(numbered: &Json) -> Result<Vec<String>, String> {
    let entries = numbered.as_object().filter(|entries| !entries.is_empty()).ok_or("has no `id2label`")?;
    let label = |i: usize| entries.get(&i.to_string()).and_then(Json::as_str).map(str::to_owned);
    let count = entries.len();
    (0..count).map(|i| label(i).ok_or_else(|| format!("`id2label` of {count} labels has no text for {i}"))).collect()
}
