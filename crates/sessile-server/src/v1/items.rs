//! The items of a request: their tokens, what became of each, and where the request is. With the list
//! that they become.

use serde::Serialize;
use sessile_device::{ModelIndex, OutputSet};
use utoipa::ToSchema;

use super::input::{self, Input, Kind};
use super::request::Request;
use crate::failure::{ErrorBody, Failure, FailureKind};
use crate::service::{ServedModel, Service};
use crate::work::{Job, Terms};

/// The answer to a list of items.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T, U> {
    /// `list`.
    object: &'static str,
    /// One for each item, in order.
    pub(super) data: Vec<Entry<T>>,
    /// The token of each column, where columns are tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    vocabulary: Option<Vec<String>>,
    /// The model.
    pub(crate) model: String,
    /// Tokens.
    pub(crate) usage: U,
}

/// What an item got.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Entry<T> {
    /// Its answer.
    Answer(T),
    /// Why there is none.
    Error(Box<ItemError>),
}

impl<T, U> List<T, U> {
    pub(super) fn new(results: Results<T>, model: String, usage: U) -> Self {
        let entry = |(index, result)| match result {
            Ok(answer) => Entry::Answer(answer),
            Err(failure) => Entry::Error(Box::new(ItemError::new(index, failure))),
        };
        List {
            object: "list",
            data: results.into_iter().enumerate().map(entry).collect(),
            vocabulary: None,
            model,
            usage,
        }
    }

    /// What became of each item.
    pub(crate) fn into_results(self) -> impl Iterator<Item = Result<T, Failure>> {
        self.data.into_iter().map(|entry| match entry {
            Entry::Answer(answer) => Ok(answer),
            Entry::Error(error) => Err(error.failure),
        })
    }

    pub(super) fn with_vocabulary(mut self, vocabulary: Option<Vec<String>>) -> Self {
        self.vocabulary = vocabulary;
        self
    }
}

/// In the place of an answer: why this item has none.
#[derive(Serialize, ToSchema)]
pub(crate) struct ItemError {
    /// `error`.
    object: &'static str,
    /// The item's place in the request.
    index: usize,
    /// What is wrong.
    error: ErrorBody,
    #[serde(skip)]
    failure: Failure,
}

impl ItemError {
    fn new(index: usize, failure: Failure) -> Self {
        let failure = failure.at(index);
        ItemError {
            object: "error",
            index,
            error: failure.body(),
            failure,
        }
    }
}

/// Tokens of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Tokens of all items.
    pub(crate) prompt_tokens: usize,
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

/// What became of each item, in order.
pub(super) type Results<V> = Vec<Result<V, Failure>>;

/// The items of a request; `V` is what an item becomes.
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

impl<V> Items<V> {
    /// Reads the items. What is wrong with one of them stays with it.
    pub(super) fn new<K: Kind>(
        service: &Service,
        model: &ServedModel,
        request: &impl Request,
        input: &Input<K>,
    ) -> Result<Self, Failure> {
        let texts = input.within(service.options.max_items)?;
        let most = service.options.max_sequence_length;
        let items: Vec<Item<V>> = texts
            .iter()
            .map(|text| match input::tokens::<K>(model, text, most) {
                Ok(tokens) => Item {
                    tokens,
                    result: None,
                },
                Err(failure) => Item {
                    tokens: Vec::new(),
                    result: Some(Err(failure)),
                },
            })
            .collect();
        Ok(Items {
            model: model.index,
            model_name: model.name.clone(),
            terms: request.terms()?,
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

    /// The results in order.
    pub(super) fn finish(self) -> Result<Results<V>, Failure> {
        finish(self.items.into_iter().map(|item| item.result))
    }
}

/// The results in order. When no item has an answer, the first failure is the request's.
pub(super) fn finish<V>(
    results: impl Iterator<Item = Option<Result<V, Failure>>>,
) -> Result<Results<V>, Failure> {
    let unanswered = || Failure::new(FailureKind::Internal, "the item has no answer");
    let results: Vec<_> = results
        .map(|result| result.unwrap_or_else(|| Err(unanswered())))
        .collect();
    if results.iter().any(Result::is_ok) {
        return Ok(results);
    }
    match results.into_iter().next() {
        Some(Err(failure)) => Err(failure.at(0)),
        _ => Err(unanswered()),
    }
}
