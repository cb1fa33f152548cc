//! A layer below the roofs of the machine.

use std::collections::BTreeMap;
use ukulele_inference::StepProfile;
use ukulele_kernels::{isa, machine};

/// What the machine does at best, a second.
pub(crate) struct Roofs {
    /// f32 operations, two for a multiply-add.
    pub(crate) flops: f64,
    /// Bytes read from memory.
    pub(crate) memory: f64,
    /// Bytes read from the second caches.
    pub(crate) cache: f64,
}

impl Roofs {
    /// Measures them, on the threads that networks run on.
    pub(crate) fn measure() -> Self {
        let isa = isa::current();
        Self {
            flops: machine::peak_flops(isa),
            memory: machine::memory_bandwidth(isa),
            cache: machine::cache_bandwidth(isa),
        }
    }
}

/// A layer, or several.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    /// What it computes.
    pub(crate) what: String,
    /// Median seconds.
    pub(crate) seconds: f64,
    /// Of the definition.
    pub(crate) multiply_adds: u64,
    /// Read and written, with weights.
    pub(crate) bytes: u64,
}

impl Layer {
    /// A step of a plan that took so long.
    pub(crate) fn new(step: StepProfile, seconds: f64) -> Self {
        let bytes = 4 * (step.numbers + step.weights);
        Self { what: step.what, seconds, multiply_adds: step.multiply_adds, bytes }
    }

    /// All of them together.
    pub(crate) fn total(layers: &[Self]) -> Self {
        Self {
            what: "all layers".to_owned(),
            seconds: layers.iter().map(|layer| layer.seconds).sum(),
            multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(),
            bytes: layers.iter().map(|layer| layer.bytes).sum(),
        }
    }

    /// Layers that compute the same together, those that take longest first.
    pub(crate) fn alike(layers: &[Self]) -> Vec<Self> {
        let mut kinds: BTreeMap<&str, Vec<Self>> = BTreeMap::new();
        for layer in layers {
            kinds.entry(&layer.what).or_default().push(layer.clone());
        }
        let together = |(what, layers): (&str, Vec<Self>)| {
            let count = layers.len();
            let what = if count == 1 { what.to_owned() } else { format!("{count} x {what}") };
            Self { what, ..Self::total(&layers) }
        };
        let mut all: Vec<Self> = kinds.into_iter().map(together).collect();
        all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        all
    }

    /// Operations a second.
    pub(crate) fn flops(&self) -> f64 {
        2.0 * self.multiply_adds as f64 / self.seconds.max(1e-9)
    }

    /// Bytes a second.
    pub(crate) fn bandwidth(&self) -> f64 {
        self.bytes as f64 / self.seconds.max(1e-9)
    }

    /// Operations a byte.
    pub(crate) fn intensity(&self) -> f64 {
        2.0 * self.multiply_adds as f64 / self.bytes.max(1) as f64
    }

    /// What would take longer at the machine's best.
    pub(crate) fn limit(&self, roofs: &Roofs) -> &'static str {
        if self.intensity() * roofs.memory < roofs.flops { "memory" } else { "compute" }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const ROOFS: Roofs = Roofs { flops: 200e9, memory: 20e9, cache: 400e9 };

    pub(crate) fn layer(what: &str, milliseconds: f64, multiply_adds: u64, bytes: u64) -> Layer {
        Layer { what: what.to_owned(), seconds: milliseconds * 1e-3, multiply_adds, bytes }
    }

    #[test]
    fn the_lower_roof_binds() {
        // 10 operations a byte is where these roofs meet.
        let dense = layer("conv", 1.0, 50_000_000, 1_000_000);
        let thin = layer("pool", 1.0, 4_000_000, 1_000_000);
        assert_eq!([dense.limit(&ROOFS), thin.limit(&ROOFS)], ["compute", "memory"]);
        assert!((dense.flops() - 100e9).abs() < 1.0 && (thin.bandwidth() - 1e9).abs() < 1.0);
        let total = Layer::total(&[dense, thin]);
        assert_eq!((total.multiply_adds, total.bytes), (54_000_000, 2_000_000));
        assert!((total.intensity() - 54.0).abs() < 1e-9);
    }
}
