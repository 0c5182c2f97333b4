//! Logs: a JSON object a line on standard error, with the number of the request in it.

mod lines;

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

pub use lines::{Line, dropped, flush, say};

/// How much is logged, by the names of Python's logging or of Rust's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything that could help.
    Debug,
    /// Requests and what the service does.
    Info,
    /// What is not as it should be.
    Warning,
    /// What went wrong.
    Error,
}

impl FromStr for LogLevel {
    type Err = String;

    /// # Examples
    ///
    /// ```
    /// use sessile_server::LogLevel;
    /// assert_eq!("INFO".parse(), Ok(LogLevel::Info));
    /// assert_eq!("warn".parse(), Ok(LogLevel::Warning));
    /// assert!("loud".parse::<LogLevel>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "trace" | "debug" => Ok(LogLevel::Debug),
            "info" => Ok(LogLevel::Info),
            "warning" | "warn" => Ok(LogLevel::Warning),
            "error" | "critical" => Ok(LogLevel::Error),
            _ => Err(format!(
                "unknown log level `{text}` (debug, info, warning or error)"
            )),
        }
    }
}

/// Begins to log. Later calls change nothing.
pub fn start(level: LogLevel) {
    let filter = match level {
        // Other libraries' debugging would drown our own.
        LogLevel::Debug => "info,sessile_server=debug,sessile_runtime=debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error => "error",
    };
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(Line::default)
        .log_internal_errors(false)
        .with_env_filter(EnvFilter::new(filter))
        .finish();
    // Somebody else's subscriber stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
