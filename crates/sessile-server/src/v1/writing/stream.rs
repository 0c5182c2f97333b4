//! A text that is sent as it is written: server-sent events, ended by `data: [DONE]`.
//!
//! Each event but the last has a piece of the text under the name that the whole text has else; the
//! last one but `[DONE]` has the tokens, and `usage`. What goes wrong behind the first event comes
//! as an event with `error`. A client that leaves gives up its text.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;
use sessile_device::{Generated, OutputSet};
use sessile_models::tokenizer::TextTokenizer;
use sessile_runtime::{Pending, PoolRequest};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Kind, Writing, WritingUsage, writer};
use crate::failure::{Failure, FailureKind};
use crate::service::Service;
use crate::work::{self, Terms};

/// What happens to a text that is sent as it is written.
pub(crate) enum Event {
    /// The next piece of it.
    Piece(String),
    /// All of it; the last event.
    Whole(Box<Whole>),
    /// Why there is no more; the last event.
    Failed(Failure),
}

/// A text that is written.
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) token_ids: Vec<u32>,
    pub(crate) truncated: bool,
    pub(crate) usage: WritingUsage,
}

/// Begins to write; from here on everything is an event of the answer.
pub(super) fn begin<K: Kind>(
    writing: &mut Writing<K>,
    service: &Arc<Service>,
    terms: Terms,
) -> Result<Response<Body>, Failure> {
    let model = writing.model.clone();
    let events = events(writing, service, terms)?
        .map(move |event| Ok::<Bytes, Infallible>(sent(K::OBJECT, &model, event)));
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// An event as it is sent.
fn sent(object: &str, model: &str, event: Event) -> Bytes {
    let (value, end) = match event {
        Event::Piece(text) => (json!({ "index": 0, object: text }), ""),
        Event::Whole(whole) => {
            let value = json!({
                "object": object,
                "index": 0,
                "token_ids": whole.token_ids,
                "truncated": whole.truncated,
                "model": model,
                "usage": whole.usage,
            });
            (value, "data: [DONE]\n\n")
        }
        Event::Failed(failure) => (json!({ "error": failure.body() }), "data: [DONE]\n\n"),
    };
    Bytes::from(format!("data: {value}\n\n{end}"))
}

/// Begins to write, and tells what happens.
pub(crate) fn events<K: Kind>(
    writing: &mut Writing<K>,
    service: &Arc<Service>,
    terms: Terms,
) -> Result<impl Stream<Item = Event> + Send + use<K>, Failure> {
    let engine = service.engine()?;
    let writer = writer(engine, Some(&writing.model))?;
    let Some(item) = writing.items.pop() else {
        return Err(Failure::invalid("input", "there is no text in `input`"));
    };
    if let Some(Err(failure)) = item.result {
        return Err(failure.at(0));
    }
    let deadline = work::deadline(service, terms);
    let (listener, told) = unbounded_channel();
    let mut request = PoolRequest::new(writer.index, item.tokens, OutputSet::default());
    request.generation = Some(Arc::clone(&writing.settings));
    request.priority = terms.priority;
    request.deadline = Some(deadline);
    request.on_token = Some(listener);
    let pending = engine.pool.submit(request);
    let text = Text {
        service: Arc::clone(service),
        model: writing.model.clone(),
        tokenizer: writer.tokenizer.clone(),
        told,
        pending: Some(pending.map_err(|error| work::refused(service, error))?),
        deadline,
        tokens: Vec::new(),
        sent: 0,
        prompt_tokens: item.prompt_tokens,
        is_truncated: item.is_truncated,
        last: None,
    };
    Ok(stream::unfold(text, |mut text| async {
        let event = text.next().await?;
        Some((event, text))
    }))
}

/// A text on its way.
struct Text {
    service: Arc<Service>,
    model: String,
    tokenizer: TextTokenizer,
    told: UnboundedReceiver<u32>,
    /// `None` when it is written.
    pending: Option<Pending>,
    deadline: Instant,
    /// What was told so far.
    tokens: Vec<u32>,
    /// Bytes of the text that were sent.
    sent: usize,
    prompt_tokens: usize,
    is_truncated: bool,
    /// The event that is left when all is written.
    last: Option<Event>,
}

impl Text {
    /// The next event; `None` behind the last one.
    async fn next(&mut self) -> Option<Event> {
        if self.pending.is_none() {
            return self.last.take();
        }
        loop {
            let told = tokio::time::timeout_at(self.deadline.into(), self.told.recv()).await;
            match told {
                Ok(Some(token)) => {
                    self.tokens.push(token);
                    let text = self.tokenizer.decode(&self.tokens);
                    // The bytes of a character may be spread over several tokens.
                    let is_whole = !text.ends_with('\u{fffd}');
                    if is_whole
                        && let Some(piece) = text.get(self.sent..)
                        && !piece.is_empty()
                    {
                        let piece = piece.to_owned();
                        self.sent = text.len();
                        return Some(Event::Piece(piece));
                    }
                }
                // Everything was told.
                Ok(None) => break,
                Err(_) => return Some(self.fails(late())),
            }
        }
        let pending = self.pending.take()?;
        let answer = tokio::time::timeout_at(self.deadline.into(), pending.timed()).await;
        match answer {
            Ok((Ok(output), timing)) => {
                if let Some(timing) = timing {
                    let telemetry = &self.service.telemetry;
                    telemetry.computed(&self.model, self.prompt_tokens, timing);
                }
                Some(self.ends(&output.generated().cloned().unwrap_or_default()))
            }
            Ok((Err(error), _)) => Some(self.fails(error.into())),
            Err(_) => Some(self.fails(late())),
        }
    }

    /// The first of the last events: what is left of the text.
    fn ends(&mut self, written: &Generated) -> Event {
        self.pending = None;
        let text = self.tokenizer.decode(&written.tokens);
        let piece = text.get(self.sent..).filter(|piece| !piece.is_empty());
        let piece = piece.map(str::to_owned);
        let whole = Event::Whole(Box::new(Whole {
            text,
            token_ids: written.tokens.clone(),
            truncated: self.is_truncated,
            usage: WritingUsage::new(self.prompt_tokens, written.tokens.len()),
        }));
        match piece {
            Some(piece) => {
                self.last = Some(whole);
                Event::Piece(piece)
            }
            None => whole,
        }
    }

    fn fails(&mut self, failure: Failure) -> Event {
        self.pending = None;
        Event::Failed(failure)
    }
}

fn late() -> Failure {
    let message = "the text was not written in the time that the request was given";
    Failure::new(FailureKind::Timeout, message)
}
