//! An answer that is on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use sessile_device::{RequestError, RequestErrorKind};
use tokio::sync::oneshot;

use crate::queue::Answer;

/// An answer that is on its way: a future, or something to wait for. Dropping it cancels the
/// request if no device has begun with it.
pub struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    pub(crate) fn new(answer: oneshot::Receiver<Answer>) -> Self {
        Pending(answer)
    }

    /// Waits on this thread. Must not be called from within an asynchronous task.
    ///
    /// # Errors
    ///
    /// Why the request has no answer.
    pub fn wait(self) -> Answer {
        self.0.blocking_recv().unwrap_or_else(|_| Err(abandoned()))
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(abandoned())))
    }
}

fn abandoned() -> RequestError {
    RequestError::new(
        RequestErrorKind::NoDevice,
        "the pool ended before the request was answered",
    )
}
