//! The `/v1` calls, in the manner of OpenAI's: several items a request, split and kept in order by
//! the service; an item that can not be answered says so in its place and the others are answered.

mod contacts;
mod embeddings;
mod input;
mod items;
mod logits;
mod models;
mod numbers;
mod passes;
mod request;
mod score;
mod three_di;
mod writing;

pub(crate) use contacts::{Contacts, ContactsRequest};
pub(crate) use embeddings::{Embeddings, EmbeddingsRequest, Pooling};
pub(crate) use input::{Kind as InputKind, Masked, Plain, Protein, Text};
pub(crate) use items::Usage;
pub(crate) use logits::{Logits, LogitsRequest};
pub(crate) use models::{Model, ModelList, get_model, list_models};
pub(crate) use passes::Post;
pub(crate) use score::{Method, PostScore, ScoreRequest};
pub(crate) use three_di::{ThreeDi, ThreeDiRequest};
pub(crate) use writing::{
    Event, Generate, Summarize, Writing, WritingRequest, WritingUsage, WrittenEvent, events,
};
