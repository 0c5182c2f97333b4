//! `sessile serve`

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use sessile_device::{DeviceId, GenerationSettings};
use sessile_models::{GeneratorFiles, ModelFiles};
use sessile_pipelines::Interrupt;
use sessile_runtime::{
    DeviceChoice, Dispatch, GeneratorOptions, PoolOptions, RuntimeError, discovery,
};
use sessile_server::options::{parse_origins, visible_devices};
use sessile_server::{Ended, Engine, ServeError, Server, ServiceOptions, Writer, logging};

use super::{AnyModel, open_any_model};
use crate::arguments::serve::ServeArguments;
use crate::exit::{BAD_INPUT, DEVICE, DONE, Failure};
use crate::{settings, signals};

/// How often the signals are looked at.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let options = options(arguments)?;
    let pool = pool(arguments, &options);
    let (mut models, mut writer) = (Vec::new(), None);
    for name in &arguments.model {
        match open_any_model(name)? {
            AnyModel::Reader(model) => models.push(model),
            AnyModel::Writer(_) if writer.is_some() => {
                return Err(
                    Failure::usage(format!("{name}: a second model that writes"))
                        .with_hint(Some("one model that writes is served beside the others")),
                );
            }
            AnyModel::Writer(files) => writer = Some(files),
        }
    }
    let writing = writing(arguments, &pool);
    logging::start(arguments.log_level);
    settings::warn_of_unknown_variables();
    let name = arguments.model.first().cloned().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let server = Server::bind(name, options).await?;
        server
            .run(
                move || load(models, writer.as_ref(), &pool, &writing),
                stop(interrupt),
            )
            .await
    });
    match ended {
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

/// Loads the models that read, and the one that writes.
fn load(
    models: Vec<ModelFiles>,
    writer: Option<&GeneratorFiles>,
    pool: &PoolOptions,
    writing: &GeneratorOptions,
) -> Result<Engine, RuntimeError> {
    let engine = Engine::load(models, pool)?;
    match writer {
        Some(files) => Ok(engine.with_writer(Writer::load(files, writing)?)),
        None => Ok(engine),
    }
}

/// Devices, memory and instances of the model that writes.
fn writing(arguments: &ServeArguments, pool: &PoolOptions) -> GeneratorOptions {
    GeneratorOptions {
        devices: pool.devices.clone(),
        threads: pool.threads,
        dtype: pool.dtype,
        instances: arguments.limits.instances(None),
        memory_reserve: pool.memory_reserve,
        ..GeneratorOptions::new(GenerationSettings::default())
    }
}

async fn stop(interrupt: Interrupt) {
    while interrupt.signal().is_none() {
        tokio::time::sleep(SIGNAL_INTERVAL).await;
    }
}

fn options(arguments: &ServeArguments) -> Result<ServiceOptions, Failure> {
    let seconds = |value: f64, flag: &str| {
        Duration::try_from_secs_f64(value)
            .map_err(|_| Failure::usage(format!("{flag} must be a number of seconds")))
    };
    for (value, flag) in [
        (arguments.max_batch_size, "--max-batch-size"),
        (arguments.max_sequence_length, "--max-sequence-length"),
        (arguments.max_items, "--max-items"),
        (arguments.batch_queue_max_size, "--batch-queue-max-size"),
    ] {
        if value == 0 {
            return Err(Failure::usage(format!("{flag} must be at least 1")));
        }
    }
    Ok(ServiceOptions {
        address: address(&arguments.host, arguments.port)?,
        max_batch_size: arguments.max_batch_size,
        max_sequence_length: arguments.max_sequence_length,
        max_items: arguments.max_items,
        max_body_bytes: usize::try_from(arguments.max_body_size).unwrap_or(usize::MAX),
        cors_origins: parse_origins(&arguments.cors_origins).map_err(Failure::usage)?,
        api_keys: arguments.api_keys.clone(),
        batching: arguments.batch_queue_enabled,
        max_wait: Duration::from_millis(arguments.batch_queue_max_wait_ms),
        queue_max_size: arguments.batch_queue_max_size,
        request_timeout: seconds(arguments.request_timeout, "--request-timeout")?,
        grace: seconds(arguments.grace, "--grace")?,
        ..ServiceOptions::default()
    })
}

fn address(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = (host, port).to_socket_addrs().map(|mut all| all.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(Failure::usage(format!("`{host}` has no address"))),
        Err(error) => Err(Failure::usage(format!("--host {host}: {error}"))),
    }
}

/// What a list of GPUs means for the choice of devices; `None` where it leaves the choice open.
fn listed_gpus(arguments: &ServeArguments) -> Option<DeviceChoice> {
    let list = arguments.cuda_visible_devices.as_deref()?.trim();
    let choice = visible_devices(list)?;
    if matches!(list, "" | "-1") {
        return Some(choice);
    }
    // As a variable of this process the driver has read it too: it shows these GPUs alone, and
    // counts them from 0.
    if std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|seen| seen.trim() == list) {
        return None;
    }
    // Otherwise the numbers are the driver's; they ask for no GPU that is not there.
    let DeviceChoice::Only(wanted) = choice else {
        return None;
    };
    let found = discovery::discover().ok()?;
    let is_there = |id: &DeviceId| found.iter().any(|device| device.id == *id);
    let there: Vec<DeviceId> = wanted.into_iter().filter(is_there).collect();
    (!there.is_empty()).then_some(DeviceChoice::Only(there))
}

fn pool(arguments: &ServeArguments, options: &ServiceOptions) -> PoolOptions {
    let mut pool = arguments.pool.options();
    // A list of GPUs narrows a choice that is left open; it never replaces one that was made.
    if pool.devices == DeviceChoice::Auto
        && let Some(devices) = listed_gpus(arguments)
    {
        pool.devices = devices;
    }
    // Both ends of a sequence.
    pool.max_tokens = Some(options.max_sequence_length.saturating_add(2));
    pool.dispatch = Dispatch {
        max_fill_wait: options.max_wait,
        max_batch_requests: if options.batching {
            options.queue_max_size
        } else {
            1
        },
        ..Dispatch::default()
    };
    pool
}
