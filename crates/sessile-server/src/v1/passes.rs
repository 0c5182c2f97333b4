//! Calls whose every item takes one forward pass: what they share from the body to the answer.
//!
//! A call of its own is a [`Pass`]: its fields, what it asks of a model, and what an item becomes. The
//! list around the items, errors in their places, priority, time and order are here.

use std::time::Instant;

use axum::http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sessile_device::{HostTensor, ModelIndex, Output, OutputKind, OutputSet};
use utoipa::ToSchema;

use super::input::{Input, Kind};
use super::items::{Items, List, Usage};
use super::request::{Request, parse};
use crate::exchange::{Call, Tag};
use crate::failure::{Failure, FailureKind, Style};
use crate::raw::Rows;
use crate::service::{Engine, ServedModel, Service};
use crate::work::{Done, Job, Terms, Work};

/// The name of an item's numbers, and the way to them.
pub(crate) type NumbersOf<I> = (&'static str, fn(I) -> HostTensor);

/// One forward pass for each item.
pub(crate) trait Pass: Sized + Send + 'static {
    /// Where it is called.
    const PATH: &'static str;

    /// What it is for.
    const SUMMARY: &'static str;

    /// What a model must give to be asked.
    const OUTPUT: OutputKind;

    /// The name of an item's numbers, and the numbers, of items that have nothing else to tell.
    const NUMBERS: Option<NumbersOf<Self::Item>> = None;

    /// What its input may have in it.
    type Kind: Kind;

    /// The body.
    type Request: Request + DeserializeOwned + ToSchema + Send;

    /// What an item becomes.
    type Item: Serialize + ToSchema + Send + 'static;

    /// The input of a body.
    fn input(request: &Self::Request) -> &Input<Self::Kind>;

    /// Reads the call's own fields, and finds the model.
    fn new<'e>(
        engine: &'e Engine,
        request: &Self::Request,
    ) -> Result<(Self, &'e ServedModel), Failure>;

    /// What a model is asked for.
    fn outputs(&self) -> OutputSet;

    /// Numbers in the answer to an item of so many tokens.
    fn numbers(&self, tokens: usize) -> usize;

    /// An item, of what the model says.
    fn item(&self, index: usize, output: Output) -> Result<Self::Item, Failure>;

    /// The token of each column, where the columns are tokens.
    fn vocabulary(self) -> Option<Vec<String>> {
        None
    }
}

/// A request to such a call.
pub(crate) struct Post<P: Pass> {
    pass: P,
    items: Items<P::Item>,
}

impl<P: Pass> Work for Post<P> {
    fn model(&self) -> ModelIndex {
        self.items.model
    }

    fn model_name(&self) -> &str {
        &self.items.model_name
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        self.items.next_job(self.pass.outputs())
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        let item = done.and_then(|(output, _)| self.pass.item(key, output));
        self.items.set(key, item);
        Ok(())
    }
}

impl<P: Pass> Call for Post<P> {
    const PATH: &'static str = P::PATH;
    const TAG: Tag = Tag::Sequences;
    const SUMMARY: &'static str = P::SUMMARY;
    const STYLE: Style = Style::Error;
    const NUMBERS: Option<fn(Self::Response) -> Rows> = match P::NUMBERS {
        Some(_) => Some(rows::<P>),
        None => None,
    };

    type Request = P::Request;
    type Response = List<P::Item, Usage>;

    fn models(engine: &Engine) -> Vec<&str> {
        engine.models_with(P::OUTPUT)
    }

    fn parse(_: &Service, headers: &HeaderMap, body: &[u8]) -> Result<P::Request, Failure> {
        parse(headers, body)
    }

    fn new(service: &Service, engine: &Engine, request: P::Request) -> Result<Self, Failure> {
        let (pass, model) = P::new(engine, &request)?;
        let items = Items::new(service, model, &request, P::input(&request))?;
        Ok(Post { pass, items })
    }

    fn terms(&self) -> Terms {
        self.items.terms
    }

    fn tokens(&self) -> usize {
        self.items.tokens
    }

    fn numbers(&self) -> usize {
        self.items
            .items
            .iter()
            .map(|item| self.pass.numbers(item.tokens.len()))
            .sum()
    }

    fn respond(self, _: &Service, _: Instant) -> Result<Self::Response, Failure> {
        let model = self.items.model_name.clone();
        let usage = Usage::new(self.items.tokens);
        let list = List::new(self.items.finish()?, model, usage);
        Ok(list.with_vocabulary(self.pass.vocabulary()))
    }
}

/// The numbers of an answer.
fn rows<P: Pass>(list: List<P::Item, Usage>) -> Rows {
    let (name, model) = (P::NUMBERS.map_or("", |(name, _)| name), list.model.clone());
    let items = list.into_results().map(|result| {
        let (_, numbers) =
            P::NUMBERS.ok_or_else(|| Failure::new(FailureKind::Internal, "no numbers"))?;
        result.map(numbers)
    });
    Rows {
        name,
        model,
        items: items.collect(),
    }
}

/// The part of this kind.
pub(super) fn tensor(output: &Output, kind: OutputKind) -> Result<HostTensor, Failure> {
    output.get(kind).cloned().ok_or_else(|| {
        let message = format!("the answer has no {kind:?}");
        Failure::new(FailureKind::Internal, message)
    })
}
