//! Which files there are. Every address, size and hash is one that its publisher states.
//!
//! Sources: torchvision 0.29 `models/*.py` (addresses, the hash in the name, size in MiB), keras 3.15 `src/applications/*.py`
//! (addresses, md5), Hugging Face's and timm 1.0's names of repositories, google-research's README of BERT.

use crate::{Check, Error, Result};

/// A model that can be fetched.
#[derive(Debug)]
pub struct Model {
    /// The name to ask for.
    pub name: &'static str,
    /// Who publishes it.
    pub about: &'static str,
    /// Its files, the weights first.
    pub files: &'static [File],
}

/// A file of a [`Model`].
#[derive(Debug)]
pub struct File {
    /// Its name in the cache.
    pub name: &'static str,
    /// Where it is.
    pub url: &'static str,
    /// Its size in MiB as the publisher rounds it.
    pub mebibytes: Option<f64>,
    /// What is published of its bytes.
    pub check: Check,
}

impl File {
    /// Whether it is an archive that is unpacked.
    pub fn is_archive(&self) -> bool {
        self.name.ends_with(".zip")
    }

    /// The most bytes that it can have, given how its size was rounded.
    pub(crate) fn largest(&self) -> Option<u64> {
        self.mebibytes.map(|size| ((size + 0.006) * f64::from(1 << 20)).ceil() as u64)
    }
}

/// What follows the last slash.
const fn base(url: &'static str) -> &'static str {
    let bytes = url.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b'/' {
        start -= 1;
    }
    url.split_at(start).1
}

const fn file(url: &'static str, mebibytes: Option<f64>, check: Check) -> File {
    File { name: base(url), url, mebibytes, check }
}

const fn torch(url: &'static str, digits: &'static str, mebibytes: f64) -> File {
    file(url, Some(mebibytes), Check::Sha256Prefix(digits))
}

const fn keras(url: &'static str, md5: &'static str) -> File {
    file(url, None, Check::Md5(md5))
}

const fn hugging_face(url: &'static str) -> File {
    file(url, None, Check::Stated)
}

/// A small text beside the weights.
const fn small(url: &'static str) -> File {
    file(url, None, Check::First)
}

const fn archive(url: &'static str) -> File {
    file(url, None, Check::First)
}

/// The model of this name.
///
/// # Errors
/// There is none; the error has the names that are spelled nearly so.
pub fn find(name: &str) -> Result<&'static Model> {
    MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(name)).ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        near: near(name, MODELS.iter().map(|model| model.name)),
    })
}

/// Up to three of the names that are spelled nearly so, the nearest first.
pub fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = name.to_ascii_lowercase();
    let mut near: Vec<_> = names.map(|name| (distance(&wanted, &name.to_ascii_lowercase()), name)).collect();
    near.sort_unstable();
    let near = near.into_iter().filter(|((d, _), _)| *d <= 1 + wanted.chars().count() / 3).take(3);
    near.map(|(_, name)| name.to_owned()).collect()
}

/// How many letters must be put in, left out or changed to make of one name a beginning of the other, and the other itself.
fn distance(from: &str, to: &str) -> (usize, usize) {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(64).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let change = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = change.min(before + 1).min(row[j] + 1);
        }
    }
    (row.iter().copied().min().unwrap_or(0), row.last().copied().unwrap_or(0))
}

/// All models, by publisher.
pub const MODELS: &[Model] = &[
    Model {
        name: "resnet18",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd", 44.661)],
    },
    Model {
        name: "resnet34",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnet34-b627a593.pth", "b627a593", 83.275)],
    },
    Model {
        name: "resnet50",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61", 97.781)],
    },
    Model {
        name: "resnet50.v2",
        about: "torchvision, IMAGENET1K_V2",
        files: &[torch("https://download.pytorch.org/models/resnet50-11ad3fa6.pth", "11ad3fa6", 97.79)],
    },
    Model {
        name: "resnet101",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnet101-63fe2227.pth", "63fe2227", 170.511)],
    },
    Model {
        name: "resnet101.v2",
        about: "torchvision, IMAGENET1K_V2",
        files: &[torch("https://download.pytorch.org/models/resnet101-cd907fc2.pth", "cd907fc2", 170.53)],
    },
    Model {
        name: "resnet152",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnet152-394f9c45.pth", "394f9c45", 230.434)],
    },
    Model {
        name: "resnet152.v2",
        about: "torchvision, IMAGENET1K_V2",
        files: &[torch("https://download.pytorch.org/models/resnet152-f82ba261.pth", "f82ba261", 230.474)],
    },
    Model {
        name: "wide_resnet50_2",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth", "95faca4d", 131.82)],
    },
    Model {
        name: "wide_resnet50_2.v2",
        about: "torchvision, IMAGENET1K_V2",
        files: &[torch("https://download.pytorch.org/models/wide_resnet50_2-9ba9bcbe.pth", "9ba9bcbe", 263.124)],
    },
    Model {
        name: "wide_resnet101_2",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/wide_resnet101_2-32ee1156.pth", "32ee1156", 242.896)],
    },
    Model {
        name: "wide_resnet101_2.v2",
        about: "torchvision, IMAGENET1K_V2",
        files: &[torch("https://download.pytorch.org/models/wide_resnet101_2-d733dc28.pth", "d733dc28", 484.747)],
    },
    Model {
        name: "resnext50_32x4d",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnext50_32x4d-7cdf4587.pth", "7cdf4587", 95.789)],
    },
    Model {
        name: "resnext50_32x4d.v2",
        about: "torchvision, IMAGENET1K_V2",
        files: &[torch("https://download.pytorch.org/models/resnext50_32x4d-1a0047aa.pth", "1a0047aa", 95.833)],
    },
    Model {
        name: "resnext101_32x8d",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnext101_32x8d-8ba56ff5.pth", "8ba56ff5", 339.586)],
    },
    Model {
        name: "resnext101_32x8d.v2",
        about: "torchvision, IMAGENET1K_V2",
        files: &[torch("https://download.pytorch.org/models/resnext101_32x8d-110c445d.pth", "110c445d", 339.673)],
    },
    Model {
        name: "resnext101_64x4d",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/resnext101_64x4d-173b62eb.pth", "173b62eb", 319.318)],
    },
    Model {
        name: "vgg11",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg11-8a719046.pth", "8a719046", 506.84)],
    },
    Model {
        name: "vgg11_bn",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg11_bn-6002323d.pth", "6002323d", 506.881)],
    },
    Model {
        name: "vgg13",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg13-19584684.pth", "19584684", 507.545)],
    },
    Model {
        name: "vgg13_bn",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg13_bn-abd245e5.pth", "abd245e5", 507.59)],
    },
    Model {
        name: "vgg16",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af", 527.796)],
    },
    Model {
        name: "vgg16_bn",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg16_bn-6c64b313.pth", "6c64b313", 527.866)],
    },
    Model {
        name: "vgg19",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d", 548.051)],
    },
    Model {
        name: "vgg19_bn",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/vgg19_bn-c79401a0.pth", "c79401a0", 548.143)],
    },
    Model {
        name: "googlenet",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/googlenet-1378be20.pth", "1378be20", 49.731)],
    },
    Model {
        name: "inception_v3",
        about: "torchvision, IMAGENET1K_V1",
        files: &[torch("https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth", "0cc3c7bd", 103.903)],
    },
    Model {
        name: "keras/vgg16",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
            "64373286793e3c8b2b4e3219cbf3544b",
        )],
    },
    Model {
        name: "keras/vgg16_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "6d6bbae143d832006294945121d1f1fc",
        )],
    },
    Model {
        name: "keras/vgg19",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
            "cbe5617147190e668d6c5d5026f83318",
        )],
    },
    Model {
        name: "keras/vgg19_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "253f8cb515780f3b799900260a226db6",
        )],
    },
    Model {
        name: "keras/inception_v3",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
            "9a0d58056eeedaa3f26cb7ebd46da564",
        )],
    },
    Model {
        name: "keras/inception_v3_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "bcbd6486424b2319ff4ef7d526e38f63",
        )],
    },
    Model {
        name: "keras/inception_resnet_v2",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5",
            "e693bd0210a403b3192acc6073ad2e96",
        )],
    },
    Model {
        name: "keras/inception_resnet_v2_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "d19885ff4a710c122648d3b5c3b684e4",
        )],
    },
    Model {
        name: "keras/resnet50",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5",
            "2cb95161c43110f7111970584f804107",
        )],
    },
    Model {
        name: "keras/resnet50_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "4d473c1dd8becc155b73f8504c6f6626",
        )],
    },
    Model {
        name: "keras/resnet101",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet101_weights_tf_dim_ordering_tf_kernels.h5",
            "f1aeb4b969a6efcfb50fad2f0c20cfc5",
        )],
    },
    Model {
        name: "keras/resnet101_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "88cf7a10940856eca736dc7b7e228a21",
        )],
    },
    Model {
        name: "keras/resnet152",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet152_weights_tf_dim_ordering_tf_kernels.h5",
            "100835be76be38e30d865e96f2aaae62",
        )],
    },
    Model {
        name: "keras/resnet152_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "ee4c566cf9a93f14d82f913c2dc6dd0c",
        )],
    },
    Model {
        name: "keras/resnet50v2",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels.h5",
            "3ef43a0b657b3be2300d5770ece849e0",
        )],
    },
    Model {
        name: "keras/resnet50v2_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "fac2f116257151a9d068a22e544a4917",
        )],
    },
    Model {
        name: "keras/resnet101v2",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet101v2_weights_tf_dim_ordering_tf_kernels.h5",
            "6343647c601c52e1368623803854d971",
        )],
    },
    Model {
        name: "keras/resnet101v2_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "c0ed64b8031c3730f411d2eb4eea35b5",
        )],
    },
    Model {
        name: "keras/resnet152v2",
        about: "Keras applications",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet152v2_weights_tf_dim_ordering_tf_kernels.h5",
            "a49b44d1979771252814e80f8ec446f9",
        )],
    },
    Model {
        name: "keras/resnet152v2_notop",
        about: "Keras applications, without the classifier",
        files: &[keras(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "ed17cf2e0169df9d443503ef94b23b33",
        )],
    },
    Model {
        name: "bert-base-uncased",
        about: "Hugging Face, google-bert/bert-base-uncased",
        files: &[
            hugging_face("https://huggingface.co/google-bert/bert-base-uncased/resolve/main/model.safetensors"),
            small("https://huggingface.co/google-bert/bert-base-uncased/resolve/main/config.json"),
            small("https://huggingface.co/google-bert/bert-base-uncased/resolve/main/vocab.txt"),
            small("https://huggingface.co/google-bert/bert-base-uncased/resolve/main/tokenizer_config.json"),
        ],
    },
    Model {
        name: "bert-base-cased",
        about: "Hugging Face, google-bert/bert-base-cased",
        files: &[
            hugging_face("https://huggingface.co/google-bert/bert-base-cased/resolve/main/model.safetensors"),
            small("https://huggingface.co/google-bert/bert-base-cased/resolve/main/config.json"),
            small("https://huggingface.co/google-bert/bert-base-cased/resolve/main/vocab.txt"),
            small("https://huggingface.co/google-bert/bert-base-cased/resolve/main/tokenizer_config.json"),
        ],
    },
    Model {
        name: "bert-base-multilingual-cased",
        about: "Hugging Face, google-bert/bert-base-multilingual-cased",
        files: &[
            hugging_face(
                "https://huggingface.co/google-bert/bert-base-multilingual-cased/resolve/main/model.safetensors",
            ),
            small("https://huggingface.co/google-bert/bert-base-multilingual-cased/resolve/main/config.json"),
            small("https://huggingface.co/google-bert/bert-base-multilingual-cased/resolve/main/vocab.txt"),
            small("https://huggingface.co/google-bert/bert-base-multilingual-cased/resolve/main/tokenizer_config.json"),
        ],
    },
    Model {
        name: "bert-large-uncased",
        about: "Hugging Face, google-bert/bert-large-uncased",
        files: &[
            hugging_face("https://huggingface.co/google-bert/bert-large-uncased/resolve/main/model.safetensors"),
            small("https://huggingface.co/google-bert/bert-large-uncased/resolve/main/config.json"),
            small("https://huggingface.co/google-bert/bert-large-uncased/resolve/main/vocab.txt"),
            small("https://huggingface.co/google-bert/bert-large-uncased/resolve/main/tokenizer_config.json"),
        ],
    },
    Model {
        name: "all-MiniLM-L6-v2",
        about: "Hugging Face, sentence-transformers/all-MiniLM-L6-v2",
        files: &[
            hugging_face(
                "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/model.safetensors",
            ),
            small("https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/config.json"),
            small("https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/vocab.txt"),
            small("https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/tokenizer_config.json"),
        ],
    },
    Model {
        name: "bert-tiny",
        about: "Hugging Face, prajjwal1/bert-tiny",
        files: &[
            hugging_face("https://huggingface.co/prajjwal1/bert-tiny/resolve/main/pytorch_model.bin"),
            small("https://huggingface.co/prajjwal1/bert-tiny/resolve/main/config.json"),
            small("https://huggingface.co/prajjwal1/bert-tiny/resolve/main/vocab.txt"),
        ],
    },
    Model {
        name: "timm/resnet50.a1_in1k",
        about: "timm, on Hugging Face",
        files: &[
            hugging_face("https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors"),
            small("https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/config.json"),
        ],
    },
    Model {
        name: "timm/resnet18.a1_in1k",
        about: "timm, on Hugging Face",
        files: &[
            hugging_face("https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"),
            small("https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/config.json"),
        ],
    },
    Model {
        name: "timm/resnet50d.ra2_in1k",
        about: "timm, on Hugging Face",
        files: &[
            hugging_face("https://huggingface.co/timm/resnet50d.ra2_in1k/resolve/main/model.safetensors"),
            small("https://huggingface.co/timm/resnet50d.ra2_in1k/resolve/main/config.json"),
        ],
    },
    Model {
        name: "timm/inception_v3.tv_in1k",
        about: "timm, on Hugging Face",
        files: &[
            hugging_face("https://huggingface.co/timm/inception_v3.tv_in1k/resolve/main/model.safetensors"),
            small("https://huggingface.co/timm/inception_v3.tv_in1k/resolve/main/config.json"),
        ],
    },
    Model {
        name: "timm/vgg16.tv_in1k",
        about: "timm, on Hugging Face",
        files: &[
            hugging_face("https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/model.safetensors"),
            small("https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/config.json"),
        ],
    },
    Model {
        name: "google/uncased_L-12_H-768_A-12",
        about: "google-research BERT, a TensorFlow checkpoint",
        files: &[archive("https://storage.googleapis.com/bert_models/2018_10_18/uncased_L-12_H-768_A-12.zip")],
    },
    Model {
        name: "google/uncased_L-24_H-1024_A-16",
        about: "google-research BERT, a TensorFlow checkpoint",
        files: &[archive("https://storage.googleapis.com/bert_models/2018_10_18/uncased_L-24_H-1024_A-16.zip")],
    },
    Model {
        name: "google/cased_L-12_H-768_A-12",
        about: "google-research BERT, a TensorFlow checkpoint",
        files: &[archive("https://storage.googleapis.com/bert_models/2018_10_18/cased_L-12_H-768_A-12.zip")],
    },
    Model {
        name: "google/cased_L-24_H-1024_A-16",
        about: "google-research BERT, a TensorFlow checkpoint",
        files: &[archive("https://storage.googleapis.com/bert_models/2018_10_18/cased_L-24_H-1024_A-16.zip")],
    },
    Model {
        name: "google/multi_cased_L-12_H-768_A-12",
        about: "google-research BERT, a TensorFlow checkpoint",
        files: &[archive("https://storage.googleapis.com/bert_models/2018_11_23/multi_cased_L-12_H-768_A-12.zip")],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for (i, model) in MODELS.iter().enumerate() {
            assert!(MODELS[..i].iter().all(|other| !other.name.eq_ignore_ascii_case(model.name)), "{}", model.name);
            assert!(!model.files.is_empty() && !model.name.split('/').any(|part| part.is_empty() || part == ".."));
            for file in model.files {
                assert!(file.url.starts_with("https://") && file.url.ends_with(file.name) && !file.name.is_empty());
                match file.check {
                    Check::Sha256Prefix(digits) => assert!(digits.len() == 8 && file.name.contains(digits)),
                    Check::Md5(digits) => assert_eq!(digits.len(), 32),
                    Check::Stated | Check::First => {}
                }
            }
        }
    }

    #[test]
    fn names_are_found_and_near_ones_told() {
        assert_eq!(find("ResNet50").unwrap().name, "resnet50");
        let near = |name: &str| find(name).unwrap_err().to_string();
        assert!(near("resnet51").contains("there is resnet50"), "{}", near("resnet51"));
        assert!(near("bert-base-uncase").contains("bert-base-uncased"));
        assert!(!near("qqqqqqqqqqqqqqqqqqqqqqqq").contains("there is"));
    }
}
