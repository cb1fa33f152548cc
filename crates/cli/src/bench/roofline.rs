//! A layer below the roofs of the machine.

use std::collections::BTreeMap;
use ukulele_inference::{Precision, StepProfile};
use ukulele_kernels::{isa, machine};
use ukulele_layers::Cost;

/// What the machine does at best, a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Roofs {
    /// f32 operations, two for a multiply-add.
    pub(crate) flops: f64,
    /// The same of a precision of fewer bits, by its name.
    pub(crate) reduced: Option<(&'static str, f64)>,
    /// Bytes read from memory.
    pub(crate) memory: f64,
    /// Bytes read from the second caches.
    pub(crate) cache: f64,
}

impl Roofs {
    /// Measures them, on the threads that networks run on, for a network in this precision.
    pub(crate) fn measure(precision: Precision) -> Self {
        let isa = isa::current();
        let reduced = match precision {
            Precision::F32 => None,
            Precision::Bf16 => Some("bf16"),
            Precision::Int8 => Some("int8"),
        };
        Self {
            flops: machine::peak_flops(isa, Precision::F32),
            reduced: reduced.map(|name| (name, machine::peak_flops(isa, precision))),
            memory: machine::memory_bandwidth(isa),
            cache: machine::cache_bandwidth(isa),
        }
    }

    /// The peaks by the names of their precisions, f32 first.
    pub(crate) fn peaks(&self) -> impl Iterator<Item = (&'static str, f64)> {
        [("f32", self.flops)].into_iter().chain(self.reduced)
    }

    /// `534 GFLOP/s`, or `534 GFLOP/s in f32, 1010 in bf16`.
    pub(crate) fn said(&self, number: impl Fn(f64) -> String) -> String {
        let mut said = format!("{} GFLOP/s", number(self.flops * 1e-9));
        if let Some((name, peak)) = self.reduced {
            said += &format!(" in f32, {} in {name}", number(peak * 1e-9));
        }
        said
    }

    /// Of two measurements the higher numbers, and by which part of them the lower ones are less at most.
    pub(crate) fn both(self, other: Self) -> (Self, f64) {
        let mut apart = 0.0f64;
        let mut higher = |a: f64, b: f64| {
            let most = a.max(b);
            apart = apart.max((most - a.min(b)) / most);
            most
        };
        let roofs = Self {
            flops: higher(self.flops, other.flops),
            reduced: self.reduced.zip(other.reduced).map(|((name, a), (_, b))| (name, higher(a, b))),
            memory: higher(self.memory, other.memory),
            cache: higher(self.cache, other.cache),
        };
        (roofs, apart)
    }
}

/// Whether a layer's products are of fewer bits than f32, as its name says.
fn is_reduced(what: &str) -> bool {
    what.split(' ').any(|word| matches!(word, "bf16" | "int8"))
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
    /// How many of them are in [`Roofs::reduced`].
    pub(crate) reduced: u64,
    /// Read and written, with weights.
    pub(crate) bytes: u64,
}

impl Layer {
    /// A step of a plan that took so long.
    pub(crate) fn new(step: StepProfile, seconds: f64) -> Self {
        let (bytes, multiply_adds) = (4 * (step.numbers + step.weights), step.multiply_adds);
        let rounded = if is_reduced(&step.what) { multiply_adds } else { 0 };
        Self::of(step.what, Cost { seconds, multiply_adds, rounded, bytes })
    }

    /// Of what it took.
    pub(crate) fn of(what: String, Cost { seconds, multiply_adds, rounded, bytes }: Cost) -> Self {
        Self { what, seconds, multiply_adds, reduced: rounded, bytes }
    }

    /// All of them together.
    pub(crate) fn total(layers: &[Self]) -> Self {
        Self {
            what: "all layers".to_owned(),
            seconds: layers.iter().map(|layer| layer.seconds).sum(),
            multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(),
            reduced: layers.iter().map(|layer| layer.reduced).sum(),
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

    /// Seconds that the operations take at the peaks of their precisions.
    fn least(&self, roofs: &Roofs) -> f64 {
        let peak = roofs.reduced.map_or(roofs.flops, |(_, peak)| peak);
        2.0 * ((self.multiply_adds - self.reduced) as f64 / roofs.flops + self.reduced as f64 / peak)
    }

    /// The part of the time that the operations would take at the peak.
    pub(crate) fn of_peak(&self, roofs: &Roofs) -> f64 {
        self.least(roofs) / self.seconds.max(1e-9)
    }

    /// What would take longer at the machine's best.
    pub(crate) fn limit(&self, roofs: &Roofs) -> &'static str {
        if self.least(roofs) < self.bytes as f64 / roofs.memory { "memory" } else { "compute" }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const ROOFS: Roofs = Roofs { flops: 200e9, reduced: None, memory: 20e9, cache: 400e9 };
    pub(crate) const BF16: Roofs = Roofs { reduced: Some(("bf16", 400e9)), ..ROOFS };

    pub(crate) fn layer(what: &str, milliseconds: f64, multiply_adds: u64, bytes: u64) -> Layer {
        let rounded = if is_reduced(what) { multiply_adds } else { 0 };
        Layer::of(what.to_owned(), Cost { seconds: milliseconds * 1e-3, multiply_adds, rounded, bytes })
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

    #[test]
    fn each_precision_has_its_peak() {
        let layers = [
            layer("linear 8 -> 8 bf16 [8]", 1.0, 100_000_000, 15_000_000),
            layer("attention [8]", 1.0, 50_000_000, 1_000_000),
        ];
        let of_peak = |layer: &Layer| layer.of_peak(&BF16);
        assert!(layers.iter().map(of_peak).all(|part| (part - 0.5).abs() < 1e-9));
        assert!((of_peak(&Layer::total(&layers)) - 0.5).abs() < 1e-9);
        // In f32 it would be bound by its operations.
        assert_eq!((layers[0].limit(&BF16), layers[0].limit(&ROOFS)), ("memory", "compute"));
        assert_eq!(Layer::alike(&layers)[0].reduced + Layer::alike(&layers)[1].reduced, 100_000_000);
    }

    #[test]
    fn the_higher_of_two_measurements_counts() {
        let other = Roofs { flops: 150e9, memory: 25e9, ..BF16 };
        let (roofs, apart) = BF16.both(other);
        assert_eq!((roofs, apart), (Roofs { memory: 25e9, ..BF16 }, 0.25));
        assert_eq!(BF16.both(BF16), (BF16, 0.0));
    }
}
