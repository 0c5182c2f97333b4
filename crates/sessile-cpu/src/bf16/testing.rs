//! What the tests of this format share.

use crate::bf16::product::Kernel;
use crate::isa::Isa;

/// Every family of kernels that this machine has, and the scalar twin.
pub(crate) fn kernels() -> Vec<Kernel> {
    let levels = Isa::ALL.into_iter().filter(|isa| isa.available());
    std::iter::once(Kernel::Twin)
        .chain(levels.map(Kernel::of))
        .collect()
}

/// Values to write to, between canaries: a store by inline assembly outside of its buffer is
/// invisible to AddressSanitizer, but not to these.
pub(crate) struct Guarded<T> {
    values: Vec<T>,
    canary: Vec<T>,
}

/// Values on either side: more than any kernel writes at once.
const GUARD: usize = 4096;

impl<T: Copy + PartialEq + std::fmt::Debug + Default> Guarded<T> {
    /// `values` with canaries around them.
    pub(crate) fn new(values: Vec<T>) -> Self {
        let canary: Vec<T> = (0..GUARD)
            .map(|i| {
                values
                    .get(i % values.len().max(1))
                    .copied()
                    .unwrap_or_default()
            })
            .collect();
        let values = [&canary[..], &values, &canary].concat();
        Guarded { values, canary }
    }

    /// The first value.
    pub(crate) fn start(&mut self) -> *mut T {
        self.values[GUARD..].as_mut_ptr()
    }

    /// The values, after a look at the canaries.
    pub(crate) fn check(self) -> Vec<T> {
        let end = self.values.len() - GUARD;
        assert!(
            self.values[..GUARD] == self.canary,
            "written before the buffer"
        );
        assert!(
            self.values[end..] == self.canary,
            "written after the buffer"
        );
        self.values[GUARD..end].to_vec()
    }
}

/// A small generator of random values.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A value between −1 and 1.
    pub(crate) fn value(&mut self) -> f32 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// As many values.
    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}
