//! Shards of a run on several machines: records are dealt out in turn, so that shards are alike
//! however long the files are. Each leaves a part of the results, and [`merge`] makes
//! the files of an undivided run of them.

mod merge;
mod part;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::journal::beside;

pub use merge::{MergeOptions, Merged, merge};
pub(crate) use merge::{MergeSink, Shared};
pub(crate) use part::{Entry, PartHeader, PartWriter, Piece};

/// Which records are computed here: every `of`-th, from the `number`-th on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub number: u64,
    /// Number of shards.
    pub of: u64,
}

impl Shard {
    /// All records.
    pub const WHOLE: Shard = Shard { number: 1, of: 1 };

    /// Whether these are all records.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Where a shard puts what the whole run would put at `path`, so that no two write one file.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    /// use sessile_pipelines::shard::Shard;
    ///
    /// let shard: Shard = "3/16".parse()?;
    /// assert_eq!(shard.path(Path::new("out.tsv")), Path::new("out.tsv.part-3-of-16"));
    /// assert_eq!(Shard::WHOLE.path(Path::new("out.tsv")), Path::new("out.tsv"));
    /// # Ok::<(), sessile_pipelines::shard::ParseShardError>(())
    /// ```
    pub fn path(self, path: &Path) -> PathBuf {
        match self.is_whole() {
            true => path.to_owned(),
            false => beside(path, &format!(".part-{}-of-{}", self.number, self.of)),
        }
    }

    /// Whether a record, counted from 0 over all inputs, belongs to it.
    pub fn has(self, record: u64) -> bool {
        record % self.of == self.number - 1
    }
}

impl Default for Shard {
    fn default() -> Self {
        Shard::WHOLE
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Not a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseShardError(String);

impl fmt::Display for ParseShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a shard such as 3/16", self.0)
    }
}

impl std::error::Error for ParseShardError {}

impl FromStr for Shard {
    type Err = ParseShardError;

    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::shard::Shard;
    ///
    /// let shard: Shard = "3/16".parse()?;
    /// assert!(shard.has(2) && shard.has(18) && !shard.has(3));
    /// assert!("17/16".parse::<Shard>().is_err() && "0/2".parse::<Shard>().is_err());
    /// # Ok::<(), sessile_pipelines::shard::ParseShardError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.trim().parse().ok()?, of.trim().parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Shard { number, of }),
            _ => Err(ParseShardError(text.to_owned())),
        }
    }
}
