//! The forward pass of ModernBERT over a packed batch.

use sessile_device::{
    Activation, AttentionInput, AttentionSpec, Bias, Buf, Device, DeviceError, Epilogue, Format,
    HostTensor, Lane, Output, OutputKind, Rotary,
};

use super::{ModernBert, StateHead};
use crate::encoder::outputs::{HiddenStates, per_residue, pooled, read_attention, wanted};
use crate::encoder::{Pass, Scratch};
use crate::weights::DenseLane;

/// Enqueues the pass and fills an output per job.
pub(super) fn run<D: Device>(
    model: &ModernBert<D>,
    lane: &mut D::Lane,
    pass: &Pass,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let config = &model.config;
    let batch = lane.upload(&pass.batch)?;
    let (tokens, hidden) = (batch.len(), config.hidden);
    let x = lane.buffer(tokens, hidden, Format::F32)?;
    lane.gather(batch.tokens, &model.embeddings, None, x);
    lane.norm(x, model.embedding_norm.with(config.epsilon), x);

    let global = AttentionSpec {
        heads: config.heads,
        head_dim: config.head_dim(),
        scale: (config.head_dim() as f32).sqrt().recip(),
        rotary: Some(Rotary {
            table: &model.global_rotary,
        }),
        bias: Bias::None,
        window: None,
    };
    let local = AttentionSpec {
        rotary: Some(Rotary {
            table: &model.local_rotary,
        }),
        window: Some(config.reach()),
        ..global
    };
    let mut hidden_states = HiddenStates::new(pass, config.layers + 1);
    let mark = lane.mark();
    let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
    for (index, layer) in model.layers.iter().enumerate() {
        hidden_states.read(lane, x, scratch)?;
        let spec = if layer.is_global { &global } else { &local };
        let inner = lane.mark();
        match &layer.attention_norm {
            Some(norm) => lane.norm(x, norm.with(config.epsilon), operand),
            None => lane.convert(x, operand),
        }
        let qkv = lane.buffer(tokens, 3 * hidden, Format::Heads(model.dtype))?;
        lane.dense(operand, &layer.qkv, Epilogue::Store, qkv);
        let input = AttentionInput::fused(qkv);
        if index + 1 == model.layers.len() {
            read_attention(lane, pass, &batch, input, spec, scratch, outputs)?;
        }
        lane.attention(input, &batch, spec, operand);
        lane.dense(operand, &layer.attention_out, Epilogue::Residual, x);
        lane.release(inner);

        lane.norm(x, layer.feed_forward_norm.with(config.epsilon), operand);
        let wide = lane.buffer(tokens, config.feed_forward, Format::Operand(model.dtype))?;
        if config.is_legacy {
            let pairs = lane.buffer(tokens, 2 * config.feed_forward, Format::F32)?;
            let units = lane.buffer(tokens, config.feed_forward, Format::F32)?;
            lane.linear(operand, &layer.gated, None, Epilogue::Store, pairs);
            lane.gate(pairs, Activation::Silu, units);
            lane.convert(units, wide);
        } else {
            lane.linear(operand, &layer.gated, None, Epilogue::GeluGated, wide);
        }
        lane.dense(wide, &layer.feed_forward_down, Epilogue::Residual, x);
        lane.release(inner);
    }
    lane.release(mark);
    lane.norm(x, model.final_norm.with(config.epsilon), x);
    hidden_states.read(lane, x, scratch)?;
    hidden_states.hand_out(pass, hidden, outputs);

    let ends = model.info.ends();
    pooled(lane, pass, ends, &batch, x, scratch, outputs)?;
    per_residue(lane, pass, ends, x, scratch, outputs)?;
    let heads = [
        (&model.three_di, OutputKind::ThreeDi),
        (&model.twelve_state, OutputKind::TwelveState),
    ];
    for (head, kind) in heads {
        if let Some(head) = head
            && wanted(pass, kind)
        {
            score(model, head, kind, lane, pass, x, scratch, outputs)?;
        }
    }
    Ok(())
}

/// One head over the residues of the sequences that want it.
#[allow(clippy::too_many_arguments)] // The pass, where it runs, and what is asked of it.
fn score<D: Device>(
    model: &ModernBert<D>,
    head: &StateHead<D::Weight>,
    kind: OutputKind,
    lane: &mut D::Lane,
    pass: &Pass,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let ends = model.info.ends();
    scratch.rows.clear();
    for (sequence, job) in pass.jobs.iter().enumerate() {
        if job.outputs.contains(kind) {
            let first = pass.batch.offsets()[sequence] + ends.leading as u32;
            let last = pass.batch.offsets()[sequence + 1] - ends.trailing as u32;
            scratch.rows.extend(first..last);
        }
    }
    let mark = lane.mark();
    let (rows, hidden) = (scratch.rows.len(), x.cols());
    // The number of states: every kind of the head's outputs has its own.
    let states = match kind {
        OutputKind::ThreeDi => crate::three_di::STATES.len(),
        _ => crate::three_di::TWELVE_STATES.len(),
    };
    let indices = lane.upload_indices(&scratch.rows)?;
    let picked = lane.buffer(rows, hidden, Format::F32)?;
    let logits = lane.buffer(rows, states, Format::F32)?;
    lane.gather_rows(x, indices, picked);
    match head {
        StateHead::StepDown(head) => head.score(lane, model.dtype, picked, logits)?,
        StateHead::Classifier {
            dense,
            norm,
            classifier,
        } => {
            let operand = lane.buffer(rows, hidden, Format::Operand(model.dtype))?;
            if let Some(dense) = dense {
                lane.convert(picked, operand);
                lane.dense(operand, dense, Epilogue::Gelu, picked);
            }
            match norm {
                Some(norm) => lane.norm(picked, norm.with(model.config.epsilon), operand),
                None => lane.convert(picked, operand),
            }
            lane.dense(operand, classifier, Epilogue::Store, logits);
        }
    }
    let ticket = lane.read(logits);
    lane.release(mark);
    lane.wait(ticket, &mut scratch.values)?;
    let mut row = 0;
    for (sequence, job) in pass.jobs.iter().enumerate() {
        if job.outputs.contains(kind) {
            let tokens = pass.batch.sequence(sequence).len();
            let residues = tokens - ends.leading - ends.trailing;
            let values = scratch.values[row * states..(row + residues) * states].to_vec();
            outputs[sequence].push(kind, HostTensor::new(vec![residues, states], values));
            row += residues;
        }
    }
    Ok(())
}
