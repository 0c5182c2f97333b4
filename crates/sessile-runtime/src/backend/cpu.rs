//! The processor.

use std::sync::Arc;
use std::time::Duration;

use sessile_cpu::{CpuDevice, CpuGeometry, CpuOptions, ISA_VARIABLE, Isa, peak, processor_name};
use sessile_device::{DType, DeviceError, DeviceId};

use super::{Backend, Budgets, FoundDevice, Hardware, OpenDevice, Survey};
use crate::error::RuntimeError;
use crate::{machine, rates};

/// The processor.
pub struct Cpu;

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn variables(&self) -> &'static [&'static str] {
        &[ISA_VARIABLE]
    }

    fn discover(&self) -> Result<Survey, RuntimeError> {
        let isa = Isa::detect()?;
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
        let device = FoundDevice {
            id: DeviceId::Cpu,
            description: format!("{}, {} cores, {isa}", processor_name(), machine::cores()),
            dtypes,
            available_bytes: memory.map(|memory| memory.bytes),
            cores: machine::cores(),
            rates,
            notes,
            geometry: Arc::new(CpuGeometry::new(isa)),
            backend: &Cpu,
            hardware: Some(Arc::new(Processor)),
        };
        Ok(Survey {
            devices: vec![device],
            unused: Vec::new(),
        })
    }

    /// Lanes of one thread have no barriers between them and give the throughput. Batches are large
    /// enough that reading the weights again for each costs little, small enough that activations
    /// stay near the caches. From 32 texts on, the arithmetic of a step takes as long as reading
    /// the weights for it.
    fn budgets(&self) -> Budgets {
        Budgets {
            lanes: &[],
            tokens: &[2048],
            texts: 32,
        }
    }
}

/// The processor of this machine.
struct Processor;

impl Hardware for Processor {
    fn free_bytes(&self) -> Result<Option<u64>, RuntimeError> {
        Ok(machine::available_memory().map(|memory| memory.bytes))
    }

    fn open(&self, threads: usize) -> Result<Box<dyn OpenDevice>, DeviceError> {
        let options = CpuOptions { isa: None, threads };
        Ok(Box::new(CpuDevice::new(options)?))
    }

    fn peak_flops(&self, dtype: DType, threads: usize, duration: Duration) -> Option<f64> {
        match dtype {
            DType::F32 => Some(peak::f32_flops(threads, duration)),
            DType::Bf16 => peak::bf16_flops(threads, duration),
            _ => None,
        }
    }

    fn peak_bytes(&self, threads: usize, duration: Duration) -> Option<f64> {
        Some(peak::memory_bytes(threads, duration))
    }
}
