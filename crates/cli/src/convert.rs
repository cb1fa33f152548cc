//! `uke convert`: a weights file in another format, element type or naming.

use crate::args::{ConvertArgs, DtypeArg, FormatArg};
use crate::errors::{Failure, Result, printable};
use crate::files;
use crate::output::say;
use crate::progress::counter;
use weights_import::{Dialect, Dtype, Entry, Options, Weights, read, write_npz, write_pytorch, write_safetensors};

/// Namings that are written: those of our models.
const NAMINGS: [(&str, &[&str]); 4] = [
    (
        "torchvision",
        &[
            "torchvision",
            "timm",
            "fid",
            "huggingface_resnet",
            "keras_resnet",
            "keras_resnet_old",
            "keras_vgg",
            "keras_vgg_onnx",
            "keras_inception",
            "slim_resnet",
            "slim_vgg",
            "slim_inception",
            "caffe_resnet",
            "caffe_msra",
            "caffe_vgg",
            "caffe_googlenet",
        ],
    ),
    ("timm", &["timm_resnet_v2", "timm_inception", "keras_resnet_v2", "keras_inception_resnet", "slim_resnet_v2"]),
    ("facenet", &["facenet"]),
    ("huggingface_bert", &["huggingface_bert", "google_bert"]),
];

/// Runs the command.
pub(crate) fn run(args: &ConvertArgs, quiet: bool) -> Result<()> {
    let format = match args.to {
        Some(format) => format,
        None => by_ending(args)?,
    };
    files::check_file(Some(&args.output))?;
    let dtype = args.dtype.map(|dtype| match dtype {
        DtypeArg::F32 => Dtype::F32,
        DtypeArg::F16 => Dtype::F16,
        DtypeArg::Bf16 => Dtype::Bf16,
    });
    let weights = weights_import::open(&args.input)?;
    let (entries, count) = match &args.dialect {
        Some(wanted) => renamed(&weights, wanted, args, format, dtype, quiet)?,
        None => as_they_are(&weights, args, format, dtype, quiet)?,
    };
    if !quiet {
        say!("{}: {entries} tensors, {count} parameters, from {}", args.output.display(), weights.format())?;
    }
    Ok(())
}

fn by_ending(args: &ConvertArgs) -> Result<FormatArg> {
    match args.output.extension().and_then(|ending| ending.to_str()) {
        Some("safetensors") => Ok(FormatArg::Safetensors),
        Some("pth" | "pt" | "bin") => Ok(FormatArg::Pytorch),
        Some("npz") => Ok(FormatArg::Npz),
        _ => Err(Failure::usage(format!(
            "{}: the ending tells no format that is written (.safetensors, .pth, .pt, .bin, .npz); say --to FORMAT",
            args.output.display()
        ))),
    }
}

fn as_they_are(
    weights: &Weights,
    args: &ConvertArgs,
    format: FormatArg,
    dtype: Option<Dtype>,
    quiet: bool,
) -> Result<(usize, usize)> {
    let mut entries = weights.entries().to_vec();
    for entry in entries.iter_mut().filter(|e| e.dtype.is_float()) {
        entry.dtype = dtype.unwrap_or(entry.dtype);
    }
    let bar = counter("tensors", entries.len(), quiet);
    write(args, format, &entries, |index| {
        bar.inc(1);
        let name = &entries[index].name;
        let raw = weights.raw(name)?;
        Ok(match dtype {
            Some(dtype) => raw.rounded(name, dtype)?.bytes,
            None => raw.bytes,
        })
    })?;
    bar.finish_and_clear();
    Ok((entries.len(), weights.parameters()))
}

fn renamed(
    weights: &Weights,
    wanted: &str,
    args: &ConvertArgs,
    format: FormatArg,
    dtype: Option<Dtype>,
    quiet: bool,
) -> Result<(usize, usize)> {
    let names = || NAMINGS.map(|(name, _)| name).join(", ");
    let Some((_, sources)) = NAMINGS.iter().find(|(name, _)| *name == wanted) else {
        return Err(Failure::usage(format!("--dialect {wanted}: what can be written is {}", names())));
    };
    let dialect = Dialect::detect(weights)?;
    if !sources.contains(&dialect.name()) {
        return Err(Failure::run(format!(
            "{}: its naming is {}, which is not turned into {wanted}",
            weights.source(),
            dialect.name()
        )));
    }
    let targets = dialect.all_targets(weights);
    let bar = counter("tensors", targets.len(), quiet);
    let mut progress = |done: usize, _: usize| bar.set_position(done as u64);
    let options = Options { progress: Some(&mut progress), any_architecture: true };
    let (tensors, report) = read(&targets, weights, &dialect, options)?;
    bar.finish_and_clear();
    let report = report.only_missing(&[])?;
    if !quiet {
        eprintln!("{}", printable(&report.to_string()));
    }
    let dtype = dtype.unwrap_or(Dtype::F32);
    let entries: Vec<Entry> =
        targets.iter().map(|(name, shape)| Entry { name: name.clone(), shape: shape.clone(), dtype }).collect();
    write(args, format, &entries, |index| {
        let name = &entries[index].name;
        let values = tensors.get(name).map(|tensor| tensor.to_vec()).unwrap_or_default();
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let raw = weights_import::Raw { dtype: Dtype::F32, shape: entries[index].shape.clone(), bytes };
        Ok(raw.rounded(name, dtype)?.bytes)
    })?;
    Ok((entries.len(), entries.iter().map(Entry::numel).sum()))
}

fn write(
    args: &ConvertArgs,
    format: FormatArg,
    entries: &[Entry],
    bytes: impl FnMut(usize) -> weights_import::Result<Vec<u8>>,
) -> Result<()> {
    match format {
        FormatArg::Safetensors => write_safetensors(&args.output, entries, &[], bytes)?,
        FormatArg::Pytorch => write_pytorch(&args.output, entries, bytes)?,
        FormatArg::Npz => write_npz(&args.output, entries, bytes)?,
    }
    Ok(())
}
