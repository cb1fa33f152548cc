//! Models of texts: their heads, labels, configurations and errors. (tests/judged compares their numbers.)
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use ukulele_layers::{Init, Module, Pass, Tensor};
use ukulele_models::{BertConfig, TextLabels, TextModel, TextTask, TokenBatch};
use weights_import::{Dtype, TextFamily, save_safetensors};

const TASKS: [TextTask; 8] = [
    TextTask::Features,
    TextTask::SequenceClassification,
    TextTask::TokenClassification,
    TextTask::QuestionAnswering,
    TextTask::MultipleChoice,
    TextTask::MaskedLM,
    TextTask::NextSentencePrediction,
    TextTask::PreTraining,
];

fn config(family: TextFamily) -> BertConfig {
    let narrow = matches!(family, TextFamily::Electra | TextFamily::Albert);
    let roberta = family == TextFamily::Roberta;
    let base = BertConfig::of_family(family);
    BertConfig {
        vocab_size: 20,
        embedding_size: narrow.then_some(4),
        hidden_size: 8,
        num_hidden_layers: if family == TextFamily::Albert { 4 } else { 2 },
        num_attention_heads: 2,
        intermediate_size: 16,
        hidden_groups: if family == TextFamily::Albert { 2 } else { 1 },
        max_position_embeddings: if roberta { 10 } else { 8 },
        type_vocab_size: if roberta { 1 } else { base.type_vocab_size },
        ..base
    }
}

/// Every family with every head that it has, for three classes.
fn models() -> Vec<TextModel> {
    let all = TextFamily::ALL.into_iter().flat_map(|family| TASKS.map(|task| (family, task)));
    let made = all.filter_map(|(family, task)| TextModel::new(&config(family), task, 3, &mut Init::new(1)).ok());
    let made: Vec<TextModel> = made.collect();
    assert_eq!(made.len(), 8 + 6 + 7 + 6 + 7);
    made
}

/// Two texts of six and of four words.
fn tokens(config: &BertConfig) -> TokenBatch {
    let ids = [&[5, 6, 7, 8, 9, 10, 11, 12, 13, 14][..], &[config.pad_token_id; 2]].concat();
    let mask = [[1.0; 10].as_slice(), &[0.0; 2]].concat();
    TokenBatch { batch: 2, length: 6, ids, types: vec![0; 12], mask }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(name: &str, net: &mut TextModel) -> Self {
        let folder = Self(std::env::temp_dir().join(format!("ukulele-text-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0).unwrap();
        let state = net.state();
        let tensors: Vec<(String, &Tensor)> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        save_safetensors(folder.0.join("model.safetensors"), &tensors, &[], Dtype::F32).unwrap();
        folder
    }

    fn config(&self, config: serde_json::Value) {
        std::fs::write(self.0.join("config.json"), config.to_string()).unwrap();
    }
}

fn numbers(net: &TextModel, tokens: &TokenBatch) -> Vec<f32> {
    let output = net.forward(tokens, &mut Pass::eval()).unwrap();
    output.values.iter().flat_map(|(_, y)| y.tensor().to_vec()).collect()
}

#[test]
fn every_module_is_heard_and_every_name_is_in_one_group() {
    for mut net in models() {
        let what = format!("{} for {:?}", net.config().family.name(), net.task());
        let mut pass = Pass::eval();
        pass.watch_all(&net);
        let _output = net.forward(&tokens(net.config()), &mut pass).unwrap();
        let heard: BTreeSet<&str> = pass.taps().iter().map(|(name, _)| name.as_str()).collect();
        net.modules("", &mut |name, _| {
            // Attention drops weights, which are no tensor of their own here.
            let idle = name.contains("attention") && name.ends_with("dropout") && !name.contains("output");
            assert!(name.is_empty() || idle || heard.contains(name), "{what}: {name} is silent");
        });
        let groups = net.layer_groups();
        net.each("", &mut |name, _| {
            let hits = groups.iter().flatten().filter(|prefix| name.starts_with(prefix.as_str())).count();
            assert_eq!(hits, 1, "{what}: {name} in {groups:?}");
        });
    }
}

#[test]
fn what_is_saved_is_opened_again() {
    for mut net in models() {
        let folder = Folder::new("saved", &mut net);
        let labels = ["a", "b", "c"].map(str::to_owned);
        folder.config(net.to_json(if net.classes().is_some() { &labels } else { &[] }).into());
        let (again, _) = TextModel::from_pretrained(&folder.0).unwrap();
        assert_eq!((again.config(), again.task()), (net.config(), net.task()));
        let tokens = tokens(net.config());
        assert_eq!(numbers(&again, &tokens), numbers(&net, &tokens), "{:?}", net.config().family);
    }
}

#[test]
fn a_new_head_leaves_the_encoder_and_all_of_it_learns() {
    for mut net in models() {
        let tokens = tokens(net.config());
        let hidden = |net: &TextModel| net.hidden(&tokens, &mut Pass::eval()).unwrap().tensor().to_vec();
        let before = hidden(&net);
        net.replace_head(4, &mut Init::new(2));
        assert_eq!((net.classes(), hidden(&net)), (Some(4), before));
        let mut pass = Pass::train(1);
        let output = net.forward(&tokens, &mut pass).unwrap();
        let labels = if net.task() == TextTask::TokenClassification { vec![1; 12] } else { vec![3, 0] };
        let loss = output.loss(&TextLabels::Classes(labels)).unwrap();
        net.audit(&pass, &loss).unwrap();
    }
}

#[test]
fn tokens_that_do_not_fit_are_errors() {
    for family in TextFamily::ALL {
        let net = TextModel::new(&config(family), TextTask::Features, 0, &mut Init::new(1)).unwrap();
        let run = |tokens: &TokenBatch| net.forward(tokens, &mut Pass::eval()).map(|_| ()).map_err(|e| e.to_string());
        let says = |tokens: &TokenBatch, words: &str| {
            let error = run(tokens).unwrap_err();
            assert!(error.contains(words), "{family:?}: {error}");
        };
        let mut wrong = tokens(net.config());
        wrong.ids[8] = 20;
        says(&wrong, "token 20 at place 2 of sequence 1, the model's table has 20");
        let mut wrong = tokens(net.config());
        wrong.types[3] = 2;
        match family {
            TextFamily::DistilBert => assert_eq!(run(&wrong), Ok(())),
            _ => says(&wrong, "segment 2 at place 3 of sequence 0"),
        }
        // All have eight positions; RoBERTa of ten, of which two are none.
        assert_eq!(net.config().longest(), 8);
        assert_eq!(run(&TokenBatch::unpadded(1, 8, vec![5; 8]).unwrap()), Ok(()));
        says(&TokenBatch::unpadded(1, 9, vec![5; 9]).unwrap(), "9 tokens, the model has 8 positions");
        let mut short = tokens(net.config());
        short.mask.pop();
        says(&short, "want 12 mask, 11 given");
    }
}

#[test]
fn labels_that_do_not_fit_are_errors() {
    let error = |task: TextTask, labels: TextLabels| {
        let net = TextModel::new(&config(TextFamily::Bert), task, 3, &mut Init::new(1)).unwrap();
        let output = net.forward(&tokens(net.config()), &mut Pass::eval()).unwrap();
        output.loss(&labels).unwrap_err().to_string()
    };
    let sequence = TextTask::SequenceClassification;
    let span = TextLabels::Span { start: vec![0], end: vec![0, 1] };
    let said = [
        (error(TextTask::Features, TextLabels::Classes(vec![0, 1])), "Features does not learn from Classes"),
        (error(sequence, span.clone()), "does not learn from Span"),
        (error(sequence, TextLabels::Classes(vec![0, 3])), "label 3 at row 1 is none of 3 classes"),
        (error(sequence, TextLabels::Several(vec![0.5; 5])), "5 targets for logits [2, 3]"),
        (error(sequence, TextLabels::Several(vec![2.0; 6])), "target 2 at place 0"),
        (error(sequence, TextLabels::Numbers(vec![1.0])), "[2, 3]"),
        (error(TextTask::TokenClassification, TextLabels::Classes(vec![0; 11])), "11 labels for logits [12, 3]"),
        (error(TextTask::QuestionAnswering, span), "1 labels for logits [2, 6]"),
    ];
    for (error, words) in said {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn names_of_relatives_are_kept() {
    for name in BertConfig::NAMES {
        let config = BertConfig::named(name).unwrap();
        assert_eq!(BertConfig::from_json(&config.to_json().into()).unwrap(), config, "{name}");
    }
    let config = BertConfig { alias: Some("xlm-roberta"), ..config(TextFamily::Roberta) };
    let net = TextModel::new(&config, TextTask::MaskedLM, 0, &mut Init::new(1)).unwrap();
    let json = net.to_json(&[]);
    assert_eq!(
        (&json["model_type"], &json["architectures"][0]),
        (&"xlm-roberta".into(), &"XLMRobertaForMaskedLM".into())
    );
}

/// Far more memory than there is: refused before any is taken.
#[test]
fn layers_within_a_group_are_those_of_the_file() {
    let mut net = TextModel::new(&config(TextFamily::Albert), TextTask::Features, 0, &mut Init::new(1)).unwrap();
    let folder = Folder::new("inner", &mut net);
    let mut json = serde_json::Value::from(net.to_json(&[]));
    json["inner_group_num"] = 4096.into();
    folder.config(json);
    assert!(TextModel::from_pretrained(&folder.0).unwrap_err().to_string().contains("config.json beside it"));
}

#[test]
fn a_head_that_the_file_lacks_is_an_error() {
    let config = config(TextFamily::Bert);
    let mut net = TextModel::new(&config, TextTask::Features, 0, &mut Init::new(1)).unwrap();
    let folder = Folder::new("headless", &mut net);
    let promised = TextModel::new(&config, TextTask::SequenceClassification, 3, &mut Init::new(1)).unwrap();
    folder.config(promised.to_json(&[]).into());
    let error = TextModel::from_pretrained(&folder.0).unwrap_err().to_string();
    assert!(error.contains("classifier.weight"), "{error}");
    let weights = weights_import::open(&folder.0).unwrap();
    let encoder = TextModel::encoder_of(&weights, &weights_import::Dialect::detect(&weights).unwrap()).unwrap();
    assert_eq!(numbers(&encoder, &tokens(&config)), numbers(&net, &tokens(&config)));
}

#[test]
fn configurations_that_do_not_fit_are_errors() {
    let mut net = TextModel::new(&config(TextFamily::Roberta), TextTask::MaskedLM, 0, &mut Init::new(1)).unwrap();
    let folder = Folder::new("config", &mut net);
    let error = |key: &str, value: serde_json::Value| {
        let mut json = serde_json::Value::from(net.to_json(&[]));
        json[key] = value;
        folder.config(json);
        TextModel::from_pretrained(&folder.0).map(|_| ()).unwrap_err().to_string()
    };
    let said = [
        (error("num_hidden_layers", 5000.into()), "at most 4096"),
        (error("num_hidden_layers", 0.into()), "a whole number from 1"),
        (error("num_attention_heads", 3.into()), "3 heads do not divide a hidden size of 8"),
        (error("pad_token_id", 9.into()), "10 positions, of which a RoBERTa with padding 9 uses none"),
        (error("layer_norm_eps", (-1.0).into()), "`layer_norm_eps` is -1.0"),
        (error("hidden_act", "relu".into()), "relu"),
        (error("tie_word_embeddings", false.into()), "a matrix of its own"),
    ];
    for (error, words) in said {
        assert!(error.contains(words), "{error}");
    }
}
