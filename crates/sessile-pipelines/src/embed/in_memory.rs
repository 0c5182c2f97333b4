//! Sequences in memory are asked for as the records of a file are.

use std::rc::Rc;

use sessile_device::{HostTensor, Output, OutputSet};
use sessile_models::ModelInfo;
use sessile_models::tokenizer::{Tokenizer, without_stop};
use sessile_runtime::PoolRequest;

use super::long::Long;
use super::records::{Sequence, Wanted};
use super::rows;
use crate::output::OutputName;

/// How sequences are asked for: upper case, no stop at the end, windows of long ones.
#[derive(Clone)]
pub struct Asking(Wanted);

/// A sequence on its way through the model: its requests, and what their answers are made of.
pub struct Asked {
    /// One request, or one for each window of a long sequence.
    pub requests: Vec<PoolRequest>,
    sequence: Sequence,
}

impl Asking {
    /// For `outputs` of a resident model. `setting` is what the choice of `long` is called where
    /// users make it: messages name it.
    pub fn new(
        tokenizer: Tokenizer,
        model: &ModelInfo,
        outputs: OutputSet,
        long: Long,
        setting: &'static str,
    ) -> Self {
        Asking(Wanted {
            tokenizer,
            outputs,
            long,
            max_tokens: model.max_tokens,
            special_tokens: model.special_tokens,
            leading_tokens: model.leading_tokens,
            setting,
        })
    }

    /// What is asked for a sequence, whose letters may be of either case; tokens in angle brackets,
    /// such as `<mask>`, are taken as they are written.
    ///
    /// # Errors
    ///
    /// Why it can not be asked for: it is empty, has symbols that are no residues, or is too long.
    pub fn ask(&self, sequence: &[u8]) -> Result<Asked, String> {
        let mut is_token = false;
        let upper = |&letter: &u8| {
            is_token = letter == b'<' || (is_token && letter != b'>');
            match is_token {
                true => letter,
                false => letter.to_ascii_uppercase(),
            }
        };
        let letters: Vec<u8> = sequence.iter().map(upper).collect();
        let (sequence, requests) = self.0.ask(without_stop(&letters));
        Ok(Asked {
            requests: requests?,
            sequence,
        })
    }
}

impl Asked {
    /// Whether the model gets the beginning only.
    pub fn is_truncated(&self) -> bool {
        self.sequence.is_truncated
    }

    /// Whether the sequence is asked for in windows, whose answers [`Asked::tensor`] puts together.
    pub fn has_windows(&self) -> bool {
        !self.sequence.windows.is_empty()
    }

    /// An output of the whole sequence from the answers to its requests; `None` for what the
    /// answers do not have or what windows do not tell.
    pub fn tensor(&self, name: OutputName, answers: Vec<Output>) -> Option<HostTensor> {
        let answers: Vec<_> = answers.into_iter().map(Rc::new).collect();
        rows::tensor(name, &rows::with_windows(&self.sequence, &answers))
    }
}
