//! Models, one architecture per file, under the names of the files that distribute their weights.
//!
//! ```no_run
//! use ukulele_models::{Pretrained, ResNet};
//! use ukulele_layers::Module;
//! let weights = weights_import::open("resnet18.safetensors")?;
//! let dialect = weights_import::Dialect::detect(&weights)?;
//! let mut net = ResNet::resnet18(3);                                  // my 3 classes
//! net.load(&weights, &dialect)?.only_missing(&["fc."])?;
//! net.freeze(|name| !name.starts_with("fc."));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod bert;
mod config;
mod googlenet;
mod image;
mod image_model;
mod inception;
mod keras_net;
mod pretrained;
mod resnet;
mod resnet_cifar;
mod resnet_stem;
mod vgg;
mod zoo;

pub use bert::{
    BertAttention, BertConfig, BertEmbeddings, BertEncoder, BertForMaskedLM, BertForSequenceClassification,
    BertIntermediate, BertLayer, BertMaskedHead, BertModel, BertOutput, BertPooler, BertPredictionTransform,
    BertPredictions, Pooling, TokenBatch,
};
pub use googlenet::{GoogLeNet, GoogLeNetAux, GoogLeNetBlock, GoogLeNetConfig, Pair, PoolBranch};
pub use image::BasicConv2d;
pub use image_model::{ImageConfig, ImageModel};
pub use inception::{
    ImageLogits, Inception, InceptionA, InceptionAux, InceptionB, InceptionC, InceptionConfig, InceptionD, InceptionE,
};
pub use keras_net::KerasNet;
pub use pretrained::Pretrained;
pub use resnet::{Block, Downsample, ResNet, ResNetConfig, ResidualBlock};
pub use resnet_cifar::{CifarBlock, CifarResNet, CifarResNetConfig, CifarShortcut, Shortcut};
pub use resnet_stem::{DeepStem, ResNetStem};
pub use vgg::{Vgg, VggClassifier, VggConfig, VggDense, VggFeatures, VggUnit};
pub use zoo::{Variant, ZOO, multiply_adds};
