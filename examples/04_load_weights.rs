//! Real weights from a file, and the report of what fitted. `cargo run --release --example 04_load_weights`

use ukulele::{BertConfig, Dialect, Init, Module, Pooling, Pretrained, TextModel, TextTask};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Opening reads the index only; the format is recognised by content.
    let weights = weights_import::open("assets/bert-tiny/model.safetensors")?;
    let dialect = Dialect::detect(&weights)?;
    println!(
        "{} file with {} tensors; dialect {} ({})",
        weights.format(),
        weights.entries().len(),
        dialect.name(),
        dialect.evidence()
    );
    println!("it looks like {:?}", weights_import::guess(&weights, &dialect));

    let config =
        BertConfig::from_json(&serde_json::from_str(&std::fs::read_to_string("assets/bert-tiny/config.json")?)?)?;
    let mut words = TextModel::new(&config, TextTask::MaskedLM, 0, &mut Init::new(0))?;
    println!("\nmasked words: {}", words.load(&weights, &dialect)?.strict()?);

    // A classifier is new: the file cannot have it. Loading says so, and the caller states that this is intended.
    let mut classifier = TextModel::classifier(&config, 2, Pooling::Mean, &mut Init::new(0))?;
    let report = classifier.load(&weights, &dialect)?;
    println!("\nclassifier: {report}");
    report.only_missing(&["classifier."])?;
    println!("{} numbers in all", classifier.parameter_count().0);
    Ok(())
}
