//! Weights on their way to a GPU: read in blocks of rows, rounded on the host, copied through
//! pinned memory by several threads at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sessile_device::{
    DType, DeviceError, DeviceErrorKind, Geometry, RowSource, WeightLayout, arena,
};

use crate::context::{Context, DeviceMemory, PinnedMemory, Stream};
use crate::driver::RawAddress;
use crate::geometry::{CudaGeometry, padded};
use crate::half;
use crate::weight::CudaWeight;

/// Pinned bytes of one thread that packs.
const STAGE_BYTES: usize = 8 << 20;

/// Threads that pack at most: more do not fill a PCIe link any faster.
const MAX_THREADS: usize = 8;

/// Weights below this share a block of device memory: the driver hands out whole megabytes.
const SMALL_BYTES: usize = 4 << 20;

/// The size of such a block.
const SLAB_BYTES: usize = 32 << 20;

/// One thread's way to the GPU.
struct Packer {
    // Dropped first: it waits for the copies out of the stage.
    stream: Stream,
    stage: PinnedMemory,
    values: Vec<f32>,
}

/// The block that small weights are cut from.
struct Slab {
    memory: Arc<DeviceMemory>,
    used: usize,
}

/// Where weights are packed. Its memory is kept from weight to weight.
pub(crate) struct Packing {
    context: Arc<Context>,
    threads: usize,
    packers: Mutex<Vec<Packer>>,
    slab: Mutex<Option<Slab>>,
}

/// What a block of rows is and where it goes.
#[derive(Clone, Copy)]
struct Plan<'a> {
    parts: &'a [&'a dyn RowSource],
    rows: usize,
    cols: usize,
    /// Elements from row to row on the GPU.
    stride: usize,
    dtype: DType,
    gated: bool,
    address: RawAddress,
}

impl Packing {
    pub(crate) fn new(context: &Arc<Context>, threads: usize) -> Self {
        Packing {
            context: Arc::clone(context),
            threads: threads.clamp(1, MAX_THREADS),
            packers: Mutex::new(Vec::new()),
            slab: Mutex::new(None),
        }
    }

    /// Packs `parts`, stacked along their rows.
    pub(crate) fn pack(
        &self,
        parts: &[&dyn RowSource],
        layout: WeightLayout,
        dtype: DType,
    ) -> Result<CudaWeight, DeviceError> {
        let cols = parts.first().map_or(0, |part| part.cols());
        let rows: usize = parts.iter().map(|part| part.rows()).sum();
        let misuse = |message: String| Err(DeviceError::new(DeviceErrorKind::Misuse, message));
        if parts.iter().any(|part| part.cols() != cols) {
            return misuse("the parts of a weight have different numbers of columns".to_owned());
        }
        let gated = layout == WeightLayout::Gated;
        if gated && !rows.is_multiple_of(2) {
            return misuse(format!("a gated weight has an odd number of rows: {rows}"));
        }
        let (stride, stored) = match layout {
            WeightLayout::Linear | WeightLayout::Gated => (padded(cols, dtype), dtype),
            WeightLayout::Table => (cols, dtype),
            WeightLayout::TableF32 | WeightLayout::Vector => (cols, DType::F32),
        };
        let bytes = CudaGeometry.weight_bytes(rows, cols, layout, dtype);
        let (memory, address) = self.take(bytes)?;
        let plan = Plan {
            parts,
            rows,
            cols,
            stride,
            dtype: stored,
            gated,
            address,
        };
        self.copy(&plan)?;
        let rounded = match (layout, dtype) {
            (WeightLayout::Vector, DType::Bf16 | DType::F16) => {
                let behind = address + (rows * cols * size_of::<f32>()) as u64;
                self.copy(&Plan {
                    dtype,
                    address: behind,
                    ..plan
                })?;
                Some((behind, dtype))
            }
            _ => None,
        };
        Ok(CudaWeight {
            rows,
            cols,
            stride,
            layout,
            dtype: stored,
            address,
            rounded,
            _memory: memory,
        })
    }

    /// Memory for a weight.
    fn take(&self, bytes: usize) -> Result<(Arc<DeviceMemory>, RawAddress), DeviceError> {
        if bytes >= SMALL_BYTES {
            let memory = Arc::new(DeviceMemory::new(&self.context, bytes)?);
            let address = memory.address();
            return Ok((memory, address));
        }
        let mut slab = self.slab.lock().unwrap_or_else(PoisonError::into_inner);
        if slab
            .as_ref()
            .is_none_or(|slab| slab.used + bytes > slab.memory.len())
        {
            // A small GPU, or a small model on a full one, has no room for a whole block.
            let memory = DeviceMemory::new(&self.context, SLAB_BYTES)
                .or_else(|_| DeviceMemory::new(&self.context, bytes.max(arena::ALIGNMENT)))?;
            *slab = Some(Slab {
                memory: Arc::new(memory),
                used: 0,
            });
        }
        match slab.as_mut() {
            Some(slab) => {
                let address = slab.memory.address() + slab.used as u64;
                slab.used += bytes.next_multiple_of(arena::ALIGNMENT);
                Ok((Arc::clone(&slab.memory), address))
            }
            None => Err(DeviceError::new(
                DeviceErrorKind::OutOfMemory,
                "no memory for a weight",
            )),
        }
    }

    /// Reads, rounds and copies all rows.
    fn copy(&self, plan: &Plan<'_>) -> Result<(), DeviceError> {
        if plan.rows == 0 || plan.cols == 0 {
            return Ok(());
        }
        let row_bytes = plan.stride * plan.dtype.size();
        // A gated weight is copied in pairs of rows.
        let step = if plan.gated { 2 } else { 1 };
        let block = (STAGE_BYTES / row_bytes / step).max(1) * step;
        let blocks = plan.rows.div_ceil(block);
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let work = || {
            let result = self
                .packer(row_bytes * block.min(plan.rows))
                .and_then(|mut packer| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= blocks {
                            break;
                        }
                        let first = index * block;
                        packer.copy(plan, first, block.min(plan.rows - first))?;
                    }
                    self.packers
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(packer);
                    Ok(())
                });
            if let Err(error) = result {
                next.store(blocks, Ordering::Relaxed);
                failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(blocks) {
                // A thread that the system does not give is missed by nobody: the others do the work.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// A packer whose stage holds `bytes`, one of before where there is one.
    fn packer(&self, bytes: usize) -> Result<Packer, DeviceError> {
        let free = {
            let mut packers = self.packers.lock().unwrap_or_else(PoisonError::into_inner);
            packers
                .iter()
                .position(|packer| packer.stage.len() >= bytes)
                .map(|index| packers.swap_remove(index))
        };
        match free {
            Some(packer) => Ok(packer),
            None => Ok(Packer {
                stage: PinnedMemory::new(&self.context, bytes.max(STAGE_BYTES))?,
                stream: Stream::new(&self.context)?,
                values: Vec::new(),
            }),
        }
    }

    /// Gives the pinned memory back; the next weight takes it anew.
    pub(crate) fn rest(&self) {
        self.packers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Packer {
    /// Packs `count` rows from `first` on.
    fn copy(&mut self, plan: &Plan<'_>, first: usize, count: usize) -> Result<(), DeviceError> {
        let Plan { cols, stride, .. } = *plan;
        self.values.resize(count * cols, 0.0);
        if plan.gated {
            // Gate and value of an output become neighbours.
            let (gates, values) = self.values.split_at_mut(count / 2 * cols);
            read_rows(plan.parts, first / 2, gates)?;
            read_rows(plan.parts, plan.rows / 2 + first / 2, values)?;
        } else {
            read_rows(plan.parts, first, &mut self.values)?;
        }
        let size = plan.dtype.size();
        for row in 0..count {
            let source = if plan.gated {
                row / 2 + row % 2 * (count / 2)
            } else {
                row
            };
            let values = &self.values[source * cols..(source + 1) * cols];
            let offset = row * stride * size;
            if plan.dtype == DType::F32 {
                let to = self.stage.write::<f32>(offset, stride);
                to[..cols].copy_from_slice(values);
                to[cols..].fill(0.0);
            } else {
                let to = self.stage.write::<u16>(offset, stride);
                half::round_all(plan.dtype, values, &mut to[..cols]);
                to[cols..].fill(0);
            }
        }
        let address = plan.address + (first * stride * size) as u64;
        self.stream
            .copy_in(address, &self.stage, 0, count * stride * size)?;
        // The stage is written again next.
        self.stream.wait()
    }
}

/// Reads rows from `first` on into `out`, across the borders of parts.
fn read_rows(
    parts: &[&dyn RowSource],
    mut first: usize,
    mut out: &mut [f32],
) -> Result<(), DeviceError> {
    for part in parts {
        if out.is_empty() {
            break;
        }
        if first >= part.rows() {
            first -= part.rows();
            continue;
        }
        let here = (part.rows() - first).min(out.len() / part.cols());
        let (now, later) = out.split_at_mut(here * part.cols());
        part.read_rows(first, now)?;
        out = later;
        first = 0;
    }
    Ok(())
}
