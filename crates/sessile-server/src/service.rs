//! What all requests share: the models, the pool and the state of the service.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sessile_device::{DeviceId, ModelIndex, OutputKind, OutputSet};
use sessile_models::tokenizer::{EsmTokenizer, Tokenizer};
use sessile_models::{Model, ModelInfo};
use sessile_runtime::{LaneMetrics, Pool, PoolOptions, RuntimeError, RuntimeErrorKind};
use tokio::sync::{Notify, Semaphore};
use tonic_health::server::HealthReporter;

use crate::budget::{Budget, Hold};
use crate::clients::Client;
use crate::exchange::Call;
use crate::failure::{Failure, FailureKind};
use crate::keys::Keys;
use crate::options::ServiceOptions;
use crate::otlp::Exporter;
use crate::telemetry::Telemetry;
use crate::work::Terms;
use crate::writer::Writer;

/// Outputs that the service asks of its models, and for which workspace is planned.
pub const OUTPUTS: [OutputKind; 12] = [
    OutputKind::Mean,
    OutputKind::MeanAll,
    OutputKind::Cls,
    OutputKind::Logits,
    OutputKind::Contacts,
    OutputKind::MaskedLogprob,
    OutputKind::UnmaskedLogprob,
    OutputKind::ThreeDi,
    OutputKind::TwelveState,
    OutputKind::Max,
    OutputKind::Std,
    OutputKind::Eos,
];

/// A resident model as requests know it.
#[derive(Clone)]
pub struct ServedModel {
    /// The name that requests give.
    pub name: String,
    /// Its place in the pool.
    pub index: ModelIndex,
    /// What it is.
    pub info: ModelInfo,
    /// From text to tokens.
    pub tokenizer: Tokenizer,
}

impl ServedModel {
    /// Whether it can be asked for this.
    pub(crate) fn has(&self, output: OutputKind) -> bool {
        self.info.outputs.contains(output)
    }

    /// Its tokenizer where its tokens are single residues with names.
    pub(crate) fn residues(&self) -> Result<&EsmTokenizer, Failure> {
        self.tokenizer.as_esm().ok_or_else(|| {
            let message = format!("the model `{}` does not name its tokens", self.name);
            Failure::new(FailureKind::InvalidRequest, message).about("model")
        })
    }
}

/// Models on their devices, ready for requests.
pub struct Engine {
    /// The pool.
    pub pool: Pool,
    /// The models, the first is the default.
    pub models: Vec<ServedModel>,
    /// The model that writes, where there is one.
    pub writer: Option<Writer>,
}

impl Engine {
    /// Loads `models` and starts their lanes. Takes as long as it takes.
    ///
    /// # Errors
    ///
    /// Whatever the pool says.
    pub fn load(models: Vec<Model>, options: &PoolOptions) -> Result<Self, RuntimeError> {
        let mut options = options.clone();
        if options.outputs.is_empty() {
            options.outputs = OUTPUTS.into_iter().collect::<OutputSet>();
        }
        for (index, files) in models.iter().enumerate() {
            if models[..index]
                .iter()
                .any(|other| other.name() == files.name())
            {
                let message = format!("two models have the name `{}`", files.name());
                return Err(RuntimeError::new(RuntimeErrorKind::Option, message));
            }
            // Its letters are bases, and there is no path that says so.
            if matches!(files.tokenizer(), Tokenizer::Bpe(_)) {
                let message = format!("{} can not be served: it is no protein model", files.name());
                return Err(RuntimeError::new(RuntimeErrorKind::Option, message));
            }
        }
        let writes = |files: &&Model| !files.description().encodes;
        let mut writers = models.iter().filter(writes);
        if let Some(files) = writers.next() {
            Writer::plan(files, &mut options.writing)?;
        }
        if let Some(second) = writers.next() {
            let message = format!("{}: a second model that writes", second.name());
            return Err(RuntimeError::new(RuntimeErrorKind::Option, message)
                .with_hint("one model that writes is served beside the others"));
        }
        let pool = Pool::new(&models, &options)?;
        let mut engine = Engine {
            models: Vec::new(),
            writer: None,
            pool,
        };
        for (index, files) in models.iter().enumerate() {
            let Some(info) = engine.pool.models().get(index) else {
                continue;
            };
            let index = ModelIndex(index);
            if writes(&files) {
                engine.writer = Some(Writer::new(files, index, info, &engine.pool)?);
                continue;
            }
            engine.models.push(ServedModel {
                name: files.name().to_owned(),
                index,
                info: info.clone(),
                tokenizer: files.tokenizer().clone(),
            });
        }
        Ok(engine)
    }

    /// All lanes: device, number and how they are.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (DeviceId, usize, &LaneMetrics)> {
        let lanes = self.pool.lanes().iter().zip(self.pool.lane_metrics());
        lanes.map(|(lane, metrics)| (lane.device, lane.index, &**metrics))
    }

    /// The model of this name.
    pub(crate) fn named(&self, name: &str) -> Result<&ServedModel, Failure> {
        let found = self.models.iter().find(|model| model.name == name);
        found.ok_or_else(|| {
            let message = format!(
                "there is no model `{}`; there is {}",
                shortened(name),
                self.names(|_| true)
            );
            Failure::new(FailureKind::ModelNotFound, message).about("model")
        })
    }

    /// The model of this name, or the first one, that can be asked for `output`.
    pub(crate) fn model_for(
        &self,
        output: OutputKind,
        name: Option<&str>,
    ) -> Result<&ServedModel, Failure> {
        let Some(name) = name else {
            let found = self.models.iter().find(|model| model.has(output));
            return found.ok_or_else(|| {
                let message = format!(
                    "no model here gives what was asked for; there is {}",
                    self.names(|_| true)
                );
                Failure::new(FailureKind::ModelNotFound, message).about("model")
            });
        };
        let model = self.named(name)?;
        if model.has(output) {
            return Ok(model);
        }
        let others = self.names(|model| model.has(output));
        let message = match &*others {
            "" => format!("the model `{name}` does not give what was asked for"),
            others => format!("the model `{name}` does not give what was asked for; {others} does"),
        };
        Err(Failure::new(FailureKind::InvalidRequest, message).about("model"))
    }

    /// The names of the models that can be asked for `output`.
    pub(crate) fn models_with(&self, output: OutputKind) -> Vec<&str> {
        let able = self.models.iter().filter(|model| model.has(output));
        able.map(|model| &*model.name).collect()
    }

    fn names(&self, which: impl Fn(&ServedModel) -> bool) -> String {
        let names: Vec<_> = self
            .models
            .iter()
            .filter(|model| which(model))
            .map(|model| &*model.name)
            .collect();
        if self.models.is_empty() {
            return "no model that reads sequences".to_owned();
        }
        names.join(", ")
    }

    /// CUDA devices among the lanes.
    pub(crate) fn gpus(&self) -> Vec<u32> {
        let mut gpus: Vec<u32> = self
            .pool
            .lanes()
            .iter()
            .filter_map(|lane| match lane.device {
                DeviceId::Cuda(ordinal) => Some(ordinal),
                _ => None,
            })
            .collect();
        gpus.dedup();
        gpus
    }
}

/// The first characters of what a client sent, for a message.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 64;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// What all requests share.
pub(crate) struct Service {
    pub(crate) options: ServiceOptions,
    /// The default model's name, known before it is loaded.
    pub(crate) model_name: String,
    engine: OnceLock<Engine>,
    pub(crate) telemetry: Telemetry,
    pub(crate) budget: Budget,
    pub(crate) keys: Keys,
    /// So many large bodies are read at the same time.
    pub(crate) readers: Arc<Semaphore>,
    stopping: AtomicBool,
    told_to_stop: Notify,
    /// Set by the monitor.
    pub(crate) is_started: AtomicBool,
    pub(crate) is_ready: AtomicBool,
    /// Tokens per second of late, in thousandths.
    rate: AtomicU64,
    /// Requests that are being answered, or whose answers are being sent.
    in_flight: AtomicUsize,
    /// Told when that falls to none.
    pub(crate) idle: Notify,
    pub(crate) born: Instant,
    /// Takes the spans of requests, where there is a collector for them.
    pub(crate) exporter: Option<Arc<Exporter>>,
    /// What gRPC's health service says; set by the monitor.
    pub(crate) grpc_health: HealthReporter,
}

/// A request until its answer is sent or given up, which is when this is dropped.
pub(crate) struct InFlight(Arc<Service>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Service {
    /// To be called where tasks can be started.
    pub(crate) fn new(model_name: String, options: ServiceOptions) -> Self {
        Service {
            telemetry: Telemetry::new(),
            budget: Budget::new(options.max_held_bytes),
            keys: Keys::new(&options.api_keys, &options.clients),
            readers: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, NonZero::get),
            )),
            model_name,
            engine: OnceLock::new(),
            stopping: AtomicBool::new(false),
            told_to_stop: Notify::new(),
            is_started: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
            rate: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            born: Instant::now(),
            exporter: options.collector.clone().map(Exporter::start),
            grpc_health: HealthReporter::new(),
            options,
        }
    }

    pub(crate) fn install(&self, engine: Engine) {
        self.telemetry.follow(&engine.pool);
        // The only caller loads once.
        let _ = self.engine.set(engine);
    }

    pub(crate) fn loaded(&self) -> Option<&Engine> {
        self.engine.get()
    }

    /// The engine, for a request that comes now: not while the service is stopping.
    pub(crate) fn admit(&self) -> Result<&Engine, Failure> {
        if self.is_stopping() {
            let message = "the service is stopping";
            return Err(Failure::new(FailureKind::Stopping, message).retry_after(1));
        }
        self.engine()
    }

    /// The engine, for a request that was admitted: it is answered to its end.
    pub(crate) fn engine(&self) -> Result<&Engine, Failure> {
        self.engine.get().ok_or_else(|| {
            let message = "the models are being loaded";
            Failure::new(FailureKind::Starting, message).retry_after(1)
        })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.is_ready.store(false, Ordering::Release);
        self.told_to_stop.notify_waiters();
    }

    /// Done when the service is stopping.
    pub(crate) fn stopped(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let service = Arc::clone(self);
        async move {
            let told = service.told_to_stop.notified();
            tokio::pin!(told);
            // Registered before looking, so that it is not missed in between.
            told.as_mut().enable();
            if !service.is_stopping() {
                told.await;
            }
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Lets a request hold so many bytes, or tells it when to come back.
    pub(crate) fn grow(&self, held: &Hold, bytes: usize, what: &str) -> Result<(), Failure> {
        held.resize(bytes, what)
            .map_err(|failure| match failure.kind {
                FailureKind::Overloaded => failure.retry_after(self.backlog_seconds()),
                _ => failure,
            })
    }

    /// The terms of a call by this client, whose tokens are taken from its quota.
    pub(crate) fn allow(
        &self,
        client: Option<&Arc<Client>>,
        call: &impl Call,
    ) -> Result<Terms, Failure> {
        let mut terms = call.terms();
        if let Some(client) = client {
            let name = &client.limits.name;
            let spent = client.spend(call.tokens());
            match &spent {
                Ok(()) => self.telemetry.spent(name, call.tokens()),
                Err(_) => self.telemetry.refused(name),
            }
            spent?;
            terms.priority = terms.priority.max(client.limits.priority);
        }
        Ok(terms)
    }

    /// Refuses at once what would wait for longer than it may take.
    pub(crate) fn expect_in_time(&self, terms: Terms) -> Result<(), Failure> {
        let longest = self.options.request_timeout;
        let given = terms.timeout.map_or(longest, |wanted| wanted.min(longest));
        let wait = self.expected_wait();
        // Half as much again, for the rate is a guess.
        if wait <= given + given / 2 {
            return Ok(());
        }
        let message = format!(
            "what waits takes about {} s, longer than the {} s that this request is given",
            wait.as_secs(),
            given.as_secs_f64()
        );
        let failure = Failure::new(FailureKind::Overloaded, message);
        Err(failure.retry_after(self.backlog_seconds()))
    }

    /// How long what waits now will take.
    pub(crate) fn expected_wait(&self) -> Duration {
        let queued = self
            .loaded()
            .map_or(0, |engine| engine.pool.queued_tokens());
        let rate = self.rate();
        // Before anything was computed nobody knows.
        if rate <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(queued as f64 / rate).unwrap_or(Duration::MAX)
    }

    pub(crate) fn set_rate(&self, tokens_per_second: f64) {
        self.rate
            .store((tokens_per_second * 1000.0) as u64, Ordering::Relaxed);
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// Seconds until what waits now will have been computed.
    pub(crate) fn backlog_seconds(&self) -> u64 {
        const LONGEST: Duration = Duration::from_secs(60);
        let queued = self
            .loaded()
            .map_or(0, |engine| engine.pool.queued_tokens());
        let seconds = queued as f64 / self.rate().max(1.0);
        (seconds.ceil() as u64).clamp(1, LONGEST.as_secs())
    }
}
