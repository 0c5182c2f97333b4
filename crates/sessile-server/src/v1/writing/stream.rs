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
use futures_util::stream;
use serde_json::{Value, json};
use sessile_device::{Generated, ModelIndex, OutputSet};
use sessile_models::tokenizer::TextTokenizer;
use sessile_runtime::{Pending, PoolRequest};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Kind, Writing, WritingUsage, writer};
use crate::failure::{Failure, FailureKind};
use crate::service::Service;
use crate::work;

/// Begins to write; from here on everything is an event.
pub(super) fn begin<K: Kind>(
    writing: &mut Writing<K>,
    service: &Arc<Service>,
) -> Result<Response<Body>, Failure> {
    let writer = writer(service.engine()?, Some(&writing.model))?;
    let Some(item) = writing.items.pop() else {
        return Err(Failure::invalid("input", "there is no text in `input`"));
    };
    if let Some(Err(failure)) = item.result {
        return Err(failure.at(0));
    }
    let deadline = work::deadline(service, writing.terms);
    let (listener, told) = unbounded_channel();
    let mut request = PoolRequest::new(ModelIndex(0), item.tokens, OutputSet::default());
    request.generation = Some(Arc::clone(&writing.settings));
    request.priority = writing.terms.priority;
    request.deadline = Some(deadline);
    request.on_token = Some(listener);
    let pending = writer.generator.pool.submit(request);
    let text = Text {
        service: Arc::clone(service),
        object: K::OBJECT,
        model: writing.model.clone(),
        tokenizer: writer.generator.tokenizer.clone(),
        told,
        pending: Some(pending.map_err(|error| work::refused(service, error))?),
        deadline,
        tokens: Vec::new(),
        sent: 0,
        prompt_tokens: item.prompt_tokens,
        is_truncated: item.is_truncated,
        last: Vec::new(),
    };
    let events = stream::unfold(text, |mut text| async {
        let event = text.next().await?;
        Some((Ok::<Bytes, Infallible>(event), text))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A text on its way.
struct Text {
    service: Arc<Service>,
    object: &'static str,
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
    /// Events that are left when all is written, the last one first.
    last: Vec<Bytes>,
}

impl Text {
    /// The next event; `None` behind the last one.
    async fn next(&mut self) -> Option<Bytes> {
        if self.pending.is_none() {
            return self.last.pop();
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
                        let event = event(&json!({ "index": 0, self.object: piece }));
                        self.sent = text.len();
                        return Some(event);
                    }
                }
                // Everything was told.
                Ok(None) => break,
                Err(_) => return Some(self.fails(&late())),
            }
        }
        let pending = self.pending.take()?;
        let answer = tokio::time::timeout_at(self.deadline.into(), pending.timed()).await;
        match answer {
            Ok((Ok(output), timing)) => {
                if let Some(timing) = timing {
                    self.service.telemetry.computed(timing);
                }
                Some(self.ends(&output.generated().cloned().unwrap_or_default()))
            }
            Ok((Err(error), _)) => Some(self.fails(&error.into())),
            Err(_) => Some(self.fails(&late())),
        }
    }

    /// The first of the last events: what is left of the text.
    fn ends(&mut self, written: &Generated) -> Bytes {
        self.pending = None;
        let text = self.tokenizer.decode(&written.tokens);
        let usage = WritingUsage::new(self.prompt_tokens, written.tokens.len());
        let whole = event(&json!({
            "object": self.object,
            "index": 0,
            "token_ids": written.tokens,
            "truncated": self.is_truncated,
            "model": self.model,
            "usage": usage,
        }));
        self.last = vec![done(), whole];
        match text.get(self.sent..) {
            Some(piece) if !piece.is_empty() => event(&json!({ "index": 0, self.object: piece })),
            _ => self.last.pop().unwrap_or_default(),
        }
    }

    fn fails(&mut self, failure: &Failure) -> Bytes {
        self.pending = None;
        self.last = vec![done()];
        event(&json!({ "error": failure.body() }))
    }
}

fn late() -> Failure {
    let message = "the text was not written in the time that the request was given";
    Failure::new(FailureKind::Timeout, message)
}

fn event(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}
