//! Which devices this process can use, and why.

use std::sync::Arc;

use sessile_cpu::{CpuGeometry, ISA_VARIABLE, Isa, Rates, processor_name};
use sessile_cuda::{
    CUBLASLT_VARIABLE, CublasLt, CudaDevice, CudaGeometry, DRIVER_VARIABLE, Driver, Gpu, Libraries,
    Visibility,
};
use sessile_device::{DType, DeviceError, DeviceId, Geometry};

use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::machine;
use crate::options::{DTypeChoice, DeviceChoice};
use crate::rates;

/// A device as it was found, before anything is loaded onto it.
#[derive(Clone)]
pub struct FoundDevice {
    /// Its name.
    pub id: DeviceId,
    /// What it is, for people.
    pub description: String,
    /// Number formats it computes in, the preferred one first.
    pub dtypes: Vec<DType>,
    /// Bytes of memory it has left, where that is known.
    pub available_bytes: Option<u64>,
    /// Cores, for a CPU.
    pub cores: usize,
    /// Measured operations per second of one thread in each number format, for a CPU.
    pub rates: Option<Rates>,
    /// Anything a user should know about how it will be used.
    pub notes: Vec<String>,
    /// Its sizes.
    pub geometry: Arc<dyn Geometry>,
    /// The GPU, if it is one.
    pub cuda: Option<FoundGpu>,
}

/// What a GPU is opened with.
#[derive(Clone, Debug)]
pub struct FoundGpu {
    driver: &'static Driver,
    gpu: Gpu,
    cublaslt: Option<&'static CublasLt>,
    records: bool,
}

impl FoundGpu {
    /// Opens the GPU and loads its kernels. `threads` pack weights.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being opened.
    pub fn open(&self, threads: usize) -> Result<CudaDevice, DeviceError> {
        let device = CudaDevice::new(self.driver, &self.gpu, self.cublaslt, threads)?;
        Ok(if self.records {
            device
        } else {
            device.without_graphs()
        })
    }
}

/// A device that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedDevice {
    /// `cuda:1`, or `cuda` for all of a kind.
    pub name: String,
    /// What it is, where that is known.
    pub description: String,
    /// Why it is not used.
    pub reason: String,
    /// What to do about it, if there is something.
    pub hint: Option<String>,
}

/// Everything that was found.
#[derive(Clone)]
pub struct Survey {
    /// Devices that can be used: the CPU first, then the GPUs.
    pub devices: Vec<FoundDevice>,
    /// Those that can not, and why.
    pub unused: Vec<UnusedDevice>,
}

impl FoundDevice {
    /// The number format that `choice` means here.
    ///
    /// # Errors
    ///
    /// `Device` when the device does not have it.
    pub fn dtype(&self, choice: DTypeChoice) -> Result<DType, RuntimeError> {
        match choice {
            DTypeChoice::Auto => Ok(self.dtypes[0]),
            DTypeChoice::Only(dtype) if self.dtypes.contains(&dtype) => Ok(dtype),
            DTypeChoice::Only(dtype) => Err(RuntimeError::new(
                RuntimeErrorKind::Device,
                format!("{} does not compute in {dtype}", self.id),
            )
            .with_hint(format!(
                "it has {}",
                self.dtypes
                    .iter()
                    .map(|dtype| dtype.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
        }
    }
}

/// Memory of a GPU that the program does not plan: its own code, that of cuBLASLt, and what is
/// left over where memory is handed out in whole blocks.
const GPU_OVERHEAD_BYTES: u64 = 384 << 20;

/// The same before CUDA 12.2, whose drivers load libraries whole unless they are told otherwise
/// (CUDA C++ Programming Guide, "Lazy Loading").
const GPU_OVERHEAD_BYTES_WHOLE: u64 = 1 << 30;

/// The version of CUDA from which on libraries are loaded piece by piece.
const LAZY_DRIVER: i32 = 12_020;

/// Names where products run: `own` leaves cuBLASLt aside.
pub const PRODUCTS_VARIABLE: &str = "SESSILE_CUDA_PRODUCTS";

/// `off`: every kernel of a small pass is queued by itself, not as a CUDA graph.
pub const GRAPHS_VARIABLE: &str = "SESSILE_CUDA_GRAPHS";

/// Every variable that says something about devices and is no flag.
pub const VARIABLES: [&str; 5] = [
    ISA_VARIABLE,
    PRODUCTS_VARIABLE,
    GRAPHS_VARIABLE,
    DRIVER_VARIABLE,
    CUBLASLT_VARIABLE,
];

/// Looks for devices and says of each that is not used why.
///
/// # Errors
///
/// `Option` when `SESSILE_ISA`, `SESSILE_CUDA_PRODUCTS` or `SESSILE_CUDA_GRAPHS` names something
/// that there is not.
pub fn survey() -> Result<Survey, RuntimeError> {
    let mut devices = vec![cpu(Isa::detect()?)];
    let own_products = is_set(PRODUCTS_VARIABLE, "own", "cublaslt")?;
    let records = !is_set(GRAPHS_VARIABLE, "off", "on")?;
    let found = sessile_cuda::survey(
        &Libraries::from_environment(),
        &Visibility::from_environment(),
    );
    let mut unused = Vec::new();
    match &found.driver {
        Err(absence) => unused.push(UnusedDevice {
            name: "cuda".to_owned(),
            description: "NVIDIA GPUs".to_owned(),
            reason: absence.to_string(),
            hint: absence.hint().map(str::to_owned),
        }),
        Ok(driver) => {
            for gpu in &found.gpus {
                let description = describe(gpu);
                if let Some(refusal) = &gpu.refusal {
                    unused.push(UnusedDevice {
                        name: DeviceId::Cuda(gpu.ordinal).to_string(),
                        description,
                        reason: refusal.reason.clone(),
                        hint: refusal.hint.clone(),
                    });
                    continue;
                }
                let mut notes = Vec::new();
                let cublaslt = match &found.cublaslt {
                    _ if own_products => {
                        notes.push(format!("products on own kernels ({PRODUCTS_VARIABLE}=own)"));
                        None
                    }
                    Ok(library) => {
                        notes.push(format!(
                            "products by cuBLASLt {} ({})",
                            library.version(),
                            library.path().display()
                        ));
                        Some(*library)
                    }
                    Err(absence) => {
                        let hint = absence.hint().unwrap_or_default();
                        notes.push(format!(
                            "{absence}: products run on own kernels, which are slower; {hint}"
                        ));
                        None
                    }
                };
                devices.push(FoundDevice {
                    id: DeviceId::Cuda(gpu.ordinal),
                    description,
                    dtypes: vec![DType::Bf16, DType::F16, DType::F32],
                    available_bytes: None,
                    cores: 0,
                    rates: None,
                    notes,
                    geometry: Arc::new(CudaGeometry),
                    cuda: Some(FoundGpu {
                        driver,
                        gpu: gpu.clone(),
                        cublaslt,
                        records,
                    }),
                });
            }
        }
    }
    Ok(Survey { devices, unused })
}

/// Whether a variable has this value, and not the usual one.
fn is_set(variable: &str, value: &str, usual: &str) -> Result<bool, RuntimeError> {
    match std::env::var(variable) {
        Ok(found) if found == value => Ok(true),
        Ok(found) if !found.is_empty() && found != usual => Err(RuntimeError::new(
            RuntimeErrorKind::Option,
            format!("{variable}={found} is neither `{value}` nor `{usual}`"),
        )),
        _ => Ok(false),
    }
}

fn describe(gpu: &Gpu) -> String {
    format!(
        "{}, compute capability {}.{}, {} GiB",
        gpu.name,
        gpu.capability.0,
        gpu.capability.1,
        (gpu.memory_bytes + (1 << 29)) >> 30
    )
}

/// Finds the devices of this machine. What a GPU has left is not asked yet: that takes a part of
/// its memory; see [`FoundDevice::measure`].
///
/// # Errors
///
/// As [`survey`].
pub fn discover() -> Result<Vec<FoundDevice>, RuntimeError> {
    Ok(survey()?.devices)
}

/// The processor, without a look at anything else.
///
/// # Errors
///
/// `Option` when `SESSILE_ISA` names something that this machine does not have.
pub fn processor() -> Result<FoundDevice, RuntimeError> {
    Ok(cpu(Isa::detect()?))
}

/// The processor, for what runs nowhere else: `what` is such as "text is generated". A GPU that was
/// asked for is refused, also beside the processor: work that is asked of a GPU never runs
/// elsewhere without a word.
///
/// # Errors
///
/// `Device` when `choice` names a GPU, and as [`processor`].
///
/// # Examples
///
/// ```
/// use sessile_runtime::{DeviceChoice, discovery};
///
/// assert!(discovery::processor_only(&DeviceChoice::Auto, "text is generated").is_ok());
/// let choice = "cpu,cuda:0".parse()?;
/// let error = discovery::processor_only(&choice, "text is generated").err().unwrap();
/// assert_eq!(error.to_string(), "text is generated on the CPU only; cuda:0 was asked for");
/// # Ok::<(), String>(())
/// ```
pub fn processor_only(choice: &DeviceChoice, what: &str) -> Result<FoundDevice, RuntimeError> {
    match choice.gpus().next() {
        None => processor(),
        Some(gpu) => Err(RuntimeError::new(
            RuntimeErrorKind::Device,
            format!("{what} on the CPU only; {gpu} was asked for"),
        )
        .with_hint("use --devices cpu")),
    }
}

/// The processor at this level.
fn cpu(isa: Isa) -> FoundDevice {
    let mut notes = Vec::new();
    let rates = match rates::of_processor(isa) {
        Ok(rates) => Some(rates),
        Err(error) => {
            notes.push(format!("its number formats could not be timed: {error}"));
            None
        }
    };
    let dtypes = match rates.map(|rates| rates.choice()) {
        Some(DType::Bf16) => vec![DType::Bf16, DType::F32],
        _ => vec![DType::F32, DType::Bf16],
    };
    let memory = machine::available_memory();
    notes.extend(memory.as_ref().and_then(|memory| memory.limit.clone()));
    FoundDevice {
        id: DeviceId::Cpu,
        description: format!("{}, {} cores, {isa}", processor_name(), machine::cores()),
        dtypes,
        available_bytes: memory.map(|memory| memory.bytes),
        cores: machine::cores(),
        rates,
        notes,
        geometry: Arc::new(CpuGeometry::new(isa)),
        cuda: None,
    }
}

/// Refuses a choice of devices that are not all there, without waking any.
///
/// # Errors
///
/// `Device` when one that was asked for is not there.
pub fn check(choice: &DeviceChoice) -> Result<(), RuntimeError> {
    match choice {
        DeviceChoice::Only(wanted) if wanted.iter().any(|id| *id != DeviceId::Cpu) => {
            let found = survey()?;
            wanted.iter().try_for_each(|id| found.get(*id).map(|_| ()))
        }
        _ => Ok(()),
    }
}

/// The devices that `choice` means, with what they have left. By itself the program uses the GPUs
/// where there are any, else the processor: beside a GPU its lanes add little, and their bytes are
/// not those of the GPU.
///
/// # Errors
///
/// `Device` when one that was asked for is not there or does not answer, or none does.
pub fn choose(choice: &DeviceChoice) -> Result<Vec<FoundDevice>, RuntimeError> {
    let DeviceChoice::Only(wanted) = choice else {
        let mut found = discover()?;
        let has_gpu = found.iter().any(|device| device.cuda.is_some());
        if has_gpu {
            found.retain(|device| device.cuda.is_some());
        }
        // Waking a GPU takes a second or two: all at once.
        let measured: Vec<Result<(), RuntimeError>> = match found.as_mut_slice() {
            [only] => vec![only.measure()],
            several => std::thread::scope(|scope| {
                let waking: Vec<_> = several
                    .iter_mut()
                    .map(|device| {
                        std::thread::Builder::new().spawn_scoped(scope, || device.measure())
                    })
                    .collect();
                waking
                    .into_iter()
                    .map(|thread| {
                        let thread = thread.map_err(RuntimeError::no_thread)?;
                        thread.join().unwrap_or_else(|_| Err(no_answer()))
                    })
                    .collect()
            }),
        };
        let mut failure = None;
        let mut measured = measured.into_iter();
        found.retain(|device| match measured.next() {
            Some(Err(error)) => {
                tracing::warn!(device = %device.id, %error, "a GPU is left aside");
                failure = Some(error);
                false
            }
            _ => true,
        });
        return match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        };
    };
    // No GPU is asked for: none is woken.
    if wanted.iter().all(|id| *id == DeviceId::Cpu) {
        return wanted.iter().map(|_| processor()).collect();
    }
    let found = survey()?;
    wanted
        .iter()
        .map(|id| {
            let mut device = found.get(*id)?.clone();
            device.measure()?;
            Ok(device)
        })
        .collect()
}

fn no_answer() -> RuntimeError {
    RuntimeError::new(
        RuntimeErrorKind::Device,
        "a fault in the program: a GPU was not measured",
    )
}

impl Survey {
    /// A device that was asked for.
    fn get(&self, id: DeviceId) -> Result<&FoundDevice, RuntimeError> {
        let mut devices = self.devices.iter();
        (devices.find(|device| device.id == id)).ok_or_else(|| missing(id, self))
    }
}

/// Why a device that was asked for is not there.
fn missing(id: DeviceId, found: &Survey) -> RuntimeError {
    let name = id.to_string();
    let is_it = |unused: &&UnusedDevice| {
        unused.name == name || unused.name == "cuda" && matches!(id, DeviceId::Cuda(_))
    };
    match found.unused.iter().find(is_it) {
        Some(unused) => {
            let error = RuntimeError::new(
                RuntimeErrorKind::Device,
                format!("device {id} can not be used: {}", unused.reason),
            );
            match &unused.hint {
                Some(hint) => error.with_hint(hint.clone()),
                None => error.with_hint("`sessile devices` lists what was found"),
            }
        }
        None => RuntimeError::new(
            RuntimeErrorKind::Device,
            format!("device {id} is not there or can not be used"),
        )
        .with_hint("`sessile devices` lists what was found"),
    }
}

impl FoundDevice {
    /// Asks a GPU what memory it has left, and leaves out what the program takes unplanned. It is
    /// woken by that and stays awake for the life of the process.
    ///
    /// # Errors
    ///
    /// `Device` when it does not answer.
    pub fn measure(&mut self) -> Result<(), RuntimeError> {
        if let Some(cuda) = &self.cuda {
            let (free, _) = sessile_cuda::memory(cuda.driver, &cuda.gpu)?;
            let unplanned = match cuda.driver.version() {
                LAZY_DRIVER.. => GPU_OVERHEAD_BYTES,
                _ => GPU_OVERHEAD_BYTES_WHOLE,
            };
            self.available_bytes = Some(free.saturating_sub(unplanned));
        }
        Ok(())
    }
}
