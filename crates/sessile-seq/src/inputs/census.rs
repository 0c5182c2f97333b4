//! What was met in the inputs of a job: files without a record, and the first identifier that came
//! twice.

use std::sync::{Arc, Mutex, PoisonError};

use crate::fasta::{Ids, Seen};

/// The identifiers that are remembered: with 16 bytes each, at most about 40 MB.
const REMEMBERED_IDS: usize = 1 << 20;

/// Counts the records of readers that it is given to; see `counted_by` of the readers.
///
/// Clones count together. Looking for identifiers that come twice ends with the first one, or
/// after 1,048,576 different ones.
///
/// # Examples
///
/// ```
/// use sessile_seq::fasta::Reader;
/// use sessile_seq::inputs::Census;
///
/// let census = Census::default();
/// for (name, text) in [("a.fa", &b">x 1\nAC\n>x 2\nGT\n"[..]), ("b.fa", b"\n")] {
///     for record in Reader::new(text).named(name).counted_by(&census) {
///         record?;
///     }
/// }
/// assert_eq!(census.without_records(), ["b.fa"]);
/// assert_eq!(census.repeated().unwrap().to_string(), "a.fa: record 2 (x), line 3");
/// # Ok::<(), sessile_seq::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Census(Arc<Mutex<Met>>);

#[derive(Debug)]
struct Met {
    /// `None` once there is nothing to look for.
    ids: Option<Ids>,
    repeated: Option<Repeated>,
    without_records: Vec<String>,
}

impl Default for Met {
    fn default() -> Self {
        Self {
            ids: Some(Ids::with_limit(REMEMBERED_IDS)),
            repeated: None,
            without_records: Vec::new(),
        }
    }
}

/// The first record whose identifier came before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repeated {
    /// The identifier.
    pub id: String,
    /// The file, where it has a name.
    pub file: Option<String>,
    /// The number of the record in its file, from 1.
    pub record: u64,
    /// The line of its header, from 1.
    pub line: u64,
}

impl std::fmt::Display for Repeated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        write!(
            f,
            "record {} ({}), line {}",
            self.record, self.id, self.line
        )
    }
}

impl Census {
    /// The names of the inputs without a record, in the order in which they were read.
    pub fn without_records(&self) -> Vec<String> {
        self.with(|met| met.without_records.clone())
    }

    /// The first record whose identifier came before, in any of the inputs.
    pub fn repeated(&self) -> Option<Repeated> {
        self.with(|met| met.repeated.clone())
    }

    /// A record was read.
    pub(crate) fn record(&self, id: &str, file: Option<&str>, record: u64, line: u64) {
        self.with(|met| {
            let Some(ids) = &mut met.ids else { return };
            match ids.insert(id) {
                Seen::First => {}
                Seen::Unknown => met.ids = None,
                Seen::Again => {
                    met.ids = None;
                    met.repeated = Some(Repeated {
                        id: id.to_owned(),
                        file: file.map(str::to_owned),
                        record,
                        line,
                    });
                }
            }
        });
    }

    /// An input is through, and had no record.
    pub fn no_record(&self, file: &str) {
        self.with(|met| met.without_records.push(file.to_owned()));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Met) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
