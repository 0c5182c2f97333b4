//! NVIDIA GPUs.

use std::sync::Arc;
use std::time::Duration;

use sessile_cuda::{
    CUBLASLT_VARIABLE, CublasLt, CudaDevice, CudaGeometry, DRIVER_VARIABLE, Driver, Gpu, Libraries,
    Visibility,
};
use sessile_device::{DType, DeviceError, DeviceId};

use super::{Backend, Budgets, FoundDevice, Hardware, OpenDevice, Survey, UnusedDevice};
use crate::error::{RuntimeError, RuntimeErrorKind};

/// Memory of a GPU that the program does not plan: its own code, that of cuBLASLt, and what is
/// left over where memory is handed out in whole blocks.
const OVERHEAD_BYTES: u64 = 384 << 20;

/// The same before CUDA 12.2, whose drivers load libraries whole unless they are told otherwise
/// (CUDA C++ Programming Guide, "Lazy Loading").
const OVERHEAD_BYTES_WHOLE: u64 = 1 << 30;

/// The version of CUDA from which on libraries are loaded piece by piece.
const LAZY_DRIVER: i32 = 12_020;

/// Names where products run: `own` leaves cuBLASLt aside.
const PRODUCTS_VARIABLE: &str = "SESSILE_CUDA_PRODUCTS";

/// `off`: every kernel of a small pass is queued by itself, not as a CUDA graph.
const GRAPHS_VARIABLE: &str = "SESSILE_CUDA_GRAPHS";

/// NVIDIA GPUs.
pub struct Cuda;

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn variables(&self) -> &'static [&'static str] {
        &[
            PRODUCTS_VARIABLE,
            GRAPHS_VARIABLE,
            DRIVER_VARIABLE,
            CUBLASLT_VARIABLE,
        ]
    }

    fn discover(&self) -> Result<Survey, RuntimeError> {
        let own_products = is_set(PRODUCTS_VARIABLE, "own", "cublaslt")?;
        let records = !is_set(GRAPHS_VARIABLE, "off", "on")?;
        let found = sessile_cuda::survey(
            &Libraries::from_environment(),
            &Visibility::from_environment(),
        );
        let mut survey = Survey::default();
        let driver = match found.driver {
            Ok(driver) => driver,
            Err(absence) => {
                survey.unused.push(UnusedDevice {
                    name: self.name().to_owned(),
                    description: "NVIDIA GPUs".to_owned(),
                    reason: absence.to_string(),
                    hint: absence.hint().map(str::to_owned),
                });
                return Ok(survey);
            }
        };
        for gpu in found.gpus {
            let id = DeviceId::Cuda(gpu.ordinal);
            let description = describe(&gpu);
            if let Some(refusal) = gpu.refusal {
                survey.unused.push(UnusedDevice {
                    name: id.to_string(),
                    description,
                    reason: refusal.reason,
                    hint: refusal.hint,
                });
                continue;
            }
            let (cublaslt, note) = match &found.cublaslt {
                _ if own_products => (
                    None,
                    format!("products on own kernels ({PRODUCTS_VARIABLE}=own)"),
                ),
                Ok(library) => (
                    Some(*library),
                    format!(
                        "products by cuBLASLt {} ({})",
                        library.version(),
                        library.path().display()
                    ),
                ),
                Err(absence) => {
                    let hint = absence.hint().unwrap_or_default();
                    let note =
                        format!("{absence}: products run on own kernels, which are slower; {hint}");
                    (None, note)
                }
            };
            survey.devices.push(FoundDevice {
                id,
                description,
                dtypes: vec![DType::Bf16, DType::F16, DType::F32],
                available_bytes: None,
                cores: 0,
                rates: None,
                notes: vec![note],
                geometry: Arc::new(CudaGeometry),
                backend: &Cuda,
                hardware: Some(Arc::new(Attached {
                    driver,
                    gpu,
                    cublaslt,
                    records,
                })),
            });
        }
        Ok(survey)
    }

    /// Two lanes: one copies and waits while the other computes. Batches fill every multiprocessor
    /// with whole tiles of any product. A step over 64 texts of four beams does about as many
    /// operations for each byte of weights as an H100 can (989 Tflop/s and 3.35 TB/s by NVIDIA's
    /// data sheet: 295 rows).
    fn budgets(&self) -> Budgets {
        Budgets {
            lanes: &[2, 1],
            tokens: &[16_384, 8192, 4096, 2048, 1024],
            texts: 64,
        }
    }
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

/// A GPU of this machine.
struct Attached {
    driver: &'static Driver,
    gpu: Gpu,
    cublaslt: Option<&'static CublasLt>,
    records: bool,
}

impl Attached {
    fn device(&self, threads: usize) -> Result<CudaDevice, DeviceError> {
        let device = CudaDevice::new(self.driver, &self.gpu, self.cublaslt, threads)?;
        Ok(if self.records {
            device
        } else {
            device.without_graphs()
        })
    }
}

impl Hardware for Attached {
    fn free_bytes(&self) -> Result<Option<u64>, RuntimeError> {
        let (free, _) = sessile_cuda::memory(self.driver, &self.gpu)?;
        let unplanned = match self.driver.version() {
            LAZY_DRIVER.. => OVERHEAD_BYTES,
            _ => OVERHEAD_BYTES_WHOLE,
        };
        Ok(Some(free.saturating_sub(unplanned)))
    }

    fn open(&self, threads: usize) -> Result<Box<dyn OpenDevice>, DeviceError> {
        Ok(Box::new(self.device(threads)?))
    }

    /// The products of one large shape, by the library that the models use.
    fn peak_flops(&self, dtype: DType, threads: usize, duration: Duration) -> Option<f64> {
        self.device(threads).ok()?.peak_flops(dtype, duration).ok()
    }

    fn peak_bytes(&self, _: usize, _: Duration) -> Option<f64> {
        None
    }
}
