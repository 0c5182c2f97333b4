//! The keys of an output that is looked up by key: sorted and made unique at the end, in memory
//! that does not grow with their number.
//!
//! Keys are gathered up to a limit, sorted and put away as a run; runs are merged. A key that comes
//! again gets `#2`, `#3`, … behind it, in the order of arrival, so nothing is lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::spool::Spool;

/// Bytes of keys and values that are gathered before they are put away.
const GATHERED_BYTES: usize = 1 << 19;

/// Runs that are merged into one, so that few files are open at once.
const MERGED_RUNS: usize = 32;

/// A key and the value that belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyValue {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

struct Gathered {
    start: usize,
    key_bytes: usize,
    value_bytes: usize,
}

pub(super) struct KeyIndex {
    folder: PathBuf,
    limit: usize,
    bytes: Vec<u8>,
    gathered: Vec<Gathered>,
    /// By level: a run of a level is made of [`MERGED_RUNS`] of the level below. Older ones first.
    runs: Vec<Vec<Run>>,
}

impl KeyIndex {
    /// An empty index that puts away what it must in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self::with_limit(folder, GATHERED_BYTES)
    }

    fn with_limit(folder: &Path, limit: usize) -> Self {
        KeyIndex {
            folder: folder.to_owned(),
            limit,
            bytes: Vec::new(),
            gathered: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.gathered.push(Gathered {
            start,
            key_bytes: key.len(),
            value_bytes: value.len(),
        });
        let memory = self.bytes.len() + self.gathered.len() * size_of::<Gathered>();
        if memory >= self.limit {
            let run = self.put_away()?;
            self.add_run(0, run)?;
        }
        Ok(())
    }

    fn put_away(&mut self) -> io::Result<Run> {
        let bytes = &self.bytes;
        let key = |gathered: &Gathered| &bytes[gathered.start..][..gathered.key_bytes];
        // Stable: equal keys stay in their order of arrival.
        self.gathered.sort_by(|a, b| key(a).cmp(key(b)));
        let mut run = RunWriter::new(&self.folder)?;
        for gathered in &self.gathered {
            let value = &bytes[gathered.start + gathered.key_bytes..][..gathered.value_bytes];
            run.push(key(gathered), value)?;
        }
        self.bytes.clear();
        self.gathered.clear();
        Ok(run.finish())
    }

    fn add_run(&mut self, level: usize, run: Run) -> io::Result<()> {
        if self.runs.len() == level {
            self.runs.push(Vec::new());
        }
        self.runs[level].push(run);
        if self.runs[level].len() < MERGED_RUNS {
            return Ok(());
        }
        let mut merge = Merge::new(std::mem::take(&mut self.runs[level]))?;
        let mut merged = RunWriter::new(&self.folder)?;
        while let Some(next) = merge.next()? {
            merged.push(&next.key, &next.value)?;
        }
        self.add_run(level + 1, merged.finish())
    }

    /// All runs, the older ones first.
    fn into_runs(mut self) -> io::Result<Vec<Run>> {
        let last = self.put_away()?;
        let mut runs: Vec<Run> = self.runs.into_iter().rev().flatten().collect();
        runs.push(last);
        Ok(runs)
    }

    /// All keys in order, none of them twice.
    pub(super) fn finish(self) -> io::Result<Sorted> {
        let folder = self.folder.clone();
        let limit = self.limit;
        let mut runs = self.into_runs()?;
        let mut renamed = None;
        loop {
            let mut merge = Merge::new(runs)?;
            let mut kept = RunWriter::new(&folder)?;
            let mut again = KeyIndex::with_limit(&folder, limit);
            let mut last: Option<Vec<u8>> = None;
            let mut times = 1;
            let mut came_again = 0;
            while let Some(next) = merge.next()? {
                if last.as_ref() == Some(&next.key) {
                    times += 1;
                    let mut key = next.key;
                    write!(key, "#{times}")?;
                    again.push(&key, &next.value)?;
                    came_again += 1;
                } else {
                    times = 1;
                    kept.push(&next.key, &next.value)?;
                    last = Some(next.key);
                }
            }
            // Later rounds rename again what was counted in the first.
            let renamed = *renamed.get_or_insert(came_again);
            if came_again == 0 {
                return Ok(Sorted {
                    run: kept.finish(),
                    renamed,
                });
            }
            // The new names may be there already.
            runs = vec![kept.finish()];
            runs.extend(again.into_runs()?);
        }
    }
}

/// The keys of an index in their order, none of them twice.
pub(super) struct Sorted {
    run: Run,
    /// Keys that came again and got another name.
    pub(super) renamed: u64,
}

impl Sorted {
    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.run.entries
    }

    /// From the first to the last; as often as wanted.
    pub(super) fn read(&mut self) -> io::Result<RunReader> {
        self.run.reader()
    }
}

/// Sorted entries in a file.
struct Run {
    spool: Spool,
    entries: u64,
}

impl Run {
    fn reader(&mut self) -> io::Result<RunReader> {
        Ok(RunReader {
            input: Box::new(self.spool.reader()?),
            left: self.entries,
        })
    }
}

struct RunWriter {
    run: Run,
}

impl RunWriter {
    fn new(folder: &Path) -> io::Result<Self> {
        Ok(RunWriter {
            run: Run {
                spool: Spool::new(folder)?,
                entries: 0,
            },
        })
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let spool = &mut self.run.spool;
        spool.write_all(&(key.len() as u64).to_le_bytes())?;
        spool.write_all(&(value.len() as u64).to_le_bytes())?;
        spool.write_all(key)?;
        spool.write_all(value)?;
        self.run.entries += 1;
        Ok(())
    }

    fn finish(self) -> Run {
        self.run
    }
}

/// Reads the entries of a run.
pub(super) struct RunReader {
    input: Box<dyn Read>,
    left: u64,
}

impl RunReader {
    pub(super) fn next(&mut self) -> io::Result<Option<KeyValue>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut lengths = [0; 16];
        self.input.read_exact(&mut lengths)?;
        let (lengths, _) = lengths.as_chunks::<8>();
        // What this process wrote itself a moment ago.
        let mut key = vec![0; u64::from_le_bytes(lengths[0]) as usize];
        let mut value = vec![0; u64::from_le_bytes(lengths[1]) as usize];
        self.input.read_exact(&mut key)?;
        self.input.read_exact(&mut value)?;
        Ok(Some(KeyValue { key, value }))
    }
}

/// The next key of a run, the run's number, the key's value.
type Head = (Vec<u8>, usize, Vec<u8>);

/// Entries of several runs in order; of equal keys those of the older run first.
struct Merge {
    runs: Vec<(Run, RunReader)>,
    heads: BinaryHeap<Reverse<Head>>,
}

impl Merge {
    fn new(runs: Vec<Run>) -> io::Result<Self> {
        let mut merge = Merge {
            runs: Vec::new(),
            heads: BinaryHeap::new(),
        };
        for (number, mut run) in runs.into_iter().enumerate() {
            let reader = run.reader()?;
            merge.runs.push((run, reader));
            merge.advance(number)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, number: usize) -> io::Result<()> {
        if let Some(next) = self.runs[number].1.next()? {
            self.heads.push(Reverse((next.key, number, next.value)));
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<KeyValue>> {
        let Some(Reverse((key, number, value))) = self.heads.pop() else {
            return Ok(None);
        };
        self.advance(number)?;
        Ok(Some(KeyValue { key, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(keys: &[String], limit: usize) -> (Vec<(String, u64)>, u64) {
        let mut index = KeyIndex::with_limit(&std::env::temp_dir(), limit);
        for (number, key) in keys.iter().enumerate() {
            index
                .push(key.as_bytes(), &(number as u64).to_le_bytes())
                .unwrap();
        }
        let mut sorted = index.finish().unwrap();
        let mut entries = Vec::new();
        let mut reader = sorted.read().unwrap();
        while let Some(next) = reader.next().unwrap() {
            let value = u64::from_le_bytes(next.value.try_into().unwrap());
            entries.push((String::from_utf8(next.key).unwrap(), value));
        }
        assert_eq!(entries.len() as u64, sorted.len());
        (entries, sorted.renamed)
    }

    #[test]
    fn keys_come_out_in_order_however_many_runs_there_were() {
        let keys: Vec<String> = (0..3000_u32)
            .map(|number| format!("key{:010}", number.wrapping_mul(2_654_435_761)))
            .collect();
        let mut expected: Vec<(String, u64)> = keys.iter().cloned().zip(0..).collect();
        expected.sort();
        // The last has more runs than are merged at once, on two levels.
        for limit in [1 << 20, 10_000, 100] {
            assert_eq!(sorted(&keys, limit), (expected.clone(), 0), "{limit}");
        }
    }

    #[test]
    fn keys_that_come_again_get_other_names() {
        let keys = ["b", "a", "a", "a#2", "a", "a#2"].map(str::to_owned);
        let expected = [
            ("a", 1),
            ("a#2", 3),
            ("a#2#2", 5),
            ("a#2#2#2", 2),
            ("a#3", 4),
            ("b", 0),
        ]
        .map(|(key, value)| (key.to_owned(), value));
        for limit in [1 << 20, 1] {
            let (entries, renamed) = sorted(&keys, limit);
            assert_eq!(entries, expected, "{limit}");
            assert_eq!(renamed, 3);
        }
    }
}
