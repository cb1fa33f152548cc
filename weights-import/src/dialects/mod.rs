//! The dialects, one table a file.

mod caffe_resnet;
mod huggingface_bert;
mod plain;
mod torchvision;

use crate::dialect::Table;

pub(crate) use plain::PLAIN;

/// All that are recognised, in the order of trying.
pub(crate) const ALL: &[&Table] = &[&torchvision::TABLE, &huggingface_bert::TABLE, &caffe_resnet::TABLE];
