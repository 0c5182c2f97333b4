//! Traces: what a request went through, for a collector of OpenTelemetry.
//!
//! A request belongs to the trace that its client names in `traceparent` (W3C Trace Context), or begins
//! one. Its spans are the request itself, and in it for each sequence the wait for a lane and the
//! computing, and the writing of the answer. Without a collector nothing of this is made.

mod export;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sessile_runtime::Timing;

pub use export::Collector;
pub(crate) use export::Exporter;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Spans of a request beside its own: of the first sequences, for a request may have thousands.
const MOST_PARTS: usize = 64;

tokio::task_local! {
    /// The request that is answered here, if it is traced.
    static CURRENT: Arc<Trace>;
}

/// Where a request is in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace: u128,
    /// The span that the next one is in; none for the first of a trace.
    span: Option<u64>,
    is_recorded: bool,
}

impl Context {
    /// What the client says, in the one form that there is.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may have more behind.
        let fits = version.len() == 2
            && version != "ff"
            && trace.len() == 32
            && span.len() == 16
            && flags.len() == 2
            && (version != "00" || parts.next().is_none());
        let is_hexadecimal = |part: &str| {
            part.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !fits
            || ![version, trace, span, flags]
                .into_iter()
                .all(is_hexadecimal)
        {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok()?;
        let span = u64::from_str_radix(span, 16).ok()?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (trace != 0 && span != 0).then_some(Context {
            trace,
            span: Some(span),
            is_recorded: flags & 1 == 1,
        })
    }

    fn new() -> Self {
        Context {
            trace: u128::from(random()) << 64 | u128::from(random()),
            span: None,
            is_recorded: true,
        }
    }
}

/// A number that nobody else has.
fn random() -> u64 {
    loop {
        // Seeded by the system, and another with each call.
        let number = RandomState::new().build_hasher().finish();
        if number != 0 {
            return number;
        }
    }
}

/// A request that is traced.
pub(crate) struct Trace {
    exporter: Arc<Exporter>,
    context: Context,
    span: u64,
    begun: Instant,
    parts: AtomicUsize,
}

/// A span that is over.
pub(crate) struct Span {
    trace: u128,
    span: u64,
    parent: Option<u64>,
    name: String,
    is_server: bool,
    begun: SystemTime,
    ended: SystemTime,
    attributes: Vec<(&'static str, Attribute)>,
    has_failed: bool,
}

/// What is said of a span.
pub(crate) enum Attribute {
    Text(String),
    Number(i64),
}

impl Trace {
    /// Begins to trace a request, unless its client does not want that.
    pub(crate) fn begin(exporter: &Arc<Exporter>, headers: &HeaderMap) -> Option<Arc<Self>> {
        let context = Context::of(headers).unwrap_or_else(Context::new);
        context.is_recorded.then(|| {
            Arc::new(Trace {
                exporter: Arc::clone(exporter),
                context,
                span: random(),
                begun: Instant::now(),
                parts: AtomicUsize::new(0),
            })
        })
    }

    /// The trace, as logs have it.
    pub(crate) fn id(&self) -> String {
        format!("{:032x}", self.context.trace)
    }

    /// What the client is told.
    pub(crate) fn header(&self) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-01", self.context.trace, self.span);
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Runs a request with this as the current trace.
    pub(crate) async fn scope<F: Future>(self: Arc<Self>, request: F) -> F::Output {
        CURRENT.scope(self, request).await
    }

    /// The request was answered.
    pub(crate) fn end(&self, method: &str, route: &str, status: u16, error: Option<&'static str>) {
        let text = |text: &str| Attribute::Text(text.to_owned());
        let mut attributes = vec![
            ("http.request.method", text(method)),
            ("http.route", text(route)),
            (
                "http.response.status_code",
                Attribute::Number(status.into()),
            ),
        ];
        attributes.extend(error.map(|error| ("error.type", text(error))));
        self.exporter.send(Span {
            trace: self.context.trace,
            span: self.span,
            parent: self.context.span,
            name: format!("{method} {route}"),
            is_server: true,
            begun: at(self.begun),
            ended: SystemTime::now(),
            attributes,
            has_failed: status >= 500,
        });
    }

    fn part(&self, name: &str, begun: Instant, ended: Instant, device: Option<String>) {
        if self.parts.fetch_add(1, Ordering::Relaxed) >= MOST_PARTS {
            return;
        }
        let device = device.map(|device| ("sessile.device", Attribute::Text(device)));
        self.exporter.send(Span {
            trace: self.context.trace,
            span: random(),
            parent: Some(self.span),
            name: name.to_owned(),
            is_server: false,
            begun: at(begun),
            ended: at(ended),
            attributes: device.into_iter().collect(),
            has_failed: false,
        });
    }
}

/// The time of the clock that an instant was at.
fn at(instant: Instant) -> SystemTime {
    SystemTime::now() - instant.elapsed()
}

/// A sequence of the current request was computed.
pub(crate) fn computed(timing: Timing) {
    let _ = CURRENT.try_with(|trace| {
        let ended = Instant::now();
        let begun = ended.checked_sub(timing.computed).unwrap_or(ended);
        let queued = begun.checked_sub(timing.queued).unwrap_or(begun);
        trace.part("queue", queued, begun, None);
        trace.part("compute", begun, ended, Some(timing.device.to_string()));
    });
}

/// The answer of the current request was written, in this time until now.
pub(crate) fn serialized(took: Duration) {
    let _ = CURRENT.try_with(|trace| {
        let ended = Instant::now();
        trace.part(
            "serialize",
            ended.checked_sub(took).unwrap_or(ended),
            ended,
            None,
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_taken_over_or_passed_over() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        let cases = [
            (format!("00-{trace}-{span}-01"), Some(true)),
            (format!("00-{trace}-{span}-00"), Some(false)),
            (format!("cc-{trace}-{span}-03-later"), Some(true)),
            (format!("00-{trace}-{span}-01-more"), None),
            (format!("ff-{trace}-{span}-01"), None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{span}-01", trace.to_uppercase()), None),
            (format!("00-{trace}-{span}"), None),
            (String::new(), None),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, text.parse().unwrap());
            let found = Context::of(&headers);
            assert_eq!(found.map(|context| context.is_recorded), expected, "{text}");
            if let Some(context) = found {
                assert_eq!(format!("{:032x}", context.trace), trace);
            }
        }
        assert_ne!(Context::new(), Context::new());
    }
}
