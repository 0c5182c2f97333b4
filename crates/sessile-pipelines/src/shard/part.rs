//! The table of a part: a line that says which part of which run it is, then a line for each of its
//! records, in their order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::Shard;
use crate::error::{PipelineError, PipelineErrorKind};

/// What the first line of a table says. All parts of a run have the same `job`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartHeader {
    pub(crate) shard: Shard,
    pub(crate) job: String,
}

impl PartHeader {
    /// Writes the line; `mark` says what kind of table it is.
    pub(crate) fn write(
        out: &mut impl Write,
        mark: &str,
        shard: Shard,
        job: &str,
    ) -> io::Result<()> {
        writeln!(out, "{mark}\t{shard}\t{job}")
    }

    /// Reads such a line; none when it is another.
    fn parse(line: &str, mark: &str) -> Option<Self> {
        let mut fields = line.splitn(3, '\t');
        if fields.next()? != mark {
            return None;
        }
        let shard = fields.next()?.parse().ok()?;
        let job = fields.next()?.to_owned();
        Some(PartHeader { shard, job })
    }
}

/// A table while it is read. No line is longer than a limit, whatever the file holds.
pub(crate) struct PartLines {
    lines: BufReader<File>,
    max_bytes: u64,
    /// The line that was read last, from 1.
    pub(crate) number: u64,
}

impl PartLines {
    pub(crate) fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        Ok(PartLines {
            lines: BufReader::new(File::open(path)?),
            max_bytes,
            number: 0,
        })
    }

    /// The first line; none when it is not that of such a table.
    pub(crate) fn header(&mut self, mark: &str) -> Result<Option<PartHeader>, LineError> {
        let line = self.next_line()?.unwrap_or_default();
        Ok(PartHeader::parse(&line, mark))
    }

    /// The next line, without its end.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>, LineError> {
        self.number += 1;
        let mut line = String::new();
        let read = Read::take(&mut self.lines, self.max_bytes).read_line(&mut line);
        match read.map_err(LineError::Unreadable)? {
            0 => Ok(None),
            _ if line.pop() == Some('\n') => Ok(Some(line)),
            _ => Err(LineError::Cut),
        }
    }
}

/// Why there is no line.
pub(crate) enum LineError {
    /// The file ends within it, or it is longer than any line of a table.
    Cut,
    Unreadable(io::Error),
}

/// Every part once, and all of one run; `hint` says what the parts of a run have in common.
///
/// # Errors
///
/// `Input` when a part is missing, there twice or of another run.
pub(crate) fn check_parts(
    parts: &[(&PathBuf, &PartHeader)],
    hint: &str,
) -> Result<(), PipelineError> {
    let wrong = |message: String| PipelineError::new(PipelineErrorKind::Input, message);
    let Some(&(first_path, first)) = parts.first() else {
        return Err(wrong("there is no part to merge".to_owned()));
    };
    let is_other = |part: &PartHeader| part.shard.of != first.shard.of || part.job != first.job;
    if let Some((path, _)) = parts.iter().find(|(_, part)| is_other(part)) {
        let (first, other) = (first_path.display(), path.display());
        return Err(wrong(format!("{first} and {other} are of different runs")).with_hint(hint));
    }
    let (given, of) = (parts.len(), first.shard.of);
    if of != given as u64 {
        return Err(wrong(format!("{given} parts were given, the run has {of}")));
    }
    let mut numbers: Vec<u64> = parts.iter().map(|(_, part)| part.shard.number).collect();
    numbers.sort_unstable();
    match numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(wrong(format!("part {}/{of} was given twice", pair[0]))),
        None => Ok(()),
    }
}

/// The part whose next record is the next of the whole run; none when all are through. Records are
/// dealt out in turn, so it is the one with the least number.
pub(crate) fn next_part<P>(
    parts: &mut [P],
    next_record: impl Fn(&P) -> Option<u64>,
) -> Option<&mut P> {
    let heads = parts.iter().enumerate();
    let (_, index) = heads
        .filter_map(|(index, part)| Some((next_record(part)?, index)))
        .min()?;
    parts.get_mut(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(shard: &str, job: &str) -> PartHeader {
        let shard = shard.parse().unwrap();
        PartHeader {
            shard,
            job: job.to_owned(),
        }
    }

    #[test]
    fn headers_are_read_as_they_are_written() {
        let mut line = Vec::new();
        let part = header("2/3", "job\twith a tab");
        PartHeader::write(&mut line, "#part", part.shard, &part.job).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(PartHeader::parse(line.trim_end(), "#part"), Some(part));
        for (line, mark) in [
            ("#part\t2/3\tjob", "#shard"),
            ("#part\t4/3\tjob", "#part"),
            ("#part\t2/3", "#part"),
            ("", "#part"),
        ] {
            assert_eq!(PartHeader::parse(line, mark), None, "{line}");
        }
    }

    #[test]
    fn parts_of_one_run_are_told_from_others() {
        for (parts, problem) in [
            (&[("2/2", "a"), ("1/2", "a")][..], ""),
            (&[], "no part to merge"),
            (&[("1/2", "a"), ("2/2", "b")], "p0 and p1 are of different"),
            (
                &[("1/2", "a"), ("2/2", "a"), ("2/3", "a")],
                "p0 and p2 are of different",
            ),
            (
                &[("1/3", "a"), ("2/3", "a")],
                "2 parts were given, the run has 3",
            ),
            (&[("1/2", "a"), ("1/2", "a")], "part 1/2 was given twice"),
        ] {
            let parts: Vec<_> = (parts.iter().enumerate())
                .map(|(index, (shard, job))| {
                    (PathBuf::from(format!("p{index}")), header(shard, job))
                })
                .collect();
            let named: Vec<_> = parts.iter().map(|(path, part)| (path, part)).collect();
            match check_parts(&named, "") {
                Ok(()) => assert_eq!(problem, ""),
                Err(error) => {
                    assert!(!problem.is_empty(), "{error}");
                    assert!(error.to_string().contains(problem), "{error}");
                }
            }
        }
    }
}
