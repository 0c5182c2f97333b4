//! The forward pass of ESM-2 over a packed batch.

use sessile_device::{
    AttentionInput, AttentionSpec, BatchBuf, Bias, Buf, Device, DeviceError, Epilogue, Format,
    Lane, Output, OutputKind, Rotary,
};

use super::{Esm2, Positions};
use crate::encoder::outputs::{HiddenStates, per_residue, pooled, read_attention, take};
use crate::encoder::{Pass, Scratch};
use crate::weights::DenseLane;

/// The share of tokens that were masked in training (0.15 of them, 0.8 of these by `<mask>`).
const TRAINED_MASK_SHARE: f32 = 0.15 * 0.8;

/// Enqueues the pass and fills an output per job.
pub(super) fn run<D: Device>(
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
    if let Positions::Table(table) = &model.positions {
        let mark = lane.mark();
        let places = lane.upload_indices(&places(pass, config.pad_token))?;
        let added = lane.buffer(tokens, hidden, Format::F32)?;
        lane.gather(places, table, None, added);
        lane.add(added, x);
        lane.release(mark);
    }
    if let Some(norm) = &model.embedding_norm {
        lane.norm(x, norm.with(config.epsilon), x);
    }
    let contacts = contact_maps(lane, pass)?;

    let spec = AttentionSpec {
        heads: config.heads,
        head_dim: config.head_dim(),
        scale: (config.head_dim() as f32).sqrt().recip(),
        rotary: match &model.positions {
            Positions::Rotary(table) => Some(Rotary { table }),
            Positions::Table(_) => None,
        },
        bias: Bias::None,
        window: None,
    };
    let mut hidden_states = HiddenStates::new(pass, config.layers + 1);
    for (index, layer) in model.layers.iter().enumerate() {
        hidden_states.read(lane, x, scratch)?;
        let mark = lane.mark();
        let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
        let inner = lane.mark();
        lane.norm(x, layer.attention_norm.with(config.epsilon), operand);
        let qkv = lane.buffer(tokens, 3 * hidden, Format::Heads(model.dtype))?;
        lane.dense(operand, &layer.qkv, Epilogue::Store, qkv);
        let input = AttentionInput::fused(qkv);
        add_contacts(model, lane, &batch, input, &spec, index, &contacts)?;
        if index + 1 == model.layers.len() {
            read_attention(lane, pass, &batch, input, &spec, scratch, outputs)?;
        }
        lane.attention(input, &batch, &spec, operand);
        lane.dense(operand, &layer.attention_out, Epilogue::Residual, x);
        lane.release(inner);

        lane.norm(x, layer.feed_forward_norm.with(config.epsilon), operand);
        let wide = lane.buffer(tokens, config.feed_forward, Format::Operand(model.dtype))?;
        lane.dense(operand, &layer.feed_forward_up, Epilogue::Gelu, wide);
        lane.dense(wide, &layer.feed_forward_down, Epilogue::Residual, x);
        lane.release(mark);
    }
    lane.norm(x, model.final_norm.with(config.epsilon), x);
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
    let ends = model.info.ends();
    pooled(lane, pass, ends, &batch, x, scratch, outputs)?;
    per_residue(lane, pass, ends, x, scratch, outputs)?;
    if let Some(head) = &model.class_head {
        let dtype = model.dtype;
        head.score(dtype, ends, lane, pass, &batch, x, scratch, outputs)?;
    }
    if let Some(head) = &model.language_head {
        let head = head.over(config.epsilon, model.dtype, ends);
        head.scores(lane, pass, x, scratch, outputs)?;
    }
    Ok(())
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

/// Rows of the table of positions, which counts from behind the id of `<pad>`. A `<pad>` inside a
/// sequence keeps its own row and is not counted.
fn places(pass: &Pass, pad: u32) -> Vec<u32> {
    let mut places = Vec::with_capacity(pass.batch.tokens().len());
    for index in 0..pass.batch.len() {
        let mut place = pad;
        places.extend(pass.batch.sequence(index).iter().map(|&token| {
            if token == pad {
                return pad;
            }
            place += 1;
            place
        }));
    }
    places
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
