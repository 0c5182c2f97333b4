//! Parts of a run on several machines, and putting their files together again.
//!
//! Records are dealt out in turn. A part is a file like any other, beside which a table says which
//! record of the whole each of its records is and how many bytes it has; merging copies the records
//! of all parts in turn, so that the result is the file of an undivided run, byte for byte.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use sessile_seq::compression::{BoxRead, decompress};

use super::format::{RecordForm, RecordFormat};
use super::writer::{RecordWriter, table_path};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::output::{Destination, OutputPlace, Sources, check_outputs};
use crate::shard::{LineError, PartHeader, PartLines, Shard, check_parts, next_part};

/// What the table of a part begins with.
const MARK: &str = "#part";

/// The table while it is written.
pub(super) struct PartTable(Destination);

impl PartTable {
    /// The table of a part of the run that `job` names.
    pub(super) fn new(mut out: Destination, shard: Shard, job: &str) -> io::Result<Self> {
        PartHeader::write(&mut out, MARK, shard, job)?;
        Ok(PartTable(out))
    }

    pub(super) fn push(&mut self, number: u64, bytes: u64) -> io::Result<()> {
        writeln!(self.0, "{number}\t{bytes}")
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.0.finish()
    }
}

/// What merging came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergedRecords {
    /// Parts.
    pub parts: u64,
    /// Records.
    pub records: u64,
}

/// Puts the files of all parts together, in the order of the inputs; the files have one form, JSON,
/// JSON Lines or tables, and the result has it, too.
///
/// # Errors
///
/// `Input` when a part is missing, there twice, of another run or form; `Output` when the result can
/// not be written; `Usage` when it is to have another form.
pub fn merge(
    parts: &[PathBuf],
    output: &Path,
    force: bool,
) -> Result<MergedRecords, PipelineError> {
    let mut parts = parts
        .iter()
        .map(|path| Part::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    check(&parts)?;
    parts.sort_by_key(|part| part.header.shard.number);
    let form = parts[0].form;
    let format = match OutputPlace::of(output) {
        OutputPlace::Stdout | OutputPlace::Stream => RecordFormat { form, gzip: false },
        _ => RecordFormat::of(output)?,
    };
    if format.form != form {
        let message = format!(
            "{} is to have another form than the parts",
            output.display()
        );
        return Err(PipelineError::new(PipelineErrorKind::Usage, message)
            .with_hint("give --output the ending of the parts"));
    }
    let mut sources = Sources::default();
    for part in &parts {
        sources.add("a part", &part.path);
        sources.add("the table of a part", &table_path(&part.path));
    }
    check_outputs([&output.to_owned()], force, &sources)?;
    let failed = |error| PipelineError::output(&output.display().to_string(), error);
    let out = Destination::open(output).map_err(failed)?;
    let mut writer = RecordWriter::new(output, format, out, None)?;
    let mut merged = MergedRecords {
        parts: parts.len() as u64,
        records: 0,
    };
    for part in &mut parts {
        part.advance()?;
    }
    while let Some(part) = next_part(&mut parts, |part| part.head.map(|(number, _)| number)) {
        if let Some((number, bytes)) = part.head.take() {
            writer.begin(number, bytes)?;
            part.copy(bytes, &mut writer, &failed)?;
            merged.records += 1;
        }
        part.advance()?;
    }
    writer.finish()?;
    Ok(merged)
}

struct Part {
    path: PathBuf,
    header: PartHeader,
    form: RecordForm,
    table: PartLines,
    records: BufReader<BoxRead>,
    copied: u64,
    /// The next record: its number and its bytes.
    head: Option<(u64, u64)>,
}

/// No number and no length make a longer line.
const MAX_LINE_BYTES: u64 = 1 << 10;

impl Part {
    fn open(path: &Path) -> Result<Self, PipelineError> {
        let unreadable = |path: &Path, error: &io::Error| {
            let message = format!("can not read {}: {error}", path.display());
            PipelineError::new(PipelineErrorKind::Input, message).with_hint(
                "a part is a file that `sessile entropy run --shard` has finished, with its table \
                 FILE.part beside it",
            )
        };
        let table_path = table_path(path);
        let table = PartLines::open(&table_path, MAX_LINE_BYTES);
        let mut table = table.map_err(|error| unreadable(&table_path, &error))?;
        let open = File::open(path).and_then(decompress);
        let (records, _) = open.map_err(|error| unreadable(path, &error))?;
        let form = RecordFormat::of(path)?.form;
        let header = table.header(MARK);
        let header = header.map_err(|error| cut(path, table.number, &error))?;
        let header = header.ok_or_else(|| wrong(path, "its table is none of a part"))?;
        let mut part = Part {
            path: path.to_owned(),
            header,
            form,
            table,
            records: BufReader::with_capacity(1 << 16, records),
            copied: 0,
            head: None,
        };
        let before = part.form.header().len() as u64;
        part.skip(before)?;
        Ok(part)
    }

    fn wrong(&self, what: &str) -> PipelineError {
        wrong(&self.path, what)
    }

    fn advance(&mut self) -> Result<(), PipelineError> {
        let line = self.table.next_line();
        let line = line.map_err(|error| cut(&self.path, self.table.number, &error))?;
        let Some(line) = line else {
            return Ok(());
        };
        let row = line
            .split_once('\t')
            .and_then(|(number, bytes)| Some((number.parse().ok()?, bytes.parse().ok()?)));
        match row {
            Some((number, bytes)) if self.header.shard.has(number) => {
                self.head = Some((number, bytes));
                Ok(())
            }
            _ => Err(self.wrong(&format!(
                "line {} of its table is no row of it",
                self.table.number
            ))),
        }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), PipelineError> {
        match io::copy(&mut (&mut self.records).take(bytes), &mut io::sink()) {
            Ok(skipped) if skipped == bytes => Ok(()),
            _ => Err(self.wrong("the file is shorter than its table says")),
        }
    }

    /// Copies the next record.
    fn copy(
        &mut self,
        bytes: u64,
        writer: &mut RecordWriter,
        failed: &impl Fn(io::Error) -> PipelineError,
    ) -> Result<(), PipelineError> {
        let separator = self.form.separator(self.copied == 0).len() as u64;
        self.skip(separator)?;
        self.copied += 1;
        let mut left = bytes;
        while left > 0 {
            let chunk = match self.records.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) => return Err(self.wrong(&error.to_string())),
            };
            if chunk.is_empty() {
                return Err(self.wrong("the file is shorter than its table says"));
            }
            let take = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            writer.bytes().write_all(&chunk[..take]).map_err(failed)?;
            self.records.consume(take);
            left -= take as u64;
        }
        Ok(())
    }
}

fn wrong(part: &Path, what: &str) -> PipelineError {
    let message = format!("{}: {what}", part.display());
    PipelineError::new(PipelineErrorKind::Input, message)
        .with_hint("run this part again with --force")
}

/// What is wrong with a line of a part's table that can not be read.
fn cut(part: &Path, line: u64, error: &LineError) -> PipelineError {
    match error {
        LineError::Cut => wrong(part, &format!("line {line} of its table is not whole")),
        LineError::Unreadable(error) => wrong(part, &error.to_string()),
    }
}

/// Every part once, all of one run and of one form.
fn check(parts: &[Part]) -> Result<(), PipelineError> {
    let named: Vec<_> = (parts.iter())
        .map(|part| (&part.path, &part.header))
        .collect();
    check_parts(&named, "parts must have the same options and --shard N/M")?;
    match parts.iter().find(|part| part.form != parts[0].form) {
        Some(part) => {
            let (first, other) = (parts[0].path.display(), part.path.display());
            let message = format!("{first} and {other} have different forms");
            Err(PipelineError::new(PipelineErrorKind::Input, message))
        }
        None => Ok(()),
    }
}
