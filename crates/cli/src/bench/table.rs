//! What was measured, for people and as JSON.

use super::measure::{Measured, Mode, median};
use super::roofline::{Layer, Roofs};
use crate::demo::megabytes;
use serde_json::{Value as Json, json};
use std::fmt::Write;

/// All that is said.
pub(crate) struct Report {
    /// The network.
    pub(crate) name: String,
    /// What it computes with.
    pub(crate) precision: &'static str,
    /// The shape of what it read.
    pub(crate) input: Vec<usize>,
    /// What the batch is counted in.
    pub(crate) unit: &'static str,
    /// How many of them there were at a time.
    pub(crate) batch: usize,
    /// What was found.
    pub(crate) measured: Measured,
    /// What the machine reaches.
    pub(crate) roofs: Roofs,
    /// By which part that differed when it was measured again.
    pub(crate) apart: f64,
}

fn threads() -> usize {
    rayon::current_num_threads()
}

fn isa() -> &'static str {
    ukulele_kernels::isa::current().name()
}

/// As many digits as tell something.
fn short(number: f64) -> String {
    let decimals = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.decimals$}")
}

fn best(latencies: &[f64]) -> f64 {
    latencies.iter().copied().fold(f64::INFINITY, f64::min)
}

impl Report {
    /// The network, its input, and what it ran on.
    pub(crate) fn title(&self) -> String {
        let sizes: Vec<String> = self.input.iter().map(usize::to_string).collect();
        let threads = match threads() {
            1 => "1 thread".to_owned(),
            count => format!("{count} threads"),
        };
        format!("{}, {} of {}, {}, {threads}, {}", self.name, self.unit, sizes.join("x"), self.precision, isa())
    }

    /// The table, of the `top` layers alone if that is given.
    pub(crate) fn text(&self, top: Option<usize>) -> String {
        let roofs = &self.roofs;
        let mut out = format!(
            "{}\nmachine: {}; {} GB/s from memory, {} from the second caches\n\n",
            self.title(),
            roofs.said(short),
            short(roofs.memory * 1e-9),
            short(roofs.cache * 1e-9)
        );
        let megabytes = |bytes: Option<usize>| match bytes {
            Some(bytes) => format!("{:.0} MB", megabytes(bytes)),
            None => "unknown".to_owned(),
        };
        let memory = self.measured.memory;
        let memory = format!("peak memory {}, while running {}", megabytes(memory.peak), megabytes(memory.running));
        out += &self.layers(&self.measured.layers, top);
        out += &self.errors(top);
        match &self.measured.mode {
            Mode::Infer { compile } => {
                out += &format!("\n{}\nplan compiled in {} ms; {memory}\n", self.speed("run"), short(1e3 * compile));
            }
            Mode::Train { parts: [forward, backward, update], optimizer, .. } => {
                let whole = self.whole();
                let [forward, backward, update] = [forward, backward, update].map(|part| short(1e3 * part));
                out += &format!(
                    "\n{}\nforward {forward} ms, backward {backward}, {optimizer} {update}; {} GFLOP/s, {:.0} % of the peak; {memory}\n",
                    self.speed("step"),
                    short(whole.flops() * 1e-9),
                    100.0 * whole.of_peak(roofs)
                );
            }
        }
        out
    }

    /// How far layers are off, the worst `top` of them if that is given.
    fn errors(&self, top: Option<usize>) -> String {
        let mut errors: Vec<_> = self.measured.errors.iter().flatten().collect();
        if top.is_some() {
            errors.sort_by(|a, b| b.1.total_cmp(&a.1));
        }
        let lines = errors.into_iter().take(top.unwrap_or(usize::MAX));
        let lines: String = lines.map(|(what, error)| format!("{error:>9.1e}  {what}\n")).collect();
        match self.measured.errors.as_ref().map(Vec::len) {
            None => lines,
            Some(0) => "\nno layer is computed by Winograd's algorithm\n".to_owned(),
            Some(_) => format!("\noff f64  layer by Winograd's algorithm\n{lines}"),
        }
    }

    /// All layers in the time of a whole run or step.
    fn whole(&self) -> Layer {
        Layer { seconds: median(&self.measured.latencies), ..Layer::total(&self.measured.layers) }
    }

    /// `run 12.3 ms (median of 5, best 12.1): 81.3 images/s`, for texts tokens as well.
    fn speed(&self, what: &str) -> String {
        let latencies = &self.measured.latencies;
        let middle = median(latencies);
        let mut out = format!(
            "{what} {} ms (median of {}, best {}): {} {}/s",
            short(1e3 * middle),
            latencies.len(),
            short(1e3 * best(latencies)),
            short(self.batch as f64 / middle.max(1e-9)),
            self.unit
        );
        if let [texts, length] = self.input[..] {
            out += &format!(", {:.0} tokens/s", (texts * length) as f64 / middle.max(1e-9));
        }
        out
    }

    fn layers(&self, layers: &[Layer], top: Option<usize>) -> String {
        let total = Layer::total(layers);
        let shown = match top {
            None => layers.to_vec(),
            Some(top) => Layer::alike(layers).into_iter().take(top).collect(),
        };
        let mut out = format!(
            "{:>9}  {:>6}  {:>8}  {:>7}  {:>8}  {:>9}  {:<8}  layer\n",
            "ms", "share", "GFLOP/s", "of peak", "GB/s", "of memory", "bound by"
        );
        for layer in shown.iter().chain([&total]) {
            let flops = if layer.multiply_adds == 0 {
                format!("{:>8}  {:>7}", "-", "-")
            } else {
                format!("{:>8} {:>6.0} %", short(layer.flops() * 1e-9), 100.0 * layer.of_peak(&self.roofs))
            };
            let _ = writeln!(
                out,
                "{:>9.3}  {:>4.1} %  {flops}  {:>8}  {:>7.0} %  {:<8}  {}",
                1e3 * layer.seconds,
                100.0 * layer.seconds / total.seconds.max(1e-9),
                short(layer.bandwidth() * 1e-9),
                100.0 * layer.bandwidth() / self.roofs.memory,
                layer.limit(&self.roofs),
                layer.what
            );
        }
        out
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Json {
        let (roofs, Measured { latencies, memory, layers, errors, mode }) = (&self.roofs, &self.measured);
        let step = median(latencies);
        let mut all = json!({
            "model": self.name,
            "input": self.input,
            "unit": self.unit,
            "batch": self.batch,
            "precision": self.precision,
            "threads": threads(),
            "isa": isa(),
            "machine": {
                "gflops": roofs.flops * 1e-9,
                "memory_gb_per_s": roofs.memory * 1e-9,
                "cache_gb_per_s": roofs.cache * 1e-9,
                "measurements_apart": self.apart,
            },
            "runs": latencies.len(),
            "ms": 1e3 * step,
            "best_ms": 1e3 * best(latencies),
            "per_second": self.batch as f64 / step.max(1e-9),
            "peak_memory_bytes": memory.peak,
            "running_memory_bytes": memory.running,
            "layers": layers.iter().map(|layer| self.row(layer)).collect::<Vec<_>>(),
            "total": self.row(&Layer::total(layers)),
        });
        if let Some((name, peak)) = roofs.reduced {
            all["machine"][format!("{name}_gflops")] = (peak * 1e-9).into();
        }
        if let Some(errors) = errors {
            let row = |(what, error): &(String, f64)| json!({ "what": what, "error": error });
            all["winograd_errors"] = errors.iter().map(row).collect();
        }
        match mode {
            Mode::Infer { compile } => {
                all["mode"] = "infer".into();
                all["compile_ms"] = (1e3 * compile).into();
            }
            Mode::Train { parts, optimizer, multiply_adds } => {
                let whole = self.whole();
                all["mode"] = "train".into();
                all["optimizer"] = (*optimizer).into();
                for (key, part) in ["forward_ms", "backward_ms", "optimizer_ms"].into_iter().zip(parts) {
                    all[key] = (1e3 * part).into();
                }
                all["forward_multiply_adds"] = (*multiply_adds).into();
                all["gflops"] = (whole.flops() * 1e-9).into();
                all["of_peak"] = whole.of_peak(roofs).into();
            }
        }
        all
    }

    fn row(&self, layer: &Layer) -> Json {
        json!({
            "what": layer.what,
            "ms": 1e3 * layer.seconds,
            "multiply_adds": layer.multiply_adds,
            "bytes": layer.bytes,
            "gflops": layer.flops() * 1e-9,
            "of_peak": layer.of_peak(&self.roofs),
            "gb_per_s": layer.bandwidth() * 1e-9,
            "of_memory": layer.bandwidth() / self.roofs.memory,
            "bound_by": layer.limit(&self.roofs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Memory;
    use super::super::roofline::tests::{BF16, ROOFS, layer};
    use super::*;

    fn report(latencies: Vec<f64>, layers: Vec<Layer>, mode: Mode) -> Report {
        let (name, precision, input) = ("net".to_owned(), "f32", vec![2, 10]);
        let memory = Memory { peak: Some(3 << 20), running: None };
        Report {
            name,
            precision,
            input,
            unit: "texts",
            batch: 2,
            measured: Measured { latencies, memory, layers, errors: None, mode },
            roofs: ROOFS,
            apart: 0.0,
        }
    }

    #[test]
    fn layers_and_their_sum_are_shown() {
        let layers = vec![
            layer("thin", 0.5, 0, 5_000_000),
            layer("dense", 3.0, 150_000_000, 1_000_000),
            layer("thin", 0.5, 0, 5_000_000),
        ];
        let report = report(vec![0.004; 3], layers, Mode::Infer { compile: 0.5 });
        let row = |text: &str, what: &str| -> Vec<String> {
            let rows = text.lines().filter(|line| line.ends_with(what) && line.contains('%'));
            rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        let text = report.text(None);
        assert_eq!(row(&text, "thin"), ["0.500 12.5 % - - 10.0 50 % memory thin"; 2]);
        assert_eq!(row(&text, "dense"), ["3.000 75.0 % 100 50 % 0.33 2 % compute dense"]);
        assert_eq!(row(&text, "all layers"), ["4.000 100.0 % 75.0 38 % 2.75 14 % compute all layers"]);
        assert!(text.contains("4.00 ms (median of 3, best 4.00): 500 texts/s, 5000 tokens/s"), "{text}");
        assert!(text.contains("peak memory 3 MB, while running unknown"), "{text}");
        let text = report.text(Some(2));
        assert_eq!(row(&text, "thin"), ["1.000 25.0 % - - 10.0 50 % memory 2 x thin"]);
        assert!(text.find("dense") < text.find("thin"), "{text}");
        assert!(!report.text(Some(1)).contains("thin"));
        let json = report.json();
        assert_eq!(json["layers"][1]["of_peak"].as_f64().map(|x| (100.0 * x).round()), Some(50.0));
        assert_eq!((json["running_memory_bytes"].clone(), json["batch"].clone()), (Json::Null, 2.into()));
        assert_eq!(json["machine"]["bf16_gflops"], Json::Null);
        let layers = vec![layer("linear bf16 [8]", 1.0, 100_000_000, 1_000_000)];
        let report = Report { roofs: BF16, ..self::report(vec![0.001], layers, Mode::Infer { compile: 0.5 }) };
        let text = report.text(None);
        assert_eq!(row(&text, "linear bf16 [8]"), ["1.000 100.0 % 200 50 % 1.00 5 % compute linear bf16 [8]"]);
        assert!(text.contains("machine: 200 GFLOP/s in f32, 400 in bf16;"), "{text}");
        assert_eq!(report.json()["machine"]["bf16_gflops"].as_f64(), Some(400.0));
    }

    #[test]
    fn steps_are_of_all_layers() {
        let parts = [0.001, 0.003, 0.001];
        let layers = |way: &str| {
            let layer = |what: &str, ms, mults| layer(&format!("{what} linear 8 -> 8{way} [8]"), ms, mults, 1_000_000);
            vec![layer("forward", 1.0, 100_000_000), layer("backward", 3.0, 200_000_000)]
        };
        let train = || Mode::Train { parts, optimizer: "SGD", multiply_adds: 100_000_000 };
        let report_of = |way| report(vec![0.006, 0.005, 0.004], layers(way), train());
        let text = report_of("").text(None);
        assert!(text.contains("forward 1.00 ms, backward 3.00, SGD 1.00; 120 GFLOP/s, 60 % of the peak"), "{text}");
        assert!(text.contains("best 4.00") && text.contains("67 %  ") && text.contains("backward linear"), "{text}");
        let json = report_of("").json();
        assert_eq!(
            (json["backward_ms"].as_f64().map(f64::round), json["layers"].as_array().map(Vec::len)),
            (Some(3.0), Some(2))
        );
        let report = Report { roofs: BF16, ..report_of(" bf16") };
        assert!(report.text(None).contains("120 GFLOP/s, 30 % of the peak"));
        assert_eq!(report.json()["of_peak"].as_f64().map(|x| (100.0 * x).round()), Some(30.0));
    }
}
