//! Values on their way to the GPU and back, through pinned memory that is used again and again.

use std::sync::Arc;

use sessile_device::{DeviceError, DeviceErrorKind, Ticket};

use crate::context::{Context, Event, PinnedMemory, Plain, Stream};
use crate::driver::RawAddress;

/// The first size of what uploads go through: the tokens and offsets of a large batch.
const UPLOAD_BYTES: usize = 1 << 20;

/// Uploads start at multiples of this.
const UPLOAD_ALIGNMENT: usize = 64;

/// What uploads go through. A piece is used again when everything before it has been copied.
pub(crate) struct Uploads {
    memory: PinnedMemory,
    used: usize,
}

impl Uploads {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        Ok(Uploads {
            memory: PinnedMemory::new(context, UPLOAD_BYTES)?,
            used: 0,
        })
    }

    /// Queues a copy of `values` to `to`.
    pub(crate) fn copy<T: Plain>(
        &mut self,
        context: &Arc<Context>,
        stream: &Stream,
        to: RawAddress,
        values: &[T],
    ) -> Result<(), DeviceError> {
        let bytes = size_of_val(values);
        if self.used + bytes > self.memory.len() {
            // Copies may be under way: the memory is not touched before they are done.
            stream.wait()?;
            self.used = 0;
            if bytes > self.memory.len() {
                self.memory = PinnedMemory::new(context, bytes.next_power_of_two())?;
            }
        }
        self.memory
            .write(self.used, values.len())
            .copy_from_slice(values);
        stream.copy_in(to, &self.memory, self.used, bytes)?;
        self.used = (self.used + bytes).next_multiple_of(UPLOAD_ALIGNMENT);
        Ok(())
    }
}

/// Reads that nobody has waited for yet, and the memory of earlier ones.
#[derive(Default)]
pub(crate) struct Reads {
    serial: u64,
    slots: Vec<Slot>,
}

struct Slot {
    /// Which read the values belong to; 0: nobody's, free.
    serial: u64,
    memory: PinnedMemory,
    done: Event,
}

impl Reads {
    /// Queues a copy of `rows` rows of `cols` f32 values that lie `stride` apart. Where that fails
    /// there is a ticket all the same: waiting for it tells.
    pub(crate) fn read(
        &mut self,
        context: &Arc<Context>,
        stream: &Stream,
        from: RawAddress,
        [rows, cols, stride]: [usize; 3],
    ) -> (Ticket, Result<(), DeviceError>) {
        self.serial += 1;
        let ticket = Ticket {
            serial: self.serial,
            len: rows * cols,
        };
        let result = self.enqueue(context, stream, from, [rows, cols, stride]);
        (ticket, result)
    }

    fn enqueue(
        &mut self,
        context: &Arc<Context>,
        stream: &Stream,
        from: RawAddress,
        [rows, cols, stride]: [usize; 3],
    ) -> Result<(), DeviceError> {
        const SIZE: usize = size_of::<f32>();
        let bytes = rows * cols * SIZE;
        // The free slot that fits best, so that a mixture of sizes settles without growing.
        let free = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.serial == 0 && slot.memory.len() >= bytes)
            .min_by_key(|(_, slot)| slot.memory.len())
            .map(|(index, _)| index);
        let index = match free {
            Some(index) => index,
            None => {
                let memory = PinnedMemory::new(context, bytes.next_power_of_two())?;
                let done = Event::new(context)?;
                // One that is too small makes room, so that the number of slots does not grow with
                // the sizes seen.
                match self.slots.iter().position(|slot| slot.serial == 0) {
                    Some(index) => self.slots[index].memory = memory,
                    None => self.slots.push(Slot {
                        serial: 0,
                        memory,
                        done,
                    }),
                }
                self.slots
                    .iter()
                    .position(|slot| slot.serial == 0 && slot.memory.len() >= bytes)
                    .unwrap_or_default()
            }
        };
        let slot = &mut self.slots[index];
        if cols == stride || rows <= 1 {
            stream.copy_out(&mut slot.memory, 0, from, bytes)?;
        } else {
            for row in 0..rows {
                let from = from + (row * stride * SIZE) as u64;
                stream.copy_out(&mut slot.memory, row * cols * SIZE, from, cols * SIZE)?;
            }
        }
        slot.done.record(stream)?;
        slot.serial = self.serial;
        Ok(())
    }

    /// Waits for a read, hands its values over and frees their slot.
    pub(crate) fn take(&mut self, ticket: Ticket, into: &mut Vec<f32>) -> Result<(), DeviceError> {
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.serial == ticket.serial && ticket.serial != 0)
            .ok_or_else(|| {
                DeviceError::new(
                    DeviceErrorKind::Misuse,
                    "there is nothing to wait for: the read was taken or its pass failed",
                )
            })?;
        let waited = slot.done.wait();
        slot.serial = 0;
        waited?;
        into.clear();
        into.extend_from_slice(slot.memory.read(ticket.len));
        Ok(())
    }

    /// Forgets every read: the pass they belong to has failed, and the stream is idle.
    pub(crate) fn forget(&mut self) {
        for slot in &mut self.slots {
            slot.serial = 0;
        }
    }
}
