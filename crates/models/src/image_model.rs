//! One type for all classifiers of images: built by name, or as a file of weights tells.

use crate::{
    CifarResNet, CifarResNetConfig, GoogLeNet, GoogLeNetConfig, ImageLogits, Inception, InceptionConfig,
    InceptionResNetV1, InceptionResNetV1Config, InceptionResNetV2, InceptionResNetV2Config, InceptionV4,
    InceptionV4Config, Pretrained, ResNet, ResNetConfig, ResNetV2, ResNetV2Config, Shortcut, Vgg, VggConfig,
};
use serde_json::{Map, Value as Json};
use std::ops::Range;
use std::path::Path;
use ukulele_kernels::in_pool;
use ukulele_layers::{Error, Init, Module, ModuleId, Param, Pass, Result, Value};
use weights_import::{Architecture, Dialect, guess};

/// The measures of an [`ImageModel`].
#[derive(Debug, Clone, PartialEq)]
pub enum ImageConfig {
    /// Of a ResNet.
    ResNet(ResNetConfig),
    /// Of a ResNet V2.
    ResNetV2(ResNetV2Config),
    /// Of a ResNet of small images.
    CifarResNet(CifarResNetConfig),
    /// Of a VGG.
    Vgg(VggConfig),
    /// Of an Inception v3.
    Inception(InceptionConfig),
    /// Of a GoogLeNet.
    GoogLeNet(GoogLeNetConfig),
    /// Of an Inception v4.
    InceptionV4(InceptionV4Config),
    /// Of an Inception-ResNet v1.
    InceptionResNetV1(InceptionResNetV1Config),
    /// Of an Inception-ResNet v2.
    InceptionResNetV2(InceptionResNetV2Config),
}

/// A classifier of images.
///
/// ```no_run
/// # use ukulele_models::ImageModel;
/// let (mut net, dialect) = ImageModel::from_pretrained("vgg16-397923af.pth")?;
/// net.replace_head(3, &mut ukulele_layers::Init::new(0));
/// # Ok::<(), weights_import::Error>(())
/// ```
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per process; a box would only stand in the way of matching"
)]
pub enum ImageModel {
    /// A ResNet, wide ResNet or ResNeXt.
    ResNet(ResNet),
    /// A ResNet V2.
    ResNetV2(ResNetV2),
    /// A ResNet of small images.
    CifarResNet(CifarResNet),
    /// A VGG.
    Vgg(Vgg),
    /// An Inception v3.
    Inception(Inception),
    /// A GoogLeNet.
    GoogLeNet(GoogLeNet),
    /// An Inception v4.
    InceptionV4(InceptionV4),
    /// An Inception-ResNet v1.
    InceptionResNetV1(InceptionResNetV1),
    /// An Inception-ResNet v2.
    InceptionResNetV2(InceptionResNetV2),
}

/// The same expression for whichever network it is.
macro_rules! each {
    ($self:expr, $net:ident => $do:expr) => {
        match $self {
            Self::ResNet($net) => $do,
            Self::ResNetV2($net) => $do,
            Self::CifarResNet($net) => $do,
            Self::Vgg($net) => $do,
            Self::Inception($net) => $do,
            Self::GoogLeNet($net) => $do,
            Self::InceptionV4($net) => $do,
            Self::InceptionResNetV1($net) => $do,
            Self::InceptionResNetV2($net) => $do,
        }
    };
}

macro_rules! from {
    ($($config:ident, $net:ident;)*) => {
        $(impl From<$config> for ImageConfig {
            fn from(config: $config) -> Self {
                Self::$net(config)
            }
        }

        impl From<$net> for ImageModel {
            fn from(net: $net) -> Self {
                Self::$net(net)
            }
        })*
    };
}

from! {
    ResNetConfig, ResNet;
    ResNetV2Config, ResNetV2;
    CifarResNetConfig, CifarResNet;
    VggConfig, Vgg;
    InceptionConfig, Inception;
    GoogLeNetConfig, GoogLeNet;
    InceptionV4Config, InceptionV4;
    InceptionResNetV1Config, InceptionResNetV1;
    InceptionResNetV2Config, InceptionResNetV2;
}

impl ImageConfig {
    /// The names that `uke models` lists: torchvision's, timm's, Keras' ResNets V2, facenet-pytorch's, and the ResNets of
    /// small images.
    pub const NAMES: [&str; 46] = [
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "resnet26",
        "resnet18d",
        "resnet26d",
        "resnet34d",
        "resnet50c",
        "resnet50d",
        "resnet101d",
        "resnet152d",
        "resnet200d",
        "resnetv2_18",
        "resnetv2_34",
        "resnetv2_50",
        "resnetv2_101",
        "resnetv2_152",
        "resnetv2_50d",
        "resnet50v2",
        "resnet101v2",
        "resnet152v2",
        "vgg11",
        "vgg11_bn",
        "vgg13",
        "vgg13_bn",
        "vgg16",
        "vgg16_bn",
        "vgg19",
        "vgg19_bn",
        "inception_v3",
        "googlenet",
        "inception_v4",
        "inception_resnet_v1",
        "inception_resnet_v2",
        "cifar_resnet20",
        "cifar_resnet32",
        "cifar_resnet44",
        "cifar_resnet56",
        "cifar_resnet110",
    ];

    /// The measures of one of [`ImageConfig::NAMES`].
    pub fn named(name: &str, classes: usize) -> Option<Self> {
        match name {
            "inception_v3" => Some(InceptionConfig::v3(classes).into()),
            "inception_v4" => Some(InceptionV4Config::timm(classes).into()),
            "inception_resnet_v1" => Some(InceptionResNetV1Config::facenet(Some(classes)).into()),
            "inception_resnet_v2" => Some(InceptionResNetV2Config::timm(classes).into()),
            _ if name.starts_with("cifar_resnet") => {
                CifarResNetConfig::depth(name.strip_prefix("cifar_resnet")?.parse().ok()?, classes).map(Self::from)
            }
            "googlenet" => Some(GoogLeNetConfig::torchvision(classes).into()),
            _ => match name.strip_prefix("vgg") {
                None => (ResNetConfig::named(name, classes).map(Self::from))
                    .or_else(|| ResNetV2Config::named(name, classes).map(Self::from)),
                Some(rest) => {
                    let depth = rest.strip_suffix("_bn");
                    VggConfig::depth(depth.unwrap_or(rest).parse().ok()?, depth.is_some(), classes).map(Self::from)
                }
            },
        }
    }

    /// The measures that a file's names and shapes tell of, with the knobs of its dialect; `classes` out where the file has
    /// no classifier.
    ///
    /// # Errors
    /// An architecture that is no classifier of images, or measures that are not built.
    pub fn from_weights(found: &Architecture, dialect: &Dialect, classes: usize) -> Result<Self> {
        let knobs = &dialect.knobs;
        // The images come as the dialect's preset has them; torchvision's Inceptions turn them into -1..1 themselves.
        let transform_input = dialect.preprocess() == "imagenet";
        Ok(match found {
            Architecture::ResNet(net) => ResNetConfig::from_weights(net, knobs, net.classes.unwrap_or(classes))?.into(),
            Architecture::ResNetV2(net) => {
                ResNetV2Config::from_weights(net, knobs, net.classes.unwrap_or(classes)).into()
            }
            Architecture::CifarResNet(net) => CifarResNetConfig {
                blocks: net.blocks,
                width: net.width,
                channels: net.channels,
                classes: net.classes.unwrap_or(classes),
                shortcut: match net.projection {
                    true => Shortcut::Projection { norm: net.projection_norm },
                    false => Shortcut::Pad,
                },
                conv_bias: net.conv_bias,
                bn_eps: knobs.bn_eps,
                same_padding: knobs.same_padding,
            }
            .into(),
            Architecture::Vgg(net) => {
                let plain = VggConfig::depth(16, net.batch_norm, net.classes.unwrap_or(classes));
                let plain = plain.ok_or_else(|| Error::argument("vgg", "no VGG of this depth"))?;
                let net = net.clone();
                // Without a classifier in the file the new one is a single dense layer: little data cannot teach three.
                let grid = if net.classes.is_some() { net.grid } else { plain.grid };
                let (stages, channels, hidden, bn_eps) = (net.stages, net.channels, net.hidden, knobs.bn_eps);
                VggConfig { stages, channels, hidden, grid, bn_eps, ..plain }.into()
            }
            Architecture::InceptionV3(net) => InceptionConfig {
                aux: net.aux,
                transform_input,
                bn_eps: knobs.bn_eps,
                count_padding: knobs.pool_counts_padding,
                last_pool_max: knobs.last_pool_max,
                ..InceptionConfig::v3(net.classes.unwrap_or(classes))
            }
            .into(),
            Architecture::GoogLeNet(net) => GoogLeNetConfig {
                aux: net.aux,
                transform_input,
                bn_eps: knobs.bn_eps,
                ..GoogLeNetConfig::torchvision(net.classes.unwrap_or(classes))
            }
            .into(),
            Architecture::InceptionV4(net) => InceptionV4Config {
                bn_eps: knobs.bn_eps,
                count_padding: knobs.pool_counts_padding,
                ..InceptionV4Config::timm(net.classes.unwrap_or(classes))
            }
            .into(),
            Architecture::InceptionResNetV1(net) => InceptionResNetV1Config {
                bn_eps: knobs.bn_eps,
                ..InceptionResNetV1Config::facenet(Some(net.classes.unwrap_or(classes)))
            }
            .into(),
            Architecture::InceptionResNetV2(net) => InceptionResNetV2Config {
                bn_eps: knobs.bn_eps,
                count_padding: knobs.pool_counts_padding,
                ..InceptionResNetV2Config::timm(net.classes.unwrap_or(classes))
            }
            .into(),
            other => {
                return Err(Error::argument(
                    "image model",
                    format!("these weights are of {other}, which takes no images"),
                ));
            }
        })
    }

    /// What `model_type` says of each.
    fn model_type(&self) -> &'static str {
        match self {
            Self::ResNet(_) => "resnet",
            Self::ResNetV2(_) => "resnet_v2",
            Self::CifarResNet(_) => "cifar_resnet",
            Self::Vgg(_) => "vgg",
            Self::Inception(_) => "inception_v3",
            Self::GoogLeNet(_) => "googlenet",
            Self::InceptionV4(_) => "inception_v4",
            Self::InceptionResNetV1(_) => "inception_resnet_v1",
            Self::InceptionResNetV2(_) => "inception_resnet_v2",
        }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let mut config = each!(self, config => config.to_json());
        config.insert("model_type".to_owned(), self.model_type().into());
        config
    }

    /// Reads what [`ImageConfig::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range, or another `model_type`.
    pub fn from_json(config: &Json) -> Result<Self> {
        Ok(match config["model_type"].as_str() {
            Some("resnet") => ResNetConfig::from_json(config)?.into(),
            Some("resnet_v2") => ResNetV2Config::from_json(config)?.into(),
            Some("cifar_resnet") => CifarResNetConfig::from_json(config)?.into(),
            Some("vgg") => VggConfig::from_json(config)?.into(),
            Some("inception_v3") => InceptionConfig::from_json(config)?.into(),
            Some("googlenet") => GoogLeNetConfig::from_json(config)?.into(),
            Some("inception_v4") => InceptionV4Config::from_json(config)?.into(),
            Some("inception_resnet_v1") => InceptionResNetV1Config::from_json(config)?.into(),
            Some("inception_resnet_v2") => InceptionResNetV2Config::from_json(config)?.into(),
            other => {
                let message = format!(
                    "`model_type` is {other:?}; resnet, resnet_v2, cifar_resnet, vgg, inception_v3, googlenet, inception_v4, \
                     inception_resnet_v1 or inception_resnet_v2 belongs there"
                );
                return Err(Error::argument("config.json", message));
            }
        })
    }

    /// Classes out; of a network without a classifier, numbers.
    pub fn classes(&self) -> usize {
        match self {
            Self::ResNet(config) => config.classes,
            Self::ResNetV2(config) => config.classes,
            Self::CifarResNet(config) => config.classes,
            Self::Vgg(config) => config.classes,
            Self::Inception(config) => config.classes,
            Self::GoogLeNet(config) => config.classes,
            Self::InceptionV4(config) => config.classes,
            Self::InceptionResNetV1(config) => config.classes.unwrap_or(InceptionResNetV1Config::EMBEDDING),
            Self::InceptionResNetV2(config) => config.classes,
        }
    }

    /// The same for so many classes.
    #[must_use]
    pub fn with_classes(mut self, classes: usize) -> Self {
        match &mut self {
            Self::ResNet(config) => config.classes = classes,
            Self::ResNetV2(config) => config.classes = classes,
            Self::CifarResNet(config) => config.classes = classes,
            Self::Vgg(config) => config.classes = classes,
            Self::Inception(config) => config.classes = classes,
            Self::GoogLeNet(config) => config.classes = classes,
            Self::InceptionV4(config) => config.classes = classes,
            Self::InceptionResNetV1(config) => config.classes = Some(classes),
            Self::InceptionResNetV2(config) => config.classes = classes,
        }
        self
    }

    /// Whether both have the same tensors but for those of the heads; knobs, which files do not tell, may differ.
    pub fn same_trunk(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ResNet(a), Self::ResNet(b)) => {
                let measures = |c: &ResNetConfig| {
                    let stem = (c.stem, c.deep_stem, c.pooled_shortcuts);
                    (c.block, c.layers, stem, c.width, c.widening, c.groups, c.channels)
                };
                measures(a) == measures(b)
            }
            (Self::ResNetV2(a), Self::ResNetV2(b)) => {
                let measures =
                    |c: &ResNetV2Config| (c.block, c.layers, c.stem, c.deep_stem, c.width, c.channels, c.conv_bias);
                measures(a) == measures(b)
            }
            (Self::CifarResNet(a), Self::CifarResNet(b)) => {
                let measures = |c: &CifarResNetConfig| (c.blocks, c.width, c.channels, c.shortcut, c.conv_bias);
                measures(a) == measures(b)
            }
            (Self::Vgg(a), Self::Vgg(b)) => {
                (&a.stages, a.batch_norm, a.channels) == (&b.stages, b.batch_norm, b.channels)
            }
            (Self::Inception(_), Self::Inception(_))
            | (Self::GoogLeNet(_), Self::GoogLeNet(_))
            | (Self::InceptionV4(_), Self::InceptionV4(_))
            | (Self::InceptionResNetV1(_), Self::InceptionResNetV1(_))
            | (Self::InceptionResNetV2(_), Self::InceptionResNetV2(_)) => true,
            _ => false,
        }
    }

    /// Height and width of the images that the originals learned from.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Inception(_) | Self::InceptionV4(_) | Self::InceptionResNetV2(_) => 299,
            Self::InceptionResNetV1(_) => 160,
            Self::CifarResNet(_) => 32,
            _ => 224,
        }
    }
}

impl Module for ImageModel {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        each!(self, net => net.each(path, f));
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        each!(self, net => net.modules(path, f));
    }
}

impl ImageModel {
    /// A network of these measures with fresh weights.
    pub fn new(config: &ImageConfig, init: &mut Init) -> Self {
        match config {
            ImageConfig::ResNet(config) => ResNet::new(config, init).into(),
            ImageConfig::ResNetV2(config) => ResNetV2::new(config, init).into(),
            ImageConfig::CifarResNet(config) => CifarResNet::new(config, init).into(),
            ImageConfig::Vgg(config) => Vgg::new(config, init).into(),
            ImageConfig::Inception(config) => Inception::new(config, init).into(),
            ImageConfig::GoogLeNet(config) => GoogLeNet::new(config, init).into(),
            ImageConfig::InceptionV4(config) => InceptionV4::new(config, init).into(),
            ImageConfig::InceptionResNetV1(config) => InceptionResNetV1::new(config, init).into(),
            ImageConfig::InceptionResNetV2(config) => InceptionResNetV2::new(config, init).into(),
        }
    }

    /// The network of a file of weights, whatever its format and naming, and its dialect, which knows the preprocessing of
    /// the images. A file without classifier gets a fresh one for two classes: see [`ImageModel::replace_head`].
    ///
    /// # Errors
    /// No file of weights, no classifier of images, or weights that leave a part of the network open.
    pub fn from_pretrained(path: impl AsRef<Path>) -> weights_import::Result<(Self, Dialect)> {
        let weights = weights_import::open(path)?;
        let dialect = Dialect::detect(&weights)?;
        let argument = |error: Error| weights_import::Error::Argument(format!("{}: {error}", weights.source()));
        let unknown = || weights_import::Error::Argument(format!("{}: no known architecture", weights.source()));
        let found = guess(&weights, &dialect).ok_or_else(unknown)?;
        let config = ImageConfig::from_weights(&found, &dialect, 2).map_err(argument)?;
        let mut net = Self::new(&config, &mut Init::zeros());
        if found.classes().is_none() {
            net.replace_head(config.classes(), &mut Init::new(0));
        }
        let head = net.head_names();
        let open: Vec<&str> = head.iter().map(String::as_str).collect();
        let _complete =
            net.load(&weights, &dialect)?.only_missing(if found.classes().is_some() { &[] } else { &open })?;
        Ok((net, dialect))
    }

    /// The measures.
    pub fn config(&self) -> ImageConfig {
        each!(self, net => net.config().clone().into())
    }

    /// Logits (N, classes) of images (N, C, H, W), in training also those of auxiliary heads.
    ///
    /// # Errors
    /// No images, or too small ones.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<ImageLogits> {
        let plain = |logits| ImageLogits { logits, aux: Vec::new(), aux_weight: 0.0 };
        in_pool(|| match self {
            Self::ResNet(net) => net.forward(x, pass).map(plain),
            Self::ResNetV2(net) => net.forward(x, pass).map(plain),
            Self::CifarResNet(net) => net.forward(x, pass).map(plain),
            Self::Vgg(net) => net.forward(x, pass).map(plain),
            Self::Inception(net) => net.forward(x, pass),
            Self::GoogLeNet(net) => net.forward(x, pass),
            Self::InceptionV4(net) => net.forward(x, pass).map(plain),
            Self::InceptionResNetV1(net) => net.forward(x, pass).map(plain),
            Self::InceptionResNetV2(net) => net.forward(x, pass).map(plain),
        })
    }

    /// What the head sees: (N, C, H, W) to (N, features).
    ///
    /// # Errors
    /// As [`ImageModel::forward`].
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        in_pool(|| each!(self, net => net.features(x, pass)))
    }

    /// The stages from `range.start` to before `range.end`, one for each group of [`ImageModel::layer_groups`]: the first takes
    /// images (N, C, H, W), each further one what the one before it gives, the last features (N, F), of which it makes logits
    /// (N, classes). All but the last are [`ImageModel::features`].
    ///
    /// ```
    /// # use ukulele_layers::{Init, Pass, Tensor};
    /// # use ukulele_models::{ImageModel, ResNetConfig};
    /// let config = ResNetConfig { width: 4, ..ResNetConfig::depth(18, 2).unwrap() };
    /// let (net, mut pass) = (ImageModel::new(&config.into(), &mut Init::new(0)), Pass::eval());
    /// let images = Tensor::ones(&[1, 3, 32, 32])?.into();
    /// let low = net.run_stages(0..3, &images, &mut pass)?; // stem, layer1, layer2
    /// let logits = net.run_stages(3..6, &low, &mut pass)?;
    /// assert_eq!(logits.tensor().to_vec(), net.forward(&images, &mut pass)?.logits.tensor().to_vec());
    /// # Ok::<(), ukulele_layers::Error>(())
    /// ```
    ///
    /// # Errors
    /// A range beyond the stages; another input than its first takes.
    pub fn run_stages(&self, range: Range<usize>, x: &Value, pass: &mut Pass) -> Result<Value> {
        let head = self.layer_groups().len().saturating_sub(1);
        if range.end > head + 1 {
            return Err(Error::argument("stages", format!("stages {range:?}; there are {}", head + 1)));
        }
        let mut stage = |x: Value, at: usize| match at == head {
            true => self.head(&x, pass),
            false => each!(self, net => net.group(at, &x, pass)),
        };
        in_pool(|| range.into_iter().try_fold(x.clone(), &mut stage))
    }

    /// Logits of features: (N, features) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        match self {
            Self::ResNet(net) => net.fc.forward(features, pass),
            Self::ResNetV2(net) => net.head(features, pass),
            Self::CifarResNet(net) => net.head(features, pass),
            Self::Vgg(net) => net.head(features, pass),
            Self::Inception(net) => net.head(features, pass),
            Self::GoogLeNet(net) => net.head(features, pass),
            Self::InceptionV4(net) => net.head(features, pass),
            Self::InceptionResNetV1(net) => net.head(features, pass),
            Self::InceptionResNetV2(net) => net.head(features, pass),
        }
    }

    /// The output of the module of this name, as `layer3.2`, for images (N, C, H, W) in evaluation. For several modules or
    /// for gradients, see [`Pass::watch`].
    ///
    /// # Errors
    /// As [`ImageModel::forward`]; a name that no module has, or a module that is idle in evaluation.
    pub fn tap(&self, name: &str, x: &Value) -> Result<Value> {
        let mut pass = Pass::eval();
        pass.watch(self, &[name])?;
        let _logits = self.forward(x, &mut pass)?;
        let idle = || Error::argument("tap", format!("`{name}` has no output in evaluation"));
        pass.tapped(name).cloned().ok_or_else(idle)
    }

    /// Classes out.
    pub fn classes(&self) -> usize {
        self.config().classes()
    }

    /// Gives the network a fresh head for `classes` classes.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        each!(self, net => net.replace_head(classes, init));
    }

    /// Takes the auxiliary heads away, which only serve training from scratch.
    pub fn remove_aux(&mut self) {
        match self {
            Self::Inception(net) => net.remove_aux(),
            Self::GoogLeNet(net) => net.remove_aux(),
            _ => {}
        }
    }

    /// Prefixes of names from the input to the output, one list per group; the last is the head.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        each!(self, net => net.layer_groups())
    }

    /// Prefixes of the names of the head.
    pub fn head_names(&self) -> Vec<String> {
        match self {
            Self::Vgg(net) if net.classifier.is_none() => Vec::new(),
            _ => self.layer_groups().pop().unwrap_or_default(),
        }
    }
}
