//! What a journal knows of one record.

use std::fmt;

/// A hash of what was computed from: 128 bits of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputHash([u8; 16]);

impl InputHash {
    /// The hash of a sequence as it goes into the model.
    pub fn of(sequence: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::hash(sequence).as_bytes()[..16]);
        InputHash(bytes)
    }
}

impl fmt::Debug for InputHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputHash({:032x})", u128::from_be_bytes(self.0))
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its results, in whatever form the job gives them.
    Done(Vec<u8>),
    /// Why it has none.
    Failed(String),
}

/// A record of the input and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record's identifier.
    pub id: String,
    /// The hash of its sequence.
    pub input: InputHash,
    /// What became of it.
    pub outcome: Outcome,
}

const DONE: u8 = 0;
const FAILED: u8 = 1;

impl Entry {
    pub(super) fn write(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.input.0);
        buffer.extend_from_slice(&(self.id.len() as u32).to_le_bytes());
        buffer.extend_from_slice(self.id.as_bytes());
        match &self.outcome {
            Outcome::Done(payload) => {
                buffer.push(DONE);
                buffer.extend_from_slice(payload);
            }
            Outcome::Failed(reason) => {
                buffer.push(FAILED);
                buffer.extend_from_slice(reason.as_bytes());
            }
        }
    }

    /// Reads the body of a frame; `None` when it is no entry.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (input, rest) = body.split_first_chunk::<16>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (id, rest) = rest.split_at_checked(length)?;
        let (&status, payload) = rest.split_first()?;
        let outcome = match status {
            DONE => Outcome::Done(payload.to_vec()),
            FAILED => Outcome::Failed(String::from_utf8(payload.to_vec()).ok()?),
            _ => return None,
        };
        Some(Entry {
            id: String::from_utf8(id.to_vec()).ok()?,
            input: InputHash(*input),
            outcome,
        })
    }
}
