//! `uke bench`: how fast a network is, layer by layer, beside what the machine can do.

mod measure;
mod plot;
mod roofline;
mod subject;
mod table;

use crate::args::{BenchArgs, PrecisionArg};
use crate::errors::{Failure, Result, printable};
use crate::files;
use crate::memory;
use crate::output::say;
use crate::progress::counter;
use measure::Runs;
use roofline::Roofs;
use std::path::Path;
use subject::Subject;
use ukulele_inference::PlanOptions;

/// By which part the machine may differ, before and after the network.
const APART: f64 = 0.25;

/// Runs the command.
pub(crate) fn run(args: &BenchArgs, quiet: bool) -> Result<()> {
    let (precision, options) = (args.precision.name(), options(args)?);
    check_plot(args.plot.as_deref())?;
    let bar = counter(&args.model, 4, quiet || args.json);
    bar.set_message("building");
    let subject = Subject::open(args)?;
    let name = subject.name.clone();
    let input = subject.shape();
    let unit = subject.unit();
    bar.inc(1);
    bar.set_message("measuring the machine");
    let measure_machine = || Roofs::measure(options.precision);
    // What that takes must not count as the network's.
    let most = memory::peak();
    let before = memory::forget_peak().then(measure_machine);
    memory::forget_peak();
    bar.inc(1);
    bar.set_message("measuring the network");
    let runs = Runs { count: args.runs.map(|runs| runs as usize) };
    let mut measured = if args.train {
        measure::train(subject, args.precision.precision(), &runs)?
    } else {
        measure::infer(subject, options, args.errors, &runs)?
    };
    measured.memory.peak = measured.memory.peak.max(most);
    bar.inc(1);
    bar.set_message("measuring the machine again");
    let (roofs, apart) = before.unwrap_or_else(measure_machine).both(measure_machine());
    bar.finish_and_clear();
    if apart > APART {
        eprintln!(
            "warning: what the machine reaches differed by {:.0} % before and after the network: something else runs on it",
            100.0 * apart
        );
    }

    let report = table::Report { name, precision, input, unit, batch: args.batch as usize, measured, roofs, apart };
    if let Some(path) = &args.plot {
        files::write(path, plot::svg(&report.title(), &report.measured.layers, &report.roofs).as_bytes())?;
    }
    if args.json {
        say!("{:#}", report.json())
    } else {
        say!("{}", printable(&report.text(args.top.map(|top| top as usize))).trim_end())
    }
}

/// Fails now if the picture could not be written afterwards.
fn check_plot(path: Option<&Path>) -> Result<()> {
    files::check_file(path)?;
    match path {
        Some(path)
            if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg"))
                && !path.metadata().is_ok_and(|m| !m.is_file()) =>
        {
            let message = format!("--plot {}: pictures are SVG; name a file that ends in .svg", path.display());
            Err(Failure::usage(message))
        }
        _ => Ok(()),
    }
}

/// Plans of a precision that networks can be measured in.
fn options(args: &BenchArgs) -> Result<PlanOptions> {
    match args.precision {
        PrecisionArg::Bf16 | PrecisionArg::Int8 if args.errors => {
            Err(Failure::usage("--errors: Winograd's algorithm is held against f64 in f32; leave --precision out"))
        }
        PrecisionArg::Int8 if args.train => Err(Failure::usage("--precision: networks do not learn in int8")),
        precision => Ok(precision.options()),
    }
}
