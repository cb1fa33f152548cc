//! How far a training is: a bar on a terminal, one line per epoch elsewhere, nothing if quiet.

use crate::interrupt;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use ukulele_training::{Control, Event};

/// The progress of one piece of work.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Whether epochs are told above the bar, and whether without one.
    above: bool,
    lines: bool,
    epochs: usize,
}

/// Whether a bar can be drawn.
fn terminal() -> bool {
    std::io::stderr().is_terminal()
}

impl Progress {
    /// Of a training of at most `epochs` epochs.
    pub(crate) fn training(name: &str, epochs: usize, quiet: bool) -> Self {
        let shown = !quiet && terminal();
        Self { bar: bar(name, 1, shown), above: shown, lines: !quiet && !shown, epochs }
    }

    /// Of a training whose epochs are told only by a bar, never by lines.
    pub(crate) fn bar_only(name: &str, epochs: usize, quiet: bool) -> Self {
        let shown = !quiet && terminal();
        Self { bar: bar(name, 1, shown), above: false, lines: false, epochs }
    }

    /// Takes in an event of a training; stops it if Ctrl-C was pressed.
    pub(crate) fn see(&self, event: &Event) -> Control {
        match event {
            Event::Step(step) => {
                self.bar.set_length(step.total as u64);
                self.bar.set_position(step.step as u64);
                self.bar.set_message(format!(
                    "epoch {}/{}  loss {:.3}  rate {:.1e}",
                    step.epoch, self.epochs, step.loss, step.rate
                ));
            }
            Event::Epoch(epoch) => {
                let mut line = format!("epoch {}/{}: loss {:.4}", epoch.epoch, self.epochs, epoch.loss);
                if let Some(score) = epoch.validation {
                    line += &format!(", validation accuracy {:.4}, loss {:.4}", score.accuracy, score.loss);
                    line += if epoch.best { "  (best so far)" } else { "" };
                }
                if self.lines {
                    eprintln!("{line}");
                } else if self.above {
                    self.bar.println(format!("  {line}"));
                }
            }
        }
        if interrupt::asked() { Control::Stop } else { Control::Continue }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar for work of `length` pieces; hidden unless `shown`.
fn bar(name: &str, length: u64, shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length).with_prefix(name.to_owned());
    match ProgressStyle::with_template("{prefix}  {bar:24} {pos}/{len}  {msg}  {eta} left") {
        Ok(style) => bar.with_style(style.progress_chars("━╸ ")),
        Err(_) => bar,
    }
}

/// A bar for work that is not training, e.g. reading photos.
pub(crate) fn counter(name: &str, length: usize, quiet: bool) -> ProgressBar {
    bar(name, length as u64, !quiet && terminal())
}

/// A bar for bytes that come.
pub(crate) fn bytes(name: &str, quiet: bool) -> ProgressBar {
    let bar = bar(name, 0, !quiet && terminal());
    match ProgressStyle::with_template(
        "{prefix}  {bar:24} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left  {msg}",
    ) {
        Ok(style) => bar.with_style(style.progress_chars("━╸ ")),
        Err(_) => bar,
    }
}
