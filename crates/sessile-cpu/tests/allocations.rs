//! A pass after the first allocates nothing, on any number of threads.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Answers, Block, batch};
use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_device::{DType, Device, LaneSpec};

/// The system's allocator, counted over all threads.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

// One test: others beside it would be counted too.
#[test]
fn a_pass_after_the_first_allocates_nothing() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let device = CpuDevice::new(CpuOptions {
            isa: Some(isa),
            threads: 1,
        })
        .unwrap();
        let batches = [batch(&[40, 7, 300]), batch(&[1, 90]), batch(&[347])];
        for (threads, dtype) in [1, 3]
            .into_iter()
            .flat_map(|threads| [DType::F32, DType::Bf16].map(|dtype| (threads, dtype)))
        {
            let block = Block::new(&device, dtype).unwrap();
            let spec = LaneSpec {
                arena_bytes: 4 << 20,
                threads,
            };
            let mut lane = device.lane(&spec).unwrap();
            let mut answers = Answers::default();
            let mut pass = || {
                for batch in &batches {
                    block.run(&mut lane, batch, dtype, &mut answers).unwrap();
                }
            };
            pass();
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            pass();
            let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(count, 0, "{isa} {dtype}, {threads} threads");
        }
    }
}
