//! Frames on their way to the pool: read, cut, translated and tokenised on a thread of their own, a
//! bounded number ahead of the lanes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_models::tokenizer::Tokenizer;
use sessile_runtime::PoolRequest;
use sessile_seq::chunk::ranges;
use sessile_seq::fasta::{Reader, Record};
use sessile_seq::inputs::{Census, Input};
use sessile_seq::nucleotide::rna_to_dna;
use sessile_seq::six_frame::FrameScanner;

use super::super::identify::{GENOME, with_hint};
use super::super::results::ChunkPlace;
use super::{NUCLEOTIDE, PROTEIN, Shard};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::journal::InputHash;
use crate::read_ahead::{Listener, ReadAhead, stored_bytes};

/// Items read ahead.
const AHEAD: usize = 256;

/// The tokenizers of both models.
#[derive(Clone)]
pub(super) struct Tokenizers {
    pub(super) nucleotide: Tokenizer,
    pub(super) protein: Tokenizer,
}

/// A candidate frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) id: String,
    /// The number of its record over all inputs of the sample, from 0.
    pub(super) record: u64,
    /// Where its chunk lies.
    pub(super) place: ChunkPlace,
    pub(super) input: InputHash,
}

/// What the reader sends on.
#[derive(Debug)]
pub(super) enum Item {
    /// A record that can not be read, or a file.
    Unreadable {
        id: String,
        reason: String,
        is_file: bool,
    },
    /// A record begins; its frames follow, if it has any.
    Record { id: String, number: u64 },
    /// A frame that an earlier run has finished.
    Known(Frame),
    /// A frame, first half: its nucleotides are asked for.
    Nucleotide { frame: Frame, tokens: usize },
    /// Its second half: the protein of the frame before.
    Protein { tokens: usize },
}

/// How far the reader is.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) records: AtomicU64,
    pub(super) chunks: AtomicU64,
    pub(super) bases: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) bytes_total: AtomicU64,
    pub(super) census: Census,
}

impl Reading {
    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// How frames are made.
pub(super) struct Making {
    pub(super) chunk: NonZeroUsize,
    pub(super) shard: Shard,
    pub(super) tokenizers: Tokenizers,
    pub(super) protein_output: OutputKind,
    /// Frames that an earlier run has finished: they need no tokens.
    pub(super) known: u64,
}

/// The items of all inputs, in order, each with what is asked of the pool.
pub(super) struct Frames {
    items: ReadAhead<(Item, Option<PoolRequest>)>,
    reading: Arc<Reading>,
}

impl Frames {
    /// Begins to read.
    pub(super) fn start(
        inputs: Vec<Input>,
        making: Making,
        interrupt: &Interrupt,
    ) -> Result<Self, PipelineError> {
        let reading = Arc::new(Reading::default());
        Reading::add(&reading.bytes_total, inputs.iter().map(stored_bytes).sum());
        let counters = Arc::clone(&reading);
        let items = ReadAhead::start(AHEAD, interrupt, move |listener| {
            let mut reader = FrameReader {
                making,
                listener,
                reading: counters,
                scanner: FrameScanner::new(),
                record: 0,
                frames: 0,
            };
            for input in &inputs {
                if reader.input(input).is_none() {
                    return;
                }
            }
        })?;
        Ok(Frames { items, reading })
    }

    pub(super) fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.reading)
    }
}

impl Iterator for Frames {
    type Item = (Item, Option<PoolRequest>);

    fn next(&mut self) -> Option<Self::Item> {
        self.items.next()
    }
}

struct FrameReader {
    making: Making,
    listener: Listener<(Item, Option<PoolRequest>)>,
    reading: Arc<Reading>,
    scanner: FrameScanner,
    /// Records met over all inputs.
    record: u64,
    /// Frames sent.
    frames: u64,
}

impl FrameReader {
    /// Reads one input; `None` when nobody listens any more. A file that can not be read costs
    /// what is left of it; the others go on.
    fn input(&mut self, input: &Input) -> Option<()> {
        match Reader::from_input(input) {
            Ok(reader) => {
                let reader = reader.counted_by(&self.reading.census);
                self.records(reader, &input.name())?;
            }
            Err(error) => self.unreadable(&error)?,
        }
        Reading::add(&self.reading.bytes, stored_bytes(input));
        Some(())
    }

    fn records<R: std::io::Read>(&mut self, mut reader: Reader<R>, name: &str) -> Option<()> {
        let mut record = Record::default();
        loop {
            let read = reader.read(&mut record);
            if matches!(read, Ok(false)) {
                return Some(());
            }
            let number = self.record;
            self.record += 1;
            // A file that breaks off is everybody's business, a record only its shard's.
            let is_ours = self.making.shard.has(number);
            match read {
                Err(error) if is_ours || !error.is_record_error() => self.unreadable(&error)?,
                Ok(true) if is_ours => {
                    rna_to_dna(&mut record.sequence);
                    match GENOME.check(&record.sequence) {
                        Ok(()) => self.record(&record, number)?,
                        Err(symbol) => self.unreadable(&symbol.in_record(&record, name))?,
                    }
                }
                _ => {}
            }
        }
    }

    fn unreadable(&self, error: &sessile_seq::Error) -> Option<()> {
        let item = Item::Unreadable {
            id: error.record_id().unwrap_or_default().to_owned(),
            reason: with_hint(error),
            is_file: !error.is_record_error(),
        };
        self.send(item, None)
    }

    fn record(&mut self, record: &Record, record_number: u64) -> Option<()> {
        Reading::add(&self.reading.records, 1);
        let id = record.id.clone();
        let number = record_number;
        self.send(Item::Record { id, number }, None)?;
        let mut scanner = std::mem::take(&mut self.scanner);
        let sequence = &record.sequence;
        for (number, range) in (1..).zip(ranges(sequence.len(), self.making.chunk)) {
            let place = ChunkPlace {
                start: range.start as u64 + 1,
                end: range.end as u64,
                contig_length: sequence.len() as u64,
            };
            Reading::add(&self.reading.chunks, 1);
            Reading::add(&self.reading.bases, range.len() as u64);
            for open in scanner.scan(&sequence[range]) {
                if open.protein.is_empty() {
                    continue;
                }
                let mut both = open.nucleotide.to_vec();
                both.push(b'\n');
                both.extend_from_slice(open.protein);
                let frame = Frame {
                    id: format!("{}_chunk_{number}{}", record.id, open.suffix()),
                    record: record_number,
                    place,
                    input: InputHash::of(&both),
                };
                self.frames += 1;
                if self.frames <= self.making.known {
                    self.send(Item::Known(frame), None)?;
                    continue;
                }
                let Tokenizers {
                    nucleotide,
                    protein,
                } = &self.making.tokenizers;
                // The models' own tokens for letters that they do not know (N) are what the
                // classifier was trained with.
                let of_nucleotide = OutputSet::default().with(OutputKind::MeanAll);
                let of_protein = OutputSet::default().with(self.making.protein_output);
                let ask = |model, tokens, outputs| {
                    Some(PoolRequest::new(ModelIndex(model), tokens, outputs))
                };
                let ids = nucleotide.encode(open.nucleotide).tokens;
                let item = Item::Nucleotide {
                    frame,
                    tokens: ids.len(),
                };
                self.send(item, ask(NUCLEOTIDE, ids, of_nucleotide))?;
                let ids = protein.encode(open.protein).tokens;
                let item = Item::Protein { tokens: ids.len() };
                self.send(item, ask(PROTEIN, ids, of_protein))?;
            }
        }
        self.scanner = scanner;
        Some(())
    }

    fn send(&self, item: Item, request: Option<PoolRequest>) -> Option<()> {
        self.listener.send((item, request)).then_some(())
    }
}
