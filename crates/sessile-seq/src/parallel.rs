//! Working on a stream with several threads while its order is kept and its memory bounded.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many items may be under way for every thread: enough that a slow item stops nobody at once.
const ITEMS_PER_THREAD: usize = 4;

/// Works on every item of an iterator with `threads` threads and hands the results to `sink` on
/// the calling thread, in the order of the items.
///
/// `worker` is called once on each thread and returns what works on its items, so that every
/// thread has memory of its own. The iterator is advanced by one thread at a time; its items should
/// be batches, not single sequences. At most four items per thread are held, however slow one is.
/// With one thread everything runs on the caller's, and so it does where the system has none to give.
///
/// # Errors
///
/// The first error of `sink`; work stops then.
///
/// # Panics
///
/// When the iterator or a worker panics.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroUsize;
/// use sessile_seq::parallel::map_in_order;
///
/// let mut squares = Vec::new();
/// let threads = NonZeroUsize::new(3).unwrap();
/// map_in_order(1..=5, threads, || |n: u32| n * n, |square| {
///     squares.push(square);
///     Ok::<(), ()>(())
/// })?;
/// assert_eq!(squares, [1, 4, 9, 16, 25]);
/// # Ok::<(), ()>(())
/// ```
pub fn map_in_order<I, M, W, O, S, E>(
    items: I,
    threads: NonZeroUsize,
    worker: M,
    mut sink: S,
) -> Result<(), E>
where
    I: Iterator + Send,
    I::Item: Send,
    M: Fn() -> W + Sync,
    W: FnMut(I::Item) -> O,
    O: Send,
    S: FnMut(O) -> Result<(), E>,
{
    if threads == NonZeroUsize::MIN {
        return items.map(worker()).try_for_each(sink);
    }
    let queue = Queue {
        source: Mutex::new(items.fuse().enumerate()),
        state: Mutex::new(State {
            results: BTreeMap::new(),
            room: threads.get().saturating_mul(ITEMS_PER_THREAD),
            working: threads.get(),
            stopped: false,
        }),
        changed: Condvar::new(),
    };
    let begin = || {
        // Also when the work panics, so that nobody waits for its result for ever.
        let _leaving = OnDrop(|| queue.leave());
        let mut work = worker();
        while let Some((place, item)) = queue.take() {
            queue.put(place, work(item));
        }
    };
    thread::scope(|scope| {
        let started = (0..threads.get())
            .map(|_| thread::Builder::new().spawn_scoped(scope, begin))
            .take_while(|thread| thread.is_ok())
            .count();
        // Where the system has no more threads to give, those that run do the work.
        (started..threads.get()).for_each(|_| queue.leave());
        if started == 0 {
            let mut work = worker();
            while let Some((_, item)) = queue.take() {
                sink(work(item))?;
                queue.make_room();
            }
            return Ok(());
        }
        let _stopping = OnDrop(|| queue.stop());
        let mut place = 0;
        while let Some(result) = queue.wait_for(place) {
            sink(result)?;
            queue.make_room();
            place += 1;
        }
        Ok(())
    })
}

struct Queue<I: Iterator, O> {
    source: Mutex<std::iter::Enumerate<std::iter::Fuse<I>>>,
    state: Mutex<State<O>>,
    /// Anything in the state changed. There are few threads and big items: one bell is enough.
    changed: Condvar,
}

struct State<O> {
    results: BTreeMap<usize, O>,
    /// How many more items may be taken from the source.
    room: usize,
    /// The threads that have not left.
    working: usize,
    stopped: bool,
}

impl<I: Iterator, O> Queue<I, O> {
    fn state(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State<O>>) -> MutexGuard<'s, State<O>> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item and its place, once there is room for its result.
    fn take(&self) -> Option<(usize, I::Item)> {
        let mut state = self.state();
        while state.room == 0 && !state.stopped {
            state = self.wait(state);
        }
        if state.stopped {
            return None;
        }
        state.room -= 1;
        drop(state);
        // A poisoned source has lost an item: no thread goes on behind it.
        self.source.lock().ok()?.next()
    }

    fn put(&self, place: usize, result: O) {
        self.state().results.insert(place, result);
        self.changed.notify_all();
    }

    /// The result at a place, or `None` when no thread can bring it any more.
    fn wait_for(&self, place: usize) -> Option<O> {
        let mut state = self.state();
        loop {
            if let Some(result) = state.results.remove(&place) {
                return Some(result);
            }
            if state.working == 0 {
                return None;
            }
            state = self.wait(state);
        }
    }

    fn make_room(&self) {
        self.state().room += 1;
        self.changed.notify_all();
    }

    fn leave(&self) {
        let mut state = self.state();
        state.working -= 1;
        // The item of a thread that panics is lost, and room for items behind it never comes.
        state.stopped |= thread::panicking();
        drop(state);
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }
}

/// Calls a function at the end of a scope, however it is left.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
