//! Memory that requests hold, all together: bodies that are read and answers that are on their
//! way. What would go over the bound is refused at the door.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, FailureKind};

/// The bound is counted in units of this many bytes.
const UNIT: usize = 1024;

/// The memory that requests may hold.
#[derive(Clone)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    all: usize,
}

/// Memory that a request holds until this is dropped.
pub(crate) struct Hold {
    permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let all = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Budget {
            units: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// Takes `bytes`, or says that there is too little now or ever.
    pub(crate) fn hold(&self, bytes: usize, what: &str) -> Result<Hold, Failure> {
        let units = bytes.div_ceil(UNIT);
        if units > self.all {
            return Err(Failure::new(
                FailureKind::TooLarge,
                format!(
                    "{what} would take {} MiB, more than the {} MiB of all requests together; \
                     ask for less at a time",
                    bytes >> 20,
                    (self.all * UNIT) >> 20,
                ),
            ));
        }
        // At most all units, which fit.
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Arc::clone(&self.units)
            .try_acquire_many_owned(units)
            .map(|permit| Hold {
                permit: Some(permit),
            })
            .map_err(|_| {
                Failure::new(
                    FailureKind::Overloaded,
                    "requests hold all the memory they may; try again later",
                )
            })
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        (self.all - self.units.available_permits().min(self.all)) * UNIT
    }
}

impl Hold {
    /// Takes what another holds.
    pub(crate) fn absorb(&mut self, mut other: Hold) {
        match (&mut self.permit, other.permit.take()) {
            (Some(permit), Some(more)) => permit.merge(more),
            (mine, more) => *mine = more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let budget = Budget::new(10 * UNIT);
        let mut first = budget.hold(6 * UNIT, "this").unwrap();
        let late = budget.hold(5 * UNIT, "this").err().unwrap();
        assert_eq!(late.kind, FailureKind::Overloaded);
        first.absorb(budget.hold(1, "this").unwrap());
        assert_eq!(budget.held(), 7 * UNIT);
        drop(first);
        assert_eq!(budget.held(), 0);
        let never = budget.hold(11 * UNIT, "this").err().unwrap();
        assert_eq!(never.kind, FailureKind::TooLarge);
    }
}
