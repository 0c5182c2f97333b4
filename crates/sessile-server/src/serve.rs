//! From the listening socket to the end: connections with bounds, loading beside them, and a stop
//! that answers what was accepted.

mod connections;
mod stream;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use sessile_runtime::RuntimeError;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::body;
use crate::http;
use crate::keys::Keys;
use crate::monitor;
use crate::options::ServiceOptions;
use crate::service::{Engine, Service};
use crate::tls::Tls;
use connections::{Connection, Connections};
use stream::GuardedStream;

pub(crate) use connections::Exchange;
pub(crate) use stream::Pace;

/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most requests on one connection at a time, of HTTP/2.
const MAX_STREAMS: u32 = 128;

/// How often a client of HTTP/2 is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How long to wait when the system can not give another connection, before asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection that is to be closed is still read: once around the loop of events, and to spare.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How the service ended.
#[derive(Debug)]
pub enum Ended {
    /// It was asked to, and every accepted request was answered.
    Drained,
    /// It was asked to, and so many requests were not answered within the grace time.
    Abandoned(usize),
    /// No lane is left.
    NoDevice,
    /// It was not ready within the time to start.
    NotStarted(Duration),
}

/// Why the service did not run.
#[derive(Debug)]
pub enum ServeError {
    /// The address can not be listened on.
    Listen(SocketAddr, io::Error),
    /// The models could not be loaded.
    Load(RuntimeError),
}

impl std::fmt::Display for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServeError::Listen(address, error) => write!(f, "can not listen on {address}: {error}"),
            ServeError::Load(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::Listen(_, error) => Some(error),
            ServeError::Load(error) => Some(error),
        }
    }
}

/// A service that listens, but does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    service: Arc<Service>,
}

impl Server {
    /// Listens. From here on clients can connect, and are told to wait while models load.
    ///
    /// # Errors
    ///
    /// `Listen` when the address is taken or not ours.
    pub async fn bind(model_name: String, options: ServiceOptions) -> Result<Self, ServeError> {
        let wanted = options.address;
        let failed = |error| ServeError::Listen(wanted, error);
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server {
            listener,
            address,
            service: Arc::new(Service::new(model_name, options)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The keys of which one is asked for, to be replaced while it runs.
    pub fn keys(&self) -> Keys {
        self.service.keys.clone()
    }

    /// The certificate that is shown, to be read again while it runs.
    pub fn tls(&self) -> Option<Tls> {
        self.service.options.tls.clone()
    }

    /// Loads the models, answers, and stops when `stop` is done.
    ///
    /// # Errors
    ///
    /// `Load` when the models can not be loaded.
    pub async fn run(
        self,
        load: impl FnOnce() -> Result<Engine, RuntimeError> + Send + 'static,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Ended, ServeError> {
        let Server {
            listener,
            service,
            address,
        } = self;
        tracing::info!(%address, "listening");
        let router = http::router(Arc::clone(&service));
        let graceful = GracefulShutdown::new();
        let connections = Connections::new(service.options.max_connections);
        let end = async {
            let loading = tokio::task::spawn_blocking(load);
            let life = live(&service, address, loading);
            tokio::select! {
                () = stop => {
                    tracing::info!(in_flight = service.in_flight(), "stopping");
                    service.stop();
                    let until = Instant::now() + service.options.grace;
                    Ok((drain(&service).await, until))
                }
                limit = late(&service) => {
                    service.stop();
                    Ok((Ended::NotStarted(limit), Instant::now()))
                }
                ended = life => {
                    service.stop();
                    let until = Instant::now() + service.options.grace;
                    drain(&service).await;
                    ended.map(|ended| (ended, until))
                }
            }
        };
        let ended = tokio::select! {
            ended = end => ended,
            never = accept(listener, router, &service, &graceful, &connections) => match never {},
        };
        // Clients that keep a connection open are sent away; what else is on its way, such as the
        // answer to a probe, has what is left of the time.
        connections.close_idle();
        let left = match &ended {
            Ok((Ended::Drained, until)) => until.saturating_duration_since(Instant::now()),
            _ => Duration::ZERO,
        };
        let _ = tokio::time::timeout(left.max(LAST_ANSWERS), graceful.shutdown()).await;
        // Where models still load, nothing is there to be released.
        if !matches!(ended, Ok((Ended::NotStarted(_), _))) {
            release(service).await;
        }
        ended.map(|(ended, _)| ended)
    }
}

/// How long connections may take to close when the grace time is over.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Done when the time to start is over and the service was never ready.
async fn late(service: &Service) -> Duration {
    let Some(limit) = service.options.startup_timeout else {
        return std::future::pending().await;
    };
    tokio::time::sleep(limit).await;
    if service.is_started.load(Ordering::Acquire) {
        return std::future::pending().await;
    }
    limit
}

/// Loads, then watches until no lane is left.
async fn live(
    service: &Arc<Service>,
    address: SocketAddr,
    loading: tokio::task::JoinHandle<Result<Engine, RuntimeError>>,
) -> Result<Ended, ServeError> {
    let begun = Instant::now();
    match loading.await {
        Ok(Ok(engine)) => {
            tell_start(service, address, &engine, begun.elapsed());
            service.install(engine);
        }
        Ok(Err(error)) => return Err(ServeError::Load(error)),
        // Loading panicked: that thread's own message tells more.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
    monitor::watch(Arc::clone(service)).await;
    Ok(Ended::NoDevice)
}

/// The line that says what is served, how, where and to whom.
fn tell_start(service: &Service, address: SocketAddr, engine: &Engine, took: Duration) {
    let writer = engine.writer.as_ref();
    let models = engine.models.iter().map(|model| &*model.name);
    let models: Vec<&str> = models.chain(writer.map(|writer| &*writer.name)).collect();
    let (mut devices, mut dtypes) = (Vec::new(), Vec::new());
    for plan in engine.pool.plans() {
        let (device, dtype) = (plan.device.to_string(), plan.dtype.name());
        if !devices.contains(&device) {
            devices.push(device);
        }
        if !dtypes.contains(&dtype) {
            dtypes.push(dtype);
        }
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        models = models.join(","),
        devices = devices.join(","),
        dtype = dtypes.join(","),
        lanes = engine.lanes().count(),
        %address,
        needs_key = service.keys.are_asked_for(),
        seconds = took.as_secs_f64(),
        "serving"
    );
}

/// Waits until every answer is sent, at most for the grace time.
async fn drain(service: &Service) -> Ended {
    let wait = async {
        loop {
            let idle = service.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if service.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    };
    match tokio::time::timeout(service.options.grace, wait).await {
        Ok(()) => Ended::Drained,
        Err(_) => Ended::Abandoned(service.in_flight()),
    }
}

/// Takes connections for ever.
async fn accept(
    listener: TcpListener,
    router: Router,
    service: &Arc<Service>,
    graceful: &GracefulShutdown,
    connections: &Arc<Connections>,
) -> Infallible {
    let options = &service.options;
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(options.header_timeout);
    loop {
        connections.room().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or a client that left before it was let in.
                tracing::warn!(%error, "a connection could not be accepted");
                connections.close_longest_waiting();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = Arc::new(connections.enter());
        let (router, requests) = (router.clone(), Arc::clone(&place));
        let pace = pace(service);
        let answers = service_fn(move |request| {
            let exchange = requests.begin();
            answer(router.clone(), exchange, pace, request)
        });
        let stream = guarded(stream, service);
        let (http, watcher) = (http.clone(), graceful.watcher());
        let tls = service.options.tls.as_ref().map(Tls::acceptor);
        let patience = service.options.header_timeout;
        tokio::spawn(async move {
            let Some(acceptor) = tls else {
                let connection = http.serve_connection(TokioIo::new(stream), answers);
                return attend(watcher.watch(connection.into_owned()), place).await;
            };
            let greeting = tokio::time::timeout(patience, acceptor.accept(stream));
            let greeted = tokio::select! {
                greeted = greeting => greeted,
                () = place.closing() => return,
            };
            match greeted {
                Ok(Ok(stream)) => {
                    let connection = http.serve_connection(TokioIo::new(stream), answers);
                    attend(watcher.watch(connection.into_owned()), place).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "no TLS came about"),
                Err(_) => tracing::debug!("no TLS came about in time"),
            }
        });
    }
}

/// Has a connection answer until it ends, or is closed for others. What its client had sent before
/// that is read first: a request that is there is answered.
async fn attend(
    connection: impl Future<Output = Result<(), ConnectionError>>,
    place: Arc<Connection>,
) {
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            ended = &mut connection => return tell_end(ended),
            () = place.cut() => {
                tracing::debug!("a client took too long for an answer");
                return;
            }
            () = place.closing() => {}
        }
        if let Ok(ended) = tokio::time::timeout(LAST_LOOK, &mut connection).await {
            return tell_end(ended);
        }
        if !place.stays() {
            tracing::debug!("a waiting connection was closed for others");
            return;
        }
    }
}

/// As the protocols report it, whichever it was.
type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

fn tell_end(ended: Result<(), ConnectionError>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers a request. The connection is at work until the answer is sent.
async fn answer(
    router: Router,
    exchange: Exchange,
    pace: Pace,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let is_shared = request.version() == Version::HTTP_2;
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(exchange.clone());
    request.extensions_mut().insert(pace);
    let response = router.oneshot(request).await?;
    // The socket of HTTP/2 is never slow: a client that takes nothing of an answer is left waiting above it.
    let bytes = response.body().size_hint().exact().filter(|_| is_shared);
    let limit = bytes.map(|bytes| exchange.cut_after(pace.time_for(bytes)));
    Ok(body::keep(response, (exchange, limit)))
}

fn pace(service: &Service) -> Pace {
    let options = &service.options;
    let bytes = options.min_send_rate as f64 * options.send_timeout.as_secs_f64();
    Pace {
        every: options.send_timeout,
        bytes: bytes as usize,
    }
}

fn guarded(stream: TcpStream, service: &Service) -> GuardedStream {
    // Answers go out in one piece: waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    GuardedStream::new(stream, pace(service), service.options.header_timeout)
}

/// Ends the lanes where it holds no task up. Work that nobody waits for any more is not computed,
/// so this takes no longer than the steps that are running.
async fn release(service: Arc<Service>) {
    let _ = tokio::task::spawn_blocking(move || drop(service)).await;
}
