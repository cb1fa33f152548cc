//! `uke`: fine-tunes pretrained networks from the command line.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout)]

mod args;
mod bench;
mod convert;
mod demo;
mod errors;
mod evaluate;
mod files;
mod finetune_image;
mod finetune_text;
mod forward;
mod inspect;
mod interrupt;
mod memory;
mod models;
mod network;
mod outcome;
mod output;
mod photos;
mod predict;
mod progress;
mod pull;
mod report;
mod texts;
mod train;
mod verify;

use args::{Cli, Command, Common, Finetune};
use clap::Parser;
use errors::{Failure, Result};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::NobodyReads) {
                eprintln!("{failure}");
            }
            failure.code()
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let Common { threads, quiet } = cli.common;
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            .map_err(|e| Failure::run(format!("cannot start {threads} threads: {e}")))?;
    }
    interrupt::listen();
    match cli.command.unwrap_or(Command::Demo(args::DemoArgs { seeds: 1, ..Default::default() })) {
        Command::Demo(args) => demo::run(&args, quiet),
        Command::Finetune { kind: Finetune::Text(args) } => finetune_text::run(&args, quiet),
        Command::Finetune { kind: Finetune::Image(args) } => finetune_image::run(&args, quiet),
        Command::Predict(args) => predict::run(&args, quiet),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Inspect(args) => inspect::run(&args, quiet),
        Command::Convert(args) => convert::run(&args, quiet),
        Command::Models(args) => models::run(&args),
        Command::Bench(args) => bench::run(&args, quiet),
        Command::Forward(args) => forward::run(&args, quiet),
        Command::Verify(args) => verify::run(&args, quiet),
        Command::Pull(args) => pull::run(&args, quiet),
    }
}
