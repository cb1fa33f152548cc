//! The measures of BERT and its relatives, and their `config.json`.

use serde_json::{Map, Value as Json, json};
use ukulele_layers::{Embedding, Error, Gelu, Init, Result};
use weights_import::{Bert, TextFamily};

/// Deviation of fresh weights.
pub(crate) const DEVIATION: f64 = 0.02;

/// The measures of a BERT or a relative, as BERT's `config.json` names them.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Which of them.
    pub family: TextFamily,
    /// The `model_type` in `config.json` where it is not the family's own: `xlm-roberta` or `camembert`, of RoBERTa.
    pub alias: Option<&'static str>,
    /// Word pieces in the table.
    pub vocab_size: usize,
    /// Width of the embeddings, where it is not D: of ELECTRA and ALBERT.
    pub embedding_size: Option<usize>,
    /// D.
    pub hidden_size: usize,
    /// L.
    pub num_hidden_layers: usize,
    /// Heads of attention; divides D.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// ALBERT: groups of layers that have weights of their own, and layers in each.
    pub hidden_groups: usize,
    /// ALBERT: layers of a group.
    pub inner_group_num: usize,
    /// Rows of the table of positions: the longest sequence, see [`BertConfig::longest`].
    pub max_position_embeddings: usize,
    /// Kinds of segment; 0 for DistilBERT.
    pub type_vocab_size: usize,
    /// The id of padding, from behind which RoBERTa counts positions.
    pub pad_token_id: usize,
    /// ε of all layer norms.
    pub layer_norm_eps: f64,
    /// Form of GELU.
    pub hidden_act: Gelu,
    /// Dropout after each part.
    pub hidden_dropout_prob: f32,
    /// Dropout on the weights of attention.
    pub attention_probs_dropout_prob: f32,
    /// Dropout before a classifier, where it differs from `hidden_dropout_prob`.
    pub classifier_dropout: Option<f32>,
    /// DistilBERT: dropout before the beginning and end of an answer are scored.
    pub qa_dropout: Option<f32>,
}

impl Default for BertConfig {
    /// bert-base-uncased.
    fn default() -> Self {
        Self {
            family: TextFamily::Bert,
            alias: None,
            vocab_size: 30522,
            embedding_size: None,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_groups: 1,
            inner_group_num: 1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            pad_token_id: 0,
            layer_norm_eps: 1e-12,
            hidden_act: Gelu::Erf,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            qa_dropout: None,
        }
    }
}

impl BertConfig {
    const ALIASES: [&'static str; 2] = ["xlm-roberta", "camembert"];

    /// The names that [`BertConfig::named`] knows.
    pub const NAMES: [&'static str; 21] = [
        "bert_tiny",
        "bert_mini",
        "bert_small",
        "bert_medium",
        "bert_base",
        "bert_base_cased",
        "bert_base_multilingual",
        "bert_large",
        "bert_large_cased",
        "minilm_l6",
        "minilm_l12",
        "roberta_base",
        "roberta_large",
        "xlm_roberta_base",
        "distilbert_base",
        "electra_small",
        "electra_base",
        "electra_large",
        "albert_base",
        "albert_large",
        "albert_xlarge",
    ];

    /// The measures of a published model: Google's BERTs, ELECTRAs and ALBERTs, Microsoft's MiniLMs as sentence-transformers
    /// distribute them, Facebook's RoBERTas, Hugging Face's DistilBERT. Source: the `config.json` of each.
    pub fn named(name: &str) -> Option<Self> {
        let sized = |family, layers, hidden: usize| Self {
            num_hidden_layers: layers,
            hidden_size: hidden,
            num_attention_heads: hidden / 64,
            intermediate_size: 4 * hidden,
            ..Self::of_family(family)
        };
        let bert = |layers, hidden| sized(TextFamily::Bert, layers, hidden);
        let minilm = |layers| Self { num_attention_heads: 12, ..bert(layers, 384) };
        let roberta = |layers, hidden| Self {
            max_position_embeddings: 514,
            type_vocab_size: 1,
            layer_norm_eps: 1e-5,
            ..sized(TextFamily::Roberta, layers, hidden)
        };
        let electra =
            |layers, hidden| Self { embedding_size: Some(hidden), ..sized(TextFamily::Electra, layers, hidden) };
        let albert =
            |layers, hidden, heads| Self { num_attention_heads: heads, ..sized(TextFamily::Albert, layers, hidden) };
        Some(match name {
            "bert_tiny" => bert(2, 128),
            "bert_mini" => bert(4, 256),
            "bert_small" => bert(4, 512),
            "bert_medium" => bert(8, 512),
            "bert_base" => bert(12, 768),
            "bert_base_cased" => Self { vocab_size: 28996, ..bert(12, 768) },
            "bert_base_multilingual" => Self { vocab_size: 119_547, ..bert(12, 768) },
            "bert_large" => bert(24, 1024),
            "bert_large_cased" => Self { vocab_size: 28996, ..bert(24, 1024) },
            "minilm_l6" => minilm(6),
            "minilm_l12" => minilm(12),
            "roberta_base" => roberta(12, 768),
            "roberta_large" => roberta(24, 1024),
            "xlm_roberta_base" => Self { alias: Some("xlm-roberta"), vocab_size: 250_002, ..roberta(12, 768) },
            "distilbert_base" => sized(TextFamily::DistilBert, 6, 768),
            "electra_small" => Self { embedding_size: Some(128), ..electra(12, 256) },
            "electra_base" => electra(12, 768),
            "electra_large" => electra(24, 1024),
            "albert_base" => albert(12, 768, 12),
            "albert_large" => albert(24, 1024, 16),
            "albert_xlarge" => albert(24, 2048, 16),
            _ => return None,
        })
    }

    /// What a `config.json` of this family means where it is silent.
    pub fn of_family(family: TextFamily) -> Self {
        let base = Self { family, ..Self::default() };
        match family {
            TextFamily::Bert => base,
            TextFamily::Roberta => Self { vocab_size: 50265, pad_token_id: 1, ..base },
            TextFamily::Electra => Self {
                embedding_size: Some(128),
                hidden_size: 256,
                num_attention_heads: 4,
                intermediate_size: 1024,
                ..base
            },
            TextFamily::DistilBert => {
                let (classifier_dropout, qa_dropout) = (Some(0.2), Some(0.1));
                Self { num_hidden_layers: 6, type_vocab_size: 0, classifier_dropout, qa_dropout, ..base }
            }
            TextFamily::Albert => Self {
                vocab_size: 30000,
                embedding_size: Some(128),
                hidden_size: 4096,
                num_attention_heads: 64,
                intermediate_size: 16384,
                hidden_act: Gelu::Tanh,
                hidden_dropout_prob: 0.0,
                attention_probs_dropout_prob: 0.0,
                classifier_dropout: Some(0.1),
                ..base
            },
        }
    }

    /// The names of its numbers in the `config.json` of this family: width, layers, heads, feed-forward width, activation,
    /// dropout, dropout of attention, dropout of the classifier.
    fn keys(family: TextFamily) -> [&'static str; 8] {
        match family {
            TextFamily::DistilBert => [
                "dim",
                "n_layers",
                "n_heads",
                "hidden_dim",
                "activation",
                "dropout",
                "attention_dropout",
                "seq_classif_dropout",
            ],
            _ => [
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
                "hidden_act",
                "hidden_dropout_prob",
                "attention_probs_dropout_prob",
                if family == TextFamily::Albert { "classifier_dropout_prob" } else { "classifier_dropout" },
            ],
        }
    }

    /// Reads the parsed `config.json` of a Hugging Face model; what it does not name is as in [`BertConfig::of_family`].
    ///
    /// # Errors
    /// A `model_type` that is none of these, a number that is none or is out of range, an activation that BERT does not have, or
    /// heads that do not divide D.
    pub fn from_json(config: &Json) -> Result<Self> {
        let wrong =
            |key: &str, what: &str| Error::argument("config.json", format!("`{key}` is {}; {what}", config[key]));
        let alias = Self::ALIASES.into_iter().find(|alias| config["model_type"] == *alias);
        let family = match config["model_type"].as_str() {
            None => TextFamily::Bert,
            Some(_) if alias.is_some() => TextFamily::Roberta,
            Some(kind) => TextFamily::ALL.into_iter().find(|family| family.prefix() == kind).ok_or_else(|| {
                wrong("model_type", "bert, roberta, xlm-roberta, electra, distilbert and albert are known")
            })?,
        };
        let size_from = |key: &str, default: usize, least: u64| match &config[key] {
            Json::Null => Ok(default),
            value => value
                .as_u64()
                .filter(|n| (least..=1 << 24).contains(n))
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| wrong(key, &format!("a whole number from {least} to 16,777,216 belongs there"))),
        };
        let size = |key: &str, default: usize| size_from(key, default, 1);
        let number = |key: &str, default: f64, below: f64| match &config[key] {
            Json::Null => Ok(default),
            value => value
                .as_f64()
                .filter(|x| (0.0..below).contains(x))
                .ok_or_else(|| wrong(key, &format!("a number from 0 to below {below} belongs there"))),
        };
        let count = |key: &str, default: usize| match size(key, default)? {
            count @ 0..=4096 => Ok(count),
            _ => Err(wrong(key, "at most 4096 belong there")),
        };
        let rate = |key: &str, default: f32| number(key, f64::from(default), 1.0).map(|rate| rate as f32);
        let base = Self::of_family(family);
        let [width, layers, heads, wide, act, dropout, attention, classifier] = Self::keys(family);
        let hidden_size = size(width, base.hidden_size)?;
        let narrow = matches!(family, TextFamily::Electra | TextFamily::Albert);
        let config = Self {
            family,
            alias,
            vocab_size: size("vocab_size", base.vocab_size)?,
            embedding_size: if narrow { Some(size("embedding_size", base.embedding())?) } else { None },
            hidden_size,
            num_hidden_layers: count(layers, base.num_hidden_layers)?,
            num_attention_heads: count(heads, base.num_attention_heads)?,
            intermediate_size: size(wide, base.intermediate_size)?,
            hidden_groups: count("num_hidden_groups", base.hidden_groups)?,
            inner_group_num: count("inner_group_num", base.inner_group_num)?,
            max_position_embeddings: size("max_position_embeddings", base.max_position_embeddings)?,
            type_vocab_size: match family {
                TextFamily::DistilBert => 0,
                _ => size("type_vocab_size", base.type_vocab_size)?,
            },
            pad_token_id: size_from("pad_token_id", base.pad_token_id, 0)?,
            layer_norm_eps: number("layer_norm_eps", base.layer_norm_eps, 1.0)?,
            hidden_act: match config[act].as_str() {
                None if config[act].is_null() => base.hidden_act,
                Some("gelu") => Gelu::Erf,
                Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh") => Gelu::Tanh,
                _ => return Err(wrong(act, "BERT has gelu, gelu_new or gelu_pytorch_tanh")),
            },
            hidden_dropout_prob: rate(dropout, base.hidden_dropout_prob)?,
            attention_probs_dropout_prob: rate(attention, base.attention_probs_dropout_prob)?,
            classifier_dropout: match &config[classifier] {
                Json::Null => base.classifier_dropout,
                _ => Some(rate(classifier, 0.0)?),
            },
            qa_dropout: base.qa_dropout.map(|usual| rate("qa_dropout", usual)).transpose()?,
        };
        config.check()?;
        Ok(config)
    }

    /// What the tables and layers need of one another.
    fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::argument("config.json", message));
        let Self { hidden_size, num_attention_heads: heads, num_hidden_layers: layers, hidden_groups: groups, .. } =
            *self;
        if !hidden_size.is_multiple_of(heads) {
            return fail(format!("{heads} heads do not divide a hidden size of {hidden_size}"));
        }
        if groups > layers {
            return fail(format!("{groups} groups for {layers} layers"));
        }
        if self.family == TextFamily::Roberta && self.max_position_embeddings <= self.pad_token_id + 1 {
            return fail(format!(
                "{} positions, of which a RoBERTa with padding {} uses none",
                self.max_position_embeddings, self.pad_token_id
            ));
        }
        Ok(())
    }

    /// Tokens of the longest sequence.
    pub fn longest(&self) -> usize {
        match self.family {
            TextFamily::Roberta => self.max_position_embeddings.saturating_sub(self.pad_token_id + 1),
            _ => self.max_position_embeddings,
        }
    }

    /// Width of the embeddings.
    pub fn embedding(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// A fresh table of words.
    pub(crate) fn word_embeddings(&self, init: &mut Init) -> Embedding {
        let table = Embedding::new(self.vocab_size, self.embedding(), DEVIATION, init);
        Embedding { padding: Some(self.pad_token_id), ..table }
    }

    /// The rate of dropout before a classifier.
    pub fn classifier_dropout(&self) -> f32 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// The measures that a file's names and shapes tell of, with the knobs of its dialect, for a file without
    /// `config.json`.
    pub fn from_weights(found: &weights_import::Bert, knobs: &weights_import::Knobs) -> Self {
        let base = Self::of_family(found.family);
        let shared = found.family == TextFamily::Albert;
        Self {
            vocab_size: found.vocab,
            embedding_size: Some(found.embedding).filter(|&width| width != found.hidden),
            hidden_size: found.hidden,
            // How often shared layers are gone through, no tensor tells; the published ones of these widths do so 24 times.
            num_hidden_layers: match (shared, found.hidden) {
                (true, 1024 | 2048) => 24,
                (true, _) => base.num_hidden_layers,
                _ => found.layers,
            },
            hidden_groups: if shared { found.layers } else { 1 },
            inner_group_num: found.inner,
            num_attention_heads: found.heads,
            intermediate_size: found.intermediate,
            max_position_embeddings: found.positions,
            type_vocab_size: found.types,
            layer_norm_eps: knobs.layer_norm_eps,
            hidden_act: match knobs.gelu {
                weights_import::Gelu::Erf => Gelu::Erf,
                weights_import::Gelu::Tanh => Gelu::Tanh,
            },
            ..base
        }
    }

    /// Whether tensors are of these measures: to be asked before memory is taken for a model of any size.
    pub fn fits(&self, found: &Bert) -> bool {
        // Layers that share their weights lie in a file once.
        let layers = if self.family == TextFamily::Albert { self.hidden_groups } else { self.num_hidden_layers };
        let inner = if self.family == TextFamily::Albert { self.inner_group_num } else { 1 };
        let sizes = (self.hidden_size, self.intermediate_size, self.embedding(), layers, inner);
        let tables = (self.vocab_size, self.max_position_embeddings, self.type_vocab_size);
        sizes == (found.hidden, found.intermediate, found.embedding, found.layers, found.inner)
            && tables == (found.vocab, found.positions, found.types)
    }

    /// The entries of a Hugging Face `config.json`.
    pub fn to_json(&self) -> Map<String, Json> {
        let [width, layers, heads, wide, act, dropout, attention, classifier] = Self::keys(self.family);
        let config = json!({
            "model_type": self.alias.unwrap_or(self.family.prefix()),
            "vocab_size": self.vocab_size,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            wide: self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            act: match self.hidden_act { Gelu::Erf => "gelu", Gelu::Tanh => "gelu_new" },
            dropout: decimal(self.hidden_dropout_prob),
            attention: decimal(self.attention_probs_dropout_prob),
            "pad_token_id": self.pad_token_id,
        });
        let mut config = config.as_object().cloned().unwrap_or_default();
        let mut add = |key: &str, value: Json| config.insert(key.to_owned(), value);
        if self.family != TextFamily::DistilBert {
            add("type_vocab_size", self.type_vocab_size.into());
            add("layer_norm_eps", self.layer_norm_eps.into());
        }
        if matches!(self.family, TextFamily::Electra | TextFamily::Albert) {
            add("embedding_size", self.embedding().into());
        }
        if self.family == TextFamily::Albert {
            add("num_hidden_groups", self.hidden_groups.into());
            add("inner_group_num", self.inner_group_num.into());
        }
        if let Some(rate) = self.classifier_dropout {
            add(classifier, decimal(rate).into());
        }
        if let Some(rate) = self.qa_dropout {
            add("qa_dropout", decimal(rate).into());
        }
        config
    }
}

/// The number with the fewest digits that rounds to `value`: 0.1, not 0.10000000149.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
