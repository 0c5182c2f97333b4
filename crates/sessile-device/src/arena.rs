//! The bookkeeping of a lane's arena: a stack of buffers inside one block of memory.
//!
//! Devices and [`PlanDevice`](crate::PlanDevice) use this same code, so what a plan says is what a
//! lane takes.

use crate::buffer::{Buf, Format, Mark};
use crate::device::Geometry;
use crate::error::{DeviceError, DeviceErrorKind};

/// Every buffer starts at a multiple of this, in bytes: a cache-line pair and a CUDA transaction.
pub const ALIGNMENT: usize = 256;

/// A stack of buffers in a block of `capacity` bytes. Holds no memory itself.
#[derive(Clone, Debug)]
pub struct Arena {
    capacity: usize,
    used: usize,
    peak: usize,
}

impl Arena {
    /// An empty stack over `capacity` bytes.
    pub const fn new(capacity: usize) -> Self {
        Arena {
            capacity,
            used: 0,
            peak: 0,
        }
    }

    /// Puts a buffer on the stack.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the block is full.
    pub fn buffer(
        &mut self,
        geometry: &dyn Geometry,
        rows: usize,
        cols: usize,
        format: Format,
    ) -> Result<Buf, DeviceError> {
        let offset = self.bytes(geometry.buffer_bytes(rows, cols, format))?;
        Ok(Buf::at(offset, rows, cols, format))
    }

    /// Puts `bytes` on the stack and returns where they start.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the block is full.
    pub fn bytes(&mut self, bytes: usize) -> Result<usize, DeviceError> {
        let offset = self.used;
        let end = bytes
            .checked_next_multiple_of(ALIGNMENT)
            .and_then(|bytes| offset.checked_add(bytes))
            .filter(|&end| end <= self.capacity)
            .ok_or_else(|| {
                DeviceError::new(
                    DeviceErrorKind::OutOfMemory,
                    format!(
                        "a batch needs {bytes} bytes of workspace where {} of {} are left",
                        self.capacity - offset,
                        self.capacity
                    ),
                )
            })?;
        self.used = end;
        self.peak = self.peak.max(end);
        Ok(offset)
    }

    /// The height of the stack now.
    pub const fn mark(&self) -> Mark {
        Mark(self.used)
    }

    /// Takes everything off that was put on since `mark`.
    pub fn release(&mut self, mark: Mark) {
        debug_assert!(mark.0 <= self.used);
        self.used = mark.0;
    }

    /// The greatest height so far, in bytes.
    pub const fn peak(&self) -> usize {
        self.peak
    }

    /// The size of the block, in bytes.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
}
