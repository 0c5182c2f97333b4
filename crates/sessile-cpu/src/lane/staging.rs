//! Values on their way to the host. Their memory is used again and again.

use sessile_device::{DeviceError, DeviceErrorKind, Ticket};

use crate::gather;
use crate::rows::{Rows, RowsMut};
use crate::team::Team;

/// Values that are too many to copy: 4 MiB. A step of BART with 128 rows scores 26 MB of tokens.
/// Fewer are copied, so that a mixture of sizes settles without growing.
const LARGE: usize = 1 << 20;

/// Copies made by reads that nobody has waited for yet, and the memory of earlier ones.
#[derive(Default)]
pub(crate) struct Staging {
    serial: u64,
    slots: Vec<Slot>,
}

struct Slot {
    /// Which read the values belong to; 0: nobody's, free.
    serial: u64,
    values: Vec<f32>,
}

impl Staging {
    /// Copies `x`: its buffer may be given back before anybody waits.
    pub(crate) fn read(&mut self, team: &mut Team, x: Rows<'_>) -> Ticket {
        self.serial += 1;
        let len = x.rows() * x.cols();
        // The free slot that fits best, so that a mixture of sizes settles without growing.
        let free = self
            .slots
            .iter_mut()
            .filter(|slot| slot.serial == 0)
            .min_by_key(|slot| {
                (
                    slot.values.capacity() < len,
                    slot.values.capacity().abs_diff(len),
                )
            });
        let slot = match free {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot {
                    serial: 0,
                    values: Vec::new(),
                });
                let last = self.slots.len() - 1;
                &mut self.slots[last]
            }
        };
        slot.serial = self.serial;
        slot.values.resize(len, 0.0);
        let start = slot.values.as_mut_ptr();
        // SAFETY: so many floats, which are lent to the copy alone.
        let to = unsafe { RowsMut::from_ptr(start, x.rows(), x.cols(), x.cols()) };
        gather::copy(team, x, to);
        Ticket {
            serial: self.serial,
            len,
        }
    }

    /// Hands the values of a read over and frees their slot. Where there are many, the slot gets the
    /// memory that the caller had them in before instead of a copy.
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
        slot.serial = 0;
        if slot.values.len() >= LARGE {
            std::mem::swap(into, &mut slot.values);
        } else {
            into.clear();
            into.extend_from_slice(&slot.values);
        }
        Ok(())
    }

    /// Forgets every read: the pass they belong to has failed.
    pub(crate) fn forget(&mut self) {
        for slot in &mut self.slots {
            slot.serial = 0;
        }
    }
}
