//! Plans of models of text against passes, padded and not.

use ukulele_inference::{PlanOptions, Precision, StepProfile, TextPlan};
use ukulele_layers::{Init, Pass};
use ukulele_models::{BertConfig, TextModel, TextTask, TokenBatch, ZOO};

/// Texts of these lengths, padded to the longest.
fn texts(lengths: &[usize], padding: usize) -> TokenBatch {
    let length = lengths.iter().copied().max().unwrap_or(0);
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for (i, &own) in lengths.iter().enumerate() {
        ids.extend((0..length).map(|t| if t < own { 5 + (i * 31 + t * 17) % 90 } else { padding }));
        mask.extend((0..length).map(|t| f32::from(u8::from(t < own))));
    }
    TokenBatch { batch: lengths.len(), length, types: vec![0; ids.len()], ids, mask }
}

#[test]
fn hidden_states_are_those_of_the_pass() {
    for name in ["bert_tiny", "minilm_l6", "roberta_base", "distilbert_base", "electra_small", "albert_base"] {
        let config = BertConfig { vocab_size: 100, num_hidden_layers: 2, ..BertConfig::named(name).unwrap() };
        let padding = config.pad_token_id;
        for task in [TextTask::Features, TextTask::SequenceClassification] {
            let net = TextModel::new(&config, task, 3, &mut Init::new(1)).unwrap();
            let plan = TextPlan::compile(&net).unwrap();
            let shared = TextPlan::compile_with(&net, PlanOptions { prepacked: false, ..Default::default() }).unwrap();
            for lengths in [&[7][..], &[5, 5, 5], &[1, 9, 3, 3, 12], &[4, 0]] {
                let tokens = texts(lengths, padding);
                let want = net.hidden(&tokens, &mut Pass::eval()).unwrap();
                let got = plan.hidden(&tokens).unwrap();
                assert_eq!(got.shape(), want.shape());
                assert_eq!(shared.hidden(&tokens).unwrap().tensor().to_vec(), got.tensor().to_vec(), "{name}");
                let width = want.shape()[2];
                let (got, want) = (got.tensor().to_vec(), want.tensor().to_vec());
                for (at, (got, want)) in got.iter().zip(&want).enumerate() {
                    let there = tokens.mask[at / width] != 0.0;
                    let want = if there { *want } else { 0.0 };
                    assert!((got - want).abs() < 2e-5, "{name} {lengths:?}: {got} instead of {want} at {at}");
                }
            }
        }
    }
}

#[test]
fn shared_layers_are_packed_once() {
    let config = BertConfig { vocab_size: 100, num_hidden_layers: 5, ..BertConfig::named("albert_base").unwrap() };
    let net = TextModel::new(&config, TextTask::Features, 3, &mut Init::new(1)).unwrap();
    let all = TextPlan::compile(&net).unwrap();
    let packed: u64 = all.profile(&texts(&[4], 0)).unwrap().iter().map(|step| step.weights).sum();
    // Five layers in the table, one in memory.
    assert!(all.packed_len() as u64 * 4 < packed, "{} of {packed}", all.packed_len());
}

#[test]
fn padding_in_front_is_refused() {
    let config = BertConfig { vocab_size: 100, ..BertConfig::named("bert_tiny").unwrap() };
    let net = TextModel::new(&config, TextTask::Features, 2, &mut Init::new(1)).unwrap();
    let mut tokens = texts(&[3, 4], 0);
    tokens.mask[0] = 0.0;
    let error = TextPlan::compile(&net).unwrap().hidden(&tokens).unwrap_err().to_string();
    assert!(error.contains("text 0 has padding before its end"), "{error}");
    let mut tokens = texts(&[3, 4], 0);
    tokens.ids[2] = 100;
    assert!(TextPlan::compile(&net).unwrap().hidden(&tokens).unwrap_err().to_string().contains("token 100"));
}

#[test]
fn a_profile_counts_what_the_table_of_the_zoo_says() {
    let known = ZOO.iter().find(|variant| variant.name == "bert_tiny").unwrap();
    let net =
        TextModel::new(&BertConfig::named(known.name).unwrap(), TextTask::Features, 2, &mut Init::new(1)).unwrap();
    let plan = TextPlan::compile(&net).unwrap();
    let count = |lengths: &[usize]| -> u64 {
        let steps = plan.profile(&texts(lengths, 0)).unwrap();
        assert!(steps[0].what.starts_with("embeddings") && steps.iter().all(|step| step.seconds > 0.0));
        steps.iter().map(|step| step.multiply_adds).sum()
    };
    assert_eq!(count(&[known.input]), known.multiply_adds);
    assert_eq!(count(&[7, 20, 1]), count(&[7]) + count(&[20]) + count(&[1]));
}

#[test]
fn fewer_bits_are_near() {
    near("minilm_l6", 6, Precision::Bf16, 0.02);
    near("minilm_l6", 6, Precision::Int8, 0.03);
    near("bert_base", 12, Precision::Bf16, 0.02);
}

/// How far a plan of this precision is from the model's numbers.
fn near(name: &str, layers: usize, precision: Precision, stated: f64) {
    let config = BertConfig { vocab_size: 100, num_hidden_layers: layers, ..BertConfig::named(name).unwrap() };
    let net = TextModel::new(&config, TextTask::Features, 2, &mut Init::new(1)).unwrap();
    let options = PlanOptions { precision, ..Default::default() };
    let plan = TextPlan::compile_with(&net, options).unwrap();
    let tokens = texts(&[9, 30, 17], 0);
    let (got, want) = (plan.hidden(&tokens).unwrap(), net.hidden(&tokens, &mut Pass::eval()).unwrap());
    let there = |at: usize| tokens.mask[at / config.hidden_size] != 0.0;
    let (mut off, mut norm) = (0.0, 0.0);
    for (at, (got, want)) in got.tensor().to_vec().iter().zip(&want.tensor().to_vec()).enumerate() {
        if there(at) {
            off += f64::from(got - want).powi(2);
            norm += f64::from(*want).powi(2);
        }
    }
    let error = (off / norm).sqrt();
    println!("{name} {precision:?}: {error:.1e}, on the example {:.1e}", plan.error());
    // A text without tokens beside another; and which steps are of fewer bits.
    let one = plan.hidden(&texts(&[4, 0], 0)).unwrap().tensor().to_vec();
    assert!(one[4 * config.hidden_size..].iter().all(|&x| x == 0.0) && one.iter().all(|x| x.is_finite()));
    let steps = plan.profile(&tokens).unwrap();
    let short = |step: &&StepProfile| step.what.starts_with("attention bf16");
    assert_eq!(steps.iter().filter(short).count(), if precision == Precision::Bf16 { layers } else { 0 });
    assert!(error > 1e-5 && error < stated, "{name} {precision:?}: {error:.1e}");
}
