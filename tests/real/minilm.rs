//! MiniLM's sentence embeddings: the mean of the hidden states, normalised.

use crate::{json, numbers, real, relative, root};
use ukulele::data::{Casing, EncodeOptions, Tokenizer};
use ukulele::{BertConfig, BertModel, Dialect, Init, Pass, Pooling, Pretrained, TokenBatch};

#[test]
fn sentence_embeddings_equal_the_published_ones() {
    let weights = weights_import::open(real("minilm/model.safetensors")).unwrap();
    let dialect = Dialect::detect(&weights).unwrap();
    let config = BertConfig::from_json(&json(&real("minilm/config.json"))).unwrap();
    let mut net = BertModel::new(&config, true, &mut Init::new(0));
    net.load(&weights, &dialect).unwrap().strict().unwrap();
    let vocab = std::fs::read_to_string(real("minilm/vocab.txt")).unwrap();
    let tokenizer = Tokenizer::from_vocab(&vocab, Casing::Uncased).unwrap();

    let golden = json(&root().join("tests/import/minilm/golden.json"));
    let longest = golden["truncated to"].as_u64().unwrap() as usize;
    for case in golden["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let options = EncodeOptions { max_length: Some(longest), ..EncodeOptions::default() };
        let first = tokenizer.encode_with(text, None, &options).unwrap().swap_remove(0);
        let ids: Vec<usize> = first.ids.into_iter().map(|id| id as usize).collect();
        let want: Vec<usize> = numbers(&case["ids"]).into_iter().map(|id| id as usize).collect();
        assert_eq!(ids[..want.len()], want, "{text}");
        let tokens = TokenBatch::unpadded(1, ids.len(), ids).unwrap();
        let mean = net.pooled(&tokens, Pooling::Mean, &mut Pass::eval()).unwrap();
        let mean: Vec<f64> = mean.tensor().to_vec().into_iter().map(f64::from).collect();
        let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
        let embedding: Vec<f64> = mean.iter().map(|x| x / norm).collect();
        let error = (norm - case["norm of mean"].as_f64().unwrap()).abs() / norm;
        assert!(error < 1e-5, "{text}: norm off by {error:.2e}");
        let want = numbers(&case["embedding"]);
        let error = relative(&embedding[..want.len()], &want);
        println!("{:.30}: embedding off by {error:.1e}", text);
        assert!(error < 1e-5, "{text}: embedding off by {error:.2e}");
    }
    // The first three numbers that the model's page states for this sentence.
    let first = numbers(&golden["cases"][0]["embedding"]);
    for (ours, published) in first.iter().zip([0.06766, 0.06350, 0.04871]) {
        assert!((ours - published).abs() < 1e-5);
    }
}
