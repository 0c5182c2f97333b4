//! What the journal keeps of a protein: its states.

use super::genome::{FoundOrf, States};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::journal::InputHash;

/// The name of a protein in the journal.
pub(super) fn name(orf: &FoundOrf<'_>) -> String {
    format!("{} {}", orf.genome().id(), orf.id())
}

/// What its states were computed from.
pub(super) fn input(orf: &FoundOrf<'_>) -> InputHash {
    InputHash::of(orf.residues().as_bytes())
}

pub(super) fn to_bytes(states: &States) -> Vec<u8> {
    let mut bytes = states.three_di.clone().into_bytes();
    if let Some(twelve) = &states.twelve_state {
        bytes.push(b'\n');
        bytes.extend_from_slice(twelve.as_bytes());
    }
    bytes
}

/// The states back again.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<States, PipelineError> {
    let damaged = || {
        PipelineError::new(
            PipelineErrorKind::Output,
            "the journal has an entry that this version did not write",
        )
        .with_hint("--restart begins anew")
    };
    let text = str::from_utf8(bytes).map_err(|_| damaged())?;
    let (three_di, twelve_state) = match text.split_once('\n') {
        Some((three_di, twelve)) => (three_di, Some(twelve)),
        None => (text, None),
    };
    if twelve_state.is_some_and(|twelve| twelve.len() != three_di.len()) {
        return Err(damaged());
    }
    Ok(States {
        three_di: three_di.to_owned(),
        twelve_state: twelve_state.map(str::to_owned),
    })
}
