//! Memory that requests hold, all together: bodies that have arrived, what is made of them, and
//! answers until they are sent. What would go over the bound is refused at the door.
//!
//! Beside the bound there is a reserve for small requests, so that large ones cannot shut them out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::{Failure, FailureKind};

/// One request may hold one part in so many of the bound, so that the largest leaves room for others.
const ONE_SHARE: usize = 2;

/// The reserve is one part in so many of the bound, and comes on top of it.
const RESERVE_SHARE: usize = 8;

/// A request is small while it holds at most one part in so many of the reserve.
const SMALL_SHARE: usize = 16;

/// The memory that requests may hold.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Pools>);

struct Pools {
    /// Bytes that all requests may hold.
    most: usize,
    /// Bytes that small requests may hold besides.
    reserve: usize,
    used: Mutex<Used>,
}

#[derive(Clone, Copy, Default)]
struct Used {
    common: usize,
    reserve: usize,
}

/// Memory that a request holds until the last clone of this is dropped.
#[derive(Clone)]
pub(crate) struct Hold(Arc<Held>);

struct Held {
    pools: Arc<Pools>,
    part: Mutex<Part>,
}

/// What one request uses, and of which pool.
#[derive(Clone, Copy, Default)]
struct Part {
    bytes: usize,
    is_reserve: bool,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Budget(Arc::new(Pools {
            most,
            reserve: most / RESERVE_SHARE,
            used: Mutex::default(),
        }))
    }

    /// A hold of nothing, which grows.
    pub(crate) fn hold(&self) -> Hold {
        Hold(Arc::new(Held {
            pools: Arc::clone(&self.0),
            part: Mutex::default(),
        }))
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        let used = locked(&self.0.used);
        used.common + used.reserve
    }
}

/// Every change under these locks is of plain numbers.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hold {
    /// Holds so many bytes from now on, or as many as before and says that there is too little now
    /// or ever.
    pub(crate) fn resize(&self, bytes: usize, what: &str) -> Result<(), Failure> {
        let pools = &self.0.pools;
        let most_of_one = pools.most / ONE_SHARE;
        if bytes > most_of_one {
            return Err(Failure::new(
                FailureKind::TooLarge,
                format!(
                    "{what} would take {} MiB, more than the {} MiB that one request may hold; \
                     ask for less at a time",
                    bytes >> 20,
                    most_of_one >> 20,
                ),
            ));
        }
        let mut part = locked(&self.0.part);
        let mut used = locked(&pools.used);
        let others = used.without(*part);
        let common = others.common.saturating_add(bytes);
        let reserve = others.reserve.saturating_add(bytes);
        let is_small = bytes <= pools.reserve / SMALL_SHARE;
        if common <= pools.most {
            *used = Used { common, ..others };
            *part = Part {
                bytes,
                is_reserve: false,
            };
            Ok(())
        } else if is_small && reserve <= pools.reserve {
            *used = Used { reserve, ..others };
            *part = Part {
                bytes,
                is_reserve: true,
            };
            Ok(())
        } else {
            Err(Failure::new(
                FailureKind::Overloaded,
                "requests hold all the memory they may; try again later",
            ))
        }
    }

    /// Bytes that are held now.
    pub(crate) fn bytes(&self) -> usize {
        locked(&self.0.part).bytes
    }

    /// Holds no more than so many bytes from now on.
    pub(crate) fn shrink(&self, bytes: usize) {
        let mut part = locked(&self.0.part);
        if bytes < part.bytes {
            let less = Part {
                bytes: part.bytes - bytes,
                ..*part
            };
            let mut used = locked(&self.0.pools.used);
            *used = used.without(less);
            part.bytes = bytes;
        }
    }
}

impl Used {
    fn without(self, part: Part) -> Self {
        match part.is_reserve {
            true => Used {
                reserve: self.reserve - part.bytes,
                ..self
            },
            false => Used {
                common: self.common - part.bytes,
                ..self
            },
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let part = *locked(&self.part);
        let mut used = locked(&self.pools.used);
        *used = used.without(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(budget: &Budget, bytes: usize) -> Result<Hold, FailureKind> {
        let hold = budget.hold();
        match hold.resize(bytes, "this") {
            Ok(()) => Ok(hold),
            Err(failure) => Err(failure.kind),
        }
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let budget = Budget::new(1000);
        let first = held(&budget, 400).unwrap();
        let second = held(&budget, 400).unwrap();
        assert_eq!(held(&budget, 300).err(), Some(FailureKind::Overloaded));
        // Half of it is the most for one, however much is free.
        assert_eq!(held(&budget, 501).err(), Some(FailureKind::TooLarge));
        first.resize(500, "this").unwrap();
        let larger = first.resize(501, "this").unwrap_err();
        assert_eq!(larger.kind, FailureKind::TooLarge);
        drop(second);
        assert_eq!(budget.held(), 500);
        first.shrink(800);
        first.shrink(100);
        assert_eq!(budget.held(), 100);
        drop(first);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn large_requests_leave_a_reserve_to_small_ones() {
        let budget = Budget::new(1 << 20);
        let large = [(); ONE_SHARE].map(|()| held(&budget, (1 << 20) / ONE_SHARE).unwrap());
        let small = (1 << 20) / RESERVE_SHARE / SMALL_SHARE;
        assert!(held(&budget, small + 1).is_err());
        let mut others: Vec<Hold> = (0..SMALL_SHARE)
            .map(|_| held(&budget, small).unwrap())
            .collect();
        assert!(held(&budget, 1).is_err());
        // A small one that grows must find room where the large ones are.
        let growing = others.pop().unwrap();
        assert!(growing.resize(small + 1, "this").is_err());
        assert_eq!(budget.held(), (1 << 20) + SMALL_SHARE * small);
        drop(large);
        growing.resize(small + 1, "this").unwrap();
        drop((growing, others));
        assert_eq!(budget.held(), 0);
    }
}
