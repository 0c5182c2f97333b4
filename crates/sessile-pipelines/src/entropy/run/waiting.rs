//! Records whose proteins have no answer yet.

use std::rc::Rc;

use super::super::cds::Prepared;
use super::super::genome::States;
use crate::three_di::Encoded;

/// The best states by a model's answer.
pub(super) fn states(encoded: Encoded) -> States {
    States {
        three_di: encoded.three_di.states,
        twelve_state: encoded.twelve_state.map(|found| found.states),
    }
}

/// A record some of whose proteins have no answer yet.
pub(super) struct Waiting {
    pub(super) prepared: Rc<Prepared>,
    pub(super) states: Vec<(usize, States)>,
}

impl Waiting {
    pub(super) fn new(prepared: Rc<Prepared>) -> Self {
        Waiting {
            prepared,
            states: Vec::new(),
        }
    }

    /// The record with all states that were found.
    pub(super) fn finished(self) -> Prepared {
        // Nobody else has it any more once its last step has come; a copy would do as well.
        let mut prepared = Rc::try_unwrap(self.prepared).unwrap_or_else(|shared| Prepared {
            number: shared.number,
            id: shared.id.clone(),
            place: shared.place.clone(),
            genome: match &shared.genome {
                Ok(genome) => Ok(genome.clone()),
                Err(lost) => Err(lost.clone()),
            },
            issues: shared.issues.clone(),
        });
        if let Ok(genome) = &mut prepared.genome {
            for (index, states) in self.states {
                genome.set_states(index, states);
            }
        }
        prepared
    }
}
