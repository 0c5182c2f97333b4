//! Heads that score classes: of a sequence, from its first token (dense, hyperbolic tangent,
//! classifier), or of every residue (a classifier alone), as the classes of transformers have them.

use serde_json::Value;
use sessile_device::{
    BatchBuf, Buf, DType, Device, DeviceError, Epilogue, Format, HostTensor, Lane, Output,
    OutputKind, Pooling,
};

use super::outputs::wanted;
use super::{Ends, Pass, Scratch};
use crate::error::{ModelError, ModelErrorKind};
use crate::weights::{Dense, DenseLane, Packing, WeightSource};

/// What a head of classes reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// The first token of a sequence.
    Sequence,
    /// Every token.
    Tokens,
}

/// What a configuration says of a head of classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Classes {
    pub(crate) reads: Reads,
    /// The names of the classes, where the file has them.
    labels: Vec<String>,
}

impl Classes {
    /// By the class that the model was saved as: the tensors of both kinds have the same names.
    pub(crate) fn of_config(config: &Value) -> Option<Self> {
        let saved_as = config.pointer("/architectures/0").and_then(Value::as_str)?;
        let reads = if saved_as.ends_with("ForSequenceClassification") {
            Reads::Sequence
        } else if saved_as.ends_with("ForTokenClassification") {
            Reads::Tokens
        } else {
            return None;
        };
        let names = config.get("id2label").and_then(Value::as_object);
        let name = |id: usize| names?.get(&id.to_string())?.as_str().map(str::to_owned);
        Some(Classes {
            reads,
            labels: (0..).map_while(name).collect(),
        })
    }
}

/// The weights of the head.
pub(crate) struct ClassHead<W> {
    /// Of the first token.
    dense: Option<Dense<W>>,
    /// Of every token.
    classifier: Option<Dense<W>>,
    /// Of a sequence: one row for each, not worth an operation of the device.
    rows: Vec<f32>,
    shift: Vec<f32>,
    /// The names of the classes.
    pub(crate) labels: Vec<String>,
    /// The tensors that it is made of.
    pub(crate) tensors: Vec<String>,
}

impl<W> ClassHead<W> {
    /// Packs the head, if the configuration is of a model with one. `first` is the dense layer over
    /// the first token, `last` the classifier behind it.
    ///
    /// # Errors
    ///
    /// `MissingTensor` or `Mismatch` for a head that is not whole.
    pub(crate) fn load<D: Device<Weight = W>>(
        tensors: &Packing<'_, D>,
        classes: Option<&Classes>,
        hidden: usize,
        (first, last): (&str, &str),
    ) -> Result<Option<Self>, ModelError> {
        let Some(Classes { reads, labels }) = classes.cloned() else {
            return Ok(None);
        };
        let modules = match reads {
            Reads::Sequence => vec![first, last],
            Reads::Tokens => vec!["classifier"],
        };
        let last = modules[modules.len() - 1];
        let count = match tensors.source.shape(&format!("{last}.weight")) {
            Some(&[count, columns]) if columns == hidden => count,
            other => return Err(unfit(tensors.source, last, other)),
        };
        let has_bias = tensors.source.shape(&format!("{last}.bias")) == Some(&[count]);
        if !has_bias || (!labels.is_empty() && labels.len() != count) {
            return Err(unfit(tensors.source, last, None));
        }
        let dense = match reads {
            Reads::Sequence => {
                let shape = tensors.source.shape(&format!("{first}.weight"));
                if shape != Some(&[hidden, hidden]) {
                    return Err(unfit(tensors.source, first, shape));
                }
                Some(tensors.dense(&[first])?)
            }
            Reads::Tokens => None,
        };
        let (rows, shift) = match reads {
            Reads::Sequence => (
                tensors.values(&format!("{last}.weight"))?,
                tensors.values(&format!("{last}.bias"))?,
            ),
            Reads::Tokens => (Vec::new(), vec![0.0; count]),
        };
        let both = |module: &&str| [format!("{module}.weight"), format!("{module}.bias")];
        Ok(Some(ClassHead {
            dense,
            classifier: match reads {
                Reads::Sequence => None,
                Reads::Tokens => Some(tensors.dense(&[last])?),
            },
            rows,
            shift,
            labels: match labels.is_empty() {
                true => (0..count).map(|class| format!("LABEL_{class}")).collect(),
                false => labels,
            },
            tensors: modules.iter().flat_map(both).collect(),
        }))
    }

    /// Whether it scores every residue.
    pub(super) fn reads_residues(&self) -> bool {
        self.classifier.is_some()
    }

    /// Hands out the scores, where somebody wants them.
    #[allow(clippy::too_many_arguments, reason = "what a pass works with")]
    pub(crate) fn score<L: Lane<Weight = W>>(
        &self,
        dtype: DType,
        ends: Ends,
        lane: &mut L,
        pass: &Pass,
        batch: &BatchBuf,
        x: Buf,
        scratch: &mut Scratch,
        outputs: &mut [Output],
    ) -> Result<(), DeviceError> {
        if !wanted(pass, OutputKind::Classes) {
            return Ok(());
        }
        let (hidden, count) = (x.cols(), self.shift.len());
        let wants = |sequence: usize| pass.jobs[sequence].outputs.contains(OutputKind::Classes);
        if let Some(classifier) = &self.classifier {
            let operand = lane.buffer(x.rows(), hidden, Format::Operand(dtype))?;
            let scores = lane.buffer(x.rows(), count, Format::F32)?;
            lane.convert(x, operand);
            lane.dense(operand, classifier, Epilogue::Store, scores);
            let ticket = lane.read(scores);
            lane.wait(ticket, &mut scratch.values)?;
            for sequence in (0..pass.jobs.len()).filter(|&sequence| wants(sequence)) {
                let offsets = &pass.batch.offsets()[sequence..sequence + 2];
                let first = offsets[0] as usize + ends.leading;
                let end = offsets[1] as usize - ends.trailing;
                let values = scratch.values[first * count..end * count].to_vec();
                let tensor = HostTensor::new(vec![end - first, count], values);
                outputs[sequence].push(OutputKind::Classes, tensor);
            }
        } else if let Some(dense) = &self.dense {
            let first = lane.buffer(batch.sequences, hidden, Format::F32)?;
            let operand = lane.buffer(batch.sequences, hidden, Format::Operand(dtype))?;
            let vectors = lane.buffer(batch.sequences, hidden, Format::F32)?;
            lane.pool(x, batch, Pooling::First, first);
            lane.convert(first, operand);
            lane.dense(operand, dense, Epilogue::Store, vectors);
            let ticket = lane.read(vectors);
            lane.wait(ticket, &mut scratch.values)?;
            let vectors = scratch.values.chunks_exact(hidden).enumerate();
            for (sequence, vector) in vectors.filter(|(sequence, _)| wants(*sequence)) {
                let bent: Vec<f32> = vector.iter().map(|value| value.tanh()).collect();
                let score = |(row, shift): (&[f32], &f32)| {
                    row.iter().zip(&bent).map(|(a, b)| a * b).sum::<f32>() + shift
                };
                let scores = self.rows.chunks_exact(hidden).zip(&self.shift).map(score);
                let tensor = HostTensor::new(vec![count], scores.collect());
                outputs[sequence].push(OutputKind::Classes, tensor);
            }
        }
        Ok(())
    }
}

fn unfit(source: &dyn WeightSource, module: &str, shape: Option<&[usize]>) -> ModelError {
    let found = match shape {
        Some(shape) => format!("has the shape {shape:?}"),
        None => "is missing, or its bias or its labels are of another number".to_owned(),
    };
    ModelError::new(
        ModelErrorKind::Mismatch,
        format!(
            "{}: tensor `{module}.weight` of the head that config.json names {found}",
            source.describe()
        ),
    )
    .with_hint("architectures of config.json says which head the model was saved with")
}
