//! The ordered parallel map: order, bounds, and how it ends when something fails.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use sessile_seq::parallel::map_in_order;

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn keeps_order_and_stays_bounded_when_items_are_slow() {
    for count in [1, 2, 5] {
        let (taken, given) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items = (0..400_usize).inspect(|_| {
            taken.fetch_add(1, Ordering::SeqCst);
        });
        let work = |item: usize| {
            if item.is_multiple_of(37) {
                sleep(Duration::from_millis(2));
            }
            item * 2
        };
        let mut results = Vec::new();
        map_in_order(
            items,
            threads(count),
            || work,
            |result| {
                let ahead = taken.load(Ordering::SeqCst) - given.fetch_add(1, Ordering::SeqCst);
                assert!(
                    ahead <= 4 * count + 1,
                    "{ahead} items under way on {count} threads"
                );
                results.push(result);
                Ok::<(), ()>(())
            },
        )
        .unwrap();
        assert!(results.into_iter().eq((0..400).map(|item| item * 2)));
    }
}

#[test]
fn an_error_of_the_sink_stops_an_endless_source() {
    for count in [1, 4] {
        let outcome = map_in_order(
            0_u64..,
            threads(count),
            || |item| item,
            |item| {
                if item < 100 { Ok(()) } else { Err(item) }
            },
        );
        assert_eq!(outcome, Err(100));
    }
}

#[test]
fn a_panic_of_a_worker_or_the_source_is_passed_on() {
    let nothing = |_| Ok::<(), ()>(());
    for count in [1, 3] {
        let worker = catch_unwind(AssertUnwindSafe(|| {
            let work = |item: u32| assert!(item != 50, "worker");
            map_in_order(0..1_000, threads(count), || work, nothing)
        }));
        assert!(worker.is_err());
        let source = catch_unwind(AssertUnwindSafe(|| {
            let items = (0..1_000_u32).inspect(|&item| assert!(item != 50, "source"));
            map_in_order(items, threads(count), || |_| (), nothing)
        }));
        assert!(source.is_err());
    }
}
