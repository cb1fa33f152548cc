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

mod albert;
mod bert;
mod bert_config;
mod config;
mod distilbert;
mod googlenet;
mod image;
mod image_model;
mod inception;
mod inception_blocks;
mod inception_resnet_v1;
mod inception_resnet_v2;
mod inception_v4;
mod keras_net;
mod pooling;
mod pretrained;
mod resnet;
mod resnet_cifar;
mod resnet_stem;
mod resnet_v2;
mod text_heads;
mod text_model;
mod text_stages;
mod text_task;
mod tokens;
mod vgg;
mod zoo;

pub use albert::{AlbertAttention, AlbertLayer, AlbertLayerGroup, AlbertModel, AlbertTransformer};
pub use bert::{
    BertAttention, BertEmbeddings, BertEncoder, BertIntermediate, BertLayer, BertModel, BertOutput, BertPooler,
};
pub use bert_config::BertConfig;
pub use distilbert::{
    DistilBertAttention, DistilBertEmbeddings, DistilBertFfn, DistilBertLayer, DistilBertModel, DistilBertTransformer,
};
pub use googlenet::{GoogLeNet, GoogLeNetAux, GoogLeNetBlock, GoogLeNetConfig, Pair, PoolBranch};
pub use image::BasicConv2d;
pub use image_model::{ImageConfig, ImageModel};
pub use inception::{
    ImageLogits, Inception, InceptionA, InceptionAux, InceptionB, InceptionC, InceptionConfig, InceptionD, InceptionE,
};
pub use inception_blocks::{InceptionBranch, InceptionBranches, InceptionResidual, MeanBranch};
pub use inception_resnet_v1::{InceptionResNetV1, InceptionResNetV1Config};
pub use inception_resnet_v2::{InceptionResNetV2, InceptionResNetV2Config};
pub use inception_v4::{InceptionV4, InceptionV4C, InceptionV4Config, InceptionV4Layer, InceptionV4Pooled};
pub use keras_net::KerasNet;
pub use pooling::{Pooling, normalise};
pub use pretrained::Pretrained;
pub use resnet::{Block, Downsample, ResNet, ResNetConfig, ResidualBlock};
pub use resnet_cifar::{CifarBlock, CifarResNet, CifarResNetConfig, CifarShortcut, Shortcut};
pub use resnet_stem::{DeepStem, ResNetStem};
pub use resnet_v2::{
    PreActBlock, ResNetV2, ResNetV2Config, ResNetV2Downsample, ResNetV2Head, ResNetV2Stage, ResNetV2Stem, StemPool,
};
pub use text_heads::{
    ClassificationHead, Discriminator, DiscriminatorHead, OrderHead, Scores, SequenceHead, SequenceSummary, WordsHead,
};
pub use text_model::{AnswerHead, TextEncoder, TextHead, TextModel, TokenHead};
pub use text_task::{TextLabels, TextOutput, TextTask};
pub use tokens::TokenBatch;
pub use vgg::{Vgg, VggClassifier, VggConfig, VggDense, VggFeatures, VggUnit};
pub use zoo::{Variant, ZOO, multiply_adds};
