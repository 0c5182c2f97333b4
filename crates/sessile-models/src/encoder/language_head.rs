//! The head that scores the vocabulary: dense, GELU, norm, decoder.

use sessile_device::{
    Buf, DType, Device, DeviceError, Epilogue, Format, HostTensor, Lane, Output, OutputKind,
    WeightLayout,
};

use super::outputs::wanted;
use super::{Ends, Job, Pass, Scratch};
use crate::error::ModelError;
use crate::weights::{Dense, DenseLane, LayerNorm, Packing};

/// The weights of the head.
pub(crate) struct LanguageHead<W> {
    pub(crate) dense: Dense<W>,
    pub(crate) norm: LayerNorm<W>,
    pub(crate) decoder: Dense<W>,
    /// Rows of the decoder.
    pub(crate) vocabulary: usize,
}

/// The head and what it must know of its model.
pub(crate) struct Scorer<'a, W> {
    head: &'a LanguageHead<W>,
    epsilon: f32,
    dtype: DType,
    ends: Ends,
}

impl<W> LanguageHead<W> {
    /// Packs the head as BERT names it; `decoder` is the table that scores the vocabulary.
    pub(crate) fn of_bert<D: Device<Weight = W>>(
        tensors: &Packing<'_, D>,
        decoder: &str,
        vocabulary: usize,
    ) -> Result<Self, ModelError> {
        let bias = "cls.predictions.decoder.bias";
        Ok(LanguageHead {
            dense: tensors.dense(&["cls.predictions.transform.dense"])?,
            norm: tensors.norm("cls.predictions.transform.LayerNorm")?,
            vocabulary,
            decoder: Dense {
                weight: tensors.pack(&[decoder], WeightLayout::Linear)?,
                bias: Some(tensors.pack(&[bias], WeightLayout::Vector)?),
            },
        })
    }

    /// The head in a model that computes like this.
    pub(crate) fn over(&self, epsilon: f32, dtype: DType, ends: Ends) -> Scorer<'_, W> {
        Scorer {
            head: self,
            epsilon,
            dtype,
            ends,
        }
    }
}

impl<W> Scorer<'_, W> {
    /// The language head, over the rows that somebody wants a score of.
    pub(crate) fn scores<L: Lane<Weight = W>>(
        &self,
        lane: &mut L,
        pass: &Pass,
        x: Buf,
        scratch: &mut Scratch,
        outputs: &mut [Output],
    ) -> Result<(), DeviceError> {
        let (head, ends) = (self.head, self.ends);
        let wants_all = |job: &Job| {
            job.outputs.contains(OutputKind::Logits)
                || job.outputs.contains(OutputKind::UnmaskedLogprob)
        };
        scratch.rows.clear();
        scratch.columns.clear();
        for (sequence, job) in pass.jobs.iter().enumerate() {
            let first = pass.batch.offsets()[sequence];
            if wants_all(job) {
                let tokens = pass.batch.sequence(sequence);
                scratch.rows.extend(first..first + tokens.len() as u32);
                scratch.columns.extend_from_slice(tokens);
            } else if let Some((position, truth)) = job.masked {
                scratch.rows.push(first + position);
                scratch.columns.push(truth);
            }
        }
        if scratch.rows.is_empty() {
            return Ok(());
        }
        let (rows, hidden, vocabulary) = (scratch.rows.len(), x.cols(), head.vocabulary);
        let operand_format = Format::Operand(self.dtype);
        let indices = lane.upload_indices(&scratch.rows)?;
        let columns = lane.upload_indices(&scratch.columns)?;
        let picked = lane.buffer(rows, hidden, Format::F32)?;
        let operand = lane.buffer(rows, hidden, operand_format)?;
        let logits = lane.buffer(rows, vocabulary, Format::F32)?;
        let logprobs = lane.buffer(rows, 1, Format::F32)?;
        lane.gather_rows(x, indices, picked);
        lane.convert(picked, operand);
        lane.dense(operand, &head.dense, Epilogue::Gelu, picked);
        lane.norm(picked, head.norm.with(self.epsilon), operand);
        lane.dense(operand, &head.decoder, Epilogue::Store, logits);
        lane.log_softmax_at(logits, columns, logprobs);

        if wanted(pass, OutputKind::Logits) {
            let ticket = lane.read(logits);
            lane.wait(ticket, &mut scratch.values)?;
            let mut row = 0;
            for (sequence, job) in pass.jobs.iter().enumerate() {
                let tokens = pass.batch.sequence(sequence).len();
                if job.outputs.contains(OutputKind::Logits) {
                    let values = &scratch.values[row * vocabulary..(row + tokens) * vocabulary];
                    let tensor = HostTensor::new(vec![tokens, vocabulary], values.to_vec());
                    outputs[sequence].push(OutputKind::Logits, tensor);
                }
                row += if wants_all(job) {
                    tokens
                } else {
                    usize::from(job.masked.is_some())
                };
            }
        }
        let ticket = lane.read(logprobs);
        lane.wait(ticket, &mut scratch.values)?;
        let mut row = 0;
        for (sequence, job) in pass.jobs.iter().enumerate() {
            let tokens = pass.batch.sequence(sequence).len();
            if wants_all(job) {
                if job.outputs.contains(OutputKind::UnmaskedLogprob) {
                    // Without the special tokens at both ends.
                    let values =
                        scratch.values[row + ends.leading..row + tokens - ends.trailing].to_vec();
                    let tensor = HostTensor::new(vec![values.len()], values);
                    outputs[sequence].push(OutputKind::UnmaskedLogprob, tensor);
                }
                row += tokens;
            } else if job.masked.is_some() {
                let tensor = HostTensor::new(vec![1], vec![scratch.values[row]]);
                outputs[sequence].push(OutputKind::MaskedLogprob, tensor);
                row += 1;
            }
        }
        Ok(())
    }
}
