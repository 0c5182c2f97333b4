//! An answer that is on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use sessile_device::{RequestError, RequestErrorKind};
use tokio::sync::oneshot;

use crate::queue::{Answer, Reply, Timing};

/// An answer that is on its way: a future, or something to wait for. Dropping it cancels the
/// request if no device has begun with it.
pub struct Pending(oneshot::Receiver<Reply>);

impl Pending {
    pub(crate) fn new(answer: oneshot::Receiver<Reply>) -> Self {
        Pending(answer)
    }

    /// Waits on this thread. Must not be called from within an asynchronous task.
    ///
    /// # Errors
    ///
    /// Why the request has no answer.
    pub fn wait(self) -> Answer {
        self.0
            .blocking_recv()
            .map_or_else(|_| Err(abandoned()), |(answer, _)| answer)
    }

    /// Waits, and tells where the time went; nothing is told of a request that no lane had.
    pub async fn timed(self) -> (Answer, Option<Timing>) {
        self.0.await.unwrap_or_else(|_| (Err(abandoned()), None))
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|reply| reply.map_or_else(|_| Err(abandoned()), |(answer, _)| answer))
    }
}

fn abandoned() -> RequestError {
    RequestError::new(
        RequestErrorKind::NoDevice,
        "the pool ended before the request was answered",
    )
}
