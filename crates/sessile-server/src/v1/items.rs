//! The items of a request: their tokens, what became of each, and where the request is.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sessile_device::{ModelIndex, OutputSet};
use utoipa::ToSchema;

use super::Input;
use super::input;
use crate::failure::{Failure, FailureKind};
use crate::service::{ServedModel, Service};
use crate::work::{Job, Terms};

/// In the place of an answer: why this item has none.
#[derive(Serialize, ToSchema)]
pub(crate) struct ItemError {
    /// `error`.
    object: &'static str,
    /// The item's place in the request.
    index: usize,
    /// `type`, `message`, `param` and `index`.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    error: Value,
}

impl ItemError {
    pub(super) fn new(index: usize, failure: Failure) -> Self {
        ItemError {
            object: "error",
            index,
            error: failure.at(index).error_object(),
        }
    }
}

/// Tokens of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Tokens of all items.
    prompt_tokens: usize,
    /// The same.
    total_tokens: usize,
}

impl Usage {
    pub(super) fn new(tokens: usize) -> Self {
        Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        }
    }
}

/// The items of a request; `V` is what is kept of an answer.
pub(super) struct Items<V> {
    pub(super) model: ModelIndex,
    pub(super) model_name: String,
    pub(super) terms: Terms,
    /// Tokens of all items that have any.
    pub(super) tokens: usize,
    pub(super) items: Vec<Item<V>>,
    next: usize,
}

pub(super) struct Item<V> {
    pub(super) tokens: Vec<u32>,
    pub(super) result: Option<Result<V, Failure>>,
}

/// Fields that all requests have.
pub(crate) struct Common {
    pub(super) input: Input,
    /// Whether a residue that the model does not know counts as an unknown one.
    pub(super) takes_unknown: bool,
    pub(super) priority: Option<u8>,
    pub(super) timeout_ms: Option<u64>,
}

impl<V> Items<V> {
    /// Reads the items. What is wrong with one of them stays with it.
    pub(super) fn new(
        service: &Service,
        model: &ServedModel,
        common: Common,
    ) -> Result<Self, Failure> {
        let texts = common.input.into_vec();
        let options = &service.options;
        if texts.is_empty() {
            let message = "there is no sequence in `input`";
            return Err(Failure::invalid("input", message));
        }
        if texts.len() > options.max_items {
            let message = format!(
                "{} items are more than {}; split the request",
                texts.len(),
                options.max_items
            );
            return Err(Failure::new(FailureKind::TooLarge, message).about("input"));
        }
        let terms = terms(common.priority, common.timeout_ms)?;
        let items: Vec<Item<V>> = texts
            .iter()
            .map(|text| {
                let most = options.max_sequence_length;
                match input::tokens(model, &text.0, common.takes_unknown, most) {
                    Ok(tokens) => Item {
                        tokens,
                        result: None,
                    },
                    Err(failure) => Item {
                        tokens: Vec::new(),
                        result: Some(Err(failure)),
                    },
                }
            })
            .collect();
        Ok(Items {
            model: model.index,
            model_name: model.name.clone(),
            terms,
            tokens: items.iter().map(|item| item.tokens.len()).sum(),
            items,
            next: 0,
        })
    }

    /// The next item as a single job with these outputs.
    pub(super) fn next_job(&mut self, outputs: OutputSet) -> Option<(usize, Job)> {
        while let Some(item) = self.items.get_mut(self.next) {
            let key = self.next;
            self.next += 1;
            if item.result.is_none() {
                let tokens = std::mem::take(&mut item.tokens);
                return Some((key, Job { tokens, outputs }));
            }
        }
        None
    }

    /// Keeps what became of an item.
    pub(super) fn set(&mut self, key: usize, result: Result<V, Failure>) {
        if let Some(item) = self.items.get_mut(key) {
            item.result = Some(result);
        }
    }

    /// The results in order. When no item has an answer, the first failure is the request's.
    pub(super) fn finish(self) -> Result<Vec<Result<V, Failure>>, Failure> {
        let unanswered = || Failure::new(FailureKind::Internal, "the item has no answer");
        let mut results = Vec::with_capacity(self.items.len());
        for item in self.items {
            results.push(item.result.unwrap_or_else(|| Err(unanswered())));
        }
        if results.iter().any(Result::is_ok) {
            return Ok(results);
        }
        match results.into_iter().next() {
            Some(Err(failure)) => Err(failure.at(0)),
            _ => Err(unanswered()),
        }
    }
}

/// Priority and time of a request.
pub(super) fn terms(priority: Option<u8>, timeout_ms: Option<u64>) -> Result<Terms, Failure> {
    let default = Terms::default();
    let priority = priority.unwrap_or(default.priority);
    if priority > 2 {
        let message = "`priority` is 0, 1 or 2";
        return Err(Failure::invalid("priority", message));
    }
    if timeout_ms.is_some_and(|timeout| timeout == 0 || timeout > u64::from(u32::MAX)) {
        let message = "`timeout_ms` is from 1 to 4294967295";
        return Err(Failure::invalid("timeout_ms", message));
    }
    Ok(Terms {
        priority,
        timeout: timeout_ms.map(Duration::from_millis),
    })
}
