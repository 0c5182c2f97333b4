//! `POST /v1/summarize` and `POST /v1/generate`: texts in, texts out.
//!
//! All requests of all clients share the steps of the one model that writes. With `stream` the text
//! is sent as it is written, see [`stream`].

mod request;
mod stream;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde::Serialize;
use sessile_device::{GenerationSettings, ModelIndex, OutputSet};
use sessile_runtime::WrittenText;
use utoipa::ToSchema;

use super::items::{self, List};
use super::request::{Request, parse};
use crate::exchange::{Call, Tag};
use crate::failure::{Failure, FailureKind, Style};
use crate::service::{Engine, Service, shortened};
use crate::work::{Done, Job, Terms, Work};
use crate::writer::Writer;

pub(crate) use request::WritingRequest;
pub(crate) use stream::{Event, events};

/// A path that writes.
pub(crate) trait Kind: Send + 'static {
    /// Where it is called.
    const PATH: &'static str;

    /// What it is for.
    const SUMMARY: &'static str;

    /// `object` of an item, and the name of its text.
    const OBJECT: &'static str;

    /// What an item becomes.
    type Item: Serialize + ToSchema;

    /// Whether the model can be asked this.
    fn check(writer: &Writer) -> Result<(), Failure>;

    /// An item, of what was written to it.
    fn item(index: usize, text: String, token_ids: Vec<u32>, truncated: bool) -> Self::Item;
}

/// `POST /v1/summarize`.
pub(crate) enum Summarize {}

impl Kind for Summarize {
    const PATH: &'static str = "/v1/summarize";
    const SUMMARY: &'static str = "Summaries of texts";
    const OBJECT: &'static str = "summary";

    type Item = SummaryItem;

    fn check(writer: &Writer) -> Result<(), Failure> {
        if writer.writes_summaries {
            return Ok(());
        }
        let message = format!("{} does not write summaries; use /v1/generate", writer.name);
        Err(Failure::invalid("model", message))
    }

    fn item(index: usize, summary: String, token_ids: Vec<u32>, truncated: bool) -> SummaryItem {
        SummaryItem {
            object: Self::OBJECT,
            index,
            summary,
            token_ids,
            truncated,
        }
    }
}

/// `POST /v1/generate`.
pub(crate) enum Generate {}

impl Kind for Generate {
    const PATH: &'static str = "/v1/generate";
    const SUMMARY: &'static str = "What a model writes to texts";
    const OBJECT: &'static str = "text";

    type Item = TextItem;

    fn check(_: &Writer) -> Result<(), Failure> {
        Ok(())
    }

    fn item(index: usize, text: String, token_ids: Vec<u32>, truncated: bool) -> TextItem {
        TextItem {
            object: Self::OBJECT,
            index,
            text,
            token_ids,
            truncated,
        }
    }
}

/// A summary.
#[derive(Serialize, ToSchema)]
pub(crate) struct SummaryItem {
    /// `summary`.
    object: &'static str,
    /// The text's place in the request.
    index: usize,
    /// What was written.
    pub(crate) summary: String,
    /// Its tokens, special ones included.
    pub(crate) token_ids: Vec<u32>,
    /// Whether only the beginning of the text was read.
    pub(crate) truncated: bool,
}

/// A text.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextItem {
    /// `text`.
    object: &'static str,
    /// The text's place in the request.
    index: usize,
    /// What was written.
    text: String,
    /// Its tokens, special ones included.
    token_ids: Vec<u32>,
    /// Whether only the beginning of the text was read.
    truncated: bool,
}

/// One event of a text that is sent as it is written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is sent as text")]
pub(crate) struct WrittenEvent {
    /// A piece of the text or an error, in JSON; at the end `[DONE]`.
    data: String,
}

/// Tokens of a request that writes.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct WritingUsage {
    /// Tokens that were read.
    pub(crate) prompt_tokens: usize,
    /// Tokens that were written, special ones included.
    pub(crate) completion_tokens: usize,
    /// Both.
    total_tokens: usize,
}

impl WritingUsage {
    fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        WritingUsage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
        }
    }
}

/// One text of a request.
struct Item {
    tokens: Vec<u32>,
    prompt_tokens: usize,
    is_truncated: bool,
    result: Option<Result<WrittenText, Failure>>,
}

/// A request to one of the paths.
pub(crate) struct Writing<K> {
    model: String,
    index: ModelIndex,
    settings: Arc<GenerationSettings>,
    terms: Terms,
    is_streamed: bool,
    items: Vec<Item>,
    next: usize,
    kind: PhantomData<K>,
}

impl<K: Kind> Work for Writing<K> {
    fn model(&self) -> ModelIndex {
        self.index
    }

    fn model_name(&self) -> &str {
        &self.model
    }

    fn generation(&self) -> Option<Arc<GenerationSettings>> {
        Some(Arc::clone(&self.settings))
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        while let Some(item) = self.items.get_mut(self.next) {
            let key = self.next;
            self.next += 1;
            if item.result.is_none() {
                let tokens = std::mem::take(&mut item.tokens);
                let outputs = OutputSet::default();
                return Some((key, Job { tokens, outputs }));
            }
        }
        None
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        if let Some(item) = self.items.get_mut(key) {
            item.result = Some(done.map(|(output, _)| {
                let generated = output.generated().cloned().unwrap_or_default();
                WrittenText {
                    // The text is made where the answer is written.
                    text: String::new(),
                    tokens: generated.tokens,
                    score: generated.score,
                }
            }));
        }
        Ok(())
    }
}

impl<K: Kind> Call for Writing<K> {
    const PATH: &'static str = K::PATH;
    const TAG: Tag = Tag::Texts;
    const SUMMARY: &'static str = K::SUMMARY;
    const STYLE: Style = Style::Error;
    const STREAMS: bool = true;

    type Request = WritingRequest;
    type Response = List<K::Item, WritingUsage>;

    fn models(engine: &Engine) -> Vec<&str> {
        let writers = engine.writer.iter();
        let able = writers.filter(|writer| K::check(writer).is_ok());
        able.map(|writer| &*writer.name).collect()
    }

    fn parse(_: &Service, headers: &HeaderMap, body: &[u8]) -> Result<WritingRequest, Failure> {
        parse(headers, body)
    }

    fn new(service: &Service, engine: &Engine, request: WritingRequest) -> Result<Self, Failure> {
        let writer = writer(engine, request.model())?;
        K::check(writer)?;
        let settings = request.settings(
            &writer.settings,
            writer.longest_answer,
            writer.info.vocabulary,
        )?;
        let texts = request.input.within(service.options.max_items)?;
        let is_streamed = request.stream.unwrap_or(false);
        if is_streamed && texts.len() > 1 {
            let message = "one text is streamed at a time";
            return Err(Failure::invalid("stream", message));
        }
        let truncates = request.truncate.unwrap_or(false);
        let items = texts
            .iter()
            .map(|text| Item::new(writer, text, truncates))
            .collect();
        Ok(Writing {
            model: writer.name.clone(),
            index: writer.index,
            settings: Arc::new(settings),
            terms: request.terms()?,
            is_streamed,
            items,
            next: 0,
            kind: PhantomData,
        })
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn tokens(&self) -> usize {
        self.items.iter().map(|item| item.prompt_tokens).sum()
    }

    fn numbers(&self) -> usize {
        self.items.len().saturating_mul(self.settings.max_length)
    }

    fn streamed(
        &mut self,
        service: &Arc<Service>,
        terms: Terms,
    ) -> Result<Option<Response<Body>>, Failure> {
        if !self.is_streamed {
            return Ok(None);
        }
        stream::begin(self, service, terms).map(Some)
    }

    fn respond(self, service: &Service, _: Instant) -> Result<Self::Response, Failure> {
        let engine = service.engine()?;
        let tokenizer = &writer(engine, Some(&self.model))?.tokenizer;
        let (mut prompt, mut written) = (0, 0);
        let results = self.items.into_iter().enumerate().map(|(index, item)| {
            let result = item.result?;
            Some(result.map(|text| {
                prompt += item.prompt_tokens;
                written += text.tokens.len();
                let whole = tokenizer.decode(&text.tokens);
                K::item(index, whole, text.tokens, item.is_truncated)
            }))
        });
        let results = items::finish(results)?;
        let usage = WritingUsage::new(prompt, written);
        Ok(List::new(results, self.model, usage))
    }
}

impl Item {
    /// What is wrong with a text stays with it.
    fn new(writer: &Writer, text: &str, truncates: bool) -> Self {
        let refused = |message: String| Item {
            tokens: Vec::new(),
            prompt_tokens: 0,
            is_truncated: false,
            result: Some(Err(Failure::invalid("input", message))),
        };
        let text = text.trim();
        if text.is_empty() {
            return refused("the text is empty".to_owned());
        }
        let most = writer.info.max_tokens;
        // No more of the text is looked at than can be read: it may be far longer.
        let tokenizer = &writer.tokenizer;
        let beginning = match tokenizer.beginning(text, most) {
            Ok(beginning) => beginning,
            Err(word) => return refused(word.to_string()),
        };
        if !beginning.is_whole && !truncates {
            return refused(format!(
                "the tokens are more than the model's {most}; with `truncate` its beginning is read"
            ));
        }
        let rows = writer.info.vocabulary;
        if let Some(message) = tokenizer.beyond(&beginning.tokens, rows) {
            return refused(message);
        }
        Item {
            prompt_tokens: beginning.tokens.len(),
            tokens: beginning.tokens,
            is_truncated: !beginning.is_whole,
            result: None,
        }
    }
}

/// The model that writes, if it is the one that is meant.
fn writer<'e>(engine: &'e Engine, name: Option<&str>) -> Result<&'e Writer, Failure> {
    let writer = engine.writer.as_ref();
    writer
        .filter(|writer| name.is_none_or(|name| name == writer.name))
        .ok_or_else(|| {
            let there = writer.map_or_else(
                || "no model that writes is served".to_owned(),
                |writer| format!("there is {}", writer.name),
            );
            let message = match name {
                Some(name) => format!("no model `{}` writes; {there}", shortened(name)),
                None => there,
            };
            Failure::new(FailureKind::ModelNotFound, message).about("model")
        })
}
