//! `uke models`: the zoo.

use crate::args::ModelsArgs;
use crate::errors::Result;
use crate::output::say;
use crate::report::thousands;
use serde_json::json;
use ukulele_models::ZOO;

/// Runs the command.
pub(crate) fn run(args: &ModelsArgs) -> Result<()> {
    if args.json {
        let rows: Vec<_> = ZOO
            .iter()
            .map(|v| {
                json!({
                    "name": v.name, "parameters": v.parameters, "multiply_adds": v.multiply_adds, "input": v.input,
                    "unit": if v.text { "tokens" } else { "pixels" },
                })
            })
            .collect();
        return say!("{:#}", json!(rows));
    }
    say!("{:<20} {:>12} {:>10}  input", "name", "parameters", "GFLOP")?;
    for v in ZOO {
        let input = if v.text { format!("{} tokens", v.input) } else { format!("{0} x {0}", v.input) };
        let gflop = 2e-9 * v.multiply_adds as f64;
        say!("{:<20} {:>12} {gflop:>10.2}  {input}", v.name, thousands(v.parameters as f64))?;
    }
    say!("\nParameters with the original's classes; GFLOP (2 per multiply-add) of one input. Weights: uke pull --list")
}
