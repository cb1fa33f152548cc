//! Which architecture, of which size, do names and shapes tell of?

use crate::guess_images::{cifar_resnet, inception, resnet, resnet_v2, vgg};
use crate::{Dialect, KerasLayer, KerasSequential, Weights};
use std::collections::BTreeMap;
use std::fmt;

/// An architecture with its configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// A residual network.
    ResNet(ResNet),
    /// A residual network whose blocks normalise first.
    ResNetV2(ResNetV2),
    /// A residual network of small images.
    CifarResNet(CifarResNet),
    /// A `Sequential` of Keras.
    KerasSequential(KerasSequential),
    /// A BERT encoder.
    Bert(Bert),
    /// A VGG.
    Vgg(Vgg),
    /// Inception v3.
    InceptionV3(Inception),
    /// GoogLeNet (Inception v1).
    GoogLeNet(Inception),
    /// Inception v4.
    InceptionV4(Inception),
    /// Inception-ResNet v1, of faces.
    InceptionResNetV1(Inception),
    /// Inception-ResNet v2.
    InceptionResNetV2(Inception),
}

/// Configuration of a VGG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vgg {
    /// Channels out of each convolution, by stage.
    pub stages: Vec<Vec<usize>>,
    /// Whether a batch norm follows each convolution.
    pub batch_norm: bool,
    /// Channels of the image.
    pub channels: usize,
    /// Widths of the dense layers before the last, 4096 twice; empty without a classifier.
    pub hidden: Vec<usize>,
    /// Height and width of the map that the first dense layer sees: 7; 0 without a classifier.
    pub grid: usize,
    /// Classes of the last dense layer, `classifier.6`, if there is one.
    pub classes: Option<usize>,
}

/// Configuration of an Inception: of any [`Architecture`] of that name, or a GoogLeNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inception {
    /// Classes of the last dense layer, if there is one.
    pub classes: Option<usize>,
    /// Has auxiliary heads.
    pub aux: bool,
}

/// The residual block of a [`ResNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions (ResNet-18, -34).
    Basic,
    /// 1x1, 3x3, 1x1 with four times the channels outside (ResNet-50, -101, -152).
    Bottleneck,
}

/// Configuration of a residual network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNet {
    /// Its blocks.
    pub block: Block,
    /// Number of blocks of each stage, e.g. `[3, 4, 6, 3]`.
    pub layers: [usize; 4],
    /// Channels of the image.
    pub channels: usize,
    /// Channels after the stem: 64.
    pub stem: usize,
    /// Channels of the first two of three stem convolutions (timm's ResNet-C and -D).
    pub deep_stem: Option<[usize; 2]>,
    /// Shortcuts that change their shape pool before they convolve (timm's ResNet-D).
    pub pooled_shortcuts: bool,
    /// Width of the first stage, doubled by each further one: 64. A bottleneck block has four times that outside.
    pub width: usize,
    /// Channels of the first stage's 3x3 convolutions: as `width`, unless the network is "wide" or grouped.
    pub inner: usize,
    /// Groups of the 3x3 convolutions: 1.
    pub groups: usize,
    /// Classes of `fc`, if there is one.
    pub classes: Option<usize>,
}

/// Configuration of a residual network whose blocks normalise first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetV2 {
    /// Its blocks.
    pub block: Block,
    /// Number of blocks of each stage, e.g. `[3, 4, 6, 3]`.
    pub layers: [usize; 4],
    /// Channels of the image.
    pub channels: usize,
    /// Channels after the stem: 64.
    pub stem: usize,
    /// Channels of the first two of three stem convolutions (timm's d and t).
    pub deep_stem: Option<[usize; 2]>,
    /// Width of the first stage, doubled by each further one: 64. A bottleneck block has four times that outside.
    pub width: usize,
    /// Whether the convolutions that no norm follows have biases.
    pub conv_bias: bool,
    /// Classes of `head.fc`, if there is one.
    pub classes: Option<usize>,
}

/// Configuration of a residual network of small images (CIFAR): three stages of basic blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CifarResNet {
    /// Blocks of each stage: (depth - 2) / 6.
    pub blocks: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Channels of the first stage, doubled by each further one: 16.
    pub width: usize,
    /// Whether the shortcuts that change their shape are convolutions.
    pub projection: bool,
    /// Whether those are followed by batch norms.
    pub projection_norm: bool,
    /// Whether convolutions have biases.
    pub conv_bias: bool,
    /// Classes of `linear`, if there is one.
    pub classes: Option<usize>,
}

/// BERT and those that share its layout, but not all of what they compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFamily {
    /// BERT.
    Bert,
    /// RoBERTa, XLM-R: positions count from behind the padding's.
    Roberta,
    /// ELECTRA: embeddings may be narrower than the layers.
    Electra,
    /// DistilBERT: no segments, no pooler.
    DistilBert,
    /// ALBERT: layers share their weights.
    Albert,
}

impl TextFamily {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Bert, Self::Roberta, Self::Electra, Self::DistilBert, Self::Albert];

    /// What a model with a head calls its encoder: the prefix of its tensors' names, and the `model_type` of `config.json`
    /// (but for XLM-R, whose is `xlm-roberta`).
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::Electra => "electra",
            Self::DistilBert => "distilbert",
            Self::Albert => "albert",
        }
    }

    /// The name that people use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "BERT",
            Self::Roberta => "RoBERTa",
            Self::Electra => "ELECTRA",
            Self::DistilBert => "DistilBERT",
            Self::Albert => "ALBERT",
        }
    }
}

/// Configuration of the encoder of a BERT or a relative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bert {
    /// Which of them.
    pub family: TextFamily,
    /// Width of an embedding; mostly that of a token.
    pub embedding: usize,
    /// Number of encoder layers; of ALBERT those in the file, which are gone through several times.
    pub layers: usize,
    /// ALBERT: layers in each of those; else 1.
    pub inner: usize,
    /// Width of a token.
    pub hidden: usize,
    /// Attention heads: from `config.json`, else `hidden / 64`, as the shapes do not tell.
    pub heads: usize,
    /// Width of the feed-forward part.
    pub intermediate: usize,
    /// Size of the vocabulary.
    pub vocab: usize,
    /// Longest text in tokens.
    pub positions: usize,
    /// Token types (segments).
    pub types: usize,
    /// Has the pooler.
    pub pooler: bool,
    /// Has the head of the masked language model.
    pub mlm: bool,
    /// Classes of `classifier`, if there is one.
    pub classes: Option<usize>,
}

impl Architecture {
    /// The usual name: `ResNet-50`, `BERT`, `VGG-16`, `Inception v3`, `GoogLeNet`.
    pub fn name(&self) -> String {
        match self {
            Self::ResNet(net) => net.name(),
            Self::ResNetV2(net) => net.name(),
            Self::CifarResNet(net) => format!("ResNet-{}", 6 * net.blocks + 2),
            Self::KerasSequential(_) => "Keras Sequential".to_string(),
            Self::Bert(net) => net.family.name().to_string(),
            Self::Vgg(net) => net.name(),
            Self::InceptionV3(_) => "Inception v3".to_string(),
            Self::GoogLeNet(_) => "GoogLeNet".to_string(),
            Self::InceptionV4(_) => "Inception v4".to_string(),
            Self::InceptionResNetV1(_) => "Inception-ResNet v1".to_string(),
            Self::InceptionResNetV2(_) => "Inception-ResNet v2".to_string(),
        }
    }

    /// Classes of the head, if there is one.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::ResNet(net) => net.classes,
            Self::ResNetV2(net) => net.classes,
            Self::CifarResNet(net) => net.classes,
            Self::Vgg(net) => net.classes,
            Self::InceptionV3(net)
            | Self::GoogLeNet(net)
            | Self::InceptionV4(net)
            | Self::InceptionResNetV1(net)
            | Self::InceptionResNetV2(net) => net.classes,
            Self::Bert(net) => net.classes,
            Self::KerasSequential(net) => net.classes(),
        }
    }

    /// Whether both have the same trunk: the same but for heads (classes, pooler, masked language model), for what
    /// single tensors at the door tell by their shapes (channels of the image, words, positions, token types) and for the
    /// number of attention heads, which shapes do not tell.
    pub fn same_trunk(&self, other: &Self) -> bool {
        let inception = Inception { classes: None, aux: false };
        let trunk = |a: &Self| match a.clone() {
            Self::ResNet(net) => Self::ResNet(ResNet { classes: None, channels: 0, ..net }),
            Self::ResNetV2(net) => Self::ResNetV2(ResNetV2 { classes: None, channels: 0, ..net }),
            Self::CifarResNet(net) => Self::CifarResNet(CifarResNet { classes: None, channels: 0, ..net }),
            Self::KerasSequential(net) => Self::KerasSequential(net),
            Self::Vgg(net) => Self::Vgg(Vgg { classes: None, channels: 0, hidden: Vec::new(), grid: 0, ..net }),
            Self::InceptionV3(_) => Self::InceptionV3(inception.clone()),
            Self::GoogLeNet(_) => Self::GoogLeNet(inception.clone()),
            Self::InceptionV4(_) => Self::InceptionV4(inception.clone()),
            Self::InceptionResNetV1(_) => Self::InceptionResNetV1(inception.clone()),
            Self::InceptionResNetV2(_) => Self::InceptionResNetV2(inception.clone()),
            Self::Bert(net) => Self::Bert(Bert {
                // Encoders alone have BERT's names in all three.
                family: match net.family {
                    TextFamily::Roberta | TextFamily::Electra => TextFamily::Bert,
                    other => other,
                },
                heads: 0,
                pooler: false,
                mlm: false,
                classes: None,
                vocab: 0,
                positions: 0,
                types: 0,
                ..net
            }),
        };
        trunk(self) == trunk(other)
    }
}

impl ResNet {
    /// The usual name, e.g. `ResNet-50`, or `ResNet` if the number of blocks is unusual.
    pub fn name(&self) -> String {
        let depth = match (self.block, self.layers) {
            (Block::Basic, [2, 2, 2, 2]) => 18,
            (Block::Basic, [3, 4, 6, 3]) => 34,
            (Block::Bottleneck, [3, 4, 6, 3]) => 50,
            (Block::Bottleneck, [3, 4, 23, 3]) => 101,
            (Block::Bottleneck, [3, 8, 36, 3]) => 152,
            _ => return "ResNet".to_string(),
        };
        format!("ResNet-{depth}")
    }
}

impl ResNetV2 {
    /// The usual name, e.g. `ResNet-50 V2`, or `ResNet V2` if the number of blocks is unusual.
    pub fn name(&self) -> String {
        let depth = match (self.block, self.layers) {
            (Block::Basic, [2, 2, 2, 2]) => 18,
            (Block::Basic, [3, 4, 6, 3]) => 34,
            (Block::Bottleneck, [3, 4, 6, 3]) => 50,
            (Block::Bottleneck, [3, 4, 23, 3]) => 101,
            (Block::Bottleneck, [3, 8, 36, 3]) => 152,
            _ => return "ResNet V2".to_string(),
        };
        format!("ResNet-{depth} V2")
    }
}

impl Vgg {
    /// The usual name, e.g. `VGG-16`, or `VGG` if the number of convolutions is unusual.
    pub fn name(&self) -> String {
        let counts: Vec<usize> = self.stages.iter().map(Vec::len).collect();
        let depth = match counts.as_slice() {
            [1, 1, 2, 2, 2] => 11,
            [2, 2, 2, 2, 2] => 13,
            [2, 2, 3, 3, 3] => 16,
            [2, 2, 4, 4, 4] => 19,
            _ => return "VGG".to_string(),
        };
        format!("VGG-{depth}")
    }
}

fn head(f: &mut fmt::Formatter<'_>, classes: Option<usize>) -> fmt::Result {
    match classes {
        Some(classes) => write!(f, ", {classes} classes)"),
        None => write!(f, ", no head)"),
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vgg(net) => {
                let counts: Vec<String> = net.stages.iter().map(|s| s.len().to_string()).collect();
                let norm = if net.batch_norm { " with batch norm" } else { "" };
                write!(f, "a {}{norm} (stages of {} convolutions", net.name(), counts.join("-"))?;
                head(f, net.classes)
            }
            Self::InceptionV3(net) | Self::GoogLeNet(net) => {
                let name = if matches!(self, Self::InceptionV3(_)) { "an Inception v3" } else { "a GoogLeNet" };
                write!(f, "{name} ({} auxiliary head", if net.aux { "with" } else { "no" })?;
                head(f, net.classes)
            }
            Self::InceptionV4(net) | Self::InceptionResNetV1(net) | Self::InceptionResNetV2(net) => {
                write!(f, "an {} (no auxiliary head", self.name())?;
                head(f, net.classes)
            }
            Self::ResNetV2(net) => {
                let block = if net.block == Block::Basic { "basic" } else { "bottleneck" };
                let layers: Vec<String> = net.layers.iter().map(usize::to_string).collect();
                write!(f, "a {} ({block} blocks {}, width {}", net.name(), layers.join("-"), net.width)?;
                if net.deep_stem.is_some() {
                    write!(f, ", stem of three convolutions")?;
                }
                if net.conv_bias {
                    write!(f, ", biases")?;
                }
                head(f, net.classes)
            }
            Self::ResNet(net) => {
                let block = if net.block == Block::Basic { "basic" } else { "bottleneck" };
                let layers: Vec<String> = net.layers.iter().map(usize::to_string).collect();
                write!(f, "a {} ({block} blocks {}, width {}", net.name(), layers.join("-"), net.width)?;
                if net.stem != net.width {
                    write!(f, ", stem {}", net.stem)?;
                }
                if net.deep_stem.is_some() {
                    write!(f, ", stem of three convolutions")?;
                }
                if net.pooled_shortcuts {
                    write!(f, ", pooled shortcuts")?;
                }
                if net.inner != net.width || net.groups != 1 {
                    write!(f, ", inner width {}, groups {}", net.inner, net.groups)?;
                }
                head(f, net.classes)
            }
            Self::CifarResNet(net) => {
                let shortcut = if net.projection { "projected" } else { "padded" };
                let blocks = net.blocks;
                write!(f, "a {} of small images ({blocks} blocks a stage, width {}", self.name(), net.width)?;
                write!(f, ", {shortcut} shortcuts")?;
                head(f, net.classes)
            }
            Self::KerasSequential(net) => {
                let count = |kind: fn(&KerasLayer) -> bool| net.layers.iter().filter(|layer| kind(layer)).count();
                let convolutions = count(|layer| matches!(layer, KerasLayer::Conv2d { .. }));
                let dense = count(|layer| matches!(layer, KerasLayer::Dense { .. }));
                write!(f, "a Sequential of Keras ({convolutions} convolutions, {dense} dense layers")?;
                head(f, net.classes())
            }
            Self::Bert(net) => {
                let article = if matches!(net.family, TextFamily::Electra | TextFamily::Albert) { "an" } else { "a" };
                let name = net.family.name();
                write!(f, "{article} {name} ({} layers, hidden {}, {} words", net.layers, net.hidden, net.vocab)?;
                if net.intermediate != 4 * net.hidden {
                    write!(f, ", intermediate {}", net.intermediate)?;
                }
                if net.mlm {
                    write!(f, ", masked-LM head")?;
                }
                match net.classes {
                    Some(classes) => write!(f, ", {classes} classes)"),
                    None => write!(f, ")"),
                }
            }
        }
    }
}

/// The architecture of a file.
pub fn guess(weights: &Weights, dialect: &Dialect) -> Option<Architecture> {
    if dialect.name() == "keras_sequential" {
        let config = weights.metadata().get("model_config")?;
        return KerasSequential::parse(config).ok().map(Architecture::KerasSequential);
    }
    let mut architecture = guess_from(&dialect.targets(weights))?;
    if let Architecture::Bert(bert) = &mut architecture {
        bert.family = dialect.family().unwrap_or(bert.family);
        if let Ok(Some(config)) = weights.config() {
            let whole = |keys: &[&str]| {
                keys.iter().find_map(|key| usize::try_from(config[*key].as_u64()?).ok()).filter(|&n| n > 0)
            };
            if let Some(heads) = whole(&["num_attention_heads", "n_heads"]).filter(|&n| bert.hidden.is_multiple_of(n)) {
                bert.heads = heads;
            }
        }
    }
    Some(architecture)
}

/// The architecture that has tensors of these names (our models' names, `bert.` optional) and shapes.
pub fn guess_from(tensors: &[(String, Vec<usize>)]) -> Option<Architecture> {
    // A prefix tells the family, or else what only one has.
    let (mut family, mut shapes) = (None, BTreeMap::new());
    for (name, shape) in tensors {
        let bare = |f: &TextFamily| name.strip_prefix(f.prefix())?.strip_prefix('.').map(|bare| (*f, bare));
        let found = TextFamily::ALL.iter().find_map(bare);
        family = family.or(found.map(|(family, _)| family));
        shapes.insert(found.map_or(name.as_str(), |(_, bare)| bare), shape.as_slice());
    }
    resnet(&shapes)
        .map(Architecture::ResNet)
        .or_else(|| resnet_v2(&shapes).map(Architecture::ResNetV2))
        .or_else(|| cifar_resnet(&shapes).map(Architecture::CifarResNet))
        .or_else(|| bert(&shapes, family).map(Architecture::Bert))
        .or_else(|| inception(&shapes))
        .or_else(|| vgg(&shapes).map(Architecture::Vgg))
}

fn bert(shapes: &BTreeMap<&str, &[usize]>, family: Option<TextFamily>) -> Option<Bert> {
    let shape = |name: &str| shapes.get(name).copied();
    let matrix = |name: &str| match shape(name) {
        Some(&[rows, columns]) => Some((rows, columns)),
        _ => None,
    };
    let (vocab, embedding) = matrix("embeddings.word_embeddings.weight")?;
    let positions = matrix("embeddings.position_embeddings.weight")?.0;
    let types = matrix("embeddings.token_type_embeddings.weight").map_or(0, |(rows, _)| rows);
    let count = |layer: &dyn Fn(usize) -> String| (0..shapes.len()).take_while(|&l| shape(&layer(l)).is_some()).count();
    let distil = count(&|l| format!("transformer.layer.{l}.attention.q_lin.weight"));
    let shared = matrix("encoder.embedding_hidden_mapping_in.weight");
    let alike = if distil > 0 {
        TextFamily::DistilBert
    } else if shared.is_some() {
        TextFamily::Albert
    } else if shape("embeddings_project.weight").is_some() {
        TextFamily::Electra
    } else if (positions, types) == (514, 1) {
        TextFamily::Roberta
    } else {
        TextFamily::Bert
    };
    let (layers, wide) = match alike {
        TextFamily::DistilBert => (distil, "transformer.layer.0.ffn.lin1.weight"),
        // Layers that share their weights lie in the file once.
        TextFamily::Albert => (
            count(&|l| format!("encoder.albert_layer_groups.{l}.albert_layers.0.ffn.weight")),
            "encoder.albert_layer_groups.0.albert_layers.0.ffn.weight",
        ),
        _ => (
            count(&|l| format!("encoder.layer.{l}.attention.self.query.weight")),
            "encoder.layer.0.intermediate.dense.weight",
        ),
    };
    let (intermediate, hidden) = matrix(wide)?;
    let has = |names: &[&str]| names.iter().any(|name| shape(name).is_some());
    let classes = matrix("classifier.weight").or_else(|| matrix("classifier.out_proj.weight"));
    Some(Bert {
        family: match alike {
            TextFamily::Bert | TextFamily::Roberta => family.unwrap_or(alike),
            other => other,
        },
        embedding,
        layers,
        inner: match alike {
            TextFamily::Albert => count(&|l| format!("encoder.albert_layer_groups.0.albert_layers.{l}.ffn.weight")),
            _ => 1,
        },
        hidden,
        heads: (hidden / 64).max(1),
        intermediate,
        vocab,
        positions,
        types,
        pooler: has(&["pooler.dense.weight", "pooler.weight"]),
        mlm: has(&[
            "cls.predictions.transform.dense.weight",
            "lm_head.dense.weight",
            "vocab_transform.weight",
            "generator_predictions.dense.weight",
            "predictions.dense.weight",
        ]),
        classes: classes.map(|(rows, _)| rows),
    })
}
