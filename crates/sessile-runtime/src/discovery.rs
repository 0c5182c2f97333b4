//! Which devices this process can use, and why.

use std::sync::Arc;

use sessile_cpu::{CpuGeometry, Isa};
use sessile_device::{DType, DeviceId, Geometry};

use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::machine;
use crate::options::{DTypeChoice, DeviceChoice};

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
    /// Anything a user should know about how it will be used.
    pub notes: Vec<String>,
    /// Its sizes.
    pub geometry: Arc<dyn Geometry>,
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

/// Finds the devices of this machine.
///
/// # Errors
///
/// `Option` when `SESSILE_ISA` names something that this machine does not have.
pub fn discover() -> Result<Vec<FoundDevice>, RuntimeError> {
    let isa = Isa::detect()?;
    Ok(vec![cpu(isa)])
}

/// The processor at this level.
fn cpu(isa: Isa) -> FoundDevice {
    let mut notes = Vec::new();
    let dtypes = if isa == Isa::Amx {
        vec![DType::Bf16, DType::F32]
    } else {
        notes.push("no AMX: bf16 works but is slower than f32".to_owned());
        vec![DType::F32, DType::Bf16]
    };
    FoundDevice {
        id: DeviceId::Cpu,
        description: format!("{} cores, {isa}", machine::cores()),
        dtypes,
        available_bytes: machine::available_memory(),
        cores: machine::cores(),
        notes,
        geometry: Arc::new(CpuGeometry::new(isa)),
    }
}

/// The devices that `choice` means, of those that were found.
///
/// # Errors
///
/// `Device` when one that was asked for is not there.
pub fn choose(
    found: Vec<FoundDevice>,
    choice: &DeviceChoice,
) -> Result<Vec<FoundDevice>, RuntimeError> {
    let DeviceChoice::Only(wanted) = choice else {
        return Ok(found);
    };
    wanted
        .iter()
        .map(|id| {
            found
                .iter()
                .find(|device| device.id == *id)
                .cloned()
                .ok_or_else(|| {
                    RuntimeError::new(
                        RuntimeErrorKind::Device,
                        format!("device {id} is not there or can not be used"),
                    )
                    .with_hint("`sessile devices` lists what was found")
                })
        })
        .collect()
}
