//! A GPU as a device: it holds the weights and makes lanes.

use std::sync::Arc;
use std::time::Duration;

use sessile_device::{
    DType, Device, DeviceError, DeviceErrorKind, DeviceId, Geometry, LaneSpec, RowSource,
    WeightLayout,
};

use crate::context::Context;
use crate::cublaslt::CublasLt;
use crate::discovery::Gpu;
use crate::driver::Driver;
use crate::geometry::CudaGeometry;
use crate::kernels::{Kernels, Target};
use crate::lane::CudaLane;
use crate::packing::Packing;
use crate::peak;
use crate::products::Products;
use crate::weight::CudaWeight;

/// Bytes of shared memory that a block may take beside what is asked for dynamically.
const STATIC_SHARED_BYTES: usize = 1024;

/// A GPU with its kernels loaded. Cloning shares it.
#[derive(Clone)]
pub struct CudaDevice {
    pub(crate) shared: Arc<Shared>,
    records: bool,
}

/// What the device and its lanes share.
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) kernels: Kernels,
    pub(crate) products: Option<Arc<Products>>,
    pub(crate) packing: Packing,
    capability: (i32, i32),
    /// `h100-80gb-hbm3x132`: the product and its multiprocessors.
    product: String,
    shared_bytes: usize,
    driver_version: i32,
}

impl Shared {
    /// Bytes of dynamic shared memory that a block may take.
    pub(crate) fn dynamic_shared_limit(&self) -> usize {
        self.shared_bytes.saturating_sub(STATIC_SHARED_BYTES)
    }
}

impl CudaDevice {
    /// Opens a GPU and loads the kernels for it. Products run on cuBLASLt where it is given, else
    /// on the embedded kernels. `threads` pack weights at load.
    ///
    /// # Errors
    ///
    /// `Unsupported` when the kernels do not load, `OutOfMemory`, or `Lost` when the driver fails.
    pub fn new(
        driver: &'static Driver,
        gpu: &Gpu,
        cublaslt: Option<&'static CublasLt>,
        threads: usize,
    ) -> Result<Self, DeviceError> {
        if let Some(refusal) = &gpu.refusal {
            return Err(DeviceError::new(
                DeviceErrorKind::Unsupported,
                format!("cuda:{}: {}", gpu.ordinal, refusal.reason),
            ));
        }
        let context = Context::new(driver, gpu.ordinal)?;
        let kernels = Kernels::load(&context, gpu.capability, gpu.shared_bytes)?;
        let products = match cublaslt.map(|library| Products::new(&context, library)) {
            Some(Ok(products)) => Some(Arc::new(products)),
            Some(Err(error)) if error.kind() != DeviceErrorKind::Lost => {
                tracing::warn!("{error}: products run on own kernels, which are slower");
                None
            }
            Some(Err(error)) => return Err(error),
            None => None,
        };
        Ok(CudaDevice {
            records: true,
            shared: Arc::new(Shared {
                packing: Packing::new(&context, threads),
                kernels,
                products,
                capability: gpu.capability,
                product: format!("{}x{}", product(&gpu.name), gpu.multiprocessors),
                shared_bytes: gpu.shared_bytes as usize,
                driver_version: driver.version(),
                context,
            }),
        })
    }

    /// The device with lanes that queue every kernel by itself: no CUDA graphs of small passes.
    #[must_use]
    pub fn without_graphs(mut self) -> Self {
        self.records = false;
        self
    }

    /// Free and total bytes of the GPU's memory.
    ///
    /// # Errors
    ///
    /// `Lost` when the driver fails.
    pub fn memory(&self) -> Result<(u64, u64), DeviceError> {
        self.shared.context.memory()
    }

    /// Floating-point operations per second of one large product in `dtype`, with random data,
    /// measured for about `duration`: what the rates of models are a fraction of.
    ///
    /// # Errors
    ///
    /// As loading a weight and running a lane.
    pub fn peak_flops(&self, dtype: DType, duration: Duration) -> Result<f64, DeviceError> {
        peak::measure(self, dtype, duration)
    }

    /// Whether the GPU was lost: nothing will work on it any more in this process.
    pub fn is_lost(&self) -> bool {
        self.shared.context.is_lost()
    }
}

impl Device for CudaDevice {
    type Weight = CudaWeight;
    type Lane = CudaLane;

    fn id(&self) -> DeviceId {
        DeviceId::Cuda(self.shared.context.ordinal())
    }

    /// For example `cuda-sm_90a-h100-80gb-hbm3x132-cublaslt120405-bf16`: the order of sums follows
    /// from the kernels' target, the library that multiplies, the GPU it chooses for (a part of a
    /// GPU has fewer multiprocessors) and the number format.
    fn kernel_family(&self, dtype: DType) -> String {
        let (major, minor) = self.shared.capability;
        let product = &self.shared.product;
        let target = match Target::of(self.shared.capability) {
            // The driver compiles these for the GPU's capability, every version in its way.
            Target::Compute80 => format!(
                "compute_80-on-{major}.{minor}-by-{}",
                self.shared.driver_version
            ),
            target => target.name().to_owned(),
        };
        match &self.shared.products {
            Some(products) => {
                let version = products.version();
                format!("cuda-{target}-{product}-cublaslt{version}-{dtype}")
            }
            None => format!("cuda-{target}-own-{dtype}"),
        }
    }

    fn geometry(&self) -> &dyn Geometry {
        &CudaGeometry
    }

    fn pack(
        &self,
        parts: &[&dyn RowSource],
        layout: WeightLayout,
        dtype: DType,
    ) -> Result<CudaWeight, DeviceError> {
        self.shared.packing.pack(parts, layout, dtype)
    }

    fn lane(&self, spec: &LaneSpec) -> Result<CudaLane, DeviceError> {
        // Weights are there by now.
        self.shared.packing.rest();
        CudaLane::new(&self.shared, spec.arena_bytes, self.records)
    }
}

/// The product's name as a word: small letters, and dashes for what is neither letter nor digit.
fn product(name: &str) -> String {
    let words: Vec<String> = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("nvidia"))
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_words() {
        let cases = [
            ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
            (
                "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
                "h100-80gb-hbm3-mig-1g-10gb",
            ),
            ("NVIDIA A100-SXM4-40GB", "a100-sxm4-40gb"),
            ("", ""),
        ];
        for (name, word) in cases {
            assert_eq!(product(name), word);
        }
    }
}
