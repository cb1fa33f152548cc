//! `uke forward`: raw tensors through a network.

use crate::args::ForwardArgs;
use crate::errors::{Failure, Result};
use crate::files;
use crate::network::Network;
use crate::output::say;
use ukulele_layers::Pass;

/// Runs the command.
pub(crate) fn run(args: &ForwardArgs, quiet: bool) -> Result<()> {
    files::check_file(Some(&args.output))?;
    let input = weights_import::open(&args.input)?;
    let net = Network::open(&weights_import::open(&args.weights)?, args.model.as_deref())?;
    let mut pass = Pass::eval();
    if let Some(tap) = &args.tap {
        pass.watch(&net, &[tap])?;
    }
    let output = net.run(&input, &mut pass)?;
    let output = match &args.tap {
        None => output,
        Some(tap) => match pass.tapped(tap) {
            Some(value) => value.tensor().clone(),
            None => return Err(Failure::run(format!("--tap {tap}: this module has no output in evaluation"))),
        },
    };
    weights_import::save_npy(&args.output, &output)?;
    if !quiet {
        say!("{}: {:?}", args.output.display(), output.shape())?;
    }
    Ok(())
}
