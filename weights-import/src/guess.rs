//! Which architecture, of which size, do names and shapes tell of?

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

/// Configuration of a BERT encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bert {
    /// Number of encoder layers.
    pub layers: usize,
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
            Self::Bert(_) => "BERT".to_string(),
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
                write!(f, "a BERT ({} layers, hidden {}, {} words", net.layers, net.hidden, net.vocab)?;
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
    if let Architecture::Bert(bert) = &mut architecture
        && let Ok(Some(config)) = weights.config()
        && let Some(heads) = config["num_attention_heads"].as_u64().and_then(|n| usize::try_from(n).ok())
        && heads > 0
        && bert.hidden.is_multiple_of(heads)
    {
        bert.heads = heads;
    }
    Some(architecture)
}

/// The architecture that has tensors of these names (our models' names, `bert.` optional) and shapes.
pub fn guess_from(tensors: &[(String, Vec<usize>)]) -> Option<Architecture> {
    let shapes: BTreeMap<&str, &[usize]> =
        tensors.iter().map(|(name, shape)| (name.strip_prefix("bert.").unwrap_or(name), shape.as_slice())).collect();
    resnet(&shapes)
        .map(Architecture::ResNet)
        .or_else(|| resnet_v2(&shapes).map(Architecture::ResNetV2))
        .or_else(|| cifar_resnet(&shapes).map(Architecture::CifarResNet))
        .or_else(|| bert(&shapes).map(Architecture::Bert))
        .or_else(|| inception(&shapes))
        .or_else(|| vgg(&shapes).map(Architecture::Vgg))
}

fn inception(shapes: &BTreeMap<&str, &[usize]>) -> Option<Architecture> {
    let has = |name: &str| shapes.contains_key(name);
    let classes = shapes.get("fc.weight").and_then(|s| s.first().copied());
    if has("Conv2d_1a_3x3.conv.weight")
        && has("Mixed_7c.branch_pool.conv.weight")
        && has("Mixed_5b.branch5x5_1.conv.weight")
    {
        return Some(Architecture::InceptionV3(Inception { classes, aux: has("AuxLogits.fc.weight") }));
    }
    if has("inception3a.branch1.conv.weight") && has("inception5b.branch4.1.conv.weight") {
        return Some(Architecture::GoogLeNet(Inception { classes, aux: has("aux1.fc2.weight") }));
    }
    let plain = |head: &str| Inception { classes: shapes.get(head).and_then(|s| s.first().copied()), aux: false };
    if has("features.3.conv.conv.weight") && has("features.21.branch1_1a.conv.weight") {
        return Some(Architecture::InceptionV4(plain("last_linear.weight")));
    }
    if has("repeat_3.0.conv2d.weight") && has("conv2d_4b.conv.weight") {
        return Some(Architecture::InceptionResNetV1(plain("logits.weight")));
    }
    let both = has("repeat_2.0.conv2d.weight") && has("mixed_5b.branch0.conv.weight");
    both.then(|| Architecture::InceptionResNetV2(plain("classif.weight")))
}

/// The numbers in `features` tell the stages apart: a convolution takes two (three with batch norm), a pooling one.
fn vgg(shapes: &BTreeMap<&str, &[usize]>) -> Option<Vgg> {
    let &[_, channels, _, _] = *shapes.get("features.0.weight")? else { return None };
    let batch_norm = shapes.contains_key("features.1.running_mean");
    let step = if batch_norm { 3 } else { 2 };
    let mut stages = vec![Vec::new()];
    let mut number = 0;
    loop {
        match shapes.get(format!("features.{number}.weight").as_str()) {
            Some(&&[out, _, 3, 3]) => {
                stages.last_mut()?.push(out);
                number += step;
            }
            Some(_) => return None,
            None if stages.last().is_some_and(Vec::is_empty) => break,
            None => {
                stages.push(Vec::new());
                number += 1;
            }
        }
    }
    stages.pop();
    let convolutions = shapes.iter().filter(|(name, shape)| name.starts_with("features.") && shape.len() == 4).count();
    if !(2..=16).contains(&stages.len()) || convolutions != stages.iter().map(Vec::len).sum::<usize>() {
        return None;
    }
    // The dense layers of the classifier, with ReLU and dropout between two.
    let dense = |k: usize| match shapes.get(format!("classifier.{}.weight", 3 * k).as_str()) {
        Some(&&[out, inputs]) => Some((out, inputs)),
        _ => None,
    };
    let mut hidden: Vec<usize> = (0..16).map_while(|k| dense(k).map(|(out, _)| out)).collect();
    let classes = hidden.pop();
    let channels_out = stages.last().and_then(|stage| stage.last().copied())?;
    let grid = dense(0).map_or(0, |(_, inputs)| (inputs / channels_out.max(1)).isqrt());
    Some(Vgg { stages, batch_norm, channels, hidden, grid, classes })
}

fn resnet(shapes: &BTreeMap<&str, &[usize]>) -> Option<ResNet> {
    let shape = |name: &str| shapes.get(name).copied();
    let convolution = |name: &str| match shape(name) {
        Some(&[out, inputs, _, _]) => Some((out, inputs)),
        _ => None,
    };
    let (stem, channels, deep_stem) = match convolution("conv1.weight") {
        Some((stem, channels)) => (stem, channels, None),
        None => {
            let [(first, channels), (second, _), (stem, _)] =
                [convolution("conv1.0.weight")?, convolution("conv1.3.weight")?, convolution("conv1.6.weight")?];
            (stem, channels, Some([first, second]))
        }
    };
    let pooled_shortcuts = convolution("layer2.0.downsample.1.weight").is_some();
    let blocks = |stage: usize| {
        (0..shapes.len()).take_while(|b| shape(&format!("layer{stage}.{b}.conv1.weight")).is_some()).count()
    };
    let layers = [blocks(1), blocks(2), blocks(3), blocks(4)];
    if layers.contains(&0) {
        return None;
    }
    let &[inner, grouped, _, _] = shape("layer1.0.conv2.weight")? else { return None };
    let (block, width) = match shape("layer1.0.conv3.weight") {
        Some(&[out, _, _, _]) => (Block::Bottleneck, out / 4),
        _ => (Block::Basic, inner),
    };
    let classes = shape("fc.weight").and_then(|s| s.first().copied());
    let groups = inner.checked_div(grouped).unwrap_or(1);
    Some(ResNet { block, layers, channels, stem, deep_stem, pooled_shortcuts, width, inner, groups, classes })
}

fn resnet_v2(shapes: &BTreeMap<&str, &[usize]>) -> Option<ResNetV2> {
    let shape = |name: &str| shapes.get(name).copied();
    let convolution = |name: &str| match shape(name) {
        Some(&[out, inputs, _, _]) => Some((out, inputs)),
        _ => None,
    };
    let (stem, channels, deep_stem, last) = match convolution("stem.conv.weight") {
        Some((stem, channels)) => (stem, channels, None, "stem.conv.bias"),
        None => {
            let ((first, channels), (second, _)) =
                (convolution("stem.conv1.weight")?, convolution("stem.conv2.weight")?);
            let (stem, _) = convolution("stem.conv3.weight")?;
            (stem, channels, Some([first, second]), "stem.conv3.bias")
        }
    };
    let blocks = |stage: usize| {
        (0..shapes.len()).take_while(|b| shape(&format!("stages.{stage}.blocks.{b}.conv1.weight")).is_some()).count()
    };
    let layers = [blocks(0), blocks(1), blocks(2), blocks(3)];
    // Of group norms there are no statistics.
    if layers.contains(&0) || shape("stages.0.blocks.0.norm1.running_var").is_none() {
        return None;
    }
    let (width, _) = convolution("stages.0.blocks.0.conv1.weight")?;
    let (_, grouped) = convolution("stages.0.blocks.0.conv2.weight")?;
    let (block, outside) = match convolution("stages.0.blocks.0.conv3.weight") {
        Some((out, _)) => (Block::Bottleneck, out / 4),
        None => (Block::Basic, width),
    };
    let classes = shape("head.fc.weight").and_then(|s| s.first().copied());
    (grouped == width && outside == width).then(|| ResNetV2 {
        block,
        layers,
        channels,
        stem,
        deep_stem,
        width,
        conv_bias: shape(last).is_some(),
        classes,
    })
}

fn cifar_resnet(shapes: &BTreeMap<&str, &[usize]>) -> Option<CifarResNet> {
    let shape = |name: &str| shapes.get(name).copied();
    let &[width, channels, 3, 3] = shape("conv1.weight")? else { return None };
    let count = |stage: usize| {
        (0..shapes.len()).take_while(|b| shape(&format!("layer{stage}.{b}.conv2.weight")).is_some()).count()
    };
    let blocks = count(1);
    let same = blocks > 0 && count(2) == blocks && count(3) == blocks && count(4) == 0;
    let doubled = matches!(shape("layer3.0.conv1.weight"), Some(&[out, inputs, 3, 3]) if out == 2 * inputs && inputs == 2 * width);
    (same && doubled).then(|| CifarResNet {
        blocks,
        channels,
        width,
        projection: shape("layer2.0.shortcut.0.weight").is_some(),
        projection_norm: shape("layer2.0.shortcut.1.weight").is_some(),
        conv_bias: shape("conv1.bias").is_some(),
        classes: shape("linear.weight").and_then(|s| s.first().copied()),
    })
}

fn bert(shapes: &BTreeMap<&str, &[usize]>) -> Option<Bert> {
    let shape = |name: &str| shapes.get(name).copied();
    let matrix = |name: &str| match shape(name) {
        Some(&[rows, columns]) => Some((rows, columns)),
        _ => None,
    };
    let (vocab, hidden) = matrix("embeddings.word_embeddings.weight")?;
    let layers = (0..shapes.len())
        .take_while(|l| shape(&format!("encoder.layer.{l}.attention.self.query.weight")).is_some())
        .count();
    let (intermediate, _) = matrix("encoder.layer.0.intermediate.dense.weight")?;
    Some(Bert {
        layers,
        hidden,
        heads: (hidden / 64).max(1),
        intermediate,
        vocab,
        positions: matrix("embeddings.position_embeddings.weight")?.0,
        types: matrix("embeddings.token_type_embeddings.weight")?.0,
        pooler: shape("pooler.dense.weight").is_some(),
        mlm: shape("cls.predictions.transform.dense.weight").is_some(),
        classes: matrix("classifier.weight").map(|(rows, _)| rows),
    })
}
