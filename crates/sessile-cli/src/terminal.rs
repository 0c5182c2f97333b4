//! What people see: progress, failures and a summary on standard error. [`JsonLog`] tells programs
//! the same.

mod json;

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sessile_models::hub;
use sessile_pipelines::{Observer, Progress};

pub(crate) use json::JsonLog;

/// Failed records that are named on the terminal; the rest is counted.
const NAMED_FAILURES: u64 = 20;

/// How often the line is drawn again.
const REDRAW: Duration = Duration::from_millis(200);

/// How often progress is printed where there is no terminal to draw on.
const PRINT: Duration = Duration::from_secs(30);

/// Shows a job on standard error.
pub(crate) struct Terminal {
    bar: Option<ProgressBar>,
    drawn: Instant,
    failures: u64,
    quiet: bool,
}

impl Terminal {
    /// Progress where standard error is a terminal, failures and notes everywhere.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (stderr().is_terminal() && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Terminal {
            bar,
            drawn: Instant::now(),
            failures: 0,
            quiet,
        }
    }

    /// What became of a job.
    pub(crate) fn summary(&self, text: &str) {
        self.clear();
        if !self.quiet {
            say!("{text}");
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        }
    }

    /// Takes the progress line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Terminal {
    fn progress(&mut self, progress: &Progress) {
        let every = if self.bar.is_some() { REDRAW } else { PRINT };
        if self.quiet || self.drawn.elapsed() < every {
            return;
        }
        self.drawn = Instant::now();
        let seconds = progress.elapsed.as_secs_f64().max(1e-3);
        let left = seconds_left(progress)
            .map_or_else(String::new, |left| format!(", {} left", duration(left)));
        let line = format!(
            "{} records, {:.0} tokens/s, devices {:.0} % busy, {}{left}",
            count(progress.records),
            progress.tokens as f64 / seconds,
            100.0 * progress.busy,
            duration(seconds),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => say!("{line}"),
        }
    }

    fn failure(&mut self, _: &str, place: &str, reason: &str) {
        self.failures += 1;
        if self.failures <= NAMED_FAILURES {
            self.say(&match place {
                "" => format!("failed: {reason}"),
                place => format!("failed: {place}: {reason}"),
            });
        } else if self.failures == NAMED_FAILURES + 1 {
            self.say(
                "failed: more records; they are counted at the end, and --failures FILE lists all",
            );
        }
    }

    fn note(&mut self, message: &str) {
        if !self.quiet {
            self.say(message);
        }
    }
}

/// How much longer a job takes, if its input goes on as it began: there are as many records in what
/// is not read yet as in what was read, and they take as long as those that were computed.
pub(crate) fn seconds_left(progress: &Progress) -> Option<f64> {
    let computed = progress.records.saturating_sub(progress.resumed);
    if computed == 0 || progress.bytes_read == 0 || progress.bytes_total == 0 {
        return None;
    }
    let unread = progress.bytes_total.max(progress.bytes_read) as f64 / progress.bytes_read as f64;
    let all = progress.records_read as f64 * unread;
    let left = (all - progress.records as f64).max(0.0);
    Some(progress.elapsed.as_secs_f64() * left / computed as f64)
}

/// Shows a model that is being fetched.
pub(crate) struct Download {
    bar: Option<ProgressBar>,
}

impl Download {
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::default_spinner());
            bar
        });
        Download { bar }
    }

    pub(crate) fn show(&mut self, progress: &hub::Progress<'_>) {
        let line = match progress {
            hub::Progress::Advanced { file, done, total } => {
                if let Some(bar) = &self.bar {
                    let of =
                        total.map_or_else(String::new, |total| format!(" of {}", bytes(total)));
                    bar.set_message(format!("{file}: {}{of}", bytes(*done)));
                    bar.tick();
                }
                return;
            }
            hub::Progress::Verified { file } => format!("fetched {file}"),
            hub::Progress::Waiting { file } => {
                format!("waiting for {file}: another process is fetching it")
            }
            hub::Progress::Retrying { reason, after } => {
                format!(
                    "{reason}; trying again in {}",
                    duration(after.as_secs_f64())
                )
            }
            hub::Progress::UsingCache { reason } => {
                format!("using the copy in the cache: {reason}")
            }
            _ => return,
        };
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration for people: `42 s`, `3 min 20 s`, `2 h 05 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 10.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A number with commas.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `, 3 failed`, or nothing.
pub(crate) fn several(number: u64, what: &str) -> String {
    match number {
        0 => String::new(),
        number => format!(", {} {what}", count(number)),
    }
}

/// `once`, `2 times`.
pub(crate) fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        number => format!("{number} times"),
    }
}

/// An output as people call it.
pub(crate) fn place(output: &Path) -> String {
    match output.to_str() {
        Some("-") => "standard output".to_owned(),
        _ => output.display().to_string(),
    }
}

/// Bytes for people.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(duration(3.25), "3.2 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(7500.0), "2 h 05 min");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
    }
}
