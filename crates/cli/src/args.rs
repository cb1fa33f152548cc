//! The command line of `uke`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;
use ukulele_inference::{PlanOptions, Precision};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 an error (one line on stderr says what, where and how to mend it), \
2 wrong usage, 130 interrupted by Ctrl-C (the best state so far is saved; Ctrl-C again leaves at once).";

/// Fine-tunes pretrained networks: pure Rust, on the processor.
///
/// Without a command, `uke` runs `uke demo`.
#[derive(Parser, Debug)]
#[command(name = "uke", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Debug, Clone)]
pub(crate) struct Common {
    /// Threads to compute with [default: all processors]; results do not depend on it
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Say only what was asked for
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show what pretraining is worth: train three ways, compare, write a report
    #[command(after_help = concat!(
        "Example:\n  uke demo\n  uke demo text --seeds 5 --json results.json\n",
        "  scripts/fetch-real nsfw elpv && uke demo image --out solar-demo"
    ))]
    Demo(DemoArgs),
    /// Fine-tune pretrained weights on your data
    #[command(
        after_help = "Example:\n  uke finetune text --weights minilm/ --train reviews.csv --text-column text --label-column label --out reviews-model"
    )]
    Finetune {
        #[command(subcommand)]
        kind: Finetune,
    },
    /// Label new inputs with a fine-tuned model
    #[command(
        after_help = "Example:\n  uke predict reviews-model \"What a lovely film\" more-lines.txt\n  uke predict solar-model photos/*.png --json labels.json"
    )]
    Predict(PredictArgs),
    /// Measure a fine-tuned model on labelled data
    #[command(
        after_help = "Example:\n  uke evaluate reviews-model test.csv --text-column text --label-column label\n  uke evaluate solar-model photos/test"
    )]
    Evaluate(EvaluateArgs),
    /// Say what is in a weights file of any kind, and what smells
    #[command(
        after_help = "Example:\n  uke inspect resnet50.pth\n  uke inspect bert_model.ckpt --json bert.json\n  uke inspect model.h5 --json -"
    )]
    Inspect(InspectArgs),
    /// Write a weights file in another format, element type or naming
    #[command(
        after_help = "Example:\n  uke convert vgg16.h5 vgg16.safetensors --dialect torchvision\n  uke convert model.onnx model.pth --dtype f16"
    )]
    Convert(ConvertArgs),
    /// List the networks with their parameters, operations and input sizes
    #[command(after_help = "Example:\n  uke models\n  uke models --json")]
    Models(ModelsArgs),
    /// Measure a network layer by layer, beside what the machine can do
    #[command(
        after_help = "Example:\n  uke bench resnet50 --batch 8\n  uke bench bert_base --batch 8 --length 128 --top 10 --plot roofline.svg\n  uke bench minilm/ --train --batch 32 --json\n\nGFLOP/s count what the definition of a layer multiplies and adds; Winograd's algorithm does less, so that a layer can pass 100 % of the peak. With --precision, layers that are computed in it stand against the peak of its products, the others against that of f32. GB/s count every number that a layer reads or writes and its weights once; what is still in a cache can pass 100 % of the memory. A layer is bound by what would take longer at the machine's best. Each has a median of its own, so that all of them together can be less than a whole run. With --train, each op of the step is a layer forward and one backward, the latter with what is computed again for it, and the optimiser is one. With --errors, a layer's error is relative in norm, with its bias, residual and activation, of the same inputs.\n\nThe machine is measured before and after the network, and the higher numbers count; it should have nothing else to do. If they differ by more than a quarter, a warning says so."
    )]
    Bench(BenchArgs),
    /// Run raw tensors through a network: to check an import
    #[command(
        after_help = "Example:\n  uke forward --weights resnet50.pth --input x.npy --output y.npy\n  uke forward --weights resnet50.pth --input x.npy --output y.npy --tap layer3.2"
    )]
    Forward(ForwardArgs),
    /// Compare a network with numbers of its original, and name the first layer that parts from it
    #[command(
        after_help = "Example:\n  uke verify --weights resnet50.pth --input x.npy --expect y.npy\n  uke verify --weights resnet50.pth --input x.npy --expect activations.npz\n\nArrays that are no modules here are not compared. Copy what a hook in torch sees: a ReLU in place changes it afterwards.\nExit code 1 if anything is off by more than the tolerance."
    )]
    Verify(VerifyArgs),
    /// Fetch well-known pretrained weights, checked and resumable, and print where they are
    #[command(
        after_help = "Example:\n  uke pull --list\n  uke finetune image --weights \"$(uke pull resnet50)\" --data photos/ --out model\n\nThe cache is $UKE_CACHE, or ukulele in the folder of caches. UKE_OFFLINE=1 leaves the network alone; UKE_HUB_MIRROR names a mirror that has the files at MIRROR/host/path; SSL_CERT_FILE names roots of trust."
    )]
    Pull(PullArgs),
}

/// Arguments of `uke models`.
#[derive(Args, Debug, Clone)]
pub(crate) struct ModelsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `uke bench`.
#[derive(Args, Debug, Clone)]
pub(crate) struct BenchArgs {
    /// A network of `uke models`, with fresh weights, or a file or folder of weights
    pub(crate) model: String,
    /// Images or texts at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: u32,
    /// Tokens of each text [default: 128, or as many as the network takes]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) length: Option<u32>,
    /// Numbers to compute with
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    pub(crate) precision: PrecisionArg,
    /// Measure training steps: forward, backward, optimiser
    #[arg(long)]
    pub(crate) train: bool,
    /// Runs to take the median of [default: as many as fit in 2 seconds, at least 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) runs: Option<u32>,
    /// Show the N kinds of layers that take longest, equal layers together [default: all, in their order]
    #[arg(long, value_name = "N", conflicts_with = "json", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: Option<u32>,
    /// Tell how far each layer by Winograd's algorithm is from sums in f64 (seconds to minutes)
    #[arg(long, conflicts_with = "train")]
    pub(crate) errors: bool,
    /// Draw the layers below the machine's roofs into this file (.svg)
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What numbers are computed with.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrecisionArg {
    /// 32 bits
    F32,
    /// 16 bits, the upper half of f32
    Bf16,
    /// Whole numbers of 8 bits
    Int8,
}

impl PrecisionArg {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// As the libraries know it.
    pub(crate) fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Int8 => Precision::Int8,
        }
    }

    /// Plans in it.
    pub(crate) fn options(self) -> PlanOptions {
        PlanOptions { precision: self.precision(), ..Default::default() }
    }

    /// Those in which networks learn.
    fn learning() -> impl TypedValueParser<Value = Self> {
        PossibleValuesParser::new(["f32", "bf16"]).try_map(|name| Self::from_str(&name, false))
    }
}

/// Arguments of `uke forward`.
#[derive(Args, Debug, Clone)]
pub(crate) struct ForwardArgs {
    /// The weights: any file that `uke inspect` knows
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// The network that the weights must belong to [default: what names and shapes of the weights tell]
    #[arg(long, value_name = "NAME", value_parser = models())]
    pub(crate) model: Option<String>,
    /// A file of one array (.npy): images (N, C, H, W) as the network takes them, or ids of word pieces (B, T)
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// The file to write (.npy): logits, or the hidden states of a BERT
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Write the output of this module instead, e.g. layer3.2
    #[arg(long, value_name = "NAME")]
    pub(crate) tap: Option<String>,
}

/// Arguments of `uke verify`.
#[derive(Args, Debug, Clone)]
pub(crate) struct VerifyArgs {
    /// The weights: any file that `uke inspect` knows
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// The network that the weights must belong to [default: what names and shapes of the weights tell]
    #[arg(long, value_name = "NAME", value_parser = models())]
    pub(crate) model: Option<String>,
    /// A file of one array (.npy), as for `uke forward`
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// The original's output (.npy), or outputs by the names of modules, `output` being the last (.npz, .safetensors)
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: PathBuf,
    /// Largest difference, relative in norm
    #[arg(long, value_name = "X", default_value_t = 1e-4)]
    pub(crate) tolerance: f64,
    /// Write the numbers to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Names of networks.
fn models() -> PossibleValuesParser {
    PossibleValuesParser::new(
        ukulele_models::ImageConfig::NAMES
            .into_iter()
            .chain(weights_import::TextFamily::ALL.map(|family| family.prefix())),
    )
}

/// Arguments of `uke pull`.
#[derive(Args, Debug, Clone)]
pub(crate) struct PullArgs {
    /// The model, e.g. resnet50, keras/vgg16, bert-base-uncased
    #[arg(required_unless_present = "list")]
    pub(crate) name: Option<String>,
    /// List the models with addresses, sizes and what their files are known by
    #[arg(long, conflicts_with = "name")]
    pub(crate) list: bool,
    /// Use the cache alone, not the network
    #[arg(long)]
    pub(crate) offline: bool,
    /// Read what is in the cache again, and fetch again what is no longer right
    #[arg(long)]
    pub(crate) verify: bool,
    /// Take this file, which came by other means, instead of fetching it
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// The folder of what was fetched
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `uke inspect`.
#[derive(Args, Debug, Clone)]
pub(crate) struct InspectArgs {
    /// A weights file, a folder with one, or the prefix of a TensorFlow checkpoint
    pub(crate) file: PathBuf,
    /// Write all of it to this file as JSON, with the sha256 of each tensor; - for the standard output
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,
    /// Read names and shapes alone, not the values
    #[arg(long)]
    pub(crate) index_only: bool,
}

/// Arguments of `uke convert`.
#[derive(Args, Debug, Clone)]
pub(crate) struct ConvertArgs {
    /// The weights to read
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Format to write [default: by the ending of OUT]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) to: Option<FormatArg>,
    /// Round floating point numbers to this type [default: as they are; f32 with --dialect]
    #[arg(long, value_enum, value_name = "TYPE")]
    pub(crate) dtype: Option<DtypeArg>,
    /// Rename and turn tensors to this naming: torchvision, timm, facenet (images) or huggingface_bert [default: as they are]
    #[arg(long, value_name = "NAME")]
    pub(crate) dialect: Option<String>,
}

/// Formats that are written.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatArg {
    /// .safetensors
    Safetensors,
    /// .pth, .pt, .bin: what torch.load(weights_only=True) reads
    Pytorch,
    /// .npz
    Npz,
}

/// Element types that are written.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DtypeArg {
    /// 32 bits
    F32,
    /// 16 bits, IEEE
    F16,
    /// The upper 16 bits of f32
    Bf16,
}

/// Arguments of `uke demo`.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct DemoArgs {
    /// Which demo
    #[arg(value_enum, default_value_t)]
    pub(crate) kind: DemoKind,
    /// Write the numbers to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Repeat with seeds 1 to N and report means
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) seeds: u64,
    /// Leave out the curve over numbers of labels, which takes most of the time (text; image has none)
    #[arg(long)]
    pub(crate) no_curve: bool,
    /// Folder for report.html and the fine-tuned model [default: uke-demo, uke-demo-image]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// The demos.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DemoKind {
    /// BERT-tiny learns the sentiment of tweets; all inside the binary
    #[default]
    Text,
    /// A half-width ResNet-50 learns to find defects of solar cells; after scripts/fetch-real nsfw elpv
    Image,
}

/// What to fine-tune.
#[derive(Subcommand, Debug)]
pub(crate) enum Finetune {
    /// A BERT on labelled texts in a table
    #[command(
        after_help = "Example:\n  uke finetune text --weights minilm/ --train reviews.csv --text-column text --label-column label --epochs 4 --out reviews-model\n  uke finetune text --weights minilm/ --train reviews.csv --freeze trunk --feature-cache features/"
    )]
    Text(TextArgs),
    /// A ResNet on photos: one folder per class, or a table of paths and labels
    #[command(
        after_help = "Example:\n  uke finetune image --weights resnet50.safetensors --data photos/ --augment flip --epochs 10 --out photo-model\n  uke finetune image --weights resnet50.safetensors --data photos/ --freeze trunk --feature-cache features/"
    )]
    Image(ImageArgs),
}

/// How training goes, for texts and images alike.
#[derive(Args, Debug, Clone)]
pub(crate) struct TrainArgs {
    /// What stays as it is: none, trunk (only the head learns), or the first N groups of layers
    /// (BERT: embeddings and N layers; ResNet: stem and N - 1 stages)
    #[arg(long, value_name = "none|trunk|N", default_value = "none")]
    pub(crate) freeze: Freeze,
    /// Passes over the data [default: 4 to 30, the fewer the more data]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) epochs: Option<u32>,
    /// Samples per step [default: 32, 16 for less than 500 samples]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: Option<u32>,
    /// Learning rate of the last layers [default: by the size of the model]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Each group of layers learns this much slower than the one after it
    #[arg(long, value_name = "FACTOR", default_value_t = 0.8, value_parser = fraction)]
    pub(crate) rate_decay: f64,
    /// Weight decay
    #[arg(long, value_name = "W", default_value_t = 0.01, value_parser = not_negative)]
    pub(crate) weight_decay: f64,
    /// Share of the target spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = fraction)]
    pub(crate) label_smoothing: f64,
    /// Keep what frozen layers say of the data in this folder, for later trainings of the same data: as f16, found by the hash of
    /// weights, preprocessing and data. With --freeze trunk or N; photos that change at random keep what the new head wants alone.
    /// With N only the disk limits what is kept: it is read batch by batch. Without a folder 2 GB of it are held in memory at most
    #[arg(long, value_name = "DIR")]
    pub(crate) feature_cache: Option<PathBuf>,
    /// Weigh classes by how rare they are
    #[arg(long)]
    pub(crate) balance: bool,
    /// Stop after N epochs without a better validation accuracy
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) patience: u32,
    /// Share of the training data that validates, if no validation data is given
    #[arg(long, value_name = "SHARE", default_value_t = 0.15, value_parser = fraction)]
    pub(crate) val_share: f64,
    /// What convolutions and linear layers multiply in a training step: bf16 is faster and a little off. Validation, features
    /// that are computed once for all epochs and the saved model are f32
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = PrecisionArg::learning())]
    pub(crate) precision: PrecisionArg,
    /// Compute most outputs again on the way back instead of keeping them: the same numbers, less memory, about a fifth more time
    #[arg(long)]
    pub(crate) gradient_checkpointing: bool,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder for the fine-tuned model
    #[arg(long, value_name = "DIR", default_value = "uke-model")]
    pub(crate) out: PathBuf,
    /// Write the results to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Columns of a table of texts.
#[derive(Args, Debug, Clone)]
pub(crate) struct TextColumns {
    /// Column of the texts: a name of the header line
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub(crate) text_column: String,
}

/// Arguments of `uke finetune text`.
#[derive(Args, Debug, Clone)]
pub(crate) struct TextArgs {
    /// Folder with model.safetensors, config.json and tokenizer.json (or vocab.txt, vocab.json, spiece.model), or the weights file among them
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) weights: PathBuf,
    /// Table of the training data, CSV or TSV with a header line
    #[arg(long, value_name = "FILE")]
    pub(crate) train: PathBuf,
    /// Table of the validation data [default: a share of the training data, stratified]
    #[arg(long, value_name = "FILE")]
    pub(crate) val: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) columns: TextColumns,
    /// Column of the labels
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub(crate) label_column: String,
    /// Longest text in tokens; what is beyond is cut off
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(3..=4096))]
    pub(crate) max_length: u32,
    /// How a text becomes one vector [default: the pooler if the file has one that was trained (BERT, ALBERT), else the mean]
    #[arg(long, value_enum)]
    pub(crate) pooling: Option<PoolingArg>,
    #[command(flatten)]
    pub(crate) training: TrainArgs,
}

/// How a text becomes one vector.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PoolingArg {
    /// The mean over all tokens
    Mean,
    /// The first token
    Cls,
    /// The trained projection of the first token
    Pooler,
}

/// Arguments of `uke finetune image`.
#[derive(Args, Debug, Clone)]
pub(crate) struct ImageArgs {
    /// Weights of a ResNet, VGG, Inception or GoogLeNet in any format that `uke inspect` recognises
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// The network that the weights must belong to [default: what names and shapes of the weights tell]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(ukulele_models::ImageConfig::NAMES))]
    pub(crate) model: Option<String>,
    /// Folder with a folder of photos per class, or a table (CSV, TSV) of paths and labels
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(crate) data: PathBuf,
    /// The same for validation [default: a share of the data, stratified]
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(crate) val: Option<PathBuf>,
    /// Column of the paths, for a table
    #[arg(long, value_name = "NAME", default_value = "path")]
    pub(crate) path_column: String,
    /// Column of the labels, for a table
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub(crate) label_column: String,
    /// Side of the square that the network sees, in pixels [default: 224; 299 for Inception v3]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(32..=1024))]
    pub(crate) size: Option<u32>,
    /// The whole photo, stretched to the square [default: as the weights were trained, mostly its middle]
    #[arg(long)]
    pub(crate) whole: bool,
    /// Random changes of the training photos that leave their label true
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CHANGES", default_value = "flip")]
    pub(crate) augment: Vec<AugmentArg>,
    /// Leave out photos that cannot be read (each is named) instead of stopping
    #[arg(long)]
    pub(crate) skip_broken: bool,
    #[command(flatten)]
    pub(crate) training: TrainArgs,
}

/// Random changes of photos.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AugmentArg {
    /// None
    None,
    /// Left and right exchanged
    Flip,
    /// Top and bottom exchanged
    FlipVertical,
    /// Turned by 0, 1, 2 or 3 quarters
    Rotate,
    /// A random part, stretched to the whole
    Crop,
}

/// Arguments of `uke predict`.
#[derive(Args, Debug, Clone)]
pub(crate) struct PredictArgs {
    /// Folder of a fine-tuned model
    #[arg(value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Texts, or files with a text per line; for image models photos, or folders of them
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<String>,
    /// Write label, probability and all probabilities to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Leave out photos that cannot be read (each is named) instead of stopping
    #[arg(long)]
    pub(crate) skip_broken: bool,
    /// What the trunk multiplies: bf16 and int8 are faster and a little off
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    pub(crate) precision: PrecisionArg,
}

/// Arguments of `uke evaluate`.
#[derive(Args, Debug, Clone)]
pub(crate) struct EvaluateArgs {
    /// Folder of a fine-tuned model
    #[arg(value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Table of labelled texts; for image models a folder per class, or a table of paths and labels
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) columns: TextColumns,
    /// Column of the paths, for a table of photos
    #[arg(long, value_name = "NAME", default_value = "path")]
    pub(crate) path_column: String,
    /// Column of the labels
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub(crate) label_column: String,
    /// Write the numbers to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Leave out photos that cannot be read (each is named) instead of stopping
    #[arg(long)]
    pub(crate) skip_broken: bool,
    /// What the trunk multiplies: bf16 and int8 are faster and a little off
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    pub(crate) precision: PrecisionArg,
}

/// What does not learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freeze {
    /// Everything learns.
    None,
    /// Only the head learns.
    Trunk,
    /// The first N groups of layers stay.
    Groups(usize),
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "trunk" => Ok(Self::Trunk),
            number => number
                .parse()
                .map(Self::Groups)
                .map_err(|_| "none, trunk or a number of groups of layers belongs here".to_owned()),
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| "not a number".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if x > 0.0 { Ok(x) } else { Err("must be above 0".to_owned()) })
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if x >= 0.0 { Ok(x) } else { Err("must not be below 0".to_owned()) })
}

fn fraction(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| if (0.0..=1.0).contains(&x) { Ok(x) } else { Err("must be from 0 to 1".to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn freeze_takes_three_forms() {
        assert_eq!("none".parse(), Ok(Freeze::None));
        assert_eq!("trunk".parse(), Ok(Freeze::Trunk));
        assert_eq!("3".parse(), Ok(Freeze::Groups(3)));
        assert!("-1".parse::<Freeze>().is_err());
    }

    #[test]
    fn no_command_is_fine() {
        assert!(Cli::try_parse_from(["uke"]).is_ok_and(|cli| cli.command.is_none()));
        assert!(Cli::try_parse_from(["uke", "finetune", "text"]).is_err());
    }
}
