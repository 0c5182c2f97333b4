//! An answer that goes on for as long as the service runs: who watches its health.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// A body that ends when the service stops.
pub(super) struct Endless<F> {
    pub(super) inner: Body,
    pub(super) stopped: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> http_body::Body for Endless<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if frame.is_ready() || self.stopped.as_mut().poll(context).is_pending() {
            return frame;
        }
        self.inner = Body::empty();
        // Unavailable: come back to another.
        let status = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("14"),
        )]);
        Poll::Ready(Some(Ok(Frame::trailers(status))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
