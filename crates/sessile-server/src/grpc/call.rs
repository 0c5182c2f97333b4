//! A message becomes a request of a `/v1` path, that is computed, and the answer goes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

use crate::budget::Hold;
use crate::clients::Client;
use crate::exchange::{self, Call};
use crate::failure::{Failure, FailureKind};
use crate::service::Service;
use crate::work::{self, Terms};

/// What a call brings besides its message.
#[derive(Clone)]
pub(super) struct Caller {
    service: Arc<Service>,
    held: Hold,
    timeout: Option<Duration>,
    client: Option<Arc<Client>>,
}

impl Caller {
    pub(super) fn of<T>(service: &Arc<Service>, request: &Request<T>) -> Self {
        let held = request.extensions().get::<Hold>().cloned();
        Caller {
            service: Arc::clone(service),
            held: held.unwrap_or_else(|| service.budget.hold()),
            timeout: timeout(request.metadata()),
            client: request.extensions().get().cloned(),
        }
    }

    /// The same for one message of a stream, of so many bytes: what had arrived of the stream is in it.
    pub(super) fn apart(&self, bytes: usize) -> Result<Self, Status> {
        self.held.shrink(0);
        let held = self.service.budget.hold();
        self.service
            .grow(&held, bytes * exchange::READ_FACTOR, "the message")
            .map_err(|failure| failure.status())?;
        Ok(Caller {
            held,
            ..self.clone()
        })
    }

    /// Computes a request.
    pub(super) async fn run<C: Call>(&self, request: C::Request) -> Result<C::Response, Status> {
        self.answer::<C>(request)
            .await
            .map_err(|failure| failure.status())
    }

    async fn answer<C: Call>(&self, request: C::Request) -> Result<C::Response, Failure> {
        let begun = Instant::now();
        let mut call = self.make::<C>(request).await?;
        let terms = self.terms(&call)?;
        work::run(&self.service, terms, &mut call).await?;
        call.respond(&self.service, begun)
    }

    /// The work of a request, with the memory of its answer held.
    pub(super) async fn make<C: Call>(&self, request: C::Request) -> Result<C, Failure> {
        self.service.admit()?;
        let kept = self.held.bytes();
        let shared = Arc::clone(&self.service);
        let call = exchange::where_it_fits(
            &self.service,
            kept / exchange::READ_FACTOR,
            &self.held,
            move || C::new(&shared, shared.engine()?, request),
        )
        .await?;
        let needed = kept.saturating_add(exchange::answer_bytes(&call));
        self.service.grow(&self.held, needed, "the answer")?;
        Ok(call)
    }

    /// Priority and time of a call, where its client may make it.
    pub(super) fn terms(&self, call: &impl Call) -> Result<Terms, Failure> {
        let mut terms = self.service.allow(self.client.as_ref(), call)?;
        terms.timeout = terms.timeout.into_iter().chain(self.timeout).min();
        self.service.expect_in_time(terms)?;
        Ok(terms)
    }

    pub(super) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The failure of a model that is not there, too, is one of the call.
    pub(super) fn engine(&self) -> Result<&crate::service::Engine, Status> {
        self.service.admit().map_err(|failure| failure.status())
    }
}

/// The time that a client gives: `grpc-timeout: 100m`.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(3600).saturating_mul(number),
        "M" => Duration::from_secs(60).saturating_mul(number),
        "S" => Duration::from_secs(number.into()),
        "m" => Duration::from_millis(number.into()),
        "u" => Duration::from_micros(number.into()),
        "n" => Duration::from_nanos(number.into()),
        _ => return None,
    })
}

impl Failure {
    /// As gRPC tells it. The kind is in `sessile-error-type`, as the `/v1` paths name it.
    pub(crate) fn status(&self) -> Status {
        let code = match self.kind {
            FailureKind::InvalidRequest
            | FailureKind::Validation
            | FailureKind::NotAcceptable
            | FailureKind::TooLarge => Code::InvalidArgument,
            FailureKind::Unauthorized => Code::Unauthenticated,
            FailureKind::NotFound | FailureKind::MethodNotAllowed => Code::Unimplemented,
            FailureKind::UnsupportedEncoding => Code::Unimplemented,
            FailureKind::ModelNotFound => Code::NotFound,
            FailureKind::Overloaded | FailureKind::QuotaExceeded => Code::ResourceExhausted,
            FailureKind::Internal => Code::Internal,
            FailureKind::NoDevice | FailureKind::Starting | FailureKind::Stopping => {
                Code::Unavailable
            }
            FailureKind::SlowClient | FailureKind::Timeout => Code::DeadlineExceeded,
        };
        let mut metadata = MetadataMap::new();
        metadata.insert(ERROR_TYPE, MetadataValue::from_static(self.kind.name()));
        if let Some(seconds) = self.retry_after {
            metadata.insert("retry-after", MetadataValue::from(seconds));
        }
        let message = match self.index {
            Some(index) => format!("item {index}: {}", self.message),
            None => self.message.clone(),
        };
        Status::with_metadata(code, message, metadata)
    }
}

/// Where a status has the kind of its failure.
pub(crate) const ERROR_TYPE: &str = "sessile-error-type";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(3600) * 99_999_999)),
            ("1x", None),
            ("", None),
            ("m", None),
        ] {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(timeout(&metadata), expected, "{text}");
        }
    }
}
