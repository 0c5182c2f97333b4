//! The forward pass of ESM-2 over a packed batch.

use sessile_device::{
    AttentionInput, AttentionSpec, BatchBuf, Bias, Buf, Device, DeviceError, Epilogue, Format,
    HostTensor, Lane, Norm, Output, OutputKind, Pooling, Rotary, Ticket,
};

use super::{Esm2, LanguageHead, LayerNorm};
use crate::encoder::{Pass, Scratch};

/// The share of tokens that were masked in training (0.15 of them, 0.8 of these by `<mask>`).
const TRAINED_MASK_SHARE: f32 = 0.15 * 0.8;

/// Runs the pass and appends an output per job.
pub(super) fn run<D: Device>(
    model: &Esm2<D>,
    lane: &mut D::Lane,
    pass: &Pass,
    scratch: &mut Scratch,
    outputs: &mut Vec<Output>,
) -> Result<(), DeviceError> {
    let start = lane.mark();
    let first = outputs.len();
    outputs.resize_with(first + pass.jobs.len(), Output::default);
    let result = enqueue(model, lane, pass, scratch, &mut outputs[first..]);
    lane.release(start);
    result
}

fn enqueue<D: Device>(
    model: &Esm2<D>,
    lane: &mut D::Lane,
    pass: &Pass,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let config = &model.config;
    let batch = lane.upload(&pass.batch)?;
    let (tokens, hidden) = (batch.len(), config.hidden);
    let x = lane.buffer(tokens, hidden, Format::F32)?;
    embed(model, lane, pass, scratch, &batch, x)?;
    if let Some(norm) = &model.embedding_norm {
        lane.norm(x, layer_norm(norm, config.epsilon), x);
    }
    let contacts = contact_maps(lane, pass)?;

    let spec = AttentionSpec {
        heads: config.heads,
        head_dim: config.head_dim(),
        scale: (config.head_dim() as f32).sqrt().recip(),
        rotary: Some(Rotary {
            table: &model.rotary,
        }),
        bias: Bias::None,
        window: None,
    };
    let mut hidden_states = HiddenStates::new(pass, config.layers + 1);
    for (index, layer) in model.layers.iter().enumerate() {
        hidden_states.read(lane, x, scratch)?;
        let mark = lane.mark();
        let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
        let inner = lane.mark();
        lane.norm(
            x,
            layer_norm(&layer.attention_norm, config.epsilon),
            operand,
        );
        let qkv = lane.buffer(tokens, 3 * hidden, Format::Heads(model.dtype))?;
        let dense = &layer.qkv;
        lane.linear(
            operand,
            &dense.weight,
            Some(&dense.bias),
            Epilogue::Store,
            qkv,
        );
        let input = AttentionInput {
            q: qkv.columns(0..hidden),
            k: qkv.columns(hidden..2 * hidden),
            v: qkv.columns(2 * hidden..3 * hidden),
        };
        add_contacts(model, lane, &batch, input, &spec, index, &contacts)?;
        if index + 1 == model.layers.len() {
            read_attention(lane, pass, &batch, input, &spec, scratch, outputs)?;
        }
        lane.attention(input, &batch, &spec, operand);
        let dense = &layer.attention_out;
        lane.linear(
            operand,
            &dense.weight,
            Some(&dense.bias),
            Epilogue::Residual,
            x,
        );
        lane.release(inner);

        lane.norm(
            x,
            layer_norm(&layer.feed_forward_norm, config.epsilon),
            operand,
        );
        let wide = lane.buffer(tokens, config.feed_forward, Format::Operand(model.dtype))?;
        let dense = &layer.feed_forward_up;
        lane.linear(
            operand,
            &dense.weight,
            Some(&dense.bias),
            Epilogue::Gelu,
            wide,
        );
        let dense = &layer.feed_forward_down;
        lane.linear(
            wide,
            &dense.weight,
            Some(&dense.bias),
            Epilogue::Residual,
            x,
        );
        lane.release(mark);
    }
    lane.norm(x, layer_norm(&model.final_norm, config.epsilon), x);
    hidden_states.read(lane, x, scratch)?;
    hidden_states.hand_out(pass, hidden, outputs);

    if let Some(head) = &model.contact_head {
        for (sequence, sum) in contacts {
            lane.sigmoid(sum, &head.shift);
            let ticket = lane.read(sum);
            let shape = vec![sum.rows(), sum.cols()];
            take(
                lane,
                ticket,
                shape,
                OutputKind::Contacts,
                &mut outputs[sequence],
            )?;
        }
    }
    pooled(lane, pass, &batch, x, scratch, outputs)?;
    per_residue(lane, pass, x, scratch, outputs)?;
    if let Some(head) = &model.language_head {
        scores(model, head, lane, pass, x, scratch, outputs)?;
    }
    Ok(())
}

fn layer_norm<W>(norm: &LayerNorm<W>, epsilon: f32) -> Norm<'_, W> {
    Norm::Layer {
        gain: &norm.gain,
        shift: Some(&norm.shift),
        epsilon,
    }
}

/// Whether any job wants `kind`.
fn wanted(pass: &Pass, kind: OutputKind) -> bool {
    pass.jobs.iter().any(|job| job.outputs.contains(kind))
}

/// Embeddings with token dropout.
fn embed<D: Device>(
    model: &Esm2<D>,
    lane: &mut D::Lane,
    pass: &Pass,
    scratch: &mut Scratch,
    batch: &BatchBuf,
    x: Buf,
) -> Result<(), DeviceError> {
    if !model.config.token_dropout {
        lane.gather(batch.tokens, &model.embeddings, None, x);
        return Ok(());
    }
    let mask = model.config.mask_token;
    scratch.scale.clear();
    for index in 0..pass.batch.len() {
        let tokens = pass.batch.sequence(index);
        let masked = tokens.iter().filter(|&&token| token == mask).count();
        let share = masked as f32 / tokens.len() as f32;
        let scale = (1.0 - TRAINED_MASK_SHARE) / (1.0 - share);
        let factors = tokens
            .iter()
            .map(|&token| if token == mask { 0.0 } else { scale });
        scratch.scale.extend(factors);
    }
    let scale = lane.upload_values(&scratch.scale)?;
    lane.gather(batch.tokens, &model.embeddings, Some(scale), x);
    Ok(())
}

/// An empty contact map for every sequence that wants one.
fn contact_maps<L: Lane>(lane: &mut L, pass: &Pass) -> Result<Vec<(usize, Buf)>, DeviceError> {
    let mut maps = Vec::new();
    for (sequence, job) in pass.jobs.iter().enumerate() {
        if job.outputs.contains(OutputKind::Contacts) {
            let residues = pass.batch.sequence(sequence).len() - 2;
            let sum = lane.buffer(residues, residues, Format::F32)?;
            lane.zero(sum);
            maps.push((sequence, sum));
        }
    }
    Ok(maps)
}

/// Adds the attention of one layer to the contact maps, one head at a time.
fn add_contacts<D: Device>(
    model: &Esm2<D>,
    lane: &mut D::Lane,
    batch: &BatchBuf,
    input: AttentionInput,
    spec: &AttentionSpec<'_, D::Weight>,
    layer: usize,
    maps: &[(usize, Buf)],
) -> Result<(), DeviceError> {
    let Some(head_weights) = &model.contact_head else {
        return Ok(());
    };
    for &(sequence, sum) in maps {
        let mark = lane.mark();
        let length = sum.rows() + 2;
        let map = lane.buffer(length, length, Format::F32)?;
        for head in 0..spec.heads {
            lane.attention_map(input, batch, sequence, head, spec, map);
            lane.add_contacts(map, &head_weights.factors, layer * spec.heads + head, sum);
        }
        lane.release(mark);
    }
    Ok(())
}

/// The attention probabilities of this layer, for the sequences that want them.
fn read_attention<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    batch: &BatchBuf,
    input: AttentionInput,
    spec: &AttentionSpec<'_, L::Weight>,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    for (sequence, job) in pass.jobs.iter().enumerate() {
        if !job.outputs.contains(OutputKind::Attention) {
            continue;
        }
        let mark = lane.mark();
        let length = pass.batch.sequence(sequence).len();
        let map = lane.buffer(length, length, Format::F32)?;
        let mut values = Vec::with_capacity(spec.heads * length * length);
        for head in 0..spec.heads {
            lane.attention_map(input, batch, sequence, head, spec, map);
            let ticket = lane.read(map);
            lane.wait(ticket, &mut scratch.values)?;
            values.extend_from_slice(&scratch.values);
        }
        let tensor = HostTensor::new(vec![spec.heads, length, length], values);
        outputs[sequence].push(OutputKind::Attention, tensor);
        lane.release(mark);
    }
    Ok(())
}

/// The residual stream after every layer, gathered for the sequences that want it.
struct HiddenStates {
    layers: usize,
    /// Layer after layer of all tokens of the batch; empty when nobody wants them.
    values: Vec<f32>,
    wanted: bool,
}

impl HiddenStates {
    fn new(pass: &Pass, layers: usize) -> Self {
        let wanted = wanted(pass, OutputKind::HiddenStates);
        HiddenStates {
            layers,
            values: Vec::new(),
            wanted,
        }
    }

    fn read<L: Lane>(
        &mut self,
        lane: &mut L,
        x: Buf,
        scratch: &mut Scratch,
    ) -> Result<(), DeviceError> {
        if self.wanted {
            let ticket = lane.read(x);
            lane.wait(ticket, &mut scratch.values)?;
            self.values.extend_from_slice(&scratch.values);
        }
        Ok(())
    }

    fn hand_out(&self, pass: &Pass, hidden: usize, outputs: &mut [Output]) {
        let layer_len = pass.batch.tokens().len() * hidden;
        for (sequence, job) in pass.jobs.iter().enumerate() {
            if !job.outputs.contains(OutputKind::HiddenStates) {
                continue;
            }
            let rows = pass.batch.offsets()[sequence] as usize * hidden
                ..pass.batch.offsets()[sequence + 1] as usize * hidden;
            let values: Vec<f32> = self
                .values
                .chunks(layer_len)
                .flat_map(|layer| layer[rows.clone()].iter().copied())
                .collect();
            let shape = vec![self.layers, rows.len() / hidden, hidden];
            outputs[sequence].push(OutputKind::HiddenStates, HostTensor::new(shape, values));
        }
    }
}

/// Waits for a read that is one part of one output.
fn take<L: Lane>(
    lane: &mut L,
    ticket: Ticket,
    shape: Vec<usize>,
    kind: OutputKind,
    output: &mut Output,
) -> Result<(), DeviceError> {
    let mut values = Vec::new();
    lane.wait(ticket, &mut values)?;
    output.push(kind, HostTensor::new(shape, values));
    Ok(())
}

/// One vector per sequence.
fn pooled<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    batch: &BatchBuf,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let poolings = [
        (
            OutputKind::Mean,
            Pooling::Mean {
                skip_first: 1,
                skip_last: 1,
            },
        ),
        (
            OutputKind::MeanAll,
            Pooling::Mean {
                skip_first: 0,
                skip_last: 0,
            },
        ),
        (OutputKind::Cls, Pooling::First),
    ];
    for (kind, pooling) in poolings {
        if !wanted(pass, kind) {
            continue;
        }
        let mark = lane.mark();
        let vectors = lane.buffer(batch.sequences, x.cols(), Format::F32)?;
        lane.pool(x, batch, pooling, vectors);
        let ticket = lane.read(vectors);
        lane.release(mark);
        lane.wait(ticket, &mut scratch.values)?;
        let vectors = scratch.values.chunks_exact(x.cols());
        for ((job, output), vector) in pass.jobs.iter().zip(&mut *outputs).zip(vectors) {
            if job.outputs.contains(kind) {
                output.push(kind, HostTensor::new(vec![x.cols()], vector.to_vec()));
            }
        }
    }
    Ok(())
}

/// One vector per residue.
fn per_residue<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    if !wanted(pass, OutputKind::PerResidue) {
        return Ok(());
    }
    let ticket = lane.read(x);
    lane.wait(ticket, &mut scratch.values)?;
    for (sequence, job) in pass.jobs.iter().enumerate() {
        if job.outputs.contains(OutputKind::PerResidue) {
            let first = pass.batch.offsets()[sequence] as usize + 1;
            let last = pass.batch.offsets()[sequence + 1] as usize - 1;
            let rows = scratch.values[first * x.cols()..last * x.cols()].to_vec();
            let tensor = HostTensor::new(vec![last - first, x.cols()], rows);
            outputs[sequence].push(OutputKind::PerResidue, tensor);
        }
    }
    Ok(())
}

/// The language head, over the rows that somebody wants a score of.
fn scores<D: Device>(
    model: &Esm2<D>,
    head: &LanguageHead<D::Weight>,
    lane: &mut D::Lane,
    pass: &Pass,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let wants_all = |job: &crate::encoder::Job| {
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
    let (rows, hidden, vocabulary) = (
        scratch.rows.len(),
        model.config.hidden,
        model.config.vocabulary,
    );
    let operand_format = Format::Operand(model.dtype);
    let indices = lane.upload_indices(&scratch.rows)?;
    let columns = lane.upload_indices(&scratch.columns)?;
    let picked = lane.buffer(rows, hidden, Format::F32)?;
    let operand = lane.buffer(rows, hidden, operand_format)?;
    let logits = lane.buffer(rows, vocabulary, Format::F32)?;
    let logprobs = lane.buffer(rows, 1, Format::F32)?;
    lane.gather_rows(x, indices, picked);
    lane.convert(picked, operand);
    let dense = &head.dense;
    lane.linear(
        operand,
        &dense.weight,
        Some(&dense.bias),
        Epilogue::Gelu,
        picked,
    );
    lane.norm(
        picked,
        layer_norm(&head.norm, model.config.epsilon),
        operand,
    );
    let dense = &head.decoder;
    lane.linear(
        operand,
        &dense.weight,
        Some(&dense.bias),
        Epilogue::Store,
        logits,
    );
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
                let values = scratch.values[row + 1..row + tokens - 1].to_vec();
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
