//! Sorting more lines than memory should hold: sorted runs in temporary files, merged at the end.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Bytes of names held before a run is written.
const RUN_BYTES: usize = 32 << 20;

/// What the best scores of a chunk are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub(super) others: f32,
    pub(super) virus: f32,
}

impl Best {
    fn take(&mut self, other: Best) {
        self.others = self.others.max(other.others);
        self.virus = self.virus.max(other.virus);
    }
}

/// Chunks in the order of their names as text, the same name joined.
pub(super) struct SortedChunks {
    folder: PathBuf,
    run_bytes: usize,
    held: Vec<(String, Best)>,
    held_bytes: usize,
    runs: Vec<File>,
}

impl SortedChunks {
    /// Temporary files go to `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        SortedChunks {
            folder,
            run_bytes: RUN_BYTES,
            held: Vec::new(),
            held_bytes: 0,
            runs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, name: &str, best: Best) -> io::Result<()> {
        // Frames of a chunk come one after the other.
        if let Some((last, have)) = self.held.last_mut()
            && last == name
        {
            have.take(best);
            return Ok(());
        }
        self.held_bytes += name.len() + size_of::<(String, Best)>();
        self.held.push((name.to_owned(), best));
        if self.held_bytes > self.run_bytes {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut out = BufWriter::new(unnamed_file(&self.folder, self.runs.len())?);
        sort_and_join(&mut self.held);
        for (name, best) in self.held.drain(..) {
            out.write_all(&(name.len() as u32).to_le_bytes())?;
            out.write_all(name.as_bytes())?;
            out.write_all(&best.others.to_le_bytes())?;
            out.write_all(&best.virus.to_le_bytes())?;
        }
        self.held_bytes = 0;
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        self.runs.push(file);
        Ok(())
    }

    /// Hands every chunk over, in order.
    pub(super) fn finish(
        mut self,
        mut each: impl FnMut(&str, Best) -> io::Result<()>,
    ) -> io::Result<()> {
        sort_and_join(&mut self.held);
        let mut sources: Vec<Source> = self
            .runs
            .into_iter()
            .map(|file| Source::File(BufReader::new(file)))
            .collect();
        sources.push(Source::Memory(self.held.into_iter()));
        let mut heads = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            heads.extend(
                source
                    .next()?
                    .map(|(name, best)| Head { name, best, number }),
            );
        }
        let mut current: Option<(String, Best)> = None;
        while let Some(Head { name, best, number }) = heads.pop() {
            if let Some((name, best)) = sources[number].next()? {
                heads.push(Head { name, best, number });
            }
            match &mut current {
                Some((have, joined)) if *have == name => joined.take(best),
                _ => {
                    if let Some((name, best)) = current.replace((name, best)) {
                        each(&name, best)?;
                    }
                }
            }
        }
        match current {
            Some((name, best)) => each(&name, best),
            None => Ok(()),
        }
    }
}

fn sort_and_join(held: &mut Vec<(String, Best)>) {
    held.sort_by(|(a, _), (b, _)| a.cmp(b));
    held.dedup_by(|(name, best), (kept, joined)| {
        let same = name == kept;
        if same {
            joined.take(*best);
        }
        same
    });
}

/// A file without a name: it is gone when it is closed, also after a crash.
fn unnamed_file(folder: &std::path::Path, number: usize) -> io::Result<File> {
    let path = folder.join(format!(".sessile-sort.{}.{number}.tmp", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

enum Source {
    File(BufReader<File>),
    Memory(std::vec::IntoIter<(String, Best)>),
}

impl Source {
    fn next(&mut self) -> io::Result<Option<(String, Best)>> {
        let file = match self {
            Source::Memory(held) => return Ok(held.next()),
            Source::File(file) => file,
        };
        let mut word = [0; 4];
        match file.read_exact(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let mut name = vec![0; u32::from_le_bytes(word) as usize];
        file.read_exact(&mut name)?;
        let name = String::from_utf8(name).map_err(io::Error::other)?;
        file.read_exact(&mut word)?;
        let others = f32::from_le_bytes(word);
        file.read_exact(&mut word)?;
        let virus = f32::from_le_bytes(word);
        Ok(Some((name, Best { others, virus })))
    }
}

/// The next chunk of a source; the heap gives the least name first.
struct Head {
    name: String,
    best: Best,
    number: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        (&other.name, other.number).cmp(&(&self.name, self.number))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_on_disk_give_the_same_as_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut names: Vec<String> = (0..500).map(|i| format!("c{}", (i * 7919) % 311)).collect();
        names.push("é".to_owned());
        let scores = |i: usize| Best {
            others: (i % 13) as f32,
            virus: (i % 17) as f32,
        };
        let sorted = |run_bytes| {
            let mut chunks = SortedChunks::new(folder.path().to_owned());
            chunks.run_bytes = run_bytes;
            for (i, name) in names.iter().enumerate() {
                chunks.push(name, scores(i)).unwrap();
            }
            let runs = chunks.runs.len();
            let mut rows = Vec::new();
            chunks
                .finish(|name, best| {
                    rows.push((name.to_owned(), best));
                    Ok(())
                })
                .unwrap();
            (rows, runs)
        };
        let (in_memory, none) = sorted(usize::MAX);
        let (on_disk, some) = sorted(1000);
        assert!(none == 0 && some > 10);
        assert_eq!(in_memory, on_disk);
        assert!(in_memory.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(in_memory.len(), 312);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
