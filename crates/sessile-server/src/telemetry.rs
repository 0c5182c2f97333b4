//! What is measured, under the names that Prometheus reads at `/metrics`.
//!
//! `docs/service.md` explains each. Counters and histograms are written where things happen;
//! gauges are read from the pool whenever somebody looks.

mod names;
mod process;

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use sessile_runtime::{Pool, Timing, WritingPlan};

use crate::failure::FailureKind;
use crate::health;
use crate::logging;
use crate::service::{Engine, Service};
use crate::writer::Writer;
use names::{METRICS, MetricKind};

/// Bounds of the histograms of time, in seconds.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

/// Bounds of the histogram of batches, in tokens.
const TOKENS: [f64; 11] = [
    16.0, 64.0, 128.0, 256.0, 512.0, 830.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
];

const METADATA: Metadata<'static> = Metadata::new("sessile", Level::INFO, None);

/// The metrics of one service.
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    queue_seconds: metrics::Histogram,
    compute_seconds: metrics::Histogram,
    serialization_seconds: metrics::Histogram,
    watch: Mutex<Watch>,
}

/// What was seen last, to tell rates.
struct Watch {
    at: Instant,
    tokens: u64,
    busy_nanos: Vec<u64>,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let builder = set_buckets(builder, "_seconds", &SECONDS);
        let builder = set_buckets(builder, "_tokens", &TOKENS);
        let recorder = builder.build_recorder();
        for (kind, name, unit, text) in METRICS {
            let (name, unit, text) = (name.into(), Some(unit), text.into());
            match kind {
                MetricKind::Counter => recorder.describe_counter(name, unit, text),
                MetricKind::Gauge => recorder.describe_gauge(name, unit, text),
                MetricKind::Histogram => recorder.describe_histogram(name, unit, text),
            }
        }
        let histogram = |name: &'static str| {
            recorder.register_histogram(&Key::from_static_name(name), &METADATA)
        };
        let telemetry = Telemetry {
            queue_seconds: histogram("sessile_queue_seconds"),
            compute_seconds: histogram("sessile_compute_seconds"),
            serialization_seconds: histogram("sessile_serialization_seconds"),
            handle: recorder.handle(),
            watch: Mutex::new(Watch {
                at: Instant::now(),
                tokens: 0,
                busy_nanos: Vec::new(),
            }),
            recorder,
        };
        // Kinds that never happened are shown as 0.
        for kind in FailureKind::ALL {
            telemetry
                .counter("sessile_errors_total", &[("kind", kind.name())])
                .absolute(0);
        }
        telemetry
    }

    /// Has the batches of a pool counted.
    pub(crate) fn follow(&self, pool: &Pool) {
        let key = Key::from_static_name("sessile_batch_tokens");
        let histogram = self.recorder.register_histogram(&key, &METADATA);
        pool.metrics()
            .observe_batches(move |batch| histogram.record(batch.tokens as f64));
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> metrics::Counter {
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.recorder
            .register_gauge(&key(name, labels), &METADATA)
            .set(value);
    }

    /// A request was answered. Routes and methods are those of the API, never what a client sent.
    pub(crate) fn answered(
        &self,
        route: &str,
        method: &'static str,
        status: u16,
        took: Duration,
        failure: Option<FailureKind>,
    ) {
        let status = status.to_string();
        let labels = [("route", route), ("method", method), ("status", &status)];
        self.counter("sessile_requests_total", &labels).increment(1);
        self.recorder
            .register_histogram(
                &key("sessile_request_seconds", &[("route", route)]),
                &METADATA,
            )
            .record(took.as_secs_f64());
        if let Some(kind) = failure {
            self.counter("sessile_errors_total", &[("kind", kind.name())])
                .increment(1);
        }
    }

    /// A client with limits has asked for something.
    pub(crate) fn asked(&self, client: &str, is_refused: bool) {
        self.counter("sessile_client_requests_total", &[("client", client)])
            .increment(1);
        if is_refused {
            self.refused(client);
        }
    }

    /// A client has asked for more than it may.
    pub(crate) fn refused(&self, client: &str) {
        self.counter("sessile_client_refused_total", &[("client", client)])
            .increment(1);
    }

    /// Tokens of a client were taken from its quota.
    pub(crate) fn spent(&self, client: &str, tokens: usize) {
        self.counter("sessile_client_tokens_total", &[("client", client)])
            .increment(tokens as u64);
    }

    /// A sequence was computed.
    pub(crate) fn computed(&self, model: &str, tokens: usize, timing: Timing) {
        let labels = [("model", model)];
        self.counter("sessile_model_sequences_total", &labels)
            .increment(1);
        self.counter("sessile_model_tokens_total", &labels)
            .increment(tokens as u64);
        self.queue_seconds.record(timing.queued.as_secs_f64());
        self.compute_seconds.record(timing.computed.as_secs_f64());
    }

    /// An answer was written.
    pub(crate) fn serialized(&self, took: Duration) {
        self.serialization_seconds.record(took.as_secs_f64());
    }

    /// Tells rates since the last call, and lets the histograms give their memory back. Called
    /// once a second or so.
    pub(crate) fn tick(&self, service: &Service) {
        self.handle.run_upkeep();
        let Some(engine) = service.loaded() else {
            return;
        };
        let pool = &engine.pool;
        let mut watch = self
            .watch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = watch.at.elapsed().as_secs_f64().max(1e-3);
        let tokens = pool.metrics().tokens.get();
        let rate = (tokens - watch.tokens) as f64 / elapsed;
        // Of late: the last few seconds, the nearest counting most. An idle service keeps its
        // rate: it tells how fast a backlog would go.
        if rate > 0.0 {
            let before = service.rate();
            let smoothed = if before > 0.0 {
                0.7 * before + 0.3 * rate
            } else {
                rate
            };
            service.set_rate(smoothed);
        }
        self.gauge("sessile_tokens_per_second", &[], rate);
        watch.at = Instant::now();
        watch.tokens = tokens;
        watch.busy_nanos.resize(engine.lanes().count(), 0);
        let (mut busy_share, mut lanes_up) = (0.0, 0);
        for ((device, index, metrics), before) in engine.lanes().zip(watch.busy_nanos.iter_mut()) {
            let busy = metrics.busy_nanos.get();
            let fraction = ((busy - *before) as f64 / 1e9 / elapsed).min(1.0);
            *before = busy;
            if !metrics.is_out() {
                busy_share += fraction;
                lanes_up += 1;
            }
            let (device, index) = (device.to_string(), index.to_string());
            let labels = [("device", &*device), ("lane", &*index)];
            self.gauge("sessile_lane_busy_fraction", &labels, fraction);
        }
        let batch_tokens: usize = pool.lanes().iter().map(|lane| lane.token_budget).sum();
        let waiting = pool.queued_tokens() as f64 / batch_tokens.max(1) as f64;
        let used = busy_share / f64::from(lanes_up.max(1)) + waiting;
        self.gauge("sessile_capacity_used", &[], used);
    }

    /// All metrics as Prometheus reads them.
    pub(crate) fn render(&self, service: &Service) -> String {
        self.gauge(
            "sessile_in_flight_requests",
            &[],
            service.in_flight() as f64,
        );
        self.gauge("sessile_held_bytes", &[], service.budget.held() as f64);
        self.counter("sessile_log_lines_dropped_total", &[])
            .absolute(logging::dropped());
        if let Some(exporter) = &service.exporter {
            self.counter("sessile_spans_dropped_total", &[])
                .absolute(exporter.dropped());
        }
        let expected = service.expected_wait().as_secs_f64();
        self.gauge("sessile_expected_wait_seconds", &[], expected);
        self.read_process(service);
        let ready = health::unready(service).is_none();
        self.gauge("sessile_ready", &[], f64::from(u8::from(ready)));
        if let Some(engine) = service.loaded() {
            self.read_pool(&engine.pool);
            self.read_lanes(engine);
            self.read_models(engine);
            if let Some(writer) = &engine.writer {
                self.read_writer(&engine.pool, writer);
            }
        }
        self.handle.render()
    }

    fn read_process(&self, service: &Service) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.gauge("sessile_build_info", &version, 1.0);
        for (name, value) in process::gauges() {
            self.gauge(name, &[], value);
        }
        if let Some(seconds) = process::cpu_seconds() {
            self.gauge("process_cpu_seconds_total", &[], seconds);
        }
        let begun = SystemTime::now() - service.born.elapsed();
        if let Ok(since) = begun.duration_since(SystemTime::UNIX_EPOCH) {
            self.gauge("process_start_time_seconds", &[], since.as_secs_f64());
        }
        for (state, lanes) in health::circuit(service) {
            self.gauge("sessile_circuit", &[("state", state)], lanes as f64);
        }
    }

    fn read_models(&self, engine: &Engine) {
        let plans = engine.pool.plans();
        let dtype = plans.first().map_or("", |plan| plan.dtype.name());
        let models = engine
            .models
            .iter()
            .map(|model| (&*model.name, &model.info));
        let writer = engine.writer.iter();
        for (name, info) in models.chain(writer.map(|writer| (&*writer.name, &writer.info))) {
            let labels = [
                ("model", name),
                ("architecture", info.architecture),
                ("dtype", dtype),
            ];
            self.gauge("sessile_model_info", &labels, 1.0);
        }
    }

    fn read_pool(&self, pool: &Pool) {
        self.gauge("sessile_queued_tokens", &[], pool.queued_tokens() as f64);
        let queued = pool.queued_requests() as f64;
        self.gauge("sessile_queued_sequences", &[], queued);
        let oldest = pool.oldest_wait().as_secs_f64();
        self.gauge("sessile_oldest_wait_seconds", &[], oldest);
        let metrics = pool.metrics();
        for (name, value) in [
            ("sessile_tokens_total", metrics.tokens.get()),
            ("sessile_sequences_total", metrics.answered.get()),
            ("sessile_cancelled_total", metrics.dropped.get()),
            ("sessile_requeued_total", metrics.requeued.get()),
            ("sessile_model_loads_total", metrics.model_loads.get()),
        ] {
            self.counter(name, &[]).absolute(value);
        }
        for plan in pool.plans() {
            let device = plan.device.to_string();
            let lanes = plan.workspace_bytes * plan.lanes as u64;
            let writing = plan.writing().map(WritingPlan::workspace_bytes);
            let caches = plan.writing().map(|lane| lane.cache_bytes);
            for (kind, bytes) in [
                ("weights", plan.weight_bytes()),
                ("workspace", lanes + writing.sum::<u64>()),
                ("caches", caches.sum()),
            ] {
                let labels = [("device", &*device), ("use", kind)];
                self.gauge("sessile_device_memory_bytes", &labels, bytes as f64);
            }
        }
    }

    fn read_lanes(&self, engine: &Engine) {
        for (device, index, metrics) in engine.lanes() {
            let (device, index) = (device.to_string(), index.to_string());
            let labels = [("device", &*device), ("lane", &*index)];
            let up = f64::from(u8::from(!metrics.is_out()));
            self.gauge("sessile_lane_up", &labels, up);
            self.counter("sessile_lane_busy_milliseconds_total", &labels)
                .absolute(metrics.busy_nanos.get() / 1_000_000);
        }
    }

    fn read_writer(&self, pool: &Pool, writer: &Writer) {
        let Some(report) = pool.writing_report(writer.index) else {
            return;
        };
        for (name, value) in [
            ("sessile_written_texts_total", report.inferences),
            ("sessile_written_tokens_total", report.tokens),
            ("sessile_written_given_back_total", report.given_back),
        ] {
            self.counter(name, &[]).absolute(value);
        }
        for (name, value) in [
            (
                "sessile_written_texts_per_second",
                report.inferences_per_second,
            ),
            (
                "sessile_written_tokens_per_second",
                report.tokens_per_second,
            ),
            ("sessile_writer_instances", report.instances as f64),
            ("sessile_writer_mean_batch", report.mean_batch),
            ("sessile_writer_queued_texts", report.queued as f64),
        ] {
            self.gauge(name, &[], value);
        }
        for plan in pool.plans() {
            let device = plan.device.to_string();
            let model = plan.models.get(writer.index.0);
            let Some((model, lane)) =
                model.and_then(|model| Some((model, model.writing.as_ref()?)))
            else {
                continue;
            };
            for (kind, bytes) in [
                ("weights", model.weight_bytes),
                ("caches", lane.cache_bytes),
                ("workspace", lane.workspace_bytes()),
            ] {
                let labels = [("device", &*device), ("use", kind)];
                self.gauge("sessile_writer_memory_bytes", &labels, bytes as f64);
            }
        }
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect::<Vec<_>>();
    Key::from_parts(name, labels)
}

fn set_buckets(builder: PrometheusBuilder, suffix: &str, bounds: &[f64]) -> PrometheusBuilder {
    // The bounds are constants and not empty, which is all that can be wrong with them.
    PrometheusBuilder::set_buckets_for_metric(builder, Matcher::Suffix(suffix.to_owned()), bounds)
        .expect("the bounds are not empty")
}
