//! The charts of the demos' reports.

use super::{Run, Summary, Way};
use crate::report::{LineChart, Scale, Series, Unit};

/// Training loss and validation accuracy over epochs, of one run of each way.
pub(crate) fn learning(runs: &[&Run]) -> Vec<LineChart> {
    let series = |value: fn(&super::Moment) -> f64, mark: bool| {
        let one = |run: &&Run| Series {
            name: run.way.name().to_owned(),
            class: run.way.key(),
            points: run.history.iter().map(|m| (m.epoch as f64, value(m))).collect(),
            band: Vec::new(),
            chosen: mark.then_some(run.best),
        };
        runs.iter().map(one).collect()
    };
    vec![
        LineChart {
            x_label: "epoch",
            y_label: "training loss",
            x_scale: Scale::Linear,
            x_ticks: Vec::new(),
            unit: Unit::Plain,
            series: series(|m| m.loss, false),
        },
        LineChart {
            x_label: "epoch",
            y_label: "validation accuracy",
            x_scale: Scale::Linear,
            x_ticks: Vec::new(),
            unit: Unit::Percent,
            series: series(|m| m.validation, true),
        },
    ]
}

/// Test accuracy over the number of labels, one line a way.
pub(crate) fn labels(rows: &[Summary]) -> LineChart {
    let mut ticks: Vec<f64> = rows.iter().map(|r| r.labels as f64).collect();
    ticks.dedup();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let one = |way: Way| {
        let mine: Vec<&Summary> = rows.iter().filter(|r| r.way == way).collect();
        Series {
            name: way.name().to_owned(),
            class: way.key(),
            points: mine.iter().map(|r| (r.labels as f64, r.accuracy.value)).collect(),
            band: mine.iter().map(|r| (r.accuracy.low, r.accuracy.high)).collect(),
            chosen: None,
        }
    };
    LineChart {
        x_label: "labels to learn from",
        y_label: "test accuracy, with its 95% interval",
        x_scale: Scale::Log,
        x_ticks: ticks,
        unit: Unit::Percent,
        series: Way::ALL.map(one).into(),
    }
}
