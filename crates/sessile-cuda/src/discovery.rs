//! Finding GPUs, and saying of each why it is used or not.

use std::path::PathBuf;

use crate::cublaslt::{CUBLASLT_VARIABLE, CublasLt};
use crate::driver::{Code, DRIVER_VARIABLE, Driver, DriverAbsence, RawDevice};
use crate::visibility::Visibility;

/// The lowest compute capability: the first with bf16 products (Ampere).
pub const MIN_CAPABILITY: (i32, i32) = (8, 0);

/// `CU_DEVICE_ATTRIBUTE_…` numbers of cuda.h.
mod attribute {
    pub(super) const MULTIPROCESSORS: i32 = 16;
    pub(super) const COMPUTE_MODE: i32 = 20;
    pub(super) const CAPABILITY_MAJOR: i32 = 75;
    pub(super) const CAPABILITY_MINOR: i32 = 76;
    pub(super) const SHARED_MEMORY_OPTIN: i32 = 97;
}

/// `CU_COMPUTEMODE_PROHIBITED`.
const MODE_PROHIBITED: i32 = 2;

/// The libraries to open in place of those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// In place of `libcuda.so.1`.
    pub driver: Option<PathBuf>,
    /// In place of `libcublasLt.so.13` or `.12` where they are searched for.
    pub cublaslt: Option<PathBuf>,
}

impl Libraries {
    /// What `SESSILE_CUDA_DRIVER` and `SESSILE_CUBLASLT` name.
    pub fn from_environment() -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Libraries {
            driver: variable(DRIVER_VARIABLE),
            cublaslt: variable(CUBLASLT_VARIABLE),
        }
    }
}

/// Why a GPU is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: String,
    /// What to do about it, if there is something.
    pub hint: Option<String>,
}

/// A GPU that the driver shows.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// Its number among the visible ones: `cuda:0` is 0.
    pub ordinal: u32,
    /// The product's name.
    pub name: String,
    /// Its compute capability.
    pub capability: (i32, i32),
    /// Where it is plugged in.
    pub pci: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory that one block may take.
    pub shared_bytes: u32,
    /// Why it is not used; `None`: it is.
    pub refusal: Option<Refusal>,
}

/// What was found.
#[derive(Debug)]
pub struct Survey {
    /// The driver, or why there is none.
    pub driver: Result<&'static Driver, DriverAbsence>,
    /// The GPUs it shows, in its order.
    pub gpus: Vec<Gpu>,
    /// Where products are computed: cuBLASLt with its version, or why it is not there.
    pub cublaslt: Result<&'static CublasLt, DriverAbsence>,
}

/// Looks for GPUs. Nothing is reserved on them.
pub fn survey(libraries: &Libraries, visibility: &Visibility) -> Survey {
    let driver = Driver::open(libraries.driver.as_deref());
    let Ok(found) = driver else {
        return Survey {
            driver: driver.map_err(|absence| explain_hidden(absence, visibility)),
            gpus: Vec::new(),
            cublaslt: Err(DriverAbsence::new("not looked for without a driver", None)),
        };
    };
    let mut gpus: Vec<Gpu> = (0..found.devices())
        .map(|ordinal| look(found, ordinal))
        .collect();
    let mut by_bus: Vec<usize> = (0..gpus.len()).collect();
    by_bus.sort_by(|&a, &b| gpus[a].pci.cmp(&gpus[b].pci));
    let mut pci_rank = vec![0; gpus.len()];
    for (rank, &index) in by_bus.iter().enumerate() {
        pci_rank[index] = rank;
    }
    for (gpu, refusal) in gpus.iter_mut().zip(visibility.refusals(&pci_rank)) {
        if let (None, Some(reason)) = (&gpu.refusal, refusal) {
            gpu.refusal = Some(Refusal { reason, hint: None });
        }
    }
    let cublaslt = if gpus.iter().any(|gpu| gpu.refusal.is_none()) {
        CublasLt::open(libraries.cublaslt.as_deref(), found.version())
    } else {
        Err(DriverAbsence::new(
            "not looked for without a usable GPU",
            None,
        ))
    };
    let driver = if gpus.is_empty() {
        let absence = DriverAbsence::new("the CUDA driver shows no GPU", Code(100).hint());
        Err(explain_hidden(absence, visibility))
    } else {
        driver
    };
    Survey {
        driver,
        gpus,
        cublaslt,
    }
}

/// A driver that shows nothing may have been told to.
fn explain_hidden(absence: DriverAbsence, visibility: &Visibility) -> DriverAbsence {
    let shows_none =
        absence.to_string().contains("error 100") || absence.to_string().contains("no GPU");
    match visibility.hides_all() {
        Some(reason) if shows_none => DriverAbsence::new(reason, "unset it, or name GPUs in it"),
        _ => absence,
    }
}

fn look(driver: &Driver, ordinal: i32) -> Gpu {
    let mut gpu = Gpu {
        ordinal: ordinal.unsigned_abs(),
        name: "unknown".to_owned(),
        capability: (0, 0),
        pci: String::new(),
        memory_bytes: 0,
        multiprocessors: 0,
        shared_bytes: 0,
        refusal: None,
    };
    let result = driver
        .device(ordinal)
        .and_then(|device| fill(driver, device, &mut gpu));
    gpu.refusal = match result {
        Err(code) => Some(Refusal {
            reason: format!(
                "the driver fails over it: CUDA error {} ({})",
                code.0,
                code.name()
            ),
            hint: code.hint().map(str::to_owned),
        }),
        Ok(mode) => refusal(&gpu, mode),
    };
    gpu
}

/// Asks for everything; returns the compute mode.
fn fill(driver: &Driver, device: RawDevice, gpu: &mut Gpu) -> Result<i32, Code> {
    let number = |attribute| driver.attribute(device, attribute);
    gpu.name = driver.name(device)?;
    gpu.capability = (
        number(attribute::CAPABILITY_MAJOR)?,
        number(attribute::CAPABILITY_MINOR)?,
    );
    gpu.pci = driver.pci(device)?;
    gpu.memory_bytes = driver.memory(device)?;
    gpu.multiprocessors = number(attribute::MULTIPROCESSORS)?.unsigned_abs();
    gpu.shared_bytes = number(attribute::SHARED_MEMORY_OPTIN)?.unsigned_abs();
    number(attribute::COMPUTE_MODE)
}

fn refusal(gpu: &Gpu, mode: i32) -> Option<Refusal> {
    let (major, minor) = gpu.capability;
    if gpu.capability < MIN_CAPABILITY {
        return Some(Refusal {
            reason: format!(
                "its compute capability is {major}.{minor}, {}.{} is needed (A100, RTX 30 or newer)",
                MIN_CAPABILITY.0, MIN_CAPABILITY.1
            ),
            hint: None,
        });
    }
    if mode == MODE_PROHIBITED {
        return Some(Refusal {
            reason: "its compute mode prohibits computing".to_owned(),
            hint: Some(format!(
                "an administrator sets it: nvidia-smi -i {} -c DEFAULT",
                gpu.pci
            )),
        });
    }
    None
}
