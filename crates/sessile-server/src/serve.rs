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
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
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
use connections::{Connection, Connections};
use stream::{GuardedStream, Pace};

pub(crate) use connections::Exchange;

/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

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
        release(service).await;
        ended.map(|(ended, _)| ended)
    }
}

/// How long connections may take to close when the grace time is over.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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
    let plan = writer.map(|writer| &writer.generator.plan);
    let formats = engine
        .pool
        .plans()
        .iter()
        .map(|plan| (plan.device, plan.dtype));
    let (mut devices, mut dtypes) = (Vec::new(), Vec::new());
    for (device, dtype) in formats.chain(plan.map(|plan| (plan.device, plan.dtype))) {
        let (device, dtype) = (device.to_string(), dtype.name());
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
        needs_key = !service.options.api_keys.is_empty(),
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
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(service.options.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
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
        let answers = service_fn(move |request| {
            let exchange = requests.begin();
            answer(router.clone(), exchange, request)
        });
        let connection = http.serve_connection(TokioIo::new(guarded(stream, service)), answers);
        let connection = graceful.watch(connection);
        tokio::spawn(attend(connection, place));
    }
}

/// Has a connection answer until it ends, or is closed for others. What its client had sent before
/// that is read first: a request that is there is answered.
async fn attend(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    place: Arc<Connection>,
) {
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            ended = &mut connection => return tell_end(ended),
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

fn tell_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers a request. The connection is at work until the answer is sent.
async fn answer(
    router: Router,
    exchange: Exchange,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(exchange.clone());
    let response = router.oneshot(request).await?;
    Ok(body::keep(response, exchange))
}

fn guarded(stream: TcpStream, service: &Service) -> GuardedStream {
    // Answers go out in one piece: waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let options = &service.options;
    let bytes = options.min_send_rate as f64 * options.send_timeout.as_secs_f64();
    let pace = Pace {
        every: options.send_timeout,
        bytes: bytes as usize,
    };
    GuardedStream::new(stream, pace)
}

/// Ends the lanes where it holds no task up. Work that nobody waits for any more is not computed,
/// so this takes no longer than the steps that are running.
async fn release(service: Arc<Service>) {
    let _ = tokio::task::spawn_blocking(move || drop(service)).await;
}
