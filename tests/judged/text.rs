//! Models of text.

use super::{Case, Row, no_dropout};
use ukulele::{Module, Optimizer, Pass, Tensor, TextLabels, TextModel, TextOutput, TextTask, TokenBatch, Value};

fn tokens(case: &Case, prefix: &str) -> TokenBatch {
    let usizes = |name: &str| {
        let name = format!("{prefix}inputs.{name}");
        let found = case.has(&name).then(|| case.integers(&name));
        found.map(|ids| ids.into_iter().map(|id| usize::try_from(id).unwrap()).collect::<Vec<_>>())
    };
    let ids = usizes("input_ids").unwrap();
    let length = *case.shape(&format!("{prefix}inputs.input_ids")).last().unwrap();
    TokenBatch {
        batch: ids.len() / length,
        length,
        types: usizes("token_type_ids").unwrap_or_else(|| vec![0; ids.len()]),
        mask: usizes("attention_mask").unwrap().into_iter().map(|m| m as f32).collect(),
        ids,
    }
}

fn labels(case: &Case, task: TextTask, batch: &TokenBatch) -> Option<TextLabels> {
    let numbers = |name: &str| case.tensor(&format!("train.inputs.{name}")).to_vec();
    let integers = |name: &str| case.integers(&format!("train.inputs.{name}"));
    Some(match task {
        TextTask::Features => return None,
        TextTask::QuestionAnswering => {
            TextLabels::Span { start: integers("start_positions"), end: integers("end_positions") }
        }
        TextTask::PreTraining if case.fact("order").is_null() => TextLabels::Replaced {
            replaced: integers("labels").into_iter().map(|l| l as f32).collect(),
            mask: batch.mask.clone(),
        },
        TextTask::PreTraining => {
            TextLabels::Pretraining { words: integers("labels"), order: integers(case.fact("order").as_str().unwrap()) }
        }
        _ => match case.fact("problem").as_str() {
            Some("multi_label_classification") => TextLabels::Several(numbers("labels")),
            Some("regression") => TextLabels::Numbers(numbers("labels")),
            _ => TextLabels::Classes(integers("labels")),
        },
    })
}

fn named(y: &TextOutput) -> Vec<(&str, Value)> {
    y.values.iter().map(|(name, value)| (*name, value.clone())).collect()
}

fn save(case: &Case, net: &mut TextModel) {
    let folder = case.path("saved");
    std::fs::create_dir_all(&folder).unwrap();
    let state = net.state();
    let tensors: Vec<(String, &Tensor)> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    let path = folder.join("model.safetensors");
    weights_import::save_safetensors(path, &tensors, &[], weights_import::Dtype::F32).unwrap();
    let labels: Vec<String> = (0..net.classes().unwrap_or(0)).map(|class| format!("class {class}")).collect();
    std::fs::write(folder.join("config.json"), serde_json::Value::from(net.to_json(&labels)).to_string()).unwrap();
}

pub(crate) fn judge(case: &Case, row: &mut Row) {
    let (mut net, dialect) = TextModel::from_pretrained(case.weights()).unwrap();
    no_dropout(&mut net);
    let choices = case.fact("choices").as_u64().unwrap_or(1) as usize;
    let eval = |batch: &TokenBatch, pass: &mut Pass| net.forward_choices(batch, choices, pass).unwrap();

    let mut pass = Pass::eval();
    case.outputs(row, "outputs", &named(&eval(&tokens(case, ""), &mut pass)));
    let padded = tokens(case, "odd.");
    let y = eval(&padded, &mut pass);
    case.outputs(row, "odd.outputs", &named(&y));
    ragged(&padded, choices, &y, &eval);
    pass.watch_all(&net);
    let _outputs = eval(&tokens(case, ""), &mut pass);
    case.taps(row, &pass, |name| match name {
        // There the dropout belongs to the head.
        "dropout" if !case.has_tap(name) => {
            let places = ["classifier.dropout", "sequence_summary.last_dropout"];
            places.into_iter().find(|place| case.has_tap(place)).unwrap_or(name).to_owned()
        }
        // A list of modules is none there: its output is that of the last.
        _ if !case.has_tap(name) => {
            let last = (0..).take_while(|i| case.has_tap(&format!("{name}.{i}"))).last();
            format!("{name}.{}", last.unwrap_or_default())
        }
        _ => name.to_owned(),
    });
    save(case, &mut net);
    case.saved(row);

    let batch = tokens(case, "train.");
    let labels = labels(case, net.task(), &batch);
    let (mut optimizer, mut losses) = (case.sgd(), Vec::new());
    let mut want = Some(case.wanted_gradients(&mut net, &dialect));
    for step in 0..10 {
        let mut pass = Pass::train(step);
        let y = net.forward_choices(&batch, choices, &mut pass).unwrap();
        let loss = match &labels {
            Some(labels) => y.loss(labels).unwrap(),
            // Of hidden states: their mean square, and that of what is pooled.
            None => y.values.iter().map(|(_, v)| v.square()?.mean()).reduce(|a, b| a?.add(&b?)).unwrap().unwrap(),
        };
        let gradients = pass.backward(&loss).unwrap();
        if let Some(want) = want.take() {
            case.outputs(row, "train.outputs", &named(&y));
            case.gradients(row, &mut net, &gradients, want);
        }
        optimizer.step(&mut net, gradients).unwrap();
        losses.push(f64::from(loss.tensor().item().unwrap()));
    }
    case.losses(row, &losses);
}

/// Each text alone, without padding, gives what it gave in the padded batch.
fn ragged(
    padded: &TokenBatch,
    choices: usize,
    whole: &TextOutput,
    eval: &impl Fn(&TokenBatch, &mut Pass) -> TextOutput,
) {
    let lengths: Vec<usize> =
        padded.mask.chunks(padded.length).map(|m| m.iter().filter(|&&m| m == 1.0).count()).collect();
    assert!(lengths.iter().any(|&length| length < padded.length));
    for group in 0..padded.batch / choices {
        let texts = group * choices..(group + 1) * choices;
        // The choices of a question are padded to the longest of them.
        let length = lengths[texts.clone()].iter().copied().max().unwrap();
        fn cut<T: Copy>(all: &[T], texts: std::ops::Range<usize>, width: usize, length: usize) -> Vec<T> {
            texts.flat_map(|text| all[text * width..][..length].to_vec()).collect()
        }
        let alone = TokenBatch {
            batch: choices,
            length,
            ids: cut(&padded.ids, texts.clone(), padded.length, length),
            types: cut(&padded.types, texts.clone(), padded.length, length),
            mask: cut(&padded.mask, texts.clone(), padded.length, length),
        };
        let one = eval(&alone, &mut Pass::eval());
        for ((name, all), (_, one)) in whole.values.iter().zip(&one.values) {
            let all = all.tensor().narrow(0, group, 1).unwrap();
            let per_token = all.shape().get(1) == Some(&padded.length);
            let all = if per_token { all.narrow(1, 0, length).unwrap() } else { all };
            let error = super::relative(one.tensor(), &all);
            assert!(error < 1e-5, "{name} of text {group} alone is off by {error:.1e} from that in a padded batch");
        }
    }
}
