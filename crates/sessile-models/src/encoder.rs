//! Encoders: models that answer a sequence with one forward pass over it.
//!
//! An architecture implements [`Encoder`] once, over any device. [`EncoderExecution`] turns the
//! requests of a lane into passes over packed batches.

pub(crate) mod class_head;
mod execution;
mod language_head;
mod layers;
pub(crate) mod outputs;
mod pass;
pub(crate) mod pooler;

use sessile_device::{Device, DeviceError, Lane, Output, OutputKind, OutputSet};

use crate::family::Description;

pub(crate) use class_head::{ClassHead, Classes};
pub use execution::EncoderExecution;
pub(crate) use language_head::LanguageHead;
pub use layers::{LayerChoice, ReadLayers};
pub use outputs::{deviations, greatest};
pub use pass::{Job, Pass, Scratch};

/// What the runtime and the pipelines may know of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The architecture: `esm2`, …
    pub architecture: &'static str,
    /// Number of layers.
    pub layers: usize,
    /// Columns of the residual stream.
    pub hidden: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Number of parameters.
    pub parameters: u64,
    /// Longest sequence, in tokens, special ones included.
    pub max_tokens: usize,
    /// Special tokens around a sequence.
    pub special_tokens: usize,
    /// How many of them stand before it.
    pub leading_tokens: usize,
    /// Outputs this model has.
    pub outputs: OutputSet,
    /// The decoder, of a model that was loaded to write.
    pub decoder: Option<DecoderInfo>,
    /// The names of its classes, where it has a head for them.
    pub labels: Vec<String>,
    /// Whether every residue has scores of these classes, or the sequence as a whole.
    pub labels_residues: bool,
}

/// The decoder of a model that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderInfo {
    /// Number of layers.
    pub layers: usize,
    /// Columns of the keys, and of the values, of a layer.
    pub cache_columns: usize,
    /// Longest answer, in tokens, the start token included.
    pub max_target_tokens: usize,
}

/// What every encoder has.
const PLAIN: [OutputKind; 9] = [
    OutputKind::Mean,
    OutputKind::MeanAll,
    OutputKind::Cls,
    OutputKind::PerResidue,
    OutputKind::HiddenStates,
    OutputKind::Attention,
    OutputKind::Max,
    OutputKind::Std,
    OutputKind::Eos,
];

impl ModelInfo {
    /// A model of this description, with `special` tokens before and after every sequence and with
    /// those of the `heads` that are there.
    pub(crate) fn of(
        description: &Description,
        special: (usize, usize),
        max_tokens: usize,
        heads: &[(OutputKind, bool)],
        parameters: u64,
    ) -> Self {
        let heads = heads.iter().filter(|(_, is_there)| *is_there);
        ModelInfo {
            architecture: description.architecture,
            layers: description.layers,
            hidden: description.hidden,
            heads: description.heads,
            vocabulary: description.vocabulary,
            parameters,
            max_tokens,
            special_tokens: special.0 + special.1,
            leading_tokens: special.0,
            outputs: PLAIN
                .into_iter()
                .chain(heads.map(|(kind, _)| *kind))
                .collect(),
            decoder: None,
            labels: Vec::new(),
            labels_residues: false,
        }
    }

    /// A model of this description that writes.
    pub(crate) fn writing(
        description: &Description,
        decoder: DecoderInfo,
        parameters: u64,
    ) -> Self {
        let max_tokens = description.max_tokens;
        ModelInfo {
            outputs: OutputSet::default(),
            decoder: Some(decoder),
            ..ModelInfo::of(description, (0, 0), max_tokens, &[], parameters)
        }
    }

    /// Longest answer, in tokens, the start token included; 0 of a model that writes nothing.
    pub fn max_target_tokens(&self) -> usize {
        self.decoder.map_or(0, |decoder| decoder.max_target_tokens)
    }

    /// The same with a head of classes, if there is one.
    pub(crate) fn with_classes<W>(mut self, head: Option<&ClassHead<W>>) -> Self {
        if let Some(head) = head {
            self.outputs = self.outputs.with(OutputKind::Classes);
            self.labels.clone_from(&head.labels);
            self.labels_residues = head.reads_residues();
        }
        self
    }

    /// Special tokens at each end of a sequence.
    pub(crate) fn ends(&self) -> Ends {
        Ends {
            leading: self.leading_tokens,
            trailing: self.special_tokens - self.leading_tokens,
        }
    }
}

/// Special tokens at each end of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) leading: usize,
    pub(crate) trailing: usize,
}

/// A model with its weights on a device.
pub trait Encoder<D: Device>: Send + Sync {
    /// What it is.
    fn info(&self) -> &ModelInfo;

    /// The token that hides a residue, for masked scoring.
    fn mask_token(&self) -> Option<u32>;

    /// Enqueues one pass and fills an [`Output`] per job, in order. What it takes of the arena is
    /// given back by [`forward`](Self::forward).
    ///
    /// # Errors
    ///
    /// Whatever the lane reports.
    fn enqueue(
        &self,
        lane: &mut D::Lane,
        pass: &Pass,
        scratch: &mut Scratch,
        outputs: &mut [Output],
    ) -> Result<(), DeviceError>;

    /// Runs one pass and appends an [`Output`] per job, in order.
    ///
    /// # Errors
    ///
    /// Whatever the lane reports; the pass failed as a whole then. The arena is as before.
    fn forward(
        &self,
        lane: &mut D::Lane,
        pass: &Pass,
        scratch: &mut Scratch,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DeviceError> {
        let start = lane.mark();
        let first = outputs.len();
        outputs.resize_with(first + pass.jobs.len(), Output::default);
        let result = self.enqueue(lane, pass, scratch, &mut outputs[first..]);
        lane.release(start);
        result
    }
}
