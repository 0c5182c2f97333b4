//! `sessile serve`

mod devices;
mod names;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessile_pipelines::Interrupt;
use sessile_runtime::{Dispatch, PoolOptions};
use sessile_server::clients::{self, ClientLimits};
use sessile_server::keys::{self, Keys};
use sessile_server::options::parse_origins;
use sessile_server::{Ended, Engine, ServeError, Server, ServiceOptions, Tls, TlsFiles};

use super::open_model;
use crate::arguments::serve::ServeArguments;
use crate::exit::{BAD_INPUT, DEVICE, DONE, Failure, MORE_THREADS};
use crate::signals;

/// How often the signals are looked at.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let hangup = Arc::new(AtomicBool::new(false));
    let files = [
        &arguments.api_keys_file,
        &arguments.clients_file,
        &arguments.tls_cert,
    ];
    let has_file = files.iter().any(|file| file.is_some());
    let interrupt = signals::listen_for_service(has_file.then(|| Arc::clone(&hangup)))?;
    let options = options(arguments)?;
    let pool = pool(arguments, &options)?;
    let names = names::served(&arguments.model, &arguments.served_name)?;
    let mut models = Vec::new();
    for (name, served) in arguments.model.iter().zip(&names) {
        models.push(open_model(name)?.named(served));
    }
    let mut writers = models.iter().filter(|model| !model.description().encodes);
    if let Some(second) = writers.nth(1) {
        return Err(
            Failure::usage(format!("{}: a second model that writes", second.name()))
                .with_hint(Some("one model that writes is served beside the others")),
        );
    }
    let name = names.into_iter().next().unwrap_or_default();
    check_threads()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let server = Server::bind(name, options).await?;
        let reload = Reload {
            keys: server.keys(),
            tls: server.tls(),
            hangup,
            arguments: arguments.clone(),
        };
        server
            .run(move || Engine::load(models, &pool), stop(interrupt, reload))
            .await
    });
    if matches!(ended, Ok(Ended::NotStarted(_))) {
        // What still loads is left to the end of the process.
        runtime.shutdown_background();
    }
    match ended {
        Ok(Ended::NotStarted(limit)) => Err(Failure::new(
            DEVICE,
            format!("the service was not ready within {} s", limit.as_secs_f64()),
        )
        .with_hint(Some(
            "give a longer --startup-timeout (STARTUP_TIMEOUT_SECONDS)",
        ))),
        Ok(Ended::Drained) => Ok(ExitCode::from(DONE)),
        Ok(Ended::Abandoned(count)) => Err(Failure::new(
            DEVICE,
            format!("{count} requests were not answered within the grace time"),
        )
        .with_hint(Some("give a longer --grace"))),
        Ok(Ended::NoDevice) => Err(Failure::new(DEVICE, "no lane is left to compute on")),
        Err(ServeError::Load(error)) => Err(error.into()),
        Err(error @ ServeError::Listen(..)) => Err(Failure::new(BAD_INPUT, error.to_string())
            .with_hint(Some(
                "another program may have the port; give another --port",
            ))),
    }
}

/// Threads that the service begins with, beside its lanes.
const THREADS: usize = 4;

/// Asks for as many threads as the service begins with: whoever asks later panics without one.
fn check_threads() -> Result<(), Failure> {
    let mut started = Vec::new();
    let mut refused = None;
    for _ in 0..THREADS {
        match std::thread::Builder::new().spawn(std::thread::park) {
            Ok(thread) => started.push(thread),
            Err(error) => refused = Some(error),
        }
    }
    for thread in started {
        thread.thread().unpark();
        let _ = thread.join();
    }
    match refused {
        None => Ok(()),
        Some(error) => {
            let message = format!("the system has no thread to give to the service ({error})");
            Err(Failure::new(DEVICE, message).with_hint(Some(MORE_THREADS)))
        }
    }
}

/// Waits for the signal to stop, and reads the keys again when it is told to.
async fn stop(interrupt: Interrupt, reload: Reload) {
    while interrupt.signal().is_none() {
        if reload.hangup.swap(false, Ordering::Relaxed) {
            let reload = reload.clone();
            // A file may be on a slow disk.
            tokio::task::spawn_blocking(move || reload.read());
        }
        tokio::time::sleep(SIGNAL_INTERVAL).await;
    }
}

/// What SIGHUP does where there is a file of keys.
#[derive(Clone)]
struct Reload {
    keys: Keys,
    tls: Option<Tls>,
    hangup: Arc<AtomicBool>,
    arguments: ServeArguments,
}

impl Reload {
    /// Reads keys, clients and certificates again. What something is wrong with stays as it was.
    fn read(&self) {
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(error) => tracing::error!(
                    error,
                    "the certificate was not read again: the old one stays"
                ),
            }
        }
        let all = api_keys(&self.arguments).and_then(|keys| Ok((keys, clients(&self.arguments)?)));
        match all {
            Ok((keys, clients)) => {
                self.keys.replace(&keys, &clients);
                let keys = keys.len() + clients.len();
                tracing::info!(keys, "the keys were read again");
            }
            Err(failure) => tracing::error!(
                error = failure.message(),
                "the keys were not read again: the old ones stay"
            ),
        }
    }
}

/// The clients with limits.
fn clients(arguments: &ServeArguments) -> Result<Vec<ClientLimits>, Failure> {
    match &arguments.clients_file {
        Some(path) => clients::read_file(path).map_err(Failure::usage),
        None => Ok(Vec::new()),
    }
}

/// The certificate to show.
fn tls(arguments: &ServeArguments) -> Result<Option<Tls>, Failure> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_roots: arguments.tls_client_ca.clone(),
    };
    Tls::load(files).map(Some).map_err(Failure::usage)
}

/// All keys of which a caller needs one.
fn api_keys(arguments: &ServeArguments) -> Result<Vec<String>, Failure> {
    let lists = arguments.api_keys.iter();
    let named = lists.map(|text| ("--api-keys (SESSILE_API_KEYS)", text));
    let single = arguments.api_key.iter();
    let named = named.chain(single.map(|text| ("--api-key (SESSILE_API_KEY)", text)));
    let mut all = Vec::new();
    for (origin, text) in named {
        all.extend(keys::parse(origin, text).map_err(Failure::usage)?);
    }
    if let Some(path) = &arguments.api_keys_file {
        all.extend(keys::read_file(path).map_err(Failure::usage)?);
    }
    Ok(all)
}

fn options(arguments: &ServeArguments) -> Result<ServiceOptions, Failure> {
    let seconds = |value: f64, flag: &str| {
        Duration::try_from_secs_f64(value)
            .map_err(|_| Failure::usage(format!("{flag} must be a number of seconds")))
    };
    for (value, flag) in [
        (arguments.header_timeout, "--header-timeout"),
        (arguments.body_timeout, "--body-timeout"),
        (arguments.send_timeout, "--send-timeout"),
    ] {
        if value == 0.0 {
            return Err(Failure::usage(format!("{flag} must be more than 0")));
        }
    }
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    for (value, flag) in [
        (arguments.max_batch_size, "--max-batch-size"),
        (arguments.max_sequence_length, "--max-sequence-length"),
        (arguments.max_items, "--max-items"),
        (arguments.batch_queue_max_size, "--batch-queue-max-size"),
        (arguments.max_connections, "--max-connections"),
    ] {
        if value == 0 {
            return Err(Failure::usage(format!("{flag} must be at least 1")));
        }
    }
    if let Some(workers) = arguments.workers.filter(|&workers| workers != 1) {
        return Err(Failure::usage(format!(
            "--workers {workers} (WORKERS): there is one process"
        ))
        .with_hint(Some(
            "one process serves all devices; leave it out or say 1",
        )));
    }
    let (api_keys, clients) = (api_keys(arguments)?, clients(arguments)?);
    let startup_timeout = arguments.startup_timeout;
    let startup_timeout = startup_timeout
        .map(|value| seconds(value, "--startup-timeout"))
        .transpose()?;
    Ok(ServiceOptions {
        address: address(arguments, !(api_keys.is_empty() && clients.is_empty()))?,
        clients,
        collector: arguments.otlp_endpoint.clone(),
        tls: tls(arguments)?,
        startup_timeout,
        max_batch_size: arguments.max_batch_size,
        max_sequence_length: arguments.max_sequence_length,
        max_items: arguments.max_items,
        max_body_bytes: bytes(arguments.max_body_size),
        max_held_bytes: bytes(arguments.max_held_memory),
        max_connections: arguments.max_connections,
        header_timeout: seconds(arguments.header_timeout, "--header-timeout")?,
        body_timeout: seconds(arguments.body_timeout, "--body-timeout")?,
        send_timeout: seconds(arguments.send_timeout, "--send-timeout")?,
        min_send_rate: bytes(arguments.min_send_rate),
        cors_origins: parse_origins(&arguments.cors_origins).map_err(Failure::usage)?,
        api_keys,
        batching: arguments.batch_queue_enabled,
        max_wait: Duration::from_millis(arguments.batch_queue_max_wait_ms),
        queue_max_size: arguments.batch_queue_max_size,
        request_timeout: seconds(arguments.request_timeout, "--request-timeout")?,
        grace: seconds(arguments.grace, "--grace")?,
        ..ServiceOptions::default()
    })
}

/// Where to listen. Who asks for no key is heard by this machine alone, unless a host is given.
fn address(arguments: &ServeArguments, needs_key: bool) -> Result<SocketAddr, Failure> {
    let port = arguments.port;
    let Some(host) = &arguments.host else {
        if let Ok(name) = std::env::var("HOST") {
            tracing::warn!("HOST={name} sets nothing: it is no address (--host takes names too)");
        }
        if needs_key {
            return Ok((Ipv4Addr::UNSPECIFIED, port).into());
        }
        tracing::warn!(
            "no API key is set, so the service listens on this machine only (127.0.0.1); give \
             --api-keys, or --host 0.0.0.0 to let everybody call who reaches it"
        );
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    };
    let found = (host.as_str(), port).to_socket_addrs();
    let address = match found.map(|mut all| all.next()) {
        Ok(Some(address)) => address,
        Ok(None) => return Err(Failure::usage(format!("`{host}` has no address"))),
        Err(error) => return Err(Failure::usage(format!("--host {host}: {error}"))),
    };
    let is_near = |ip: IpAddr| ip.to_canonical().is_loopback();
    if !needs_key && !is_near(address.ip()) {
        tracing::warn!(
            %address,
            "no API key is set: everybody who reaches this address may call; give --api-keys"
        );
    }
    Ok(address)
}

fn pool(arguments: &ServeArguments, options: &ServiceOptions) -> Result<PoolOptions, Failure> {
    let mut pool = arguments.pool.options();
    // A list of GPUs narrows a choice that is left open; it never replaces one that was made.
    pool.devices = devices::choice(&pool.devices, arguments.cuda_visible_devices.as_deref())?;
    // Both ends of a sequence.
    pool.max_tokens = Some(options.max_sequence_length.saturating_add(2));
    pool.writing.instances = arguments.limits.instances(None);
    pool.dispatch = Dispatch {
        max_fill_wait: options.max_wait,
        max_batch_requests: if options.batching {
            options.queue_max_size
        } else {
            1
        },
        ..Dispatch::default()
    };
    Ok(pool)
}
