//! The threads of a lane: they meet for one operation and part again.
//!
//! A team of one calls the work directly. In a larger one, workers wait for the next operation by
//! spinning for a moment and then sleep: between the operations of a pass they are found awake,
//! between passes they cost nothing. Who does which task never shows in the results.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};

use sessile_device::{DeviceError, DeviceErrorKind, GivenUp};

use crate::memory::Block;

/// Turns of an empty loop before a waiting thread sleeps, some ten microseconds: longer than the
/// pause between two operations, shorter than what anybody would miss.
const SPINS: usize = 4000;

/// One thread or several, each with scratch memory of its own.
pub(crate) struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    given_up: Option<GivenUp>,
    /// Tasks were left out since this was last asked.
    has_given_up: AtomicBool,
}

/// What one operation asks of every thread: its number and its scratch.
type Work = dyn Fn(&mut [f32]) + Sync;

struct Shared {
    /// The current operation. Written by the leader while no worker is at work.
    job: UnsafeCell<Option<Job>>,
    /// Counts operations; a worker starts when it changes.
    round: AtomicUsize,
    /// Workers that have not finished the current operation.
    busy: AtomicUsize,
    stop: AtomicBool,
    failed: AtomicBool,
    /// The scratch of every thread. Element *i* belongs to thread *i* while it works, and to the
    /// leader between operations.
    scratch: Vec<UnsafeCell<Block>>,
}

#[derive(Clone)]
struct Job {
    work: *const Work,
    leader: Thread,
}

// SAFETY: `job` and `scratch` change hands by the atomics, as said at the fields; the work behind
// the pointer is `Sync` and outlives the operation.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Team {
    /// A team of `threads`, at least one.
    pub(crate) fn new(threads: usize) -> Result<Self, DeviceError> {
        let threads = threads.max(1);
        let mut scratch = Vec::new();
        for _ in 0..threads {
            scratch.push(UnsafeCell::new(Block::zeroed(0)?));
        }
        let mut team = Team {
            shared: Arc::new(Shared {
                job: UnsafeCell::new(None),
                round: AtomicUsize::new(0),
                busy: AtomicUsize::new(0),
                stop: AtomicBool::new(false),
                failed: AtomicBool::new(false),
                scratch,
            }),
            workers: Vec::new(),
            given_up: None,
            has_given_up: AtomicBool::new(false),
        };
        for index in 1..threads {
            let shared = Arc::clone(&team.shared);
            let worker = thread::Builder::new()
                .name(format!("sessile-lane-{index}"))
                .spawn(move || shared.serve(index))
                .map_err(|error| {
                    DeviceError::new(
                        DeviceErrorKind::OutOfMemory,
                        "the system has no thread to give to a lane",
                    )
                    .with_source(error)
                })?;
            team.workers.push(worker);
        }
        Ok(team)
    }

    /// Number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Makes every thread's scratch at least `floats` large.
    pub(crate) fn reserve(&mut self, floats: usize) -> Result<(), DeviceError> {
        for scratch in &self.shared.scratch {
            // SAFETY: no operation is running, so every scratch belongs to the leader.
            let block = unsafe { &mut *scratch.get() };
            if block.len() < floats * size_of::<f32>() {
                *block = Block::floats(floats)?;
            }
        }
        Ok(())
    }

    /// From now on tasks are left out once this says that nobody waits for them.
    pub(crate) fn give_up_when(&mut self, given_up: Option<GivenUp>) {
        self.given_up = given_up;
    }

    /// Whether tasks were left out; the next operation begins anew.
    pub(crate) fn has_given_up(&mut self) -> bool {
        std::mem::take(self.has_given_up.get_mut())
    }

    /// Whether the next task is to be left out.
    fn gives_up(&self) -> bool {
        let gives_up = self.given_up.as_ref().is_some_and(|given_up| given_up());
        if gives_up {
            self.has_given_up.store(true, Ordering::Relaxed);
        }
        gives_up
    }

    /// Calls `task` for every number below `tasks`, each on one of the threads, with that
    /// thread's scratch; unless nobody waits for that any more.
    pub(crate) fn share(&mut self, tasks: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
        if self.workers.is_empty() || tasks <= 1 {
            // SAFETY: no operation is running, so every scratch belongs to the leader.
            let scratch = unsafe { &mut *self.shared.scratch[0].get() }.as_floats_mut();
            for index in 0..tasks {
                if self.gives_up() {
                    return;
                }
                task(index, scratch);
            }
            return;
        }
        let next = AtomicUsize::new(0);
        let team = &*self;
        team.all(&|scratch| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks || team.gives_up() {
                    break;
                }
                task(index, scratch);
            }
        });
    }

    /// Runs `work` once on every thread, this one too, and returns when all have finished.
    fn all(&self, work: &(dyn Fn(&mut [f32]) + Sync)) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. Workers use the pointer only until `busy` is zero,
        // and this function does not return or unwind before that.
        let work: *const Work =
            unsafe { std::mem::transmute::<*const (dyn Fn(&mut [f32]) + Sync), *const Work>(work) };
        let job = Job {
            work,
            leader: thread::current(),
        };
        // SAFETY: no operation is running, so nobody reads the job.
        unsafe { *shared.job.get() = Some(job) };
        shared.busy.store(self.workers.len(), Ordering::Relaxed);
        // Release: who sees the new round sees the job and `busy`.
        shared.round.fetch_add(1, Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        // SAFETY: the scratch of thread 0 is this thread's, and the work is borrowed for long
        // enough.
        let mine = catch_unwind(AssertUnwindSafe(|| unsafe {
            (*work)((*shared.scratch[0].get()).as_floats_mut());
        }));
        // Acquire: what the workers wrote is seen from here on.
        wait_until(|| shared.busy.load(Ordering::Acquire) == 0);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        assert!(
            !shared.failed.swap(false, Ordering::Relaxed),
            "a thread of the lane panicked"
        );
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches every panic of the work, so there is nothing to learn here.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// The life of worker `index`.
    fn serve(&self, index: usize) {
        let mut seen = 0;
        loop {
            wait_until(|| {
                self.round.load(Ordering::Acquire) != seen || self.stop.load(Ordering::Acquire)
            });
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            seen = seen.wrapping_add(1);
            // SAFETY: the round has begun, so the job is set and stays until `busy` is zero,
            // which needs this thread.
            let Some(Job { work, leader }) = (unsafe { (*self.job.get()).clone() }) else {
                return;
            };
            // SAFETY: the work outlives the operation, and this scratch is this thread's during
            // it.
            let outcome = catch_unwind(AssertUnwindSafe(|| unsafe {
                (*work)((*self.scratch[index].get()).as_floats_mut());
            }));
            if outcome.is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            // Release: the leader sees what was written here.
            if self.busy.fetch_sub(1, Ordering::Release) == 1 {
                leader.unpark();
            }
        }
    }
}

/// Waits for something that another thread brings about and then unparks this one.
fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if done() {
            return;
        }
        std::hint::spin_loop();
    }
    while !done() {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for threads in [1, 2, 5] {
            let mut team = Team::new(threads).unwrap();
            team.reserve(3).unwrap();
            for tasks in [0, 1, 2, 100] {
                let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                team.share(tasks, |task, scratch| {
                    assert!(scratch.len() >= 3);
                    done[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn tasks_that_nobody_waits_for_are_left_out() {
        for threads in [1, 3] {
            let mut team = Team::new(threads).unwrap();
            let done = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&done);
            team.give_up_when(Some(Arc::new(move || seen.load(Ordering::Relaxed) >= 5)));
            let count = |team: &mut Team| {
                team.share(1000, |_, _| {
                    done.fetch_add(1, Ordering::Relaxed);
                });
            };
            count(&mut team);
            assert!((5..5 + threads).contains(&done.load(Ordering::Relaxed)));
            assert!(team.has_given_up());
            team.give_up_when(None);
            count(&mut team);
            assert!(done.load(Ordering::Relaxed) >= 1005);
            assert!(!team.has_given_up());
        }
    }

    #[test]
    fn a_panic_of_a_worker_reaches_the_leader_and_the_team_lives_on() {
        let mut team = Team::new(3).unwrap();
        let share = AssertUnwindSafe(|| team.share(30, |task, _| assert_ne!(task, 17)));
        assert!(catch_unwind(share).is_err());
        let count = AtomicUsize::new(0);
        team.share(30, |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 30);
    }
}
