//! Weights that the world really distributes: those of `assets/`, and those that `scripts/fetch-real` fetched.
#![allow(missing_docs)]

use weights_import::{Architecture, Bert, Dialect, Dtype, guess, open};

fn bert_tiny() -> Bert {
    Bert {
        layers: 2,
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
        let expected =
            Bert { layers: 6, hidden: 384, heads: 12, intermediate: 1536, pooler: true, mlm: false, ..bert_tiny() };
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
    }
}
