//! Paths whose every item takes one forward pass: what they share from the body to the answer.
//!
//! A path of its own is a [`Pass`]: its fields, what it asks of a model, what it keeps of an
//! answer and how an item looks. The list around the items, errors in their places, priority, time
//! and order are here.

use std::time::Instant;

use axum::http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sessile_device::{HostTensor, ModelIndex, Output, OutputKind, OutputSet};

use super::items::{Common, ItemError, Items, Usage};
use super::parse;
use crate::exchange::Call;
use crate::failure::{Failure, FailureKind, Style};
use crate::predict::write;
use crate::service::{Engine, ServedModel, Service};
use crate::work::{Done, Job, Terms, Work};

/// One forward pass for each item.
pub(crate) trait Pass: Sized + Send + 'static {
    /// The body.
    type Request: DeserializeOwned;

    /// What is kept of an item's answer until all are there.
    type Kept: Send + 'static;

    /// Finds the model, reads the path's own fields and hands on those that all requests have.
    fn new(
        engine: &Engine,
        request: Self::Request,
    ) -> Result<(Self, &ServedModel, Common), Failure>;

    /// What a model is asked for.
    fn outputs(&self) -> OutputSet;

    /// What is kept of its answer.
    fn keep(&self, output: Output) -> Result<Self::Kept, Failure>;

    /// Numbers in the answer to an item of so many tokens.
    fn numbers(&self, tokens: usize) -> usize;

    /// An item as it is sent.
    fn item<'a>(&'a self, index: usize, kept: &'a Self::Kept) -> impl Serialize + 'a;

    /// The token of each column, where the columns are tokens.
    fn vocabulary(&self) -> Option<&[String]> {
        None
    }
}

/// A request to such a path.
pub(crate) struct Post<P: Pass> {
    pass: P,
    items: Items<P::Kept>,
}

impl<P: Pass> Work for Post<P> {
    fn model(&self) -> ModelIndex {
        self.items.model
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        self.items.next_job(self.pass.outputs())
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        let kept = done.and_then(|(output, _)| self.pass.keep(output));
        self.items.set(key, kept);
        Ok(())
    }
}

impl<P: Pass> Call for Post<P> {
    const STYLE: Style = Style::Error;

    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let (pass, model, common) = P::new(engine, parse(headers, body)?)?;
        Ok(Post {
            pass,
            items: Items::new(service, model, common)?,
        })
    }

    fn terms(&self) -> Terms {
        self.items.terms
    }

    fn numbers(&self) -> usize {
        self.items
            .items
            .iter()
            .map(|item| self.pass.numbers(item.tokens.len()))
            .sum()
    }

    fn write(self, _service: &Service, _begun: Instant) -> Result<Vec<u8>, Failure> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Item<T> {
            Answer(T),
            Error(ItemError),
        }
        #[derive(Serialize)]
        struct Response<'a, T> {
            object: &'static str,
            data: Vec<Item<T>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            vocabulary: Option<&'a [String]>,
            model: String,
            usage: Usage,
        }
        let pass = self.pass;
        let model = self.items.model_name.clone();
        let usage = Usage::new(self.items.tokens);
        let results = self.items.finish()?;
        let data = results
            .iter()
            .enumerate()
            .map(|(index, result)| match result {
                Ok(kept) => Item::Answer(pass.item(index, kept)),
                Err(failure) => Item::Error(ItemError::new(index, failure.clone())),
            })
            .collect();
        write(&Response {
            object: "list",
            data,
            vocabulary: pass.vocabulary(),
            model,
            usage,
        })
    }
}

/// The part of this kind.
pub(super) fn tensor(output: &Output, kind: OutputKind) -> Result<HostTensor, Failure> {
    output.get(kind).cloned().ok_or_else(|| {
        let message = format!("the answer has no {kind:?}");
        Failure::new(FailureKind::Internal, message)
    })
}
