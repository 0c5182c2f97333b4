//! What the libraries say beside a job: a lane that failed, a GPU that is left aside. A line each on
//! standard error, worded as the program's own messages. (`sessile serve` logs JSON by itself.)

use std::fmt;
use std::io::{IsTerminal, stderr};

use sessile_server::LogLevel;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, Layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::message::Lines;

/// Begins to log. Of other libraries only what is not as it should be is shown.
pub(crate) fn start(level: LogLevel) {
    let (own, others) = match level {
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Warning => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
    };
    let lines = Layer::new()
        .with_ansi(false)
        .log_internal_errors(false)
        .event_format(Line {
            clears: stderr().is_terminal(),
        })
        .with_writer(|| Lines);
    let filter = Targets::new()
        .with_target("sessile", own)
        .with_default(others);
    let subscriber = tracing_subscriber::registry().with(lines).with(filter);
    // There is no other one in this program.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// `warning: a step failed lane=cuda:0/1 error=…`
struct Line {
    /// Whether a line of progress may stand where this one goes.
    clears: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.clears {
            write!(writer, "\r\x1b[2K")?;
        }
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "note",
            _ => "debug",
        };
        write!(writer, "{level}: ")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
