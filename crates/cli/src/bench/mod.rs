//! `uke bench`: how fast a network is, layer by layer, beside what the machine can do.

mod measure;
mod plot;
mod roofline;
mod subject;
mod table;

use crate::args::{BenchArgs, PrecisionArg};
use crate::errors::{Failure, Result};
use crate::files;
use crate::progress::counter;
use measure::{Mode, Runs};
use roofline::Roofs;
use subject::Subject;
use ukulele_inference::PlanOptions;

/// Runs the command.
pub(crate) fn run(args: &BenchArgs, quiet: bool) -> Result<()> {
    let (precision, options) = (args.precision.name(), options(args)?);
    files::check_file(args.plot.as_deref())?;
    let bar = counter(&args.model, 3, quiet || args.json);
    bar.set_message("building");
    let subject = Subject::open(args)?;
    let name = subject.name.clone();
    let input = subject.shape();
    let unit = subject.unit();
    bar.inc(1);
    bar.set_message("measuring the network");
    let runs = Runs { count: args.runs.map(|runs| runs as usize) };
    let measured = if args.train {
        measure::train(subject, args.precision.precision(), &runs)?
    } else {
        measure::infer(subject, options, &runs)?
    };
    bar.inc(1);
    bar.set_message("measuring the machine");
    let roofs = Roofs::measure();
    bar.finish_and_clear();

    let report = table::Report { name, precision, input, unit, batch: args.batch as usize, measured, roofs };
    if let (Some(path), Mode::Infer { layers, .. }) = (&args.plot, &report.measured.mode) {
        files::write(path, plot::svg(&report.title(), layers, &report.roofs).as_bytes())?;
    }
    if args.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", crate::errors::printable(&report.text(args.top.map(|top| top as usize))));
    }
    Ok(())
}

/// Plans of a precision that networks can be measured in.
fn options(args: &BenchArgs) -> Result<PlanOptions> {
    match args.precision {
        PrecisionArg::Int8 if args.train => Err(Failure::usage("--precision: networks do not learn in int8")),
        precision => Ok(precision.options()),
    }
}
