//! Requests to the hub: redirects, waiting and trying again, and what a refusal means.
//!
//! Redirects are followed here and not by the HTTP library, because the token may go to the hub
//! alone: large files are fetched from other hosts with addresses that are signed for one use.

use std::fs;
use std::io::Read;
use std::thread;
use std::time::Duration;

use ureq::http::header::{AUTHORIZATION, LOCATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::name::Repository;
use super::options::HubOptions;
use super::progress::Progress;
use crate::error::{ModelError, ModelErrorKind};

const MAX_REDIRECTS: usize = 5;

/// A list of files is a few kilobytes, even for a large repository.
const MAX_JSON_BYTES: u64 = 16 << 20;

/// A connection to a hub.
pub(crate) struct Client<'a> {
    agent: Agent,
    options: &'a HubOptions,
    repository: &'a Repository,
    endpoint: Uri,
}

/// The hub did not give what was asked for.
#[derive(Debug)]
pub(crate) struct HubError {
    pub(crate) error: ModelError,
    /// It was not reached or is busy, so a copy in the cache may stand in.
    pub(crate) unreachable: bool,
}

impl From<ModelError> for HubError {
    fn from(error: ModelError) -> Self {
        HubError {
            error,
            unreachable: false,
        }
    }
}

impl From<HubError> for ModelError {
    fn from(error: HubError) -> Self {
        error.error
    }
}

/// The last answer, after redirects.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(self.response.headers(), name)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }
}

/// Why a request did not work.
enum Failure {
    /// Trying again may help, after the wait that the server asked for.
    Passing {
        reason: String,
        wait: Option<Duration>,
    },
    /// It will not.
    Lasting(ModelError),
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        options: &'a HubOptions,
        repository: &'a Repository,
    ) -> Result<Self, ModelError> {
        let endpoint: Uri = options
            .endpoint
            .parse()
            .map_err(|_| not_an_address(options))?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.host().is_none() {
            return Err(not_an_address(options));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("sessile/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(options.timeout))
            .timeout_recv_response(Some(options.timeout))
            .timeout_recv_body(Some(options.transfer_timeout))
            .tls_config(
                TlsConfig::builder()
                    .root_certs(root_certificates(options)?)
                    .build(),
            );
        if is_loopback(&endpoint) {
            config = config.proxy(None);
        }
        Ok(Client {
            agent: config.build().into(),
            options,
            repository,
            endpoint,
        })
    }

    /// A small JSON answer of the hub's interface.
    pub(crate) fn json(
        &self,
        path: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<serde_json::Value, HubError> {
        self.retrying(progress, || {
            let answer = self.request(path, Method::Get { from: 0 })?;
            self.check(&answer, path)?;
            let mut bytes = Vec::new();
            let body = answer.response.into_body().into_reader();
            body.take(MAX_JSON_BYTES)
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::Passing {
                    reason: error.to_string(),
                    wait: None,
                })?;
            serde_json::from_slice(&bytes).map_err(|error| {
                Failure::Lasting(
                    ModelError::new(
                        ModelErrorKind::Network,
                        format!("{} did not answer as a hub does", self.options.endpoint),
                    )
                    .with_hint("check HF_ENDPOINT, and whether a proxy stands in between")
                    .with_source(error),
                )
            })
        })
    }

    /// What the hub says of a file, without its bytes and without leaving the hub.
    pub(crate) fn head(
        &self,
        path: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Answer, HubError> {
        self.retrying(progress, || {
            let answer = self.request(path, Method::Head)?;
            if !answer.status().is_redirection() {
                self.check(&answer, path)?;
            }
            Ok(answer)
        })
    }

    /// The bytes of a file from a position on; the answer's status says whether it is from there.
    pub(crate) fn get(
        &self,
        path: &str,
        from: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Answer, HubError> {
        self.retrying(progress, || {
            let answer = self.request(path, Method::Get { from })?;
            if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE {
                self.check(&answer, path)?;
            }
            Ok(answer)
        })
    }

    /// Waits as the options say before the `attempt`th new try, or as the server asked.
    pub(crate) fn wait(
        &self,
        attempt: u32,
        reason: &str,
        asked: Option<Duration>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) {
        let doubled = self.options.backoff.saturating_mul(1 << attempt.min(16));
        let after = asked.unwrap_or(doubled).min(self.options.max_wait);
        progress(Progress::Retrying { reason, after });
        thread::sleep(after);
    }

    fn retrying<T>(
        &self,
        progress: &mut dyn FnMut(Progress<'_>),
        request: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, HubError> {
        let mut attempt = 0;
        loop {
            match request() {
                Ok(answer) => return Ok(answer),
                Err(Failure::Lasting(error)) => return Err(error.into()),
                Err(Failure::Passing { reason, wait }) => {
                    let too_long = wait.is_some_and(|wait| wait > self.options.max_wait);
                    if attempt >= self.options.retries || too_long {
                        let error = self.given_up(&reason, wait.filter(|_| too_long));
                        return Err(HubError {
                            error,
                            unreachable: true,
                        });
                    }
                    self.wait(attempt, &reason, wait, progress);
                    attempt += 1;
                }
            }
        }
    }

    fn given_up(&self, reason: &str, wait: Option<Duration>) -> ModelError {
        let error = ModelError::new(
            ModelErrorKind::Network,
            format!("{}: {reason}", self.options.endpoint),
        );
        match wait {
            Some(wait) => error.with_hint(format!("try again in {} s", wait.as_secs())),
            None => error.with_hint(
                "check the network and HTTPS_PROXY; HF_HUB_OFFLINE=1 uses only the cache",
            ),
        }
    }

    /// Sends one request and, for the bytes of a file, follows redirects.
    fn request(&self, path: &str, method: Method) -> Result<Answer, Failure> {
        let mut uri: Uri = format!("{}/{path}", self.options.endpoint)
            .parse()
            .map_err(|_| Failure::Lasting(not_an_address(self.options)))?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&uri, method)?;
            let location = header(response.headers(), LOCATION.as_str()).map(str::to_owned);
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                return Ok(Answer { response });
            };
            let next = self.redirected(&uri, &location)?;
            // A renamed repository stays on the hub; the bytes of large files lie elsewhere, and
            // the hub itself says all about them.
            let answered = response.headers().contains_key("x-linked-etag");
            if method == Method::Head && (answered || !same_origin(&next, &uri)) {
                return Ok(Answer { response });
            }
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(Failure::Lasting(refused(format!(
                    "{} redirects to an address without encryption",
                    self.options.endpoint
                ))));
            }
            uri = next;
        }
        Err(Failure::Lasting(refused(format!(
            "{} redirects more than {MAX_REDIRECTS} times",
            self.options.endpoint
        ))))
    }

    fn send(&self, uri: &Uri, method: Method) -> Result<Response<Body>, Failure> {
        let mut request = match method {
            Method::Head => self.agent.head(uri),
            Method::Get { .. } => self.agent.get(uri),
        };
        if let Method::Get { from: from @ 1.. } = method {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let safe = uri.scheme_str() == Some("https") || is_loopback(uri);
        if let Some(token) = &self.options.token
            && same_origin(uri, &self.endpoint)
            && safe
        {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let passing = |reason| Failure::Passing { reason, wait: None };
        request.call().map_err(|error| match error {
            ureq::Error::HostNotFound => passing("the host is not known".to_owned()),
            ureq::Error::ConnectionFailed => passing("no connection".to_owned()),
            ureq::Error::Timeout(_) => passing("no answer in time".to_owned()),
            ureq::Error::Io(error) => passing(error.to_string()),
            ureq::Error::Protocol(error) => passing(error.to_string()),
            ureq::Error::Rustls(error) => Failure::Lasting(
                refused(format!("{}: {error}", self.options.endpoint))
                    .with_hint("SSL_CERT_FILE can name the certificates of a proxy"),
            ),
            other => Failure::Lasting(refused(format!("{}: {other}", self.options.endpoint))),
        })
    }

    /// The address that a redirect from `base` leads to.
    fn redirected(&self, base: &Uri, location: &str) -> Result<Uri, Failure> {
        let absolute = if location.starts_with("http://") || location.starts_with("https://") {
            location.to_owned()
        } else {
            let scheme = base.scheme_str().unwrap_or("https");
            let authority = base.authority().map_or("", |authority| authority.as_str());
            format!(
                "{scheme}://{authority}/{}",
                location.trim_start_matches('/')
            )
        };
        absolute.parse().map_err(|_| {
            Failure::Lasting(refused(format!(
                "{} redirects to something that is no address",
                self.options.endpoint
            )))
        })
    }

    fn check(&self, answer: &Answer, path: &str) -> Result<(), Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let id = self.repository.id();
        let revision = &self.repository.revision;
        let code = answer.header("x-error-code").unwrap_or_default();
        let lasting = |kind, message: String, hint: String| {
            Err(Failure::Lasting(
                ModelError::new(kind, message).with_hint(hint),
            ))
        };
        match status.as_u16() {
            401 if self.options.token.is_some() => lasting(
                ModelErrorKind::Network,
                format!(
                    "{}: the token was not accepted for {id} (401)",
                    self.options.endpoint
                ),
                "check the name, and make a new token if HF_TOKEN is out of date".to_owned(),
            ),
            401 => lasting(
                ModelErrorKind::Network,
                format!(
                    "{}: {id} does not exist or is private (401)",
                    self.options.endpoint
                ),
                "check the name; for a private or gated model set HF_TOKEN".to_owned(),
            ),
            403 => lasting(
                ModelErrorKind::Network,
                format!("{}: no access to {id} (403)", self.options.endpoint),
                format!(
                    "ask for access at {}/{id} and set HF_TOKEN",
                    self.options.endpoint
                ),
            ),
            404 if code == "RevisionNotFound" => lasting(
                ModelErrorKind::NotFound,
                format!("{id} has no revision `{revision}`"),
                format!(
                    "see {}/{id}/tree/main for branches and tags",
                    self.options.endpoint
                ),
            ),
            404 | 410 => lasting(
                ModelErrorKind::NotFound,
                format!(
                    "{}: nothing at {path} ({})",
                    self.options.endpoint,
                    status.as_u16()
                ),
                format!("check the name and the revision `{revision}`"),
            ),
            429 | 503 => Err(Failure::Passing {
                reason: format!("the hub is busy ({})", status.as_u16()),
                wait: answer
                    .header(RETRY_AFTER.as_str())
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs),
            }),
            408 | 500.. => Err(Failure::Passing {
                reason: format!("the hub failed ({})", status.as_u16()),
                wait: None,
            }),
            other => Err(Failure::Lasting(refused(format!(
                "{} answered {other} for {path}",
                self.options.endpoint
            )))),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Head,
    Get { from: u64 },
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn same_origin(a: &Uri, b: &Uri) -> bool {
    a.scheme() == b.scheme() && a.authority() == b.authority()
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn root_certificates(options: &HubOptions) -> Result<RootCerts, ModelError> {
    let Some(path) = &options.certificates else {
        return Ok(RootCerts::WebPki);
    };
    let bad = |what: String| {
        ModelError::new(
            ModelErrorKind::Unreadable,
            format!("{}: {what}", path.display()),
        )
        .with_hint("SSL_CERT_FILE or REQUESTS_CA_BUNDLE names this file of certificates")
    };
    let pem = fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| bad(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    Ok(RootCerts::from(certificates))
}

fn refused(message: String) -> ModelError {
    ModelError::new(ModelErrorKind::Network, message)
}

fn not_an_address(options: &HubOptions) -> ModelError {
    ModelError::new(
        ModelErrorKind::Network,
        format!("`{}` is not the address of a hub", options.endpoint),
    )
    .with_hint("HF_ENDPOINT begins with https:// or http://")
}
