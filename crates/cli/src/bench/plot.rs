//! The roofline as a picture: each layer a dot below the roofs of the machine.

use super::roofline::{Layer, Roofs};
use crate::report::escape;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 400.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 46.0;
/// How many layers get a number and a line beside the picture.
const NAMED: usize = 12;

const STYLE: &str = "svg{font:12.5px system-ui,'DejaVu Sans',sans-serif;background:#fbfaf7}\
text{fill:#6b7079}.title{font-size:15px;font-weight:600;fill:#22252b}.grid{stroke:#e4e1d9}\
.roof{fill:none;stroke:#22252b;stroke-width:2}.second{stroke-width:1.4;stroke-dasharray:5 4}\
.compute{fill:#d2552b}.memory{fill:#2f7fc1}circle{opacity:.75;stroke:#fbfaf7}.number{fill:#22252b;font-size:11px}\
@media (prefers-color-scheme:dark){svg{background:#16181c}text{fill:#9a9ea6}.title,.number{fill:#e8e6e1}\
.grid{stroke:#33373e}.roof{stroke:#e8e6e1}circle{stroke:#16181c}.compute{fill:#f07f55}.memory{fill:#5aa9e6}}";

/// Whole powers of ten around the numbers.
fn decades(numbers: impl Iterator<Item = f64>) -> (i32, i32) {
    let (mut low, mut high) = (0, 1);
    let mut first = true;
    for number in numbers.filter(|x| *x > 0.0 && x.is_finite()) {
        let (floor, ceil) = (number.log10().floor() as i32, number.log10().ceil() as i32);
        (low, high) = if first { (floor, ceil) } else { (low.min(floor), high.max(ceil)) };
        first = false;
    }
    (low, high.max(low + 1))
}

/// The picture, a file of its own: layers that compute the same are one dot. Those without multiplications have no
/// place on it.
pub(crate) fn svg(title: &str, layers: &[Layer], roofs: &Roofs) -> String {
    let mut dots = Layer::alike(layers);
    dots.retain(|layer| layer.multiply_adds > 0);
    let all: f64 = layers.iter().map(|layer| layer.seconds).sum::<f64>().max(1e-9);
    let ridges = roofs.peaks().flat_map(|(_, peak)| [peak / roofs.memory, peak / roofs.cache]);
    let (x0, x1) = decades(dots.iter().map(|layer| layer.intensity()).chain(ridges));
    let (y0, y1) =
        decades(dots.iter().map(|layer| layer.flops() * 1e-9).chain(roofs.peaks().map(|(_, peak)| peak * 1e-9)));
    let along = |x: f64, low: i32, high: i32| (x.log10() - f64::from(low)) / f64::from(high - low);
    let x_at = |x: f64| LEFT + along(x, x0, x1) * (WIDTH - LEFT - RIGHT);
    let y_at = |y: f64| HEIGHT - BOTTOM - along(y, y0, y1) * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"><style>{STYLE}</style><text class="title" x="12" y="22">{}</text>"#,
        escape(title)
    );
    for power in x0..=x1 {
        let (at, bottom) = (x_at(10f64.powi(power)), HEIGHT - BOTTOM);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{bottom}"/><text x="{at:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 16.0,
            10f64.powi(power)
        );
    }
    for power in y0..=y1 {
        let (at, right) = (y_at(10f64.powi(power)), WIDTH - RIGHT);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 8.0,
            at + 4.0,
            10f64.powi(power)
        );
    }
    let _ = write!(
        out,
        r#"<text x="12" y="40">GFLOP/s</text><text x="{:.1}" y="{:.1}" text-anchor="middle">operations a byte</text>"#,
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0
    );
    let slopes = [("roof", roofs.memory), ("roof second", roofs.cache)];
    for (peak, (class, bandwidth)) in roofs.peaks().flat_map(|(_, peak)| slopes.map(|slope| (peak, slope))) {
        // From the lower or left edge up to the ridge, then along the peak.
        let begin = 10f64.powi(x0).max(10f64.powi(y0) * 1e9 / bandwidth);
        let ridge = peak / bandwidth;
        let peak = y_at(peak * 1e-9);
        let _ = write!(
            out,
            r#"<polyline class="{class}" points="{:.1},{:.1} {:.1},{peak:.1} {:.1},{peak:.1}"><title>{:.1} GB/s</title></polyline>"#,
            x_at(begin),
            y_at(begin * bandwidth * 1e-9),
            x_at(ridge),
            WIDTH - RIGHT,
            bandwidth * 1e-9
        );
    }
    // The longest lie below the others, numbers above all.
    let mut numbers = String::new();
    for (i, layer) in dots.iter().enumerate() {
        let (x, y) = (x_at(layer.intensity()), y_at(layer.flops() * 1e-9));
        let share = layer.seconds / all;
        let what = escape(&layer.what);
        let (limit, ms, radius) = (layer.limit(roofs), 1e3 * layer.seconds, (36.0 * share.sqrt()).max(3.0));
        let _ = write!(
            out,
            r#"<circle class="{limit}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"><title>{what}: {ms:.3} ms</title></circle>"#
        );
        if i < NAMED {
            let at = TOP + 12.0 + 19.0 * i as f64;
            let _ = write!(
                numbers,
                r#"<text class="number" x="{x:.1}" y="{:.1}" text-anchor="middle">{number}</text><text x="{:.1}" y="{at:.1}"><tspan class="number">{number}</tspan> {:.0}% {what}</text>"#,
                y + 4.0,
                WIDTH - RIGHT + 14.0,
                100.0 * share,
                number = i + 1
            );
        }
    }
    out += &numbers;
    let notes = [
        format!("peak {}", roofs.said(|gflops| format!("{gflops:.0}"))),
        format!("roof: {:.1} GB/s from memory", roofs.memory * 1e-9),
        format!("dashed: {:.0} GB/s from the second caches", roofs.cache * 1e-9),
        "a dot's area is its share of the time".to_owned(),
    ];
    for (i, note) in notes.iter().enumerate() {
        let at = HEIGHT - BOTTOM - 17.0 * (notes.len() - 1 - i) as f64;
        let _ = write!(out, r#"<text x="{:.1}" y="{at:.1}">{note}</text>"#, WIDTH - RIGHT + 14.0);
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::super::roofline::tests::{BF16, ROOFS, layer};
    use super::*;

    #[test]
    fn layers_with_work_are_dots() {
        let layers = [
            layer("conv <3x3>", 1.0, 50_000_000, 1_000_000),
            layer("pool", 1.0, 0, 1_000_000),
            layer("linear", 2.0, 1_000_000, 4_000_000),
        ];
        let picture = svg("net & co", &layers, &ROOFS);
        assert_eq!(picture.matches("<circle").count(), 2);
        assert!(picture.contains("conv &lt;3x3&gt;") && picture.contains("net &amp; co"));
        assert!(picture.contains(r#"<circle class="memory""#) && picture.contains(r#"<circle class="compute""#));
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert!(picture.matches("<polyline").count() == 2 && picture.contains("peak 200 GFLOP/s<"), "{picture}");
        let picture = svg("net", &layers, &BF16);
        assert!(picture.matches("<polyline").count() == 4 && picture.contains("peak 200 GFLOP/s in f32, 400 in bf16"));
    }

    #[test]
    fn decades_enclose() {
        assert_eq!(decades([0.3, 250.0].into_iter()), (-1, 3));
        assert_eq!(decades([100.0].into_iter()), (2, 3));
        assert_eq!(decades([f64::INFINITY, 0.0].into_iter()), (0, 1));
    }
}
