//! A text that the model has written becomes the row of its article.

use std::rc::Rc;

use sessile_device::{Output, RequestError, RequestErrorKind};
use sessile_models::tokenizer::TextTokenizer;
use sessile_runtime::{Pending, Pool};

use super::items::{Asking, InFlight};
use super::parts;
use super::row::{self, Written};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job::{Item, Ledger, Task};
use crate::output::{Row, Schema};

pub(super) struct SummaryTask<'a> {
    pub(super) asking: Asking,
    pub(super) pool: &'a Pool,
    pub(super) interrupt: &'a Interrupt,
    pub(super) schema: Schema,
    pub(super) with_ids: bool,
    /// Tokens that the model wrote.
    pub(super) written: u64,
}

/// The answer of several parts, or why there is none.
type Reduced = Result<Result<Rc<Output>, String>, PipelineError>;

impl SummaryTask<'_> {
    fn tokenizer(&self) -> &TextTokenizer {
        &self.asking.tokenizer
    }

    /// The summary of the parts' summaries.
    fn reduce(&self, parts: &[Rc<Output>]) -> Reduced {
        let mut answers = parts.to_vec();
        let mut before = usize::MAX;
        loop {
            let of = answers.len();
            let summaries: Vec<String> = answers.iter().map(|answer| self.text(answer)).collect();
            let text = summaries.join(" ");
            let tokens = self.tokenizer().encode(&text);
            let most = self.asking.most;
            if tokens.len() <= most {
                return self.wait(self.ask(tokens), 1, 1);
            }
            if tokens.len() >= before {
                return Ok(Err(format!(
                    "the summaries of its {of} parts do not become shorter than {} tokens",
                    tokens.len()
                )));
            }
            before = tokens.len();
            let pending: Vec<Pending> = parts::cut(self.tokenizer(), &text, most)
                .into_iter()
                .map(|part| self.ask(self.tokenizer().encode(part)))
                .collect();
            let of = pending.len();
            answers.clear();
            for (pending, part) in pending.into_iter().zip(1..) {
                match self.wait(pending, part, of)? {
                    Ok(answer) => answers.push(answer),
                    Err(reason) => return Ok(Err(reason)),
                }
            }
        }
    }

    fn ask(&self, tokens: Vec<u32>) -> Pending {
        let mut request = self.asking.request(tokens);
        request.cancelled = Some(self.interrupt.flag());
        self.pool.submit_waiting(request)
    }

    fn wait(&self, pending: Pending, part: usize, of: usize) -> Reduced {
        let ended = |kind, error: RequestError| Err(PipelineError::new(kind, error.to_string()));
        match pending.wait() {
            Ok(answer) => Ok(Ok(Rc::new(answer))),
            Err(error) => match error.kind() {
                // The article is not to blame: a later run may summarise it.
                RequestErrorKind::NoDevice => ended(PipelineErrorKind::Device, error),
                RequestErrorKind::Cancelled => ended(PipelineErrorKind::Interrupted, error),
                _ if of > 1 => Ok(Err(format!("part {part} of {of}: {error}"))),
                _ => Ok(Err(error.to_string())),
            },
        }
    }

    /// What was written.
    fn text(&self, output: &Output) -> String {
        self.tokenizer().decode(tokens(output))
    }
}

fn tokens(output: &Output) -> &[u32] {
    let generated = output.generated();
    generated.map_or(&[], |text| &text.tokens)
}

impl Task for SummaryTask<'_> {
    type Item = InFlight;
    type Outcome = Row;
    type Report = u64;

    const UNIT: &'static str = "articles";

    fn fault(&self, item: &Item<InFlight>, part: usize, error: &RequestError) -> String {
        match item.content.parts {
            0 => error.to_string(),
            of => format!("part {} of {of}: {error}", part + 1),
        }
    }

    fn outcome(
        &mut self,
        item: &mut Item<InFlight>,
        answers: &[Rc<Output>],
    ) -> Result<Result<Row, String>, PipelineError> {
        let InFlight {
            fields,
            is_truncated,
            parts,
        } = &item.content;
        let answer = match (parts, answers) {
            (0, [answer]) => Rc::clone(answer),
            (0, _) => return Ok(Err("it was not answered".to_owned())),
            (_, answers) => match self.reduce(answers)? {
                Ok(answer) => answer,
                Err(reason) => return Ok(Err(reason)),
            },
        };
        self.written += tokens(&answer).len() as u64;
        let written = Written::Summary {
            summary: self.text(&answer),
            tokens: tokens(&answer),
            is_truncated: *is_truncated,
            parts: *parts,
        };
        Ok(Ok(row::row(fields, &item.place, &written, self.with_ids)))
    }

    fn encode(&self, row: &Row) -> Vec<u8> {
        row.to_bytes(&self.schema)
    }

    fn decode(&self, item: &Item<InFlight>, bytes: &[u8]) -> Option<Row> {
        let id = match item.id.as_str() {
            "" => &item.place,
            id => id,
        };
        Row::from_bytes(id.to_owned(), bytes, &self.schema)
    }

    /// Failed articles have their rows as well.
    fn sink(
        &mut self,
        item: Item<InFlight>,
        row: Result<Row, String>,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PipelineError> {
        let row = row.unwrap_or_else(|reason| {
            let written = Written::Error(&reason);
            row::row(&item.content.fields, &item.place, &written, self.with_ids)
        });
        ledger.write(&row)
    }

    fn finish(self, _: &mut Ledger<'_>) -> Result<u64, PipelineError> {
        Ok(self.written)
    }
}
