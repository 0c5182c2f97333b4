//! Bodies: read within a size, a time and the memory of all requests; sent while the memory they
//! hold is still counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::{HeaderMap, Response, header};
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

use sessile_seq::text;

use crate::budget::Hold;
use crate::failure::{Failure, FailureKind};
use crate::service::Service;

/// Memory for a body is asked for by this much of what has arrived.
const STEP: usize = 64 << 10;

/// Reads a body whole. `held` grows with what arrives, not with what is announced.
pub(crate) async fn read(
    service: &Service,
    headers: &HeaderMap,
    body: Body,
    held: &Hold,
) -> Result<Bytes, Failure> {
    let timeout = service.options.body_timeout;
    tokio::time::timeout(timeout, collect(service, headers, body, held))
        .await
        .unwrap_or_else(|_| {
            let message = format!("the body did not arrive within {} s", timeout.as_secs_f64());
            Err(Failure::new(FailureKind::SlowClient, message))
        })
}

async fn collect(
    service: &Service,
    headers: &HeaderMap,
    mut body: Body,
    held: &Hold,
) -> Result<Bytes, Failure> {
    let most = service.options.max_body_bytes;
    let too_large = || {
        let message = format!("the body is larger than {most} bytes; split the request");
        Failure::new(FailureKind::TooLarge, message)
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > most) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(STEP));
    let mut counted = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Failure::new(
                FailureKind::InvalidRequest,
                "the body ended before its end; send all of it",
            )
        })?;
        if let Ok(data) = frame.into_data() {
            let len = bytes.len() + data.len();
            if len > most {
                return Err(too_large());
            }
            if len > counted {
                // No more than the whole, so that small bodies stay small requests.
                counted = announced
                    .map_or(len + STEP, |all| all.min(len + STEP))
                    .max(len);
                service.grow(held, counted, "the body")?;
            }
            bytes.extend_from_slice(&data);
        }
    }
    let bytes = bytes.freeze();
    // A byte order mark, which some clients put before JSON.
    let text = text::without_mark(&bytes)
        .map_err(|other| Failure::new(FailureKind::InvalidRequest, format!("the body: {other}")))?;
    let mark = bytes.len() - text.len();
    Ok(bytes.slice(mark..))
}

/// Attaches what must live until an answer is sent: it is dropped with the last byte that was
/// handed to the system, or with the connection.
pub(crate) fn keep<G: Send + Sync + 'static>(response: Response<Body>, guard: G) -> Response<Body> {
    response.map(|inner| {
        Body::new(KeptBody {
            inner,
            guard: Arc::new(guard),
        })
    })
}

/// A body whose bytes keep something alive.
struct KeptBody<G> {
    inner: Body,
    guard: Arc<G>,
}

/// A piece of such a body.
struct KeptBytes<G> {
    bytes: Bytes,
    _guard: Arc<G>,
}

impl<G> AsRef<[u8]> for KeptBytes<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<G: Send + Sync + 'static> http_body::Body for KeptBody<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    let _guard = Arc::clone(&self.guard);
                    Bytes::from_owner(KeptBytes { bytes, _guard })
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
