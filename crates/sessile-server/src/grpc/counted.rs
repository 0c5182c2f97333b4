//! The body of a gRPC call on its way in: what has arrived is held, and its client has only so long to
//! send more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::budget::Hold;
use crate::exchange::READ_FACTOR;
use crate::failure::{Failure, FailureKind};
use crate::service::Service;

/// A body that is counted.
pub(super) struct Counted {
    inner: Body,
    service: Arc<Service>,
    held: Hold,
    patience: Pin<Box<Sleep>>,
}

impl Counted {
    pub(super) fn new(inner: Body, service: Arc<Service>, held: Hold) -> Self {
        let patience = Box::pin(sleep(service.options.body_timeout));
        Counted {
            inner,
            service,
            held,
            patience,
        }
    }
}

fn refused(failure: Failure) -> axum::Error {
    axum::Error::new(failure.status())
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Pending => {
                if this.patience.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                let seconds = this.service.options.body_timeout.as_secs_f64();
                let message = format!("nothing of the call arrived for {seconds} s");
                let failure = Failure::new(FailureKind::SlowClient, message);
                Poll::Ready(Some(Err(refused(failure))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let again = tokio::time::Instant::now() + this.service.options.body_timeout;
                this.patience.as_mut().reset(again);
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let needed = this.held.bytes() + bytes * READ_FACTOR;
                match this.service.grow(&this.held, needed, "the call") {
                    Ok(()) => Poll::Ready(Some(Ok(frame))),
                    Err(failure) => Poll::Ready(Some(Err(refused(failure)))),
                }
            }
            end => end,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
