//! From records to requests: parts of long sequences, and identical sequences asked for once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::{Rc, Weak};

use sessile_device::{ModelIndex, Output, OutputKind, OutputSet, RequestError};
use sessile_runtime::PoolRequest;

use super::long::{Long, windows};
use super::records::{Prepared, RecordInfo, Records};

/// What is asked of the model, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Of a sequence that is asked for as a whole.
    pub(super) outputs: OutputSet,
    pub(super) long: Long,
    /// Longest sequence that is asked for as a whole, in tokens.
    pub(super) max_tokens: usize,
    /// Tokens before the first residue and behind the last, together.
    pub(super) special_tokens: usize,
    /// How many of them stand before the first residue.
    pub(super) leading_tokens: usize,
}

impl Wanted {
    /// What is asked of a window: means are made of residues when all windows are there.
    pub(super) fn of_window(&self) -> OutputSet {
        self.outputs
            .iter()
            .map(|kind| match kind {
                OutputKind::Mean => OutputKind::PerResidue,
                other => other,
            })
            .collect()
    }
}

/// A part of a record, or a record without one.
pub(super) struct Item {
    /// The record, with its last part.
    pub(super) record: Option<RecordInfo>,
    /// What the part is good for; `None` when nothing is asked.
    pub(super) part: Option<Part>,
}

pub(super) struct Part {
    /// What is kept of its answer, in residues of the part; `None` when all of it.
    pub(super) window: Option<Range<usize>>,
    /// Tokens of the part.
    pub(super) tokens: usize,
    answer: Rc<Shared>,
    pub(super) is_shared: bool,
}

/// An answer that several parts wait for.
#[derive(Default)]
struct Shared(RefCell<Option<Result<Rc<Output>, RequestError>>>);

impl Part {
    /// The answer: the pool's for the part that asked, the same again for those that share it.
    /// `None` when there is none, which does not come up: who asked is answered first.
    pub(super) fn answer(
        &self,
        from_pool: Option<Result<Output, RequestError>>,
    ) -> Option<Result<Rc<Output>, RequestError>> {
        let Some(answer) = from_pool else {
            return self.answer.0.borrow().clone();
        };
        let answer = answer.map(Rc::new);
        if Rc::strong_count(&self.answer) > 1 {
            *self.answer.0.borrow_mut() = Some(answer.clone());
        }
        Some(answer)
    }
}

/// Sequences that are on their way, so that those that come again meanwhile need not be asked for.
#[derive(Default)]
struct OnTheirWay {
    answers: HashMap<(Vec<u32>, OutputSet), Weak<Shared>>,
    swept: usize,
}

/// Entries beyond which those that arrived are forgotten.
const SWEEP: usize = 1 << 10;

impl OnTheirWay {
    /// The answer for these tokens, and whether somebody has asked for it.
    fn get(&mut self, tokens: &[u32], outputs: OutputSet) -> (Rc<Shared>, bool) {
        let key = (tokens.to_vec(), outputs);
        if let Some(answer) = self.answers.get(&key).and_then(Weak::upgrade) {
            return (answer, true);
        }
        if self.answers.len() >= self.swept.max(SWEEP) {
            self.answers.retain(|_, answer| answer.strong_count() > 0);
            self.swept = 2 * self.answers.len();
        }
        let answer = Rc::default();
        self.answers.insert(key, Rc::downgrade(&answer));
        (answer, false)
    }
}

/// The requests of all records, in their order.
pub(super) struct Requests {
    records: Records,
    wanted: Wanted,
    /// Records that an earlier run has finished.
    finished: u64,
    on_their_way: OnTheirWay,
    /// Parts of the record that is handed out, the last one first.
    parts: Vec<(Part, Option<PoolRequest>)>,
    record: Option<RecordInfo>,
}

impl Requests {
    pub(super) fn new(records: Records, wanted: Wanted, finished: u64) -> Self {
        Requests {
            records,
            wanted,
            finished,
            on_their_way: OnTheirWay::default(),
            parts: Vec::new(),
            record: None,
        }
    }

    fn begin(&mut self, mut prepared: Prepared) {
        let Wanted {
            long,
            max_tokens,
            special_tokens,
            leading_tokens: leading,
            ..
        } = self.wanted;
        let record = &mut prepared.record;
        let is_finished = self.finished > 0;
        self.finished = self.finished.saturating_sub(1);
        let Some(mut tokens) = prepared.tokens else {
            self.record = Some(prepared.record);
            return;
        };
        let most = max_tokens - special_tokens;
        let residues = tokens.len().saturating_sub(special_tokens);
        if residues > most {
            match long {
                Long::Fail | Long::Full => {
                    let hint = if long == Long::Fail {
                        "; see --long"
                    } else {
                        ", what the memory allows"
                    };
                    record.problem =
                        Some(format!("{residues} residues are more than {most}{hint}"));
                }
                Long::Truncate => {
                    // The beginning, and what stands behind the last residue.
                    tokens.drain(leading + most..leading + residues);
                    record.is_truncated = true;
                }
                Long::Windows => {}
            }
        }
        if is_finished || record.problem.is_some() {
            // Nothing to ask: the journal has its row, or it has none.
        } else if residues > most && long == Long::Windows {
            let windows = windows(residues, most);
            record.windows = windows.len();
            for window in &windows {
                let (first, last) = (&tokens[..leading], &tokens[leading + residues..]);
                let range = leading + window.residues.start..leading + window.residues.end;
                let tokens = first.iter().chain(&tokens[range]).chain(last).copied();
                let kept = window.kept.start - window.residues.start
                    ..window.kept.end - window.residues.start;
                self.push(tokens.collect(), Some(kept));
            }
            self.parts.reverse();
        } else {
            self.push(tokens, None);
        }
        self.record = Some(prepared.record);
    }

    fn push(&mut self, tokens: Vec<u32>, window: Option<Range<usize>>) {
        let outputs = match window {
            Some(_) => self.wanted.of_window(),
            None => self.wanted.outputs,
        };
        let (answer, is_shared) = self.on_their_way.get(&tokens, outputs);
        let part = Part {
            window,
            tokens: tokens.len(),
            answer,
            is_shared,
        };
        let request = (!is_shared).then(|| PoolRequest::new(ModelIndex(0), tokens, outputs));
        self.parts.push((part, request));
    }
}

impl Iterator for Requests {
    type Item = (Item, Option<PoolRequest>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.record.is_none() {
            let prepared = self.records.next()?;
            self.begin(prepared);
        }
        let (part, request) = self.parts.pop().unzip();
        let record = if self.parts.is_empty() {
            self.record.take()
        } else {
            None
        };
        Some((Item { record, part }, request.flatten()))
    }
}
