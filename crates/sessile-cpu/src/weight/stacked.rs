//! Several sources of rows read as one matrix.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sessile_device::{DeviceError, DeviceErrorKind, RowSource};

/// Floats that one thread reads at a time: 4 MiB, small beside a weight and large beside a disk
/// request.
const BLOCK_FLOATS: usize = 1 << 20;

/// Sources stacked along their rows.
pub(crate) struct Stacked<'a> {
    parts: &'a [&'a dyn RowSource],
    rows: usize,
    cols: usize,
}

impl<'a> Stacked<'a> {
    /// Stacks `parts`, which must have the same number of columns.
    pub(crate) fn new(parts: &'a [&'a dyn RowSource]) -> Result<Self, DeviceError> {
        let cols = parts.first().map_or(0, |part| part.cols());
        if parts.iter().any(|part| part.cols() != cols) {
            return Err(DeviceError::new(
                DeviceErrorKind::Misuse,
                "the parts of a weight have different numbers of columns",
            ));
        }
        let rows = parts.iter().map(|part| part.rows()).sum();
        Ok(Stacked { parts, rows, cols })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Rows that make up one bounded read, at least one.
    pub(crate) fn block_rows(&self) -> usize {
        (BLOCK_FLOATS / self.cols.max(1)).max(1)
    }

    /// Reads the rows from `first` on into `out`, across the borders of parts.
    pub(crate) fn read(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        if self.cols == 0 {
            return Ok(());
        }
        let (mut first, mut out) = (first, out);
        for part in self.parts {
            if out.is_empty() {
                break;
            }
            if first >= part.rows() {
                first -= part.rows();
                continue;
            }
            let here = (part.rows() - first).min(out.len() / self.cols);
            let (now, later) = out.split_at_mut(here * self.cols);
            part.read_rows(first, now)?;
            out = later;
            first = 0;
        }
        Ok(())
    }

    /// Reads everything into `out`, row-major, on several threads.
    pub(crate) fn read_parallel(&self, out: &mut [f32], threads: usize) -> Result<(), DeviceError> {
        let rows = self.block_rows();
        if self.cols == 0 {
            return Ok(());
        }
        let blocks = Mutex::new(out.chunks_mut(rows * self.cols).enumerate());
        let count = self.rows.div_ceil(rows);
        for_each(count, threads, || {
            let Some((index, block)) = blocks.lock().ok().and_then(|mut blocks| blocks.next())
            else {
                return Ok(());
            };
            self.read(index * rows, block)
        })
    }
}

/// Calls `work` `count` times on up to `threads` threads, and stops at the first error.
pub(crate) fn for_each(
    count: usize,
    threads: usize,
    work: impl Fn() -> Result<(), DeviceError> + Sync,
) -> Result<(), DeviceError> {
    let next = AtomicUsize::new(0);
    let first_error = Mutex::new(None);
    let run = || {
        while next.fetch_add(1, Ordering::Relaxed) < count {
            if let Err(error) = work() {
                next.store(count, Ordering::Relaxed);
                if let Ok(mut slot) = first_error.lock() {
                    slot.get_or_insert(error);
                }
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            // A thread that the system does not give is missed by nobody: the others do the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
    match first_error.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    }
}
