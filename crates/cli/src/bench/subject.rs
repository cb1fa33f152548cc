//! What is measured: a network, and something for it to read.

use crate::args::BenchArgs;
use crate::errors::{Failure, Result};
use crate::network::Network;
use std::path::Path;
use ukulele_layers::{Init, Tensor};
use ukulele_models::{BertConfig, ImageConfig, ImageModel, TextModel, TextTask, TokenBatch, ZOO};
use weights_import::{Architecture, Dialect, guess};

/// A network with its input.
pub(crate) struct Subject {
    /// What it is called.
    pub(crate) name: String,
    /// The network; one of texts has a classifier for two classes.
    pub(crate) net: Network,
    /// What it reads.
    pub(crate) input: Input,
}

/// A batch.
pub(crate) enum Input {
    /// (N, C, H, W).
    Images(Tensor),
    /// Texts without padding.
    Texts(TokenBatch),
}

impl Subject {
    /// The network that is named, with fresh weights, or that of a file.
    pub(crate) fn open(args: &BenchArgs) -> Result<Self> {
        let (name, batch) = (&args.model, args.batch as usize);
        if let Some(config) = ImageConfig::named(name, if name.starts_with("cifar") { 10 } else { 1000 }) {
            let net = Network::Image(ImageModel::new(&config, &mut Init::new(0)));
            let side = config.image_size();
            return Self::of_images(args, net, [3, side, side]);
        }
        if let Some(config) = BertConfig::named(name) {
            let length = length(args, &config)?;
            let net = TextModel::new(&config, TextTask::SequenceClassification, 2, &mut Init::new(0))?;
            return Self::of_texts(name, net, batch, length);
        }
        let path = Path::new(name);
        if !path.exists() {
            let near = ukulele_hub::near(name, ZOO.iter().map(|variant| variant.name));
            let near = if near.is_empty() { String::new() } else { format!(" (there is {})", near.join(", ")) };
            let message = format!("{name}: no network of `uke models`{near}, and no file or folder of weights");
            return Err(Failure::usage(message));
        }
        let weights = weights_import::open(path)?;
        let net = match Network::open(&weights, None)? {
            Network::Text(mut net) => {
                let length = length(args, net.config())?;
                net.replace_head(2, &mut Init::new(0));
                return Self::of_texts(name, net, batch, length);
            }
            net => net,
        };
        let size = match &net {
            Network::Image(net) => [Some(3), Some(net.config().image_size()), Some(net.config().image_size())],
            _ => match guess(&weights, &Dialect::detect(&weights)?) {
                Some(Architecture::KerasSequential(net)) => [net.input[2], net.input[0], net.input[1]],
                _ => [None; 3],
            },
        };
        let [Some(channels), Some(height), Some(width)] = size else {
            return Err(Failure::run(format!("{name}: its file does not say how large its images are")));
        };
        Self::of_images(args, net, [channels, height, width])
    }

    fn of_images(args: &BenchArgs, net: Network, [channels, height, width]: [usize; 3]) -> Result<Self> {
        if args.length.is_some() {
            return Err(Failure::usage(format!("--length: {} reads images, not texts", args.model)));
        }
        let batch = args.batch as usize;
        let count = batch * channels * height * width;
        let numbers = (0..count).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect();
        let images = Tensor::from_vec(&[batch, channels, height, width], numbers)?.channels_last();
        Ok(Self { name: args.model.clone(), net, input: Input::Images(images) })
    }

    fn of_texts(name: &str, net: TextModel, batch: usize, length: usize) -> Result<Self> {
        let (words, padding) = (net.config().vocab_size.max(1), net.config().pad_token_id);
        let id = |i: usize| match (1000 + i * 7919) % words {
            id if id == padding => (id + 1) % words,
            id => id,
        };
        let tokens = TokenBatch::unpadded(batch, length, (0..batch * length).map(id).collect())?;
        Ok(Self { name: name.to_owned(), net: Network::Text(net), input: Input::Texts(tokens) })
    }

    /// The shape of the input.
    pub(crate) fn shape(&self) -> Vec<usize> {
        match &self.input {
            Input::Images(images) => images.shape().to_vec(),
            Input::Texts(tokens) => vec![tokens.batch, tokens.length],
        }
    }

    /// What the input is counted in.
    pub(crate) fn unit(&self) -> &'static str {
        if matches!(self.input, Input::Images(_)) { "images" } else { "texts" }
    }
}

/// Tokens of each text.
fn length(args: &BenchArgs, config: &BertConfig) -> Result<usize> {
    let longest = config.longest();
    match args.length {
        None => Ok(longest.min(128)),
        Some(length) if length as usize <= longest => Ok(length as usize),
        Some(length) => {
            Err(Failure::usage(format!("--length {length}: {} takes at most {longest} tokens", args.model)))
        }
    }
}
