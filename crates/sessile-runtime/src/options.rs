//! What a user can choose about devices, lanes and batches.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sessile_device::{DType, DeviceId, GenerationSettings, OutputSet};
use sessile_models::Model;

use crate::error::{RuntimeError, RuntimeErrorKind};

/// Which devices to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// Every device worth using.
    #[default]
    Auto,
    /// These and no others.
    Only(Vec<DeviceId>),
}

impl DeviceChoice {
    /// The GPUs that are asked for by name.
    pub fn gpus(&self) -> impl Iterator<Item = DeviceId> + '_ {
        let named: &[DeviceId] = match self {
            DeviceChoice::Auto => &[],
            DeviceChoice::Only(ids) => ids,
        };
        named.iter().copied().filter(|id| *id != DeviceId::Cpu)
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    /// # Examples
    ///
    /// ```
    /// use sessile_runtime::DeviceChoice;
    /// assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
    /// assert!("cpu,cuda:0".parse::<DeviceChoice>().is_ok());
    /// assert!("".parse::<DeviceChoice>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(DeviceChoice::Auto);
        }
        let mut ids = Vec::new();
        for name in text.split(',') {
            let id: DeviceId = name
                .trim()
                .parse()
                .map_err(|error: sessile_device::id::ParseDeviceIdError| error.to_string())?;
            if ids.contains(&id) {
                return Err(format!("device {id} is named twice"));
            }
            ids.push(id);
        }
        Ok(DeviceChoice::Only(ids))
    }
}

/// Which number format to compute in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DTypeChoice {
    /// The fastest that keeps the answers' direction (cosine above 0.999) on each device.
    #[default]
    Auto,
    /// This one.
    Only(DType),
}

impl FromStr for DTypeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(DTypeChoice::Auto),
            other => other
                .parse()
                .map(DTypeChoice::Only)
                .map_err(|_| format!("unknown number format `{other}` (auto, f32, bf16 or f16)")),
        }
    }
}

impl fmt::Display for DTypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DTypeChoice::Auto => f.write_str("auto"),
            DTypeChoice::Only(dtype) => dtype.fmt(f),
        }
    }
}

/// Most threads, and most lanes of a device: more than any machine has cores, few enough that a
/// slip of the keyboard is refused and not begun.
pub const MAX_THREADS: usize = 4096;

/// Refuses a number of threads that makes no sense.
pub(crate) fn check_threads(threads: Option<usize>) -> Result<(), RuntimeError> {
    within("--threads", threads)
}

/// Refuses a number of lanes that makes no sense.
pub(crate) fn check_lanes(lanes: Option<usize>) -> Result<(), RuntimeError> {
    within("--instances", lanes)
}

fn within(flag: &str, number: Option<usize>) -> Result<(), RuntimeError> {
    match number {
        Some(number) if !(1..=MAX_THREADS).contains(&number) => Err(RuntimeError::new(
            RuntimeErrorKind::Option,
            format!("{flag} {number}: there can be 1 to {MAX_THREADS}"),
        )),
        _ => Ok(()),
    }
}

/// Smallest token budget: below it nearly all time goes into reading weights.
pub const MIN_TOKEN_BUDGET: usize = 16;

/// Largest token budget: beyond it a batch only takes memory.
pub const MAX_TOKEN_BUDGET: usize = 1 << 20;

/// What a user can choose about a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Devices to use.
    pub devices: DeviceChoice,
    /// CPU threads in total; `None`: one per core.
    pub threads: Option<usize>,
    /// Lanes per device; `None`: as many as pay.
    pub instances: Option<usize>,
    /// Number format.
    pub dtype: DTypeChoice,
    /// Tokens of a batch; `None`: the device's own.
    pub token_budget: Option<usize>,
    /// Longest sequence in tokens, special ones included; `None`: what the model was made for.
    pub max_tokens: Option<usize>,
    /// Outputs that requests may ask for: the workspace is planned for these.
    pub outputs: OutputSet,
    /// How models write that do.
    pub writing: WritingOptions,
    /// Bytes of memory that a device has; `None`: what it has left.
    pub memory: Option<u64>,
    /// Bytes of memory to leave alone.
    pub memory_reserve: u64,
    /// Keep time by operation; see [`Pool::operation_times`](crate::Pool::operation_times).
    pub timed: bool,
    /// How requests of models that read wait and are put together.
    pub dispatch: Dispatch,
}

impl PoolOptions {
    /// Longest sequence of a model, in tokens.
    pub(crate) fn longest(&self, model: &Model) -> usize {
        self.max_tokens.unwrap_or(model.description().max_tokens)
    }
}

/// How many texts a device may write at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instances {
    /// As many as fit, up to what is usual for the device: see
    /// [`Budgets::texts`](crate::backend::Budgets::texts).
    #[default]
    Usual,
    /// As many as fit, up to this.
    UpTo(usize),
    /// So many.
    Exactly(usize),
}

/// The sizes of most requests, where they differ much: memory is planned for one request of the
/// greatest sizes and for so many of these. The cells of a lane are one store for all requests, so
/// a long one takes the room of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// Tokens of a source, special ones included.
    pub source_tokens: usize,
    /// Tokens of an answer, the start token included.
    pub written_tokens: usize,
}

/// What a user can choose about the models of a pool that write.
#[derive(Clone, Debug)]
pub struct WritingOptions {
    /// The settings that need most, beams and greatest length; `None`: the model's own.
    pub settings: Option<GenerationSettings>,
    /// Texts that a device writes at the same time.
    pub instances: Instances,
    /// The sizes of most requests; `None`: as great as can be.
    pub usual: Option<Usual>,
    /// Longest source to make room for, in tokens; `None`: what the model reads.
    pub source_tokens: Option<usize>,
    /// How requests wait and are put together.
    pub dispatch: Dispatch,
    /// Requests that may wait; `None`: a few for each instance.
    pub queue: Option<usize>,
    /// Whether every lane answers a small request before any other.
    pub warm_up: bool,
}

impl Default for WritingOptions {
    fn default() -> Self {
        WritingOptions {
            settings: None,
            instances: Instances::default(),
            usual: None,
            source_tokens: None,
            dispatch: Dispatch::default(),
            queue: None,
            warm_up: true,
        }
    }
}

impl WritingOptions {
    /// Everything as it is unless chosen otherwise, for these settings.
    pub fn of(settings: GenerationSettings) -> Self {
        WritingOptions {
            settings: Some(settings),
            ..WritingOptions::default()
        }
    }
}

/// Longest time a lane waits for a batch to fill, unless chosen otherwise.
pub const DEFAULT_FILL_WAIT: Duration = Duration::from_millis(50);

/// How requests wait and are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// Tokens that may wait; `None`: a few batches for each lane.
    pub queue_tokens: Option<usize>,
    /// Longest time a lane waits for a batch to fill. It only waits at all when it has just
    /// answered several requests, whose senders may be about to ask again.
    pub max_fill_wait: Duration,
    /// Most requests of a batch.
    pub max_batch_requests: usize,
}

impl Default for Dispatch {
    fn default() -> Self {
        Dispatch {
            queue_tokens: None,
            max_fill_wait: DEFAULT_FILL_WAIT,
            max_batch_requests: usize::MAX,
        }
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions {
            devices: DeviceChoice::Auto,
            threads: None,
            instances: None,
            dtype: DTypeChoice::Auto,
            token_budget: None,
            max_tokens: None,
            outputs: OutputSet::default(),
            writing: WritingOptions::default(),
            memory: None,
            memory_reserve: 0,
            timed: false,
            dispatch: Dispatch::default(),
        }
    }
}
