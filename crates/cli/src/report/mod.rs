//! `report.html`: what a demo did, in one file that needs nothing else.

mod base64;
mod style;
mod svg;

pub(crate) use base64::data_uri;
pub(crate) use svg::{LineChart, Scale, Series, Unit, escape, thousands};

use crate::demo::{Summary, Way, megabytes};
use std::fmt::Write;
use ukulele_training::Confusion;

/// Everything the page shows.
pub(crate) struct Report {
    /// The question.
    pub(crate) title: String,
    /// The answer in a sentence or two.
    pub(crate) answer: String,
    /// What is being learned, from what.
    pub(crate) task: String,
    /// The three ways.
    pub(crate) ways: Vec<Summary>,
    /// Accuracy over the number of labels, if it was measured.
    pub(crate) label_curve: Option<Labelled>,
    /// Training loss and validation accuracy over epochs.
    pub(crate) learning: Vec<LineChart>,
    /// What the learning curves show.
    pub(crate) learning_note: String,
    /// Names of the classes.
    pub(crate) classes: Vec<String>,
    /// Of the full fine-tune.
    pub(crate) confusion: Confusion,
    /// Samples of the test set, with what the full fine-tune says.
    pub(crate) samples: Vec<Sample>,
    /// What was done: name and text.
    pub(crate) facts: Vec<(&'static str, String)>,
}

/// The label curve: chart, its numbers, and what they say.
pub(crate) struct Labelled {
    /// The chart.
    pub(crate) chart: LineChart,
    /// Its numbers.
    pub(crate) rows: Vec<Summary>,
    /// What it shows.
    pub(crate) note: String,
}

/// A sample of the test set.
pub(crate) struct Sample {
    /// What the model saw.
    pub(crate) content: Content,
    /// Name of its class.
    pub(crate) truth: String,
    /// Name of the class predicted.
    pub(crate) predicted: String,
    /// Its probability.
    pub(crate) probability: f32,
}

/// What a model sees.
pub(crate) enum Content {
    /// A text.
    Text(String),
    /// A picture, as a `data:` address.
    Picture(String),
}

impl Report {
    /// The numbers of the label curve; none if it was not measured.
    pub(crate) fn curve_rows(&self) -> &[Summary] {
        self.label_curve.as_ref().map_or(&[], |curve| &curve.rows)
    }

    /// The page.
    pub(crate) fn html(&self) -> String {
        let title = escape(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n\
             <header>\n<h1>{title}</h1>\n<p class=\"answer\">{}</p>\n<p class=\"task\">{}</p>\n</header>\n",
            style::CSS,
            escape(&self.answer),
            escape(&self.task)
        );
        self.three_ways(&mut page);
        if let Some(curve) = &self.label_curve {
            let _ = write!(
                page,
                "<section>\n<h2>How many labels is pretraining worth?</h2>\n<p>{}</p>\n<div class=\"two\">\n{}\n{}\n</div>\n</section>\n",
                escape(&curve.note),
                curve.chart.svg(),
                label_table(&curve.rows)
            );
        }
        let _ = write!(
            page,
            "<section>\n<h2>How they learned</h2>\n<p>{}</p>\n<div class=\"two\">\n",
            escape(&self.learning_note)
        );
        for chart in &self.learning {
            let _ = writeln!(page, "{}", chart.svg());
        }
        page += "</div>\n</section>\n<section>\n<h2>What the full fine-tune says about the test set</h2>\n<div class=\"says\">\n";
        page += &confusion_table(&self.confusion, &self.classes);
        self.samples(&mut page);
        page += "</div>\n</section>\n<section>\n<h2>What was done</h2>\n<dl>\n";
        for (name, text) in &self.facts {
            let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(text));
        }
        page + "</dl>\n</section>\n<footer>Made by <code>uke demo</code> of ukulele, transfer learning in pure Rust.</footer>\n</main>\n</body>\n</html>\n"
    }

    /// The bars: accuracy of each way, with its interval.
    fn three_ways(&self, page: &mut String) {
        let low = self.ways.iter().map(|w| w.accuracy.low).fold(1.0, f64::min);
        let from = ((low - 0.05).max(0.0) * 10.0).floor() / 10.0;
        let at = |x: f64| ((x - from) / (1.0 - from)).clamp(0.0, 1.0) * 100.0;
        *page += "<section class=\"ways\">\n<table>\n<thead><tr><th></th><th class=\"bars\">test accuracy, with its 95% interval</th><th></th><th>seconds</th><th>numbers that learned</th><th>tensor memory</th></tr></thead>\n<tbody>\n";
        for way in &self.ways {
            let (value, low, high) = (way.accuracy.value, way.accuracy.low, way.accuracy.high);
            let _ = writeln!(
                page,
                "<tr class=\"{}\"><th>{}</th><td class=\"bars\"><div class=\"track\"><div class=\"fill\" style=\"width:{:.1}%\"></div>\
                 <div class=\"whisker\" style=\"left:{:.1}%;width:{:.1}%\"></div></div></td>\
                 <td class=\"big\">{:.1}%<small>{:.1} to {:.1}</small></td><td>{:.1}</td><td>{}</td><td>{:.0} MB</td></tr>",
                way.way.key(),
                way.way.name(),
                at(value),
                at(low),
                at(high) - at(low),
                value * 100.0,
                low * 100.0,
                high * 100.0,
                way.seconds,
                thousands(way.trainable as f64),
                megabytes(way.peak_bytes),
            );
        }
        let _ = writeln!(
            page,
            "</tbody>\n<tfoot><tr><th></th><td class=\"bars\"><span>{:.0}%</span><span>{:.0}%</span></td><td colspan=\"4\"></td></tr></tfoot>\n</table>\n</section>",
            from * 100.0,
            100.0
        );
    }

    fn samples(&self, page: &mut String) {
        let pictures = self.samples.iter().any(|s| matches!(s.content, Content::Picture(_)));
        let _ = writeln!(page, "<div class=\"samples{}\">", if pictures { " pictures" } else { "" });
        for sample in &self.samples {
            let right = sample.truth == sample.predicted;
            let content = match &sample.content {
                Content::Text(text) => format!("<blockquote>{}</blockquote>", escape(text)),
                Content::Picture(address) => {
                    format!("<img alt=\"a photo of the test set\" src=\"{}\">", escape(address))
                }
            };
            let verdict = if right { String::new() } else { format!(", is {}", escape(&sample.truth)) };
            let _ = writeln!(
                page,
                "<figure class=\"{}\">{content}<figcaption><span class=\"mark\">{}</span> says {} ({:.0}%){verdict}</figcaption></figure>",
                if right { "right" } else { "wrong" },
                if right { "✓" } else { "✗" },
                escape(&sample.predicted),
                sample.probability * 100.0
            );
        }
        *page += "</div>\n";
    }
}

fn label_table(rows: &[Summary]) -> String {
    let mut counts: Vec<usize> = rows.iter().map(|r| r.labels).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut out = "<table class=\"numbers\">\n<thead><tr><th>labels</th>".to_owned();
    for way in Way::ALL {
        let _ = write!(out, "<th class=\"{}\">{}</th>", way.key(), way.name());
    }
    out += "</tr></thead>\n<tbody>\n";
    for labels in counts {
        let _ = write!(out, "<tr><th>{}</th>", thousands(labels as f64));
        let row: Vec<Option<&Summary>> =
            Way::ALL.iter().map(|&way| rows.iter().find(|r| r.labels == labels && r.way == way)).collect();
        let most = row.iter().flatten().map(|r| r.accuracy.value).fold(0.0, f64::max);
        for cell in row {
            match cell {
                Some(r) => {
                    let mark = if r.accuracy.value == most { " class=\"best\"" } else { "" };
                    let half = (r.accuracy.high - r.accuracy.low) / 2.0 * 100.0;
                    let _ = write!(out, "<td{mark}>{:.1}% <small>±{half:.1}</small></td>", r.accuracy.value * 100.0);
                }
                None => out += "<td></td>",
            }
        }
        out += "</tr>\n";
    }
    out + "</tbody>\n</table>"
}

fn confusion_table(confusion: &Confusion, classes: &[String]) -> String {
    let mut out = "<table class=\"confusion\">\n<thead><tr><th></th>".to_owned();
    for class in classes {
        let _ = write!(out, "<th>says {}</th>", escape(class));
    }
    out += "</tr></thead>\n<tbody>\n";
    for (truth, name) in classes.iter().enumerate() {
        let all = confusion.class(truth).support.max(1);
        let _ = write!(out, "<tr><th>is {}</th>", escape(name));
        for predicted in 0..classes.len() {
            let count = confusion.count(truth, predicted);
            let share = count as f64 / all as f64;
            let kind = if truth == predicted { "hit" } else { "miss" };
            let _ = write!(
                out,
                "<td class=\"{kind}\" style=\"--share:{share:.3}\">{}<small>{:.0}%</small></td>",
                thousands(count as f64),
                share * 100.0
            );
        }
        out += "</tr>\n";
    }
    let _ = write!(
        out,
        "</tbody>\n<caption>{} of {} right, macro F1 {:.3}</caption>\n</table>\n",
        thousands(confusion.correct() as f64),
        thousands(confusion.total() as f64),
        confusion.macro_f1()
    );
    out
}
