//! What the runtime drives: requests in, events out, step by step.
//!
//! An encoder answers a request in one step. Work that needs many forward passes (a decoder's
//! tokens, a masked scan over every residue) takes several, and other requests may be admitted
//! between them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::error::DeviceError;
use crate::generation::GenerationSettings;
use crate::lane::GivenUp;
use crate::tensor::HostTensor;

/// A request's number, unique within the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Which of the resident models is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelIndex(pub usize);

/// Something a model can say of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum OutputKind {
    /// Mean over the residues, without special tokens: `[hidden]`.
    Mean,
    /// Mean over all tokens, special ones too: `[hidden]`.
    MeanAll,
    /// The vector of the first token: `[hidden]`.
    Cls,
    /// One vector per residue: `[residues, hidden]`.
    PerResidue,
    /// Scores over the vocabulary for every token, special ones too: `[tokens, vocabulary]`.
    Logits,
    /// Probability of a contact for every pair of residues: `[residues, residues]`.
    Contacts,
    /// Log-probability of each true residue with that position masked: `[residues]`.
    MaskedLogprob,
    /// Log-probability of each true residue, nothing masked: `[residues]`.
    UnmaskedLogprob,
    /// The embeddings and every layer's output: `[layers + 1, tokens, hidden]`.
    HiddenStates,
    /// Attention probabilities of the last layer: `[heads, tokens, tokens]`.
    Attention,
    /// The vector of the first token through the model's pooler: `[hidden]`.
    Pooler,
    /// Scores of the 20 structure states of 3Di for every residue: `[residues, 20]`.
    ThreeDi,
    /// Scores of the 12 states of the second structure alphabet for every residue:
    /// `[residues, 12]`.
    TwelveState,
    /// The greatest value of each column over the residues: `[hidden]`.
    Max,
    /// The standard deviation of each column over the residues, divided by their number: `[hidden]`.
    Std,
    /// The vector of the last token: `[hidden]`.
    Eos,
    /// Scores of the classes of a sequence, `[classes]`, or of every residue, `[residues, classes]`.
    Classes,
}

impl OutputKind {
    /// Every kind, in the order in which outputs are listed.
    pub const ALL: [OutputKind; 17] = [
        OutputKind::Mean,
        OutputKind::MeanAll,
        OutputKind::Cls,
        OutputKind::PerResidue,
        OutputKind::Logits,
        OutputKind::Contacts,
        OutputKind::MaskedLogprob,
        OutputKind::UnmaskedLogprob,
        OutputKind::HiddenStates,
        OutputKind::Attention,
        OutputKind::Pooler,
        OutputKind::ThreeDi,
        OutputKind::TwelveState,
        OutputKind::Max,
        OutputKind::Std,
        OutputKind::Eos,
        OutputKind::Classes,
    ];
}

/// A set of [`OutputKind`]s.
///
/// # Examples
///
/// ```
/// use sessile_device::{OutputKind, OutputSet};
///
/// let wanted: OutputSet = [OutputKind::Mean, OutputKind::Cls].into_iter().collect();
/// assert!(wanted.contains(OutputKind::Cls));
/// assert!(!wanted.contains(OutputKind::Logits));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OutputSet(u32);

impl OutputSet {
    /// Whether `kind` is in the set.
    pub const fn contains(self, kind: OutputKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// The set with `kind` in it.
    #[must_use]
    pub const fn with(self, kind: OutputKind) -> Self {
        OutputSet(self.0 | 1 << kind as u8)
    }

    /// Whether nothing is wanted.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in the set, in the order of [`OutputKind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = OutputKind> {
        OutputKind::ALL
            .into_iter()
            .filter(move |&kind| self.contains(kind))
    }
}

impl FromIterator<OutputKind> for OutputSet {
    fn from_iter<I: IntoIterator<Item = OutputKind>>(kinds: I) -> Self {
        kinds
            .into_iter()
            .fold(OutputSet::default(), OutputSet::with)
    }
}

/// One sequence and what is wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its number.
    pub id: RequestId,
    /// The model to ask.
    pub model: ModelIndex,
    /// Token ids, special ones included.
    pub tokens: Vec<u32>,
    /// What is wanted.
    pub outputs: OutputSet,
    /// How to write the answer, for models that generate text.
    pub generation: Option<Arc<GenerationSettings>>,
}

/// What a model said of one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    parts: Vec<(OutputKind, HostTensor)>,
    generated: Option<Generated>,
}

/// What a decoder wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generated {
    /// Token ids, the start token and the end token included.
    pub tokens: Vec<u32>,
    /// The score of the hypothesis, of beam search: log-probability over length^penalty.
    pub score: Option<f32>,
}

impl Output {
    /// The answer of a decoder.
    pub fn of_tokens(generated: Generated) -> Self {
        Output {
            parts: Vec::new(),
            generated: Some(generated),
        }
    }

    /// What a decoder wrote, if it was one that was asked.
    pub fn generated(&self) -> Option<&Generated> {
        self.generated.as_ref()
    }

    /// Adds a part.
    pub fn push(&mut self, kind: OutputKind, tensor: HostTensor) {
        self.parts.push((kind, tensor));
    }

    /// The part of this kind, if it was asked for.
    pub fn get(&self, kind: OutputKind) -> Option<&HostTensor> {
        self.parts
            .iter()
            .find(|(have, _)| *have == kind)
            .map(|(_, tensor)| tensor)
    }

    /// Takes the part of this kind out, without a copy of its values.
    pub fn take(&mut self, kind: OutputKind) -> Option<HostTensor> {
        let place = self.parts.iter().position(|(have, _)| *have == kind)?;
        Some(self.parts.swap_remove(place).1)
    }

    /// All parts, in the order in which they were made.
    pub fn parts(&self) -> &[(OutputKind, HostTensor)] {
        &self.parts
    }

    /// Bytes of host memory that the values take.
    pub fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|(_, tensor)| tensor.data.len());
        let tokens = self.generated.as_ref().map(|text| text.tokens.len());
        parts.chain(tokens).sum::<usize>() * size_of::<f32>()
    }
}

/// Why one request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestErrorKind {
    /// The sequence is longer than the model or the memory plan allows.
    TooLong,
    /// The input is empty or names a token that does not exist.
    InvalidInput,
    /// The model does not have the output that is wanted.
    UnsupportedOutput,
    /// The answer holds a NaN or an infinity.
    NotFinite,
    /// Its deadline passed before it was computed.
    Deadline,
    /// It was cancelled.
    Cancelled,
    /// No device is left to compute it.
    NoDevice,
    /// The queue is full.
    Overloaded,
    /// It failed on a device, alone and after the batch was split.
    Device,
}

/// One request has no answer; the others do.
#[derive(Clone, Debug)]
pub struct RequestError {
    kind: RequestErrorKind,
    message: String,
}

impl RequestError {
    /// An error of this kind with a message for people.
    pub fn new(kind: RequestErrorKind, message: impl Into<String>) -> Self {
        RequestError {
            kind,
            message: message.into(),
        }
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> RequestErrorKind {
        self.kind
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for RequestError {}

/// What became of a request that was offered.
#[derive(Debug)]
pub enum Admission {
    /// It takes part from the next step on.
    Accepted,
    /// There is no room now. Offer it again after a step, or to somebody else.
    Full(Request),
    /// It can never be answered here.
    Refused(Request, RequestError),
}

/// Something that happened to a request in a step.
#[derive(Debug)]
pub enum Event {
    /// A decoder made a token; more may follow.
    Token(u32),
    /// The answer. The request is finished.
    Done(Output),
    /// There will be no answer. The request is finished.
    Failed(RequestError),
}

/// Requests in progress on one lane.
pub trait Execution: Send {
    /// Offers a request.
    fn admit(&mut self, request: Request) -> Admission;

    /// Advances everything admitted by one forward pass and appends what happened to `events`.
    ///
    /// # Errors
    ///
    /// When the pass failed as a whole. The requests in it are unfinished: take them back with
    /// [`Execution::take_back`] and offer them again in smaller batches or elsewhere.
    fn step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError>;

    /// Whether nothing is in progress.
    fn is_idle(&self) -> bool;

    /// Whether requests may enter while others are in progress: those of a decoder share each
    /// step, and one that enters late loses nothing.
    fn takes_more(&self) -> bool {
        false
    }

    /// Whether a step that failed leaves everything as it was before it, so that it may be tried
    /// again. What a decoder has written so far is worth keeping.
    fn can_repeat_step(&self) -> bool {
        false
    }

    /// From the next step on: when `given_up` says that nobody waits for anything in progress any
    /// more, a step may fail at once with
    /// [`DeviceErrorKind::GivenUp`](crate::DeviceErrorKind::GivenUp).
    fn give_up_when(&mut self, given_up: Option<GivenUp>) {
        drop(given_up);
    }

    /// Gives up a request for which nobody waits any more. Returns whether it was in progress; an
    /// execution that answers in one step has nothing to give up.
    fn cancel(&mut self, _id: RequestId) -> bool {
        false
    }

    /// Gives back every unfinished request.
    fn take_back(&mut self) -> Vec<Request>;
}
