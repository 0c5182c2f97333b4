//! Exit codes: a contract with scripts.

use std::process::ExitCode;

use sessile_models::ModelError;
use sessile_pipelines::{Interrupt, PipelineError, PipelineErrorKind};
use sessile_runtime::{RuntimeError, RuntimeErrorKind};
use signal_hook::consts::SIGINT;

/// Done.
pub(crate) const DONE: u8 = 0;
/// The command line or a setting is wrong.
pub(crate) const USAGE: u8 = 2;
/// Done, but some records failed; they are listed.
pub(crate) const SOME_FAILED: u8 = 3;
/// An input, an output or a model is bad.
pub(crate) const BAD_INPUT: u8 = 4;
/// A device is missing, too small or lost.
pub(crate) const DEVICE: u8 = 5;
/// What to do when the system has no thread to give.
pub(crate) const MORE_THREADS: &str =
    "raise the limit of threads (ulimit -u, or the pids limit of the container), or use fewer";

/// Added to the number of the signal that ended a job.
pub(crate) const SIGNAL_BASE: u8 = 128;

/// The exit code of a job that is done, but for so many records.
pub(crate) fn finished(failed: u64) -> ExitCode {
    ExitCode::from(match failed {
        0 => DONE,
        _ => SOME_FAILED,
    })
}

/// A command that could not be done.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: Option<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: Some(message.into()),
            hint: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new(USAGE, message)
    }

    /// A setting of the command line that cannot be.
    pub(crate) fn setting(error: &ModelError) -> Self {
        Failure::usage(error.to_string()).with_hint(error.hint())
    }

    pub(crate) fn with_hint(mut self, hint: Option<&str>) -> Self {
        self.hint = hint.map(str::to_owned);
        self
    }

    /// Ended by a signal: what is said next to the code.
    pub(crate) fn interrupted(signal: i32, message: impl Into<String>) -> Self {
        let code = u8::try_from(signal).map_or(SIGNAL_BASE, |signal| SIGNAL_BASE + signal);
        Failure::new(code, message)
    }

    /// A job that ended early; the signal is part of the exit code.
    pub(crate) fn ended(error: PipelineError, interrupt: &Interrupt) -> Self {
        match error.kind() {
            PipelineErrorKind::Interrupted => {
                let signal = interrupt.signal().unwrap_or(SIGINT);
                Failure::interrupted(signal, error.to_string()).with_hint(error.hint())
            }
            _ => error.into(),
        }
    }

    /// Its exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// What went wrong, if there is something to say.
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The same, for those who have said it already.
    pub(crate) fn said(self) -> Self {
        Failure {
            message: None,
            hint: None,
            ..self
        }
    }

    /// Says what went wrong in the log, for a command whose messages are one.
    pub(crate) fn logged(self) -> Self {
        if let Some(message) = &self.message {
            tracing::error!(hint = self.hint(), exit_code = self.code, "{message}");
        }
        self.said()
    }

    /// Prints what went wrong and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if let Some(message) = &self.message {
            say!("error: {message}");
        }
        if let Some(hint) = &self.hint {
            say!("hint: {hint}");
        }
        ExitCode::from(self.code)
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        let code = match error.kind() {
            RuntimeErrorKind::Option => USAGE,
            RuntimeErrorKind::Model => BAD_INPUT,
            _ => DEVICE,
        };
        Failure::new(code, error.to_string()).with_hint(error.hint())
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Failure::new(BAD_INPUT, error.to_string()).with_hint(error.hint())
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        let code = match error.kind() {
            PipelineErrorKind::Usage => USAGE,
            PipelineErrorKind::Device => DEVICE,
            // Whoever read our output has enough: no error, nothing to say.
            PipelineErrorKind::BrokenPipe => {
                return Failure {
                    code: DONE,
                    message: None,
                    hint: None,
                };
            }
            _ => BAD_INPUT,
        };
        Failure::new(code, error.to_string()).with_hint(error.hint())
    }
}

/// Output to a pipe that nobody reads any more is no error; anything else is.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        PipelineError::output("the result", error).into()
    }
}
