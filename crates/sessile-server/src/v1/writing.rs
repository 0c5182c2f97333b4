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
use sessile_runtime::{Pool, WrittenText};
use utoipa::ToSchema;

use super::items::{ItemError, terms};
use super::parse;
use crate::exchange::Call;
use crate::failure::{Failure, FailureKind, Style};
use crate::predict::write;
use crate::service::{Engine, Service, shortened};
use crate::work::{Done, Job, Terms, Work};
use crate::writer::Writer;

pub(crate) use request::{EarlyStoppingChoice, Never, Texts, WritingRequest};

/// A path that writes.
pub(crate) trait Kind: Send + 'static {
    /// `object` of an item, and the name of its text.
    const OBJECT: &'static str;

    /// Whether the model can be asked this.
    fn check(writer: &Writer) -> Result<(), Failure>;
}

/// `POST /v1/summarize`.
pub(crate) enum Summarize {}

impl Kind for Summarize {
    const OBJECT: &'static str = "summary";

    fn check(writer: &Writer) -> Result<(), Failure> {
        if writer.writes_summaries {
            return Ok(());
        }
        let message = format!("{} does not write summaries; use /v1/generate", writer.name);
        Err(Failure::invalid("model", message))
    }
}

/// `POST /v1/generate`.
pub(crate) enum Generate {}

impl Kind for Generate {
    const OBJECT: &'static str = "text";

    fn check(_: &Writer) -> Result<(), Failure> {
        Ok(())
    }
}

/// The summaries.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) struct SummarizeResponse {
    /// `list`.
    object: String,
    /// One for each text, in order.
    data: Vec<SummaryItem>,
    /// The model.
    model: String,
    /// Tokens.
    usage: WritingUsage,
}

/// A summary, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) enum SummaryItem {
    /// A summary.
    Summary {
        /// `summary`.
        object: String,
        /// The text's place in the request.
        index: usize,
        /// What was written.
        summary: String,
        /// Its tokens, special ones included.
        token_ids: Vec<u32>,
        /// Whether only the beginning of the text was read.
        truncated: bool,
    },
    /// Why there is none.
    Error(ItemError),
}

/// The texts.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) struct GenerateResponse {
    /// `list`.
    object: String,
    /// One for each text, in order.
    data: Vec<TextItem>,
    /// The model.
    model: String,
    /// Tokens.
    usage: WritingUsage,
}

/// A text, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the API")]
pub(crate) enum TextItem {
    /// A text.
    Text {
        /// `text`.
        object: String,
        /// The text's place in the request.
        index: usize,
        /// What was written.
        text: String,
        /// Its tokens, special ones included.
        token_ids: Vec<u32>,
        /// Whether only the beginning of the text was read.
        truncated: bool,
    },
    /// Why there is none.
    Error(ItemError),
}

/// Tokens of a request that writes.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct WritingUsage {
    /// Tokens that were read.
    prompt_tokens: usize,
    /// Tokens that were written, special ones included.
    completion_tokens: usize,
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
    settings: Arc<GenerationSettings>,
    terms: Terms,
    is_streamed: bool,
    items: Vec<Item>,
    next: usize,
    kind: PhantomData<K>,
}

impl<K: Kind> Work for Writing<K> {
    fn model(&self) -> ModelIndex {
        ModelIndex(0)
    }

    fn pool<'e>(&self, engine: &'e Engine) -> Result<&'e Pool, Failure> {
        writer(engine, Some(&self.model)).map(|writer| &writer.generator.pool)
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
    const STYLE: Style = Style::Error;

    fn read(
        service: &Service,
        engine: &Engine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let request: WritingRequest = parse(headers, body)?;
        let writer = writer(engine, request.model.as_deref())?;
        K::check(writer)?;
        let settings = request.settings(
            &writer.settings,
            writer.longest_answer(),
            writer.generator.plan.info.vocabulary,
        )?;
        let terms = terms(request.priority, request.timeout_ms)?;
        let texts = request.input.into_vec();
        let options = &service.options;
        if texts.is_empty() {
            return Err(Failure::invalid("input", "there is no text in `input`"));
        }
        if texts.len() > options.max_items {
            let message = format!(
                "{} items are more than {}; split the request",
                texts.len(),
                options.max_items
            );
            return Err(Failure::new(FailureKind::TooLarge, message).about("input"));
        }
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
            settings: Arc::new(settings),
            terms,
            is_streamed,
            items,
            next: 0,
            kind: PhantomData,
        })
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn numbers(&self) -> usize {
        self.items.len().saturating_mul(self.settings.max_length)
    }

    fn streamed(&mut self, service: &Arc<Service>) -> Result<Option<Response<Body>>, Failure> {
        if !self.is_streamed {
            return Ok(None);
        }
        stream::begin(self, service).map(Some)
    }

    fn write(self, service: &Service, _begun: Instant) -> Result<Vec<u8>, Failure> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Answer<'a> {
            Text(Row<'a>),
            Error(ItemError),
        }
        #[derive(Serialize)]
        struct Response<'a> {
            object: &'static str,
            data: Vec<Answer<'a>>,
            model: &'a str,
            usage: WritingUsage,
        }
        let engine = service.engine()?;
        let tokenizer = &writer(engine, Some(&self.model))?.generator.tokenizer;
        let unanswered = || Failure::new(FailureKind::Internal, "the item has no answer");
        let has_answer = |item: &Item| matches!(item.result, Some(Ok(_)));
        if !self.items.iter().any(has_answer) {
            let first = self.items.into_iter().next().and_then(|item| item.result);
            return Err(match first {
                Some(Err(failure)) => failure.at(0),
                _ => unanswered(),
            });
        }
        let (mut prompt, mut written) = (0, 0);
        let data = self
            .items
            .iter()
            .enumerate()
            .map(|(index, item)| match &item.result {
                Some(Ok(text)) => {
                    prompt += item.prompt_tokens;
                    written += text.tokens.len();
                    Answer::Text(Row {
                        object: K::OBJECT,
                        index,
                        text: tokenizer.decode(&text.tokens),
                        token_ids: &text.tokens,
                        truncated: item.is_truncated,
                    })
                }
                Some(Err(failure)) => Answer::Error(ItemError::new(index, failure.clone())),
                None => Answer::Error(ItemError::new(index, unanswered())),
            })
            .collect();
        write(&Response {
            object: "list",
            data,
            model: &self.model,
            usage: WritingUsage::new(prompt, written),
        })
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
        let most = writer.generator.plan.info.max_source_tokens;
        // No more of the text is looked at than can be read: it may be far longer.
        let tokenizer = &writer.generator.tokenizer;
        let beginning = match tokenizer.beginning(text, most) {
            Ok(beginning) => beginning,
            Err(word) => return refused(word.to_string()),
        };
        if !beginning.is_whole && !truncates {
            return refused(format!(
                "the tokens are more than the model's {most}; with `truncate` its beginning is read"
            ));
        }
        let rows = writer.generator.plan.info.vocabulary;
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

/// An item as it is sent: its text has the name of its kind.
struct Row<'a> {
    object: &'static str,
    index: usize,
    text: String,
    token_ids: &'a [u32],
    truncated: bool,
}

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut row = serializer.serialize_struct("Row", 5)?;
        row.serialize_field("object", self.object)?;
        row.serialize_field("index", &self.index)?;
        row.serialize_field(self.object, &self.text)?;
        row.serialize_field("token_ids", self.token_ids)?;
        row.serialize_field("truncated", &self.truncated)?;
        row.end()
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
