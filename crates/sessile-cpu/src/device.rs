//! The CPU as a device: it packs weights and makes lanes.

use std::num::NonZeroUsize;

use sessile_device::{
    DType, Device, DeviceError, DeviceErrorKind, DeviceId, Geometry, LaneSpec, RowSource,
    WeightLayout,
};

use crate::geometry::CpuGeometry;
use crate::isa::Isa;
use crate::lane::CpuLane;
use crate::weight::CpuWeight;

/// What a [`CpuDevice`] may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// The instruction set; `None`: the best one of the machine that `SESSILE_ISA` allows.
    pub isa: Option<Isa>,
    /// Threads that pack weights at load; 0: one for every processor.
    pub threads: usize,
}

/// The processor with the kernels of one instruction set.
#[derive(Clone, Debug)]
pub struct CpuDevice {
    geometry: CpuGeometry,
    threads: usize,
}

impl CpuDevice {
    /// A device with these options.
    ///
    /// # Errors
    ///
    /// - `Unsupported` when this machine does not have the instruction set that is asked for,
    /// - `Misuse` when `SESSILE_ISA` names none.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_cpu::{CpuDevice, CpuOptions, Isa};
    ///
    /// let device = CpuDevice::new(CpuOptions { isa: Some(Isa::Portable), threads: 1 })?;
    /// assert_eq!(device.isa(), Isa::Portable);
    /// # Ok::<(), sessile_device::DeviceError>(())
    /// ```
    pub fn new(options: CpuOptions) -> Result<Self, DeviceError> {
        let isa = match options.isa {
            Some(isa) if isa.available() => isa,
            Some(isa) => {
                return Err(DeviceError::new(
                    DeviceErrorKind::Unsupported,
                    format!("this machine has no {isa}"),
                ));
            }
            None => Isa::detect()?,
        };
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads,
        };
        Ok(CpuDevice {
            geometry: CpuGeometry::new(isa),
            threads,
        })
    }

    /// The instruction set of the kernels.
    pub fn isa(&self) -> Isa {
        self.geometry.isa()
    }
}

impl Device for CpuDevice {
    type Weight = CpuWeight;
    type Lane = CpuLane;

    fn id(&self) -> DeviceId {
        DeviceId::Cpu
    }

    fn kernel_family(&self, dtype: DType) -> String {
        let isa = match (self.isa(), dtype) {
            // Tiles and pairs are bf16: in f32 the kernels, and so the bytes, are those of AVX-512.
            (Isa::Amx | Isa::Avx512Bf16, DType::F32) => Isa::Avx512,
            (isa, _) => isa,
        };
        format!("cpu-{isa}-{dtype}")
    }

    fn geometry(&self) -> &dyn Geometry {
        &self.geometry
    }

    fn pack(
        &self,
        parts: &[&dyn RowSource],
        layout: WeightLayout,
        dtype: DType,
    ) -> Result<CpuWeight, DeviceError> {
        CpuWeight::pack(parts, layout, dtype, self.isa(), self.threads)
    }

    fn lane(&self, spec: &LaneSpec) -> Result<CpuLane, DeviceError> {
        CpuLane::new(self.geometry, spec)
    }
}
