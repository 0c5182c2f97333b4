//! Records on their way to their ORFs: read on a thread of their own, a bounded number of bases
//! ahead.

use sessile_seq::inputs::{self, Format, Input};
use sessile_seq::{fasta, genbank};

use super::sample::Sample;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{Listener, ReadAhead, Reading, reason};

/// Bases of a batch: work for about ten milliseconds, so that many small records cost little.
const BATCH_BASES: usize = 1 << 20;

/// What a record counts for beside its bases: however short it is, it becomes some kilobytes of
/// text. 256 of them are a batch.
const RECORD_BASES: usize = 1 << 12;

/// Batches read ahead.
const AHEAD: usize = 1;

/// A file to read.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Fasta(Input),
    GenBank(Input),
}

impl Source {
    pub(super) fn input(&self) -> &Input {
        match self {
            Source::Fasta(input) | Source::GenBank(input) => input,
        }
    }

    /// What the sequences of a sample are read from: its FASTA files, else its GenBank files.
    pub(super) fn of(sample: &Sample) -> Result<Vec<Source>, PipelineError> {
        let fasta = inputs::expand(&sample.fasta, Format::Fasta)?;
        if !fasta.is_empty() {
            return Ok(fasta.into_iter().map(Source::Fasta).collect());
        }
        let genbank = inputs::expand(&sample.genbank, Format::GenBank)?;
        if genbank.is_empty() {
            return Err(
                PipelineError::new(PipelineErrorKind::Usage, "there is nothing to read")
                    .with_hint("name FASTA files with --input, or GenBank files with --genbank"),
            );
        }
        Ok(genbank.into_iter().map(Source::GenBank).collect())
    }
}

/// A record as it stands in a file, or why there is none.
#[derive(Debug)]
pub(super) struct ReadRecord {
    /// Its number over all files of the sample, from 0; what can not be read has one, too.
    pub(super) number: u64,
    pub(super) id: String,
    /// File, number and identifier, for messages.
    pub(super) place: String,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Fasta(Vec<u8>),
    GenBank(Box<genbank::Record>),
    Unreadable {
        reason: String,
        /// The rest of its file is lost as well.
        is_file: bool,
    },
}

/// The records of a sample that are of a part, in batches, in their order.
pub(super) struct Batches {
    batches: ReadAhead<Vec<ReadRecord>>,
}

impl Batches {
    /// Begins to read.
    pub(super) fn start(
        sources: Vec<Source>,
        reading: Reading,
        interrupt: &Interrupt,
    ) -> Result<Self, PipelineError> {
        let batches = ReadAhead::start(AHEAD, interrupt, move |listener| {
            let mut reader = RecordReader {
                listener,
                reading,
                batch: Vec::new(),
                bases: 0,
            };
            for source in &sources {
                if !reader.read(source) {
                    return;
                }
            }
            reader.hand_over();
        })?;
        Ok(Batches { batches })
    }
}

impl Iterator for Batches {
    type Item = Vec<ReadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

struct RecordReader {
    listener: Listener<Vec<ReadRecord>>,
    reading: Reading,
    batch: Vec<ReadRecord>,
    bases: usize,
}

impl RecordReader {
    /// Reads one file; false when nobody listens any more. A file that can not be read costs what
    /// is left of it; the others go on.
    fn read(&mut self, source: &Source) -> bool {
        let name = source.input().name();
        let bytes = &self.reading.bytes.read;
        match source {
            Source::Fasta(input) => match fasta::Reader::from_counted(input, bytes) {
                Ok(reader) => self.read_fasta(reader.counted_by(&self.reading.census), &name),
                Err(error) => self.unreadable(&error),
            },
            Source::GenBank(input) => match genbank::Reader::from_counted(input, bytes) {
                Ok(reader) => self.read_genbank(reader.counted_by(&self.reading.census), &name),
                Err(error) => self.unreadable(&error),
            },
        }
    }

    fn read_fasta<R: std::io::Read>(&mut self, mut reader: fasta::Reader<R>, name: &str) -> bool {
        let mut record = fasta::Record::default();
        loop {
            let listening = match reader.read(&mut record) {
                Ok(true) => {
                    let place = place(name, record.ordinal, &record.id, record.line);
                    let sequence = std::mem::take(&mut record.sequence);
                    let id = std::mem::take(&mut record.id);
                    self.push(id, place, Content::Fasta(sequence))
                }
                Ok(false) => return true,
                Err(error) => self.unreadable(&error),
            };
            if !listening {
                return false;
            }
        }
    }

    fn read_genbank<R: std::io::Read>(&mut self, reader: genbank::Reader<R>, name: &str) -> bool {
        for record in reader {
            let listening = match record {
                Ok(record) => {
                    let place = place(name, record.ordinal, &record.id, record.line);
                    let id = record.id.clone();
                    self.push(id, place, Content::GenBank(Box::new(record)))
                }
                Err(error) => self.unreadable(&error),
            };
            if !listening {
                return false;
            }
        }
        true
    }

    fn unreadable(&mut self, error: &sessile_seq::Error) -> bool {
        let id = error.record_id().unwrap_or_default().to_owned();
        let content = Content::Unreadable {
            reason: reason(error),
            is_file: !error.is_record_error(),
        };
        self.push(id, error.place(), content)
    }

    fn push(&mut self, id: String, place: String, content: Content) -> bool {
        if !self.listener.is_listening() {
            return false;
        }
        let is_common = matches!(content, Content::Unreadable { is_file: true, .. });
        let Some(number) = self.reading.next_record(is_common) else {
            return true;
        };
        self.bases += RECORD_BASES;
        self.bases += match &content {
            Content::Fasta(sequence) => sequence.len(),
            Content::GenBank(record) => record.sequence.len(),
            Content::Unreadable { .. } => 0,
        };
        self.batch.push(ReadRecord {
            number,
            id,
            place,
            content,
        });
        self.bases < BATCH_BASES || self.hand_over()
    }

    fn hand_over(&mut self) -> bool {
        self.bases = 0;
        self.batch.is_empty() || self.listener.send(std::mem::take(&mut self.batch))
    }
}

fn place(file: &str, ordinal: u64, id: &str, line: u64) -> String {
    format!("{file}: record {ordinal} ({id}), line {line}")
}
