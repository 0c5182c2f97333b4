//! The path of a request, for every path of the API that computes: admitted, read, checked, run,
//! written. Everything that happens on the way to all of them happens here.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use bytes::Bytes;
use http_body::Body as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::body;
use crate::budget::Hold;
use crate::content_coding::{self, Coding};
use crate::failure::{Failure, FailureKind, Style};
use crate::json::guard::{self, Excess};
use crate::otlp;
use crate::raw::{Format, Rows, Written};
use crate::serve::Exchange;
use crate::service::{Engine, Service};
use crate::work::{self, Terms, Work};

/// Bodies up to this size are parsed where they arrive; larger ones where nobody waits behind.
const PARSE_INLINE: usize = 16 << 10;

/// What a body takes while it is read, in its lengths: the text, its parts and their tokens.
pub(crate) const READ_FACTOR: usize = 8;

/// What is left of it until the answer is written: tokens of four bytes for each letter.
const KEPT_FACTOR: usize = 4;

/// What one number takes in memory from the device to the socket: four bytes as it is, and up to
/// sixteen as text.
const BYTES_PER_NUMBER: usize = 20;

/// A call of the API that computes: where it is, what it takes and gives, and how it works. The router
/// and the description of the API are made of this (`http/routes`).
pub(crate) trait Call: Work + Sized + Send + 'static {
    /// Where it is called, by POST.
    const PATH: &'static str;

    /// The part of the API that it belongs to.
    const TAG: Tag;

    /// What it is for, in a line.
    const SUMMARY: &'static str;

    /// How its errors look.
    const STYLE: Style;

    /// Whether the answer may be sent while it is made.
    const STREAMS: bool = false;

    /// The numbers of an answer, for clients that want nothing else, of calls that have some.
    const NUMBERS: Option<fn(Self::Response) -> Rows> = None;

    /// What it takes.
    type Request: ToSchema + Send;

    /// What it gives.
    type Response: Serialize + ToSchema;

    /// The models that can be asked.
    fn models(engine: &Engine) -> Vec<&str>;

    /// Reads a body.
    fn parse(service: &Service, headers: &HeaderMap, body: &[u8])
    -> Result<Self::Request, Failure>;

    /// Checks a request and makes its work of it.
    fn new(service: &Service, engine: &Engine, request: Self::Request) -> Result<Self, Failure>;

    /// Priority and time.
    fn terms(&self) -> Terms;

    /// Tokens that will be read.
    fn tokens(&self) -> usize;

    /// Numbers that the answer will hold.
    fn numbers(&self) -> usize;

    /// The answer, where it is sent while it is made; nothing else is done then.
    fn streamed(
        &mut self,
        _service: &Arc<Service>,
        _terms: Terms,
    ) -> Result<Option<Response<Body>>, Failure> {
        Ok(None)
    }

    /// The answer, once all is computed.
    fn respond(self, service: &Service, begun: Instant) -> Result<Self::Response, Failure>;
}

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Original,
    Sequences,
    Texts,
    Models,
    Health,
    Service,
}

impl Tag {
    /// As the description of the API has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tag::Original => "ESM2_MultiGPU_Inference",
            Tag::Sequences => "Sequences",
            Tag::Texts => "Texts",
            Tag::Models => "Models",
            Tag::Health => "Health",
            Tag::Service => "Service",
        }
    }
}

/// Answers a request of this kind. It is in flight, and holds its memory, until the answer is sent.
pub(crate) async fn answer<C: Call>(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Response<Body> {
    let in_flight = service.begin();
    let held = service.budget.hold();
    let response = exchange::<C>(&service, request, &held)
        .await
        .unwrap_or_else(|failure| failure.response(C::STYLE));
    if let Some(bytes) = response.body().size_hint().exact() {
        held.shrink(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    body::keep(response, (in_flight, held))
}

async fn exchange<C: Call>(
    service: &Arc<Service>,
    request: Request,
    held: &Hold,
) -> Result<Response<Body>, Failure> {
    service.admit()?;
    let format = Format::wanted(request.headers(), C::NUMBERS.is_some())?;
    let (parts, body) = request.into_parts();
    let bytes = {
        let _waiting = parts.extensions.get().map(Exchange::waits_for_body);
        body::read(service, &parts.headers, body, held).await?
    };
    let bytes = content_coding::decoded(service, &parts.headers, bytes, held).await?;
    let coding = content_coding::wanted(&parts.headers);
    let begun = Instant::now();
    let kept = bytes.len().saturating_mul(KEPT_FACTOR);
    let mut call = read::<C>(service, parts.headers, bytes, held).await?;
    let terms = service.allow(parts.extensions.get(), &call)?;
    service.expect_in_time(terms)?;
    let needed = kept.saturating_add(answer_bytes(&call));
    service.grow(held, needed, "the answer")?;
    if let Some(response) = call.streamed(service, terms)? {
        return Ok(response);
    }
    work::run(service, terms, &mut call).await?;

    let writing = Instant::now();
    let (writer, counted) = (Arc::clone(service), held.clone());
    let (mut response, bytes) = off_the_loop(move || {
        let answer = call.respond(&writer, begun)?;
        let written = match (format, C::NUMBERS) {
            (Format::Octets(element), Some(numbers)) => numbers(answer).octets(element)?,
            (Format::Arrow, Some(numbers)) => numbers(answer).arrow()?,
            _ => json(&answer, coding)?,
        };
        drop(counted);
        Ok(written)
    })
    .await
    .map(|(mut bytes, headers)| {
        // Memory that was not needed in the end is not counted either.
        bytes.shrink_to_fit();
        (HeaderMap::from_iter(headers), bytes)
    })?;
    service.telemetry.serialized(writing.elapsed());
    otlp::serialized(writing.elapsed());
    if C::NUMBERS.is_some() {
        response.append(header::VARY, HeaderValue::from_static("Accept"));
    }
    let mut answer = Response::new(Body::from(bytes));
    *answer.headers_mut() = response;
    Ok(answer)
}

/// Memory that the answer to a call takes.
pub(crate) fn answer_bytes(call: &impl Call) -> usize {
    call.numbers().saturating_mul(BYTES_PER_NUMBER)
}

async fn read<C: Call>(
    service: &Arc<Service>,
    headers: HeaderMap,
    bytes: Bytes,
    held: &Hold,
) -> Result<C, Failure> {
    let length = bytes.len();
    let shared = Arc::clone(service);
    where_it_fits(service, length, held, move || {
        read_now(&shared, &headers, &bytes)
    })
    .await
}

/// Reads so many bytes here if that is quick, and otherwise where it holds nobody up, when it is their
/// turn.
pub(crate) async fn where_it_fits<T: Send + 'static>(
    service: &Arc<Service>,
    bytes: usize,
    held: &Hold,
    read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let needed = bytes.saturating_mul(READ_FACTOR);
    if bytes <= PARSE_INLINE {
        service.grow(held, needed, "the body")?;
        return read();
    }
    let waiting = Arc::clone(&service.readers).acquire_owned();
    let turn = tokio::time::timeout(service.options.request_timeout, waiting)
        .await
        .map_err(|_| {
            let message = "other requests were read for all the time that this one was given";
            Failure::new(FailureKind::Timeout, message)
        })?;
    service.grow(held, needed, "the body")?;
    let counted = held.clone();
    // Both go on when the client hangs up, as long as the reading does.
    off_the_loop(move || {
        let read = read();
        drop((turn, counted));
        read
    })
    .await
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
    let request = C::parse(service, headers, bytes)?;
    C::new(service, service.engine()?, request)
}

/// An answer in JSON, packed where it is large and the client takes that.
fn json(answer: &impl Serialize, coding: Option<Coding>) -> Result<Written, Failure> {
    let mut bytes = serde_json::to_vec(answer).map_err(|error| {
        let message = format!("the answer cannot be written: {error}");
        Failure::new(FailureKind::Internal, message)
    })?;
    let kind = HeaderValue::from_static("application/json");
    let mut headers = vec![(header::CONTENT_TYPE, kind)];
    if content_coding::is_large(bytes.len()) {
        headers.push((header::VARY, HeaderValue::from_static("Accept-Encoding")));
        if let Some(coding) = coding {
            bytes = content_coding::packed(coding, &bytes)?;
            let name = HeaderValue::from_static(coding.name());
            headers.push((header::CONTENT_ENCODING, name));
        }
    }
    Ok((bytes, headers))
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
