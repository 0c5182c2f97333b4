//! How fast a model generates here, beside what the machine could do at best.
//!
//! Two roofs bound it: the arithmetic of all steps at the measured rate of products, and the
//! reading of the weights and caches of every step at the measured rate of memory. Both are
//! counted from the plan of the same requests: beams are taken to share all their cells, so that
//! the roof is not lower than it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_device::{
    DType, GenerationSettings, ModelIndex, OperationClass, OperationTime, OutputSet,
};
use sessile_models::Model;
use sessile_runtime::plan::{WritingWork, count_writing};
use sessile_runtime::{
    DeviceChoice, Instances, Pool, PoolOptions, PoolRequest, Resident, WritingOptions, discovery,
    machine,
};

use super::PROBE;
use super::sets::Random;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;

/// What to measure.
#[derive(Clone, Debug)]
pub struct GenerationBenchOptions {
    /// Sources that are answered at the same time.
    pub requests: usize,
    /// Tokens of every source.
    pub source_tokens: usize,
    /// For about how long, in all; at least one round is measured.
    pub duration: Duration,
    /// Devices, threads and number format; what the requests need is set from the rest.
    pub pool: PoolOptions,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct GenerationBenchReport {
    /// The model.
    pub model: String,
    /// The number format.
    pub dtype: DType,
    /// The kernels.
    pub kernel_family: String,
    /// Threads of the lane.
    pub threads: usize,
    /// Sources of a round.
    pub requests: usize,
    /// Tokens of a source.
    pub source_tokens: usize,
    /// How it searches.
    pub settings: GenerationSettings,
    /// Seconds to load the model and start the lane.
    pub load_seconds: f64,
    /// Seconds of every round, the first without a warm-up before it.
    pub rounds: Vec<f64>,
    /// Tokens that a round writes.
    pub new_tokens: u64,
    /// Steps of a round.
    pub steps: u64,
    /// What a round asks of the device.
    pub work: WritingWork,
    /// Products per second that the machine can do, in operations.
    pub peak_flops: Option<f64>,
    /// Bytes per second that the machine can read.
    pub peak_bytes: f64,
    /// The seconds of the lower roof over those of the best round.
    pub fraction_of_roof: Option<f64>,
    /// Largest resident set of the process, in bytes.
    pub peak_rss_bytes: Option<u64>,
    /// What the plan says: weights, caches and workspace, in bytes.
    pub planned_bytes: u64,
    /// Bytes of the weights among them.
    pub weight_bytes: u64,
    /// Where the time went, all rounds together.
    pub operations: Vec<(OperationClass, OperationTime)>,
}

impl GenerationBenchReport {
    /// Seconds of the best round.
    pub fn seconds(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Written tokens per second of the best round.
    pub fn tokens_per_second(&self) -> f64 {
        self.new_tokens as f64 / self.seconds()
    }
}

/// Measures.
///
/// # Errors
///
/// When the model can not be loaded or a request not be answered.
pub fn run(
    files: &Model,
    options: &GenerationBenchOptions,
    interrupt: &Interrupt,
) -> Result<GenerationBenchReport, PipelineError> {
    let most = files.description().max_tokens;
    if !(1..=most).contains(&options.source_tokens) || options.requests == 0 {
        let message = format!(
            "--source-tokens must be within 1 and the model's {most}, and --requests at least 1"
        );
        return Err(PipelineError::new(PipelineErrorKind::Usage, message));
    }
    let settings = match &options.pool.writing.settings {
        Some(settings) => settings.clone(),
        None => files.settings()?.clone(),
    };
    // The roofs are those of one device.
    let mut devices = discovery::choose(&options.pool.devices)?;
    if devices.is_empty() {
        let message = "there is no device";
        return Err(PipelineError::new(PipelineErrorKind::Device, message));
    }
    let device = devices.swap_remove(0);
    let pool_options = PoolOptions {
        devices: DeviceChoice::Only(vec![device.id]),
        writing: WritingOptions {
            settings: Some(settings.clone()),
            instances: Instances::Exactly(options.requests),
            source_tokens: Some(options.source_tokens),
            warm_up: false,
            ..options.pool.writing.clone()
        },
        timed: true,
        ..options.pool.clone()
    };
    let pool = Pool::new([Resident::Writes(files)], &pool_options)?;
    let plan = &pool.plans()[0];
    let threads = plan.writing().map(|writing| writing.threads).sum();
    let sources = sources(options, files.description().vocabulary);
    let probe = || {
        (
            device.peak_flops(plan.dtype, threads, PROBE),
            device.peak_bytes(threads, PROBE),
        )
    };
    let mut peaks = vec![probe()];
    let mut rounds = Vec::new();
    let mut written = Written::default();
    let begun = Instant::now();
    while rounds.is_empty() || begun.elapsed() < options.duration {
        let start = Instant::now();
        written = round(&pool, &sources, &settings, interrupt)?;
        rounds.push(start.elapsed().as_secs_f64());
        peaks.push(probe());
    }
    let steps = written.longest.saturating_sub(1);
    let lengths: Vec<usize> = sources.iter().map(Vec::len).collect();
    let geometry = Arc::clone(&device.geometry);
    let beams = settings.num_beams;
    let work = count_writing(files, geometry, plan.dtype, beams, &lengths, steps as usize)?;
    let flops = peaks.iter().filter_map(|peak| peak.0).reduce(f64::max);
    let bytes = peaks.iter().filter_map(|peak| peak.1).reduce(f64::max);
    let mut report = GenerationBenchReport {
        model: files.name().to_owned(),
        dtype: plan.dtype,
        kernel_family: pool.kernel_families().join(", "),
        threads,
        requests: options.requests,
        source_tokens: options.source_tokens,
        settings,
        load_seconds: pool.load_time().as_secs_f64(),
        rounds,
        new_tokens: written.tokens,
        steps,
        work,
        peak_flops: flops,
        peak_bytes: bytes.unwrap_or(0.0),
        fraction_of_roof: None,
        peak_rss_bytes: machine::peak_resident_bytes(),
        planned_bytes: plan.total_bytes(),
        weight_bytes: plan.weight_bytes(),
        operations: pool.operation_times(),
    };
    let roofs = flops.zip(bytes);
    report.fraction_of_roof =
        roofs.map(|(flops, bytes)| report.work.seconds(flops, bytes) / report.seconds());
    Ok(report)
}

/// What a round wrote.
#[derive(Default)]
struct Written {
    /// Tokens of all texts, without their start tokens.
    tokens: u64,
    /// Tokens of the longest text, with its start token.
    longest: u64,
}

fn round(
    pool: &Pool,
    sources: &[Vec<u32>],
    settings: &GenerationSettings,
    interrupt: &Interrupt,
) -> Result<Written, PipelineError> {
    let settings = Arc::new(settings.clone());
    let requests = sources.iter().map(|tokens| {
        let mut request = PoolRequest::new(ModelIndex(0), tokens.clone(), OutputSet::default());
        request.generation = Some(Arc::clone(&settings));
        ((), request)
    });
    let mut written = Written::default();
    for ((), answer) in pool.infer_many(requests) {
        let failed = |message: String| PipelineError::new(PipelineErrorKind::Device, message);
        let output = answer.map_err(|error| failed(error.to_string()))?;
        let text = output
            .generated()
            .ok_or_else(|| failed("a request was answered without a text".to_owned()))?;
        let length = text.tokens.len() as u64;
        written.tokens += length.saturating_sub(1);
        written.longest = written.longest.max(length);
        if interrupt.signal().is_some() {
            return Err(PipelineError::new(
                PipelineErrorKind::Interrupted,
                "stopped",
            ));
        }
    }
    Ok(written)
}

/// Random tokens; the first and the last of the vocabulary are left out, where models have those
/// that are no words.
fn sources(options: &GenerationBenchOptions, vocabulary: usize) -> Vec<Vec<u32>> {
    let mut random = Random(3);
    let (first, count) = (vocabulary / 20, vocabulary * 9 / 10);
    let mut token = || (first + (random.unit() * count as f64) as usize).min(vocabulary - 1) as u32;
    (0..options.requests)
        .map(|_| (0..options.source_tokens).map(|_| token()).collect())
        .collect()
}
