//! Speed of the data paths: `cargo run --release -p ukulele-data --example data_speed`.

use std::time::Instant;
use ukulele_data::{Casing, Filter, Image, Preprocess, Tokenizer, resize};

/// Best of five runs, in seconds.
fn best(mut run: impl FnMut()) -> f64 {
    let timed = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..5).map(timed).fold(f64::INFINITY, f64::min)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let vocab = std::fs::read_to_string(root.join("assets/bert-tiny/vocab.txt"))?;
    let tweets = std::fs::read_to_string(root.join("assets/tweets/tweets.tsv"))?;
    let texts: Vec<&str> = tweets.lines().collect();
    let build = best(|| {
        std::hint::black_box(Tokenizer::from_vocab(&vocab, Casing::Uncased)).ok();
    });
    println!("vocabulary of {} tokens       {:8.1} ms", vocab.lines().count(), build * 1e3);
    let tokenizer = Tokenizer::from_vocab(&vocab, Casing::Uncased)?;
    let accents: Vec<String> = texts.iter().map(|text| text.replace('e', "é").replace('a', "ä")).collect();
    let accents: Vec<&str> = accents.iter().map(String::as_str).collect();
    for (name, texts) in [("tweets", &texts), ("tweets with accents", &accents)] {
        let bytes: usize = texts.iter().map(|t| t.len()).sum();
        let seconds = best(|| {
            texts.iter().for_each(|text| {
                std::hint::black_box(tokenizer.encode(text));
            });
        });
        println!("{name:<28} {:8.1} MB/s, one thread", bytes as f64 / seconds / 1e6);
    }
    let image = Image::new(500, 375, (0..500 * 375 * 3).map(|i| (i * 7 % 251) as u8).collect())?;
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        let seconds = best(|| {
            std::hint::black_box(resize(&image, 341, 256, filter)).ok();
        });
        println!("resize 500 x 375 to 341 x 256 {:8.2} ms, {filter:?}", seconds * 1e3);
    }
    let preprocess = Preprocess::imagenet_torchvision();
    let seconds = best(|| {
        std::hint::black_box(preprocess.batch(std::slice::from_ref(&image))).ok();
    });
    println!("preprocess for ImageNet       {:8.2} ms", seconds * 1e3);
    Ok(())
}
