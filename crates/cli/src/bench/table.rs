//! What was measured, for people and as JSON.

use super::measure::{Measured, median};
use super::roofline::{Layer, Roofs};
use crate::demo::megabytes;
use serde_json::{Value as Json, json};
use std::fmt::Write;

/// All that is said.
pub(crate) struct Report {
    /// The network.
    pub(crate) name: String,
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
    /// The most bytes that the process held.
    pub(crate) peak: Option<usize>,
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

impl Report {
    /// The network, its input, and what it ran on.
    pub(crate) fn title(&self) -> String {
        let sizes: Vec<String> = self.input.iter().map(usize::to_string).collect();
        let threads = threads();
        let plural = if threads == 1 { "" } else { "s" };
        format!("{}, {} of {}, f32, {threads} thread{plural}, {}", self.name, self.unit, sizes.join("x"), isa())
    }

    /// The table, of the `top` layers alone if that is given.
    pub(crate) fn text(&self, top: Option<usize>) -> String {
        let roofs = &self.roofs;
        let mut out = format!(
            "{}\nmachine: {} GFLOP/s; {} GB/s from memory, {} from the second caches\n\n",
            self.title(),
            short(roofs.flops * 1e-9),
            short(roofs.memory * 1e-9),
            short(roofs.cache * 1e-9)
        );
        let memory = |bytes: Option<usize>| match bytes {
            Some(bytes) => format!("{:.0} MB", megabytes(bytes)),
            None => "unknown".to_owned(),
        };
        match &self.measured {
            Measured::Infer { compile, latencies, layers, running } => {
                out += &self.layers(layers, top);
                let _ = writeln!(
                    out,
                    "\n{}\nplan compiled in {} ms; peak memory {}, while running {}",
                    self.speed("run", latencies),
                    short(1e3 * compile),
                    memory(self.peak),
                    memory(*running)
                );
            }
            Measured::Train { latencies, parts, optimizer, multiply_adds, running } => {
                let step = median(latencies);
                let _ = writeln!(out, "{:>9}  {:>6}", "ms", "share");
                for (name, part) in ["forward", "backward", optimizer].into_iter().zip(parts) {
                    let _ = writeln!(out, "{:>9.3}  {:>4.1} %  {name}", 1e3 * part, 100.0 * part / step.max(1e-9));
                }
                let flops = 6.0 * *multiply_adds as f64 / step.max(1e-9);
                let _ = writeln!(
                    out,
                    "\n{}\n{} GFLOP/s, {:.0} % of the peak, a step being three forward passes; peak memory {}, of steps {}",
                    self.speed("step", latencies),
                    short(flops * 1e-9),
                    100.0 * flops / roofs.flops,
                    memory(self.peak),
                    memory(*running)
                );
            }
        }
        out
    }

    /// `run 12.3 ms (median of 5, best 12.1): 81.3 images/s`, for texts tokens as well.
    fn speed(&self, what: &str, latencies: &[f64]) -> String {
        let (middle, best) = (median(latencies), latencies.iter().copied().fold(f64::INFINITY, f64::min));
        let mut out = format!(
            "{what} {} ms (median of {}, best {}): {} {}/s",
            short(1e3 * middle),
            latencies.len(),
            short(1e3 * best),
            short(self.batch as f64 / middle.max(1e-9)),
            self.unit
        );
        if let [texts, length] = self.input[..] {
            let _ = write!(out, ", {} tokens/s", short((texts * length) as f64 / middle.max(1e-9)));
        }
        out
    }

    fn layers(&self, layers: &[Layer], top: Option<usize>) -> String {
        let total = Layer::total(layers);
        let mut shown: Vec<&Layer> = layers.iter().collect();
        if let Some(top) = top {
            shown.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
            shown.truncate(top);
        }
        let mut out = format!(
            "{:>9}  {:>6}  {:>8}  {:>7}  {:>8}  {:>9}  {:<8}  layer\n",
            "ms", "share", "GFLOP/s", "of peak", "GB/s", "of memory", "bound by"
        );
        for layer in shown.into_iter().chain([&total]) {
            let flops = if layer.multiply_adds == 0 {
                format!("{:>8}  {:>7}", "-", "-")
            } else {
                format!("{:>8} {:>6.0} %", short(layer.flops() * 1e-9), 100.0 * layer.flops() / self.roofs.flops)
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
        let roofs = &self.roofs;
        let mut all = json!({
            "model": self.name,
            "input": self.input,
            "unit": self.unit,
            "batch": self.batch,
            "precision": "f32",
            "threads": threads(),
            "isa": isa(),
            "machine": {
                "gflops": roofs.flops * 1e-9,
                "memory_gb_per_s": roofs.memory * 1e-9,
                "cache_gb_per_s": roofs.cache * 1e-9,
            },
            "peak_memory_bytes": self.peak,
        });
        let (latencies, running) = match &self.measured {
            Measured::Infer { compile, latencies, layers, running } => {
                all["mode"] = "infer".into();
                all["compile_ms"] = (1e3 * compile).into();
                all["layers"] = layers.iter().map(|layer| self.row(layer)).collect();
                all["total"] = self.row(&Layer::total(layers));
                (latencies, running)
            }
            Measured::Train { latencies, parts, optimizer, multiply_adds, running } => {
                let flops = 6.0 * *multiply_adds as f64 / median(latencies).max(1e-9);
                all["mode"] = "train".into();
                all["optimizer"] = (*optimizer).into();
                for (key, part) in ["forward_ms", "backward_ms", "optimizer_ms"].into_iter().zip(parts) {
                    all[key] = (1e3 * part).into();
                }
                all["forward_multiply_adds"] = (*multiply_adds).into();
                all["gflops"] = (flops * 1e-9).into();
                all["of_peak"] = (flops / roofs.flops).into();
                (latencies, running)
            }
        };
        all["running_memory_bytes"] = json!(running);
        all["runs"] = latencies.len().into();
        all["ms"] = (1e3 * median(latencies)).into();
        all["best_ms"] = (1e3 * latencies.iter().copied().fold(f64::INFINITY, f64::min)).into();
        all["per_second"] = (self.batch as f64 / median(latencies).max(1e-9)).into();
        all
    }

    fn row(&self, layer: &Layer) -> Json {
        json!({
            "what": layer.what,
            "ms": 1e3 * layer.seconds,
            "multiply_adds": layer.multiply_adds,
            "bytes": layer.bytes,
            "gflops": layer.flops() * 1e-9,
            "of_peak": layer.flops() / self.roofs.flops,
            "gb_per_s": layer.bandwidth() * 1e-9,
            "of_memory": layer.bandwidth() / self.roofs.memory,
            "bound_by": layer.limit(&self.roofs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::roofline::tests::{ROOFS, layer};
    use super::*;

    fn report(measured: Measured) -> Report {
        let (name, input) = ("net".to_owned(), vec![2, 10]);
        Report { name, input, unit: "texts", batch: 2, measured, roofs: ROOFS, peak: Some(3 << 20) }
    }

    #[test]
    fn layers_and_their_sum_are_shown() {
        let layers = vec![layer("thin", 1.0, 0, 10_000_000), layer("dense", 3.0, 150_000_000, 1_000_000)];
        let report = report(Measured::Infer { compile: 0.5, latencies: vec![0.004; 3], layers, running: None });
        let text = report.text(None);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let places = |what: &str| rows.iter().position(|row| row.ends_with(&[what]) && row.len() > 5);
        assert!(places("thin") < places("dense"), "{text}");
        let thin = rows[places("thin").unwrap_or(0)].join(" ");
        let dense = rows[places("dense").unwrap_or(0)].join(" ");
        assert_eq!(thin, "1.000 25.0 % - - 10.0 50 % memory thin");
        assert_eq!(dense, "3.000 75.0 % 100 50 % 0.33 2 % compute dense");
        assert!(text.contains("4.000  100.0 %") && text.contains("500 texts/s, 5000 tokens/s"), "{text}");
        assert!(text.contains("peak memory 3 MB, while running unknown"), "{text}");
        let text = report.text(Some(1));
        assert!(text.contains("  dense\n") && !text.contains("  thin\n"), "{text}");
        let json = report.json();
        assert_eq!(json["layers"][1]["of_peak"].as_f64().map(|x| (100.0 * x).round()), Some(50.0));
        assert_eq!(json["running_memory_bytes"], Json::Null);
    }

    #[test]
    fn steps_are_three_passes() {
        let report = report(Measured::Train {
            latencies: vec![0.006, 0.005, 0.004],
            parts: [0.001, 0.003, 0.001],
            optimizer: "SGD",
            multiply_adds: 100_000_000,
            running: Some(1 << 20),
        });
        let text = report.text(None);
        assert!(text.contains("120 GFLOP/s, 60 % of the peak") && text.contains("best 4.00"), "{text}");
        assert_eq!(report.json()["backward_ms"].as_f64().map(f64::round), Some(3.0));
    }
}
