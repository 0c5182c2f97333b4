//! What a caller is told while a model is fetched.

use std::time::Duration;

/// One piece of news about a model that is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Bytes of a file have arrived. The first time, `done` is what an earlier try has left; the
    /// last time it is all of them.
    Advanced {
        /// Name of the file in its repository.
        file: &'a str,
        /// Bytes of it that are here.
        done: u64,
        /// Bytes of the whole file, if the hub says so.
        total: Option<u64>,
    },
    /// The file is complete, and its size and checksum are right.
    Verified {
        /// Name of the file in its repository.
        file: &'a str,
    },
    /// Another process is fetching the same file; waiting for it.
    Waiting {
        /// Name of the file in its repository.
        file: &'a str,
    },
    /// A request failed in a way that may pass; it is tried again after this time.
    Retrying {
        /// What failed.
        reason: &'a str,
        /// The wait before the next try.
        after: Duration,
    },
    /// The hub can not be reached, so the copy in the cache is used without asking for a newer one.
    UsingCache {
        /// Why the hub was given up.
        reason: &'a str,
    },
}
