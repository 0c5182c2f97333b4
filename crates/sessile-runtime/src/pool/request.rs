//! What is asked of a pool.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use sessile_device::{GenerationSettings, ModelIndex, OutputSet};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Pending;
use crate::queue::Entry;

/// What is asked of a pool.
#[derive(Clone, Debug)]
pub struct PoolRequest {
    /// The model to ask.
    pub model: ModelIndex,
    /// Token ids, special ones included.
    pub tokens: Vec<u32>,
    /// What is wanted.
    pub outputs: OutputSet,
    /// How to write the answer, for models that generate text.
    pub generation: Option<Arc<GenerationSettings>>,
    /// 0 is served first, 2 last; who has waited long enough is served before either.
    pub priority: u8,
    /// Not worth computing after this.
    pub deadline: Option<Instant>,
    /// Set to give up.
    pub cancelled: Option<Arc<AtomicBool>>,
    /// Told of each token that a model writes, as soon as it is sure: greedy search and sampling.
    /// The answer has them all, the first (start) token and the last one too, which are not told.
    pub on_token: Option<UnboundedSender<u32>>,
}

impl PoolRequest {
    /// A request of ordinary priority without a deadline.
    pub fn new(model: ModelIndex, tokens: Vec<u32>, outputs: OutputSet) -> Self {
        PoolRequest {
            model,
            tokens,
            outputs,
            generation: None,
            priority: 1,
            deadline: None,
            cancelled: None,
            on_token: None,
        }
    }

    pub(super) fn into_entry(self, is_bulk: bool) -> (Entry, Pending) {
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let entry = Entry {
            model: self.model,
            tokens: self.tokens,
            outputs: self.outputs,
            generation: self.generation,
            priority: self.priority,
            deadline: self.deadline,
            cancelled: self.cancelled,
            on_token: self.on_token,
            told: 0,
            is_bulk,
            is_rest: false,
            attempts: 0,
            goes_alone: false,
            arrived: now,
            in_line_since: now,
            reply,
        };
        (entry, Pending::new(answer))
    }
}
