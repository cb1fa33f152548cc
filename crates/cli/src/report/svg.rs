//! Line charts as inline SVG: no scripts, no fonts, no colours of its own but the classes of the page.

use std::fmt::Write;

/// One line of a chart.
pub(crate) struct Series {
    /// Its label, written at its end.
    pub(crate) name: String,
    /// CSS class that gives its colour.
    pub(crate) class: &'static str,
    /// (x, y), x growing.
    pub(crate) points: Vec<(f64, f64)>,
    /// Lowest and highest y of each point; empty without.
    pub(crate) band: Vec<(f64, f64)>,
    /// A point to stress, by its index.
    pub(crate) chosen: Option<usize>,
}

/// How x is laid out.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    /// Evenly.
    Linear,
    /// By its logarithm.
    Log,
}

/// How numbers are written.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    /// As they are.
    Plain,
    /// Fractions, as per cent.
    Percent,
}

/// A chart of lines over one axis.
pub(crate) struct LineChart {
    /// What stands below.
    pub(crate) x_label: &'static str,
    /// What stands above the vertical axis.
    pub(crate) y_label: &'static str,
    /// Layout of x.
    pub(crate) x_scale: Scale,
    /// Marks of x; found if empty.
    pub(crate) x_ticks: Vec<f64>,
    /// How y is written.
    pub(crate) unit: Unit,
    /// The lines.
    pub(crate) series: Vec<Series>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 118.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;
/// Least distance of two labels.
const LINE: f64 = 17.0;

impl LineChart {
    /// The chart as an `<svg>` element.
    pub(crate) fn svg(&self) -> String {
        let place = |x: f64| if self.x_scale == Scale::Log { x.max(1e-9).ln() } else { x };
        let (x0, x1) = bounds(self.series.iter().flat_map(|s| s.points.iter().map(|p| place(p.0))));
        let (low, high) = bounds(self.series.iter().flat_map(|s| {
            s.points.iter().map(|p| p.1).chain(s.band.iter().flat_map(|b| [b.0, b.1])).collect::<Vec<_>>()
        }));
        let y_ticks = ticks(low, high, 5);
        let (y0, y1) = (low.min(y_ticks[0]), high.max(y_ticks[y_ticks.len() - 1]));
        let x_at = |x: f64| LEFT + (place(x) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
        let y_at = |y: f64| TOP + (y1 - y) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
        let mut out = format!(
            r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{} over {}">"#,
            escape(self.y_label),
            escape(self.x_label)
        );
        let _ = write!(out, r#"<text class="axis" x="0" y="12">{}</text>"#, escape(self.y_label));
        for &y in &y_ticks {
            let (at, text) = (y_at(y), self.number(y));
            let _ = write!(
                out,
                r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{at:.1}" y2="{at:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            );
        }
        let x_ticks = if self.x_ticks.is_empty() { ticks(x0, x1, 6) } else { self.x_ticks.clone() };
        for &x in x_ticks.iter().filter(|&&x| (x0 - 1e-9..=x1 + 1e-9).contains(&place(x))) {
            let _ = write!(
                out,
                r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                x_at(x),
                HEIGHT - BOTTOM + 18.0,
                thousands(x)
            );
        }
        let _ = write!(
            out,
            r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0,
            escape(self.x_label)
        );
        for series in &self.series {
            self.line(series, &x_at, &y_at, &mut out);
        }
        let ends: Vec<f64> = self.series.iter().map(|s| s.points.last().map_or(0.0, |p| y_at(p.1))).collect();
        for (series, at) in self.series.iter().zip(apart(&ends, LINE)) {
            let _ = write!(
                out,
                r#"<text class="name {}" x="{:.1}" y="{:.1}">{}</text>"#,
                series.class,
                WIDTH - RIGHT + 10.0,
                at + 4.0,
                escape(&series.name)
            );
        }
        out + "</svg>"
    }

    fn number(&self, y: f64) -> String {
        match self.unit {
            Unit::Percent => format!("{}%", (y * 1000.0).round() / 10.0),
            Unit::Plain => format!("{}", (y * 1000.0).round() / 1000.0),
        }
    }

    fn line(&self, series: &Series, x_at: &dyn Fn(f64) -> f64, y_at: &dyn Fn(f64) -> f64, out: &mut String) {
        if series.band.len() == series.points.len() {
            let there = series.points.iter().zip(&series.band).map(|(p, b)| (p.0, b.1));
            let back = series.points.iter().zip(&series.band).rev().map(|(p, b)| (p.0, b.0));
            let points: Vec<String> =
                there.chain(back).map(|(x, y)| format!("{:.1},{:.1}", x_at(x), y_at(y))).collect();
            let _ = write!(out, r#"<polygon class="band {}" points="{}"/>"#, series.class, points.join(" "));
        }
        let points: Vec<String> = series.points.iter().map(|p| format!("{:.1},{:.1}", x_at(p.0), y_at(p.1))).collect();
        let _ = write!(out, r#"<polyline class="line {}" points="{}"/>"#, series.class, points.join(" "));
        let dots = series.points.len() <= 8;
        for (i, &(x, y)) in series.points.iter().enumerate() {
            let chosen = series.chosen == Some(i);
            if dots || chosen {
                let _ = write!(
                    out,
                    r#"<circle class="dot {}{}" cx="{:.1}" cy="{:.1}" r="{}"><title>{}: {} at {}</title></circle>"#,
                    series.class,
                    if chosen { " chosen" } else { "" },
                    x_at(x),
                    y_at(y),
                    if chosen { 4.5 } else { 3.5 },
                    escape(&series.name),
                    self.number(y),
                    thousands(x)
                );
            }
        }
    }
}

/// Lowest and highest of the finite numbers, widened to a stretch if they are equal; 0 and 1 without any.
fn bounds(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = numbers
        .filter(|x| x.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    match () {
        () if low > high => (0.0, 1.0),
        () if high - low < 1e-9 => (low - 0.5, high + 0.5),
        () => (low, high),
    }
}

/// About `count` round numbers that enclose the stretch from `low` to `high`.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = ((high - low) / count as f64).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let first = (low / step + 1e-6).floor();
    let last = (high / step - 1e-6).ceil();
    (0..=(last - first) as usize).map(|i| (first + i as f64) * step).collect()
}

/// Places near `wanted`, in its order, no two nearer than `gap`.
fn apart(wanted: &[f64], gap: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut places = wanted.to_vec();
    // Blocks of touching labels, each at the mean of what its members want.
    let mut blocks: Vec<(f64, Vec<usize>)> = Vec::new();
    for i in order {
        blocks.push((wanted[i], vec![i]));
        while let [.., (a, above), (b, below)] = blocks.as_slice() {
            if b - a >= gap * (above.len() + below.len()) as f64 / 2.0 {
                break;
            }
            let members: Vec<usize> = above.iter().chain(below).copied().collect();
            let centre = members.iter().map(|&i| wanted[i]).sum::<f64>() / members.len() as f64;
            blocks.truncate(blocks.len() - 2);
            blocks.push((centre, members));
        }
    }
    for (centre, members) in blocks {
        let top = centre - gap * (members.len() - 1) as f64 / 2.0;
        for (k, i) in members.into_iter().enumerate() {
            places[i] = top + gap * k as f64;
        }
    }
    places
}

/// A number with commas between thousands: `2,400`.
pub(crate) fn thousands(x: f64) -> String {
    if x.fract() != 0.0 {
        return format!("{x:.1}");
    }
    let digits = format!("{}", x.abs() as u64);
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if x < 0.0 { format!("-{out}") } else { out }
}

/// Text as HTML shows it literally.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        let found = ticks(0.613, 0.871, 5);
        assert!(found[0] <= 0.613 && found[found.len() - 1] >= 0.871 && found.len() <= 8, "{found:?}");
    }

    #[test]
    fn labels_keep_their_order_and_distance() {
        let places = apart(&[100.0, 101.0, 99.0, 300.0], 10.0);
        assert!(places[2] < places[0] && places[0] < places[1] && places[3] == 300.0, "{places:?}");
        assert!((places[0] - places[2] - 10.0).abs() < 1e-9 && (places[1] - places[0] - 10.0).abs() < 1e-9);
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!([0.0, 999.0, 2400.0, 4_386_178.0].map(thousands), ["0", "999", "2,400", "4,386,178"]);
    }

    #[test]
    fn text_cannot_break_out() {
        assert_eq!(escape("<b>&\""), "&lt;b&gt;&amp;&quot;");
    }

    #[test]
    fn an_empty_chart_is_still_a_chart() {
        let chart = LineChart {
            x_label: "epoch",
            y_label: "loss",
            x_scale: Scale::Linear,
            x_ticks: vec![],
            unit: Unit::Plain,
            series: vec![],
        };
        let svg = chart.svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"));
    }
}
