//! The forward pass of MosaicBERT over a packed batch.

use sessile_device::{
    AttentionInput, AttentionSpec, Bias, Buf, Device, DeviceError, Epilogue, Format, HostTensor,
    Lane, Output, OutputKind, Pooling,
};

use super::MosaicBert;
use crate::encoder::outputs::{HiddenStates, per_residue, pooled, read_attention, wanted};
use crate::encoder::{Pass, Scratch};
use crate::weights::{Dense, DenseLane};

/// Enqueues the pass and fills an output per job.
pub(super) fn run<D: Device>(
    model: &MosaicBert<D>,
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

    let spec = AttentionSpec {
        heads: config.heads,
        head_dim: config.head_dim(),
        scale: (config.head_dim() as f32).sqrt().recip(),
        rotary: None,
        bias: Bias::Alibi {
            slopes: &model.slopes,
        },
        window: None,
    };
    let mut hidden_states = HiddenStates::new(pass, config.layers + 1);
    let mark = lane.mark();
    let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
    for (index, layer) in model.layers.iter().enumerate() {
        hidden_states.read(lane, x, scratch)?;
        let inner = lane.mark();
        lane.convert(x, operand);
        let qkv = lane.buffer(tokens, 3 * hidden, Format::Heads(model.dtype))?;
        lane.dense(operand, &layer.qkv, Epilogue::Store, qkv);
        let input = AttentionInput::fused(qkv);
        if index + 1 == model.layers.len() {
            read_attention(lane, pass, &batch, input, &spec, scratch, outputs)?;
        }
        lane.attention(input, &batch, &spec, operand);
        lane.dense(operand, &layer.attention_out, Epilogue::Residual, x);
        lane.release(inner);

        // Norms stand behind the sums: the normalised rows go on as the residual stream too.
        lane.norm(x, layer.attention_norm.with(config.epsilon), x);
        lane.convert(x, operand);
        let wide = lane.buffer(tokens, config.feed_forward, Format::Operand(model.dtype))?;
        lane.linear(operand, &layer.gated, None, Epilogue::GeluGated, wide);
        lane.dense(wide, &layer.feed_forward_down, Epilogue::Residual, x);
        lane.norm(x, layer.feed_forward_norm.with(config.epsilon), x);
        lane.release(inner);
    }
    lane.release(mark);
    hidden_states.read(lane, x, scratch)?;
    hidden_states.hand_out(pass, hidden, outputs);

    let ends = model.info.ends();
    pooled(lane, pass, ends, &batch, x, scratch, outputs)?;
    per_residue(lane, pass, ends, x, scratch, outputs)?;
    if let Some(pooler) = &model.pooler
        && wanted(pass, OutputKind::Pooler)
    {
        let first = lane.buffer(batch.sequences, hidden, Format::F32)?;
        lane.pool(x, &batch, Pooling::First, first);
        pool_first(model, pooler, lane, pass, first, scratch, outputs)?;
    }
    if let Some(head) = &model.language_head {
        let head = head.over(config.epsilon, model.dtype, ends);
        head.scores(lane, pass, x, scratch, outputs)?;
    }
    Ok(())
}

/// BERT's pooler: a dense layer and a hyperbolic tangent over the vector of the first token.
fn pool_first<D: Device>(
    model: &MosaicBert<D>,
    pooler: &Dense<D::Weight>,
    lane: &mut D::Lane,
    pass: &Pass,
    first: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let (rows, hidden) = (first.rows(), first.cols());
    let operand = lane.buffer(rows, hidden, Format::Operand(model.dtype))?;
    let vectors = lane.buffer(rows, hidden, Format::F32)?;
    lane.convert(first, operand);
    lane.dense(operand, pooler, Epilogue::Store, vectors);
    let ticket = lane.read(vectors);
    lane.wait(ticket, &mut scratch.values)?;
    let vectors = scratch.values.chunks_exact(hidden);
    for ((job, output), vector) in pass.jobs.iter().zip(outputs).zip(vectors) {
        if job.outputs.contains(OutputKind::Pooler) {
            // One row for each sequence: not worth an operation of the device.
            let values = vector.iter().map(|value| value.tanh()).collect();
            output.push(OutputKind::Pooler, HostTensor::new(vec![hidden], values));
        }
    }
    Ok(())
}
