//! Bodies: read within a size, a time and the memory of all requests; written while the memory
//! they hold is still counted.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

use sessile_seq::text;

use crate::budget::Hold;
use crate::failure::{Failure, FailureKind};
use crate::service::Service;

/// A body takes this many times its length while it is read: the text and what is made of it.
const PARSED_FACTOR: usize = 4;

/// Reads a body whole.
pub(crate) async fn read(
    service: &Service,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Hold), Failure> {
    let timeout = service.options.body_timeout;
    tokio::time::timeout(timeout, collect(service, headers, body))
        .await
        .unwrap_or_else(|_| {
            let message = format!("the body did not arrive within {} s", timeout.as_secs());
            Err(Failure::new(FailureKind::SlowClient, message))
        })
}

async fn collect(
    service: &Service,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<(Bytes, Hold), Failure> {
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
    let busy = |failure: Failure| failure.retry_after(service.backlog_seconds());
    let hold = |bytes: usize| {
        service
            .budget
            .hold(bytes.saturating_mul(PARSED_FACTOR), "the body")
            .map_err(busy)
    };
    let mut held = hold(announced.unwrap_or(0))?;
    let mut counted = announced.unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Failure::new(
                FailureKind::InvalidRequest,
                "the body ended before its end; send all of it",
            )
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
            if bytes.len() > counted {
                held.absorb(hold(bytes.len() - counted)?);
                counted = bytes.len();
            }
        }
    }
    let bytes = bytes.freeze();
    // A byte order mark, which some clients put before JSON.
    let text = text::without_mark(&bytes)
        .map_err(|other| Failure::new(FailureKind::InvalidRequest, format!("the body: {other}")))?;
    let mark = bytes.len() - text.len();
    Ok((bytes.slice(mark..), held))
}

/// A body that holds its memory until it is sent or given up.
pub(crate) struct HeldBody {
    inner: Body,
    _held: Hold,
}

/// Wraps the bytes of an answer.
pub(crate) fn held(bytes: Vec<u8>, hold: Hold) -> Body {
    Body::new(HeldBody {
        inner: Body::from(bytes),
        _held: hold,
    })
}

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
