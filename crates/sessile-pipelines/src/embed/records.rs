//! From records to what the model is asked: upper case, tokens, windows of long sequences.

use std::io::Read;
use std::ops::Range;
use std::time::Instant;

use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_models::tokenizer::{Tokenizer, without_stop};
use sessile_runtime::PoolRequest;
use sessile_seq::fasta::{Reader, Record};
use sessile_seq::inputs::Input;

use super::long::{Long, windows};
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::{AHEAD, Handover, Item, Items, Key, Problem};
use crate::journal::InputHash;
use crate::shard::Shard;

/// Longest protein that is read at all. The longest one known has about 45,000 residues
/// (UniProt A0A5A9P0L4); a file beyond this is not of proteins.
const MAX_RESIDUES: u64 = 1 << 20;

/// Letters of nothing but A, C, G, T, U and N from which on a sequence is hardly a protein.
const NUCLEIC_LENGTH: usize = 60;

/// What is kept of a sequence while it is computed.
#[derive(Default)]
pub(super) struct Sequence {
    /// The rest of its header.
    pub(super) description: String,
    pub(super) length: u64,
    /// Whether the model gets the beginning only.
    pub(super) is_truncated: bool,
    /// What is kept of the answer for each window, in residues of the window; empty when the
    /// sequence is asked for as a whole.
    pub(super) windows: Vec<Range<usize>>,
    /// Whether these are bases, given to a model of proteins.
    pub(super) looks_nucleic: bool,
}

/// What is asked of the model, and how.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) tokenizer: Tokenizer,
    /// Of a sequence that is asked for as a whole.
    pub(super) outputs: OutputSet,
    pub(super) long: Long,
    /// Longest sequence that is asked for as a whole, in tokens.
    pub(super) max_tokens: usize,
    /// Tokens before the first residue and behind the last, together.
    pub(super) special_tokens: usize,
    /// How many of them stand before the first residue.
    pub(super) leading_tokens: usize,
    /// What the choice of `long` is called where users make it.
    pub(super) setting: &'static str,
}

/// What is asked of a window: means are made of residues when all windows are there.
pub(super) fn outputs_of_window(outputs: OutputSet) -> OutputSet {
    let of_window = |kind| match kind {
        OutputKind::Mean | OutputKind::Max | OutputKind::Std => OutputKind::PerResidue,
        other => other,
    };
    outputs.iter().map(of_window).collect()
}

/// Begins to read all inputs.
pub(super) fn start(
    inputs: Vec<Input>,
    shard: Shard,
    wanted: Wanted,
    interrupt: &Interrupt,
) -> Result<Items<Sequence>, PipelineError> {
    Items::start(
        inputs,
        shard,
        AHEAD,
        interrupt,
        move |input, handover| match Reader::from_counted(input, &handover.reading.bytes.read) {
            Ok(reader) => {
                let reader = reader.counted_by(&handover.reading.census);
                read(reader, &input.name(), &wanted, handover)
            }
            Err(error) => {
                let number = handover.reading.next_record(true);
                handover.send(unreadable(number, &error))
            }
        },
    )
}

/// Reads one input; false when nobody listens any more.
fn read<R: Read>(
    reader: Reader<R>,
    name: &str,
    wanted: &Wanted,
    handover: &Handover<Sequence>,
) -> bool {
    let mut reader = reader.max_residues(MAX_RESIDUES);
    let mut record = Record::default();
    loop {
        let begun = Instant::now();
        let read = reader.read(&mut record);
        if matches!(read, Ok(false)) {
            return true;
        }
        let is_common = read.as_ref().is_err_and(|error| !error.is_record_error());
        let Some(number) = handover.reading.next_record(is_common) else {
            continue;
        };
        let item = match read {
            Err(error) => unreadable(Some(number), &error),
            Ok(_) => wanted.item(name, number, &mut record),
        };
        handover.reading.add_time(begun);
        if !handover.send(item) {
            return false;
        }
    }
}

/// Something that is not a record: what the reader says went wrong.
fn unreadable(number: Option<u64>, error: &sessile_seq::Error) -> Item<Sequence> {
    let problem = Problem::of_reader(error);
    Item {
        number,
        id: error.record_id().unwrap_or_default().to_owned(),
        place: error.place(),
        key: Some(Key {
            name: error.place(),
            input: InputHash::of(problem.reason.as_bytes()),
        }),
        requests: Vec::new(),
        problem: Some(problem),
        is_record: true,
        content: Sequence::default(),
    }
}

impl Wanted {
    /// Upper case, no stop at the end, tokens, requests.
    fn item(&self, file: &str, number: u64, record: &mut Record) -> Item<Sequence> {
        record.sequence.make_ascii_uppercase();
        let length = without_stop(&record.sequence).len();
        record.sequence.truncate(length);
        let (mut content, requests) = self.ask(&record.sequence);
        content.description = std::mem::take(&mut record.description);
        let (requests, problem) = match requests {
            Ok(requests) => (requests, None),
            Err(reason) => (Vec::new(), Some(Problem::of_record(reason))),
        };
        let id = std::mem::take(&mut record.id);
        Item {
            number: Some(number),
            place: format!(
                "{file}: record {} ({id}), line {}",
                record.ordinal, record.line
            ),
            key: Some(Key {
                name: id.clone(),
                input: InputHash::of(&record.sequence),
            }),
            id,
            requests,
            problem,
            is_record: true,
            content,
        }
    }

    /// What is asked for a sequence in upper case, without the stop behind it.
    pub(super) fn ask(&self, letters: &[u8]) -> (Sequence, Result<Vec<PoolRequest>, String>) {
        let encoding = self.tokenizer.encode(letters);
        let mut content = Sequence {
            length: letters.len() as u64,
            looks_nucleic: !matches!(self.tokenizer, Tokenizer::Bpe(_)) && looks_nucleic(letters),
            ..Sequence::default()
        };
        let requests = match encoding.unknown {
            _ if letters.is_empty() => Err("the record has no residues".to_owned()),
            Some((position, symbol)) => Err(format!(
                "`{}` at position {} is not a residue that the model knows",
                char::from(symbol).escape_default(),
                position + 1
            )),
            None => self.requests(encoding.tokens, &mut content),
        };
        (content, requests)
    }

    /// What is asked for a sequence, or why it is not.
    fn requests(
        &self,
        mut tokens: Vec<u32>,
        content: &mut Sequence,
    ) -> Result<Vec<PoolRequest>, String> {
        let leading = self.leading_tokens;
        let most = self.max_tokens - self.special_tokens;
        let residues = tokens.len().saturating_sub(self.special_tokens);
        let ask = |tokens, outputs| PoolRequest::new(ModelIndex(0), tokens, outputs);
        if residues <= most {
            return Ok(vec![ask(tokens, self.outputs)]);
        }
        match self.long {
            Long::Fail => Err(format!(
                "{residues} residues are more than {most}; see {}",
                self.setting
            )),
            Long::Full => Err(format!(
                "{residues} residues are more than {most}, what the memory allows"
            )),
            Long::Truncate => {
                // The beginning, and what stands behind the last residue.
                tokens.drain(leading + most..leading + residues);
                content.is_truncated = true;
                Ok(vec![ask(tokens, self.outputs)])
            }
            Long::Windows => {
                let outputs = outputs_of_window(self.outputs);
                let (first, last) = (&tokens[..leading], &tokens[leading + residues..]);
                let mut requests = Vec::new();
                for window in windows(residues, most) {
                    let range = leading + window.residues.start..leading + window.residues.end;
                    let tokens = first.iter().chain(&tokens[range]).chain(last).copied();
                    requests.push(ask(tokens.collect(), outputs));
                    let start = window.residues.start;
                    content
                        .windows
                        .push(window.kept.start - start..window.kept.end - start);
                }
                Ok(requests)
            }
        }
    }
}

/// Whether these letters are bases rather than residues.
fn looks_nucleic(letters: &[u8]) -> bool {
    letters.len() >= NUCLEIC_LENGTH
        && letters.contains(&b'C')
        && letters.contains(&b'G')
        && letters.iter().all(|letter| b"ACGTUN".contains(letter))
}
