//! From records to frames and what is asked of both models: records are cut, translated and
//! tokenised.

use std::num::NonZeroUsize;
use std::time::Instant;

use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_models::tokenizer::Tokenizer;
use sessile_runtime::PoolRequest;
use sessile_seq::chunk::ranges;
use sessile_seq::fasta::{Reader, Record};
use sessile_seq::inputs::Input;
use sessile_seq::nucleotide::rna_to_dna;
use sessile_seq::six_frame::FrameScanner;

use super::super::identify::GENOME;
use super::super::results::ChunkPlace;
use super::{NUCLEOTIDE, PROTEIN, Shard};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::{AHEAD, Handover, Item, Items, Key, Problem, Reading};
use crate::journal::InputHash;

/// The tokenizers of both models.
#[derive(Clone)]
pub(super) struct Tokenizers {
    pub(super) nucleotide: Tokenizer,
    pub(super) protein: Tokenizer,
}

/// What an item is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    /// A record begins. Its frames follow, if it has any.
    Record,
    /// A candidate frame of it, and where its chunk lies.
    Frame(ChunkPlace),
    /// There is no record.
    Lost,
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

impl Making {
    /// Begins to read.
    pub(super) fn start(
        self,
        inputs: Vec<Input>,
        interrupt: &Interrupt,
    ) -> Result<Items<Piece>, PipelineError> {
        let reading = Reading::of(&inputs, self.shard);
        Items::start_thread(reading, AHEAD, interrupt, move |handover| {
            let mut reader = FrameReader {
                making: self,
                handover,
                scanner: FrameScanner::new(),
                frames: 0,
            };
            for input in &inputs {
                if reader.input(input).is_none() {
                    return;
                }
            }
        })
    }
}

struct FrameReader<'h> {
    making: Making,
    handover: &'h Handover<Piece>,
    scanner: FrameScanner,
    /// Frames handed over.
    frames: u64,
}

impl FrameReader<'_> {
    /// Reads one input; `None` when nobody listens any more.
    fn input(&mut self, input: &Input) -> Option<()> {
        match Reader::from_counted(input, &self.handover.reading.bytes.read) {
            Ok(reader) => {
                let reader = reader.counted_by(&self.handover.reading.census);
                self.records(reader, &input.name())
            }
            Err(error) => {
                let number = self.handover.reading.next_record(true);
                self.unreadable(number, &error)
            }
        }
    }

    fn records<R: std::io::Read>(&mut self, mut reader: Reader<R>, name: &str) -> Option<()> {
        let mut record = Record::default();
        loop {
            let read = reader.read(&mut record);
            if matches!(read, Ok(false)) {
                return Some(());
            }
            // A file that breaks off is everybody's business, a record only its shard's.
            let is_common = (read.as_ref()).is_err_and(|error| !error.is_record_error());
            let Some(number) = self.handover.reading.next_record(is_common) else {
                continue;
            };
            match read {
                Err(error) => self.unreadable(Some(number), &error)?,
                Ok(_) => {
                    rna_to_dna(&mut record.sequence);
                    match GENOME.check(&record.sequence) {
                        Ok(()) => self.record(&record, number)?,
                        Err(symbol) => {
                            self.unreadable(Some(number), &symbol.in_record(&record, name))?;
                        }
                    }
                }
            }
        }
    }

    fn unreadable(&self, number: Option<u64>, error: &sessile_seq::Error) -> Option<()> {
        let id = error.record_id().unwrap_or_default();
        let mut item = item(number, id.to_owned(), Piece::Lost);
        item.place = error.place();
        item.problem = Some(Problem::of_reader(error));
        self.send(item)
    }

    fn record(&mut self, record: &Record, number: u64) -> Option<()> {
        self.send(item(Some(number), record.id.clone(), Piece::Record))?;
        let mut scanner = std::mem::take(&mut self.scanner);
        let sequence = &record.sequence;
        for (chunk, range) in (1..).zip(ranges(sequence.len(), self.making.chunk)) {
            let place = ChunkPlace {
                start: range.start as u64 + 1,
                end: range.end as u64,
                contig_length: sequence.len() as u64,
            };
            for open in scanner.scan(&sequence[range]) {
                if open.protein.is_empty() {
                    continue;
                }
                let begun = Instant::now();
                let mut both = open.nucleotide.to_vec();
                both.push(b'\n');
                both.extend_from_slice(open.protein);
                let name = format!("{}_chunk_{chunk}{}", record.id, open.suffix());
                let mut item = item(Some(number), name.clone(), Piece::Frame(place));
                let input = InputHash::of(&both);
                item.key = Some(Key { name, input });
                item.is_record = true;
                self.frames += 1;
                if self.frames > self.making.known {
                    item.requests = self.making.requests(open.nucleotide, open.protein);
                }
                self.handover.reading.add_time(begun);
                self.send(item)?;
            }
        }
        self.scanner = scanner;
        Some(())
    }

    fn send(&self, item: Item<Piece>) -> Option<()> {
        self.handover.send(item).then_some(())
    }
}

impl Making {
    /// What is asked of both models. Their own tokens for letters that they do not know (N) are
    /// what the classifier was trained with.
    fn requests(&self, nucleotide: &[u8], protein: &[u8]) -> Vec<PoolRequest> {
        let ask = |model, tokens, output| {
            let outputs = OutputSet::default().with(output);
            PoolRequest::new(ModelIndex(model), tokens, outputs)
        };
        let tokenizers = &self.tokenizers;
        let bases = tokenizers.nucleotide.encode(nucleotide).tokens;
        let residues = tokenizers.protein.encode(protein).tokens;
        vec![
            ask(NUCLEOTIDE, bases, OutputKind::MeanAll),
            ask(PROTEIN, residues, self.protein_output),
        ]
    }
}

fn item(number: Option<u64>, id: String, content: Piece) -> Item<Piece> {
    Item {
        number,
        place: id.clone(),
        id,
        key: None,
        requests: Vec::new(),
        problem: None,
        is_record: false,
        content,
    }
}
