//! The path of a request, for every path of the API that computes: admitted, read, checked, run,
//! written. Everything that happens on the way to all of them happens here.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use bytes::Bytes;

use crate::body;
use crate::content_coding;
use crate::failure::{Failure, FailureKind, Style};
use crate::json::guard::{self, Excess};
use crate::service::{Engine, Service};
use crate::work::{self, Terms, Work};

/// Bodies up to this size are parsed where they arrive; larger ones where nobody waits behind.
const PARSE_INLINE: usize = 16 << 10;

/// What one number takes in memory from the device to the socket: four bytes as it is, and up to
/// sixteen as text.
const BYTES_PER_NUMBER: usize = 20;

/// A request to one path of the API.
pub(crate) trait Call: Work + Sized + Send + 'static {
    /// How its errors look.
    const STYLE: Style;

    /// Reads and checks a body.
    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure>;

    /// Priority and time.
    fn terms(&self) -> Terms;

    /// Numbers that the answer will hold.
    fn numbers(&self) -> usize;

    /// The answer, where it is sent while it is made; nothing else is done then.
    fn streamed(&mut self, _service: &Arc<Service>) -> Result<Option<Response<Body>>, Failure> {
        Ok(None)
    }

    /// Writes the answer.
    fn write(self, service: &Service, begun: Instant) -> Result<Vec<u8>, Failure>;
}

/// Answers a request of this kind.
pub(crate) async fn answer<C: Call>(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Response<Body> {
    let _in_flight = service.begin();
    exchange::<C>(&service, request)
        .await
        .unwrap_or_else(|failure| failure.response(C::STYLE))
}

async fn exchange<C: Call>(
    service: &Arc<Service>,
    request: Request,
) -> Result<Response<Body>, Failure> {
    service.engine()?;
    let (parts, body) = request.into_parts();
    let (bytes, held) = body::read(service, &parts.headers, body).await?;
    let (bytes, mut held) = content_coding::decoded(service, &parts.headers, bytes, held).await?;
    let coding = content_coding::wanted(&parts.headers);
    let begun = Instant::now();
    let mut call = read::<C>(service, parts.headers, bytes).await?;
    let numbers = call.numbers().saturating_mul(BYTES_PER_NUMBER);
    let answer_held =
        service
            .budget
            .hold(numbers, "the answer")
            .map_err(|failure| match failure.kind {
                FailureKind::Overloaded => failure.retry_after(service.backlog_seconds()),
                _ => failure,
            })?;
    held.absorb(answer_held);
    if let Some(response) = call.streamed(service)? {
        return Ok(response);
    }
    work::run(service, call.terms(), &mut call).await?;

    let writing = Instant::now();
    let writer = Arc::clone(service);
    let (answer, coding, is_large) = off_the_loop(move || {
        let answer = call.write(&writer, begun)?;
        let is_large = content_coding::is_large(answer.len());
        match coding.filter(|_| is_large) {
            Some(coding) => content_coding::packed(coding, &answer)
                .map(|packed| (packed, Some(coding), is_large)),
            None => Ok((answer, None, is_large)),
        }
    })
    .await?;
    service.telemetry.serialized(writing.elapsed());
    let mut response = Response::new(body::held(answer, held));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if is_large {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if let Some(coding) = coding {
        let name = HeaderValue::from_static(coding.name());
        headers.insert(header::CONTENT_ENCODING, name);
    }
    Ok(response)
}

async fn read<C: Call>(
    service: &Arc<Service>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<C, Failure> {
    if bytes.len() <= PARSE_INLINE {
        return read_now(service, &headers, &bytes);
    }
    let service = Arc::clone(service);
    off_the_loop(move || read_now(&service, &headers, &bytes)).await
}

fn read_now<C: Call>(service: &Service, headers: &HeaderMap, bytes: &[u8]) -> Result<C, Failure> {
    // The fields besides the items are few.
    const OTHER_VALUES: usize = 64;
    let options = &service.options;
    let max_values = options.max_items.max(options.max_batch_size) + OTHER_VALUES;
    guard::check(bytes, max_values).map_err(|excess| match excess {
        Excess::Values => Failure::new(
            FailureKind::TooLarge,
            format!(
                "there are more than {} items; split the request",
                options.max_items
            ),
        ),
        Excess::Depth => Failure::new(
            FailureKind::InvalidRequest,
            format!("the JSON is nested deeper than {} levels", guard::MAX_DEPTH),
        ),
    })?;
    C::read(service, service.engine()?, headers, bytes)
}

/// Runs what takes a while where it holds nobody up.
pub(crate) async fn off_the_loop<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(job)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "a fault while a request was read or answered");
            let message = "a fault in the program; the logs tell more";
            Err(Failure::new(FailureKind::Internal, message))
        })
}
