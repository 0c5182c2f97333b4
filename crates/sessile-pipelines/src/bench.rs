//! How fast a model runs here, beside what the machine could do at best.
//!
//! Real tokens are counted (there is no padding to count), the floating-point operations come from
//! the plan of the same sequences, and the peak is measured with random data around every round,
//! because the speed of a shared machine drifts.

mod generation;
mod sets;

use std::time::{Duration, Instant};

use sessile_device::{DType, ModelIndex, OutputKind, OutputSet};
use sessile_models::{Alphabet, Model};
use sessile_runtime::{Pool, PoolOptions, PoolRequest, Resident, discovery, machine, plan};

use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;

pub use generation::{GenerationBenchOptions, GenerationBenchReport, run as run_generation};
pub use sessile_device::{OperationClass, OperationTime};
pub use sets::BenchSet;

/// How long one probe of the peak takes.
const PROBE: Duration = Duration::from_millis(300);

/// Rounds of the timing; the peak is measured before, between and after them.
const ROUNDS: u32 = 3;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The sequences.
    pub set: BenchSet,
    /// For about how long, in all; a round is at least one whole batch for every lane.
    pub duration: Duration,
    /// Whether to keep time by operation.
    pub per_op: bool,
    /// Devices, lanes and batches.
    pub pool: PoolOptions,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct BenchReport {
    /// The model.
    pub model: String,
    /// The set of sequences.
    pub set: String,
    /// The number format.
    pub dtype: DType,
    /// The kernels.
    pub kernel_family: String,
    /// Number of lanes.
    pub lanes: usize,
    /// Tokens of a batch.
    pub token_budget: usize,
    /// Seconds to load the model and start the lanes.
    pub load_seconds: f64,
    /// Seconds of the first sequence, nothing warm.
    pub first_seconds: f64,
    /// Tokens per second of the best round, special tokens included, nothing else.
    pub tokens_per_second: f64,
    /// Tokens per second of every round.
    pub rounds: Vec<f64>,
    /// Sequences per second of the best round.
    pub sequences_per_second: f64,
    /// Mean floating-point operations per token of these sequences.
    pub flops_per_token: f64,
    /// Peak of the lanes' threads together around the best round, in operations per second.
    pub peak_flops: Option<f64>,
    /// Peaks measured before, between and after the rounds.
    pub peaks: Vec<f64>,
    /// The rate of the best round in operations, over the peak around it.
    pub fraction_of_peak: Option<f64>,
    /// Largest resident set of the process, in bytes.
    pub peak_rss_bytes: Option<u64>,
    /// What the plan says: weights and all workspaces, in bytes.
    pub planned_bytes: u64,
    /// Where the lanes' time went.
    pub operations: Vec<(OperationClass, OperationTime)>,
}

/// One timed round.
struct Round {
    tokens: u64,
    sequences: u64,
    flops: f64,
    seconds: f64,
}

/// Measures.
///
/// # Errors
///
/// When the set can not be read, the model not loaded, or a sequence not computed.
pub fn run(
    files: Model,
    options: &BenchOptions,
    interrupt: &Interrupt,
) -> Result<BenchReport, PipelineError> {
    let wanted = OutputSet::default().with(OutputKind::Mean);
    let pool_options = PoolOptions {
        outputs: wanted,
        timed: options.per_op,
        ..options.pool.clone()
    };
    let max_tokens = options
        .pool
        .max_tokens
        .unwrap_or(files.description().max_tokens);
    let sequences: Vec<Vec<u32>> = options
        .set
        .sequences(files.alphabet() == Alphabet::Nucleotide, max_tokens - 2)?
        .iter()
        .map(|sequence| files.tokenizer().encode(sequence).tokens)
        .collect();
    let model = files.name().to_owned();
    let devices = discovery::choose(&options.pool.devices)?;
    let Some(device) = devices.first() else {
        return Err(PipelineError::new(
            PipelineErrorKind::Device,
            "there is no device",
        ));
    };
    let dtype = device.dtype(options.pool.dtype)?;
    let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
    let flops = plan::count_flops(
        &files,
        std::sync::Arc::clone(&device.geometry),
        dtype,
        max_tokens,
        &lengths,
        wanted,
    )?;
    let flops_per_token = flops as f64 / lengths.iter().sum::<usize>() as f64;

    let pool = Pool::new([Resident::Reads(&files)], &pool_options)?;
    let begun = Instant::now();
    ask(
        &pool,
        std::iter::once(&sequences[0]),
        wanted,
        flops_per_token,
    )?;
    let first_seconds = begun.elapsed().as_secs_f64();

    let threads = pool
        .plans()
        .iter()
        .map(|plan| plan.lanes * plan.threads_per_lane)
        .sum();
    let probe = || device.peak_flops(dtype, threads, PROBE);
    let whole_batches: usize = pool.lanes().iter().map(|lane| lane.token_budget).sum();
    let round = |tokens| {
        round(
            &pool,
            &sequences,
            wanted,
            flops_per_token,
            tokens,
            interrupt,
        )
    };
    let warm_up = round(whole_batches)?;
    let rate = |round: &Round| round.tokens as f64 / round.seconds;
    // Whole batches for every lane: else a round ends with a lane that waits for the others, which
    // a run of hours does not see.
    let wanted_tokens = rate(&warm_up) * options.duration.as_secs_f64() / f64::from(ROUNDS);
    let batches = (wanted_tokens / whole_batches as f64).round().max(1.0) as usize;
    let tokens = batches.saturating_mul(whole_batches);
    pool.reset_operation_times();
    let mut peaks: Vec<f64> = probe().into_iter().collect();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round(tokens)?);
        peaks.extend(probe());
    }
    let best = (0..rounds.len())
        .max_by(|&a, &b| rate(&rounds[a]).total_cmp(&rate(&rounds[b])))
        .unwrap_or(0);
    // The peak around a round is the better one of before and after.
    let peak = peaks
        .get(best)
        .zip(peaks.get(best + 1))
        .map(|(a, b)| a.max(*b));
    Ok(BenchReport {
        model,
        set: options.set.to_string(),
        dtype,
        kernel_family: pool.kernel_families().join(", "),
        lanes: pool.lanes().len(),
        token_budget: pool.lanes().first().map_or(0, |lane| lane.token_budget),
        load_seconds: pool.load_time().as_secs_f64(),
        first_seconds,
        tokens_per_second: rate(&rounds[best]),
        rounds: rounds.iter().map(rate).collect(),
        sequences_per_second: rounds[best].sequences as f64 / rounds[best].seconds,
        flops_per_token,
        peak_flops: peak,
        fraction_of_peak: peak.map(|peak| rounds[best].flops / rounds[best].seconds / peak),
        peaks,
        peak_rss_bytes: machine::peak_resident_bytes(),
        planned_bytes: pool.plans().iter().map(plan::MemoryPlan::total_bytes).sum(),
        operations: pool.operation_times(),
    })
}

/// Asks for sequences of the set, again from its start, up to that many tokens.
fn round(
    pool: &Pool,
    sequences: &[Vec<u32>],
    wanted: OutputSet,
    flops_per_token: f64,
    tokens: usize,
    interrupt: &Interrupt,
) -> Result<Round, PipelineError> {
    let mut asked = 0;
    let stream = sequences.iter().cycle().take_while(|sequence| {
        asked += sequence.len();
        (asked <= tokens || asked == sequence.len()) && interrupt.signal().is_none()
    });
    let round = ask(pool, stream, wanted, flops_per_token)?;
    if interrupt.signal().is_some() {
        return Err(PipelineError::new(
            PipelineErrorKind::Interrupted,
            "stopped",
        ));
    }
    Ok(round)
}

fn ask<'s>(
    pool: &Pool,
    sequences: impl Iterator<Item = &'s Vec<u32>>,
    wanted: OutputSet,
    flops_per_token: f64,
) -> Result<Round, PipelineError> {
    let begun = Instant::now();
    let mut round = Round {
        tokens: 0,
        sequences: 0,
        flops: 0.0,
        seconds: 0.0,
    };
    let requests = sequences.map(|tokens| {
        (
            tokens.len() as u64,
            PoolRequest::new(ModelIndex(0), tokens.clone(), wanted),
        )
    });
    for (tokens, answer) in pool.infer_many(requests) {
        answer.map_err(|error| PipelineError::new(PipelineErrorKind::Device, error.to_string()))?;
        round.tokens += tokens;
        round.sequences += 1;
    }
    round.seconds = begun.elapsed().as_secs_f64();
    round.flops = round.tokens as f64 * flops_per_token;
    Ok(round)
}
