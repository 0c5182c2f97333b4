//! The forward pass of ESM C over a packed batch.

use sessile_device::{
    Activation, AttentionInput, AttentionSpec, Bias, Device, DeviceError, Epilogue, Format, Lane,
    Output, Rotary,
};

use super::Esmc;
use super::config::EPSILON;
use crate::encoder::outputs::{HiddenStates, per_residue, pooled, read_attention};
use crate::encoder::{Pass, Scratch};

/// Enqueues the pass and fills an output per job.
pub(super) fn run<D: Device>(
    model: &Esmc<D>,
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
    let mark = lane.mark();
    let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
    for (index, layer) in model.layers.iter().enumerate() {
        hidden_states.read(lane, x, scratch)?;
        let inner = lane.mark();
        lane.norm(x, layer.attention_norm.with(EPSILON), operand);
        let products = lane.buffer(tokens, 3 * hidden, Format::F32)?;
        let qkv = lane.buffer(tokens, 3 * hidden, Format::Heads(model.dtype))?;
        lane.linear(operand, &layer.qkv, None, Epilogue::Store, products);
        let (from, to) = (AttentionInput::fused(products), AttentionInput::fused(qkv));
        lane.norm(from.q, layer.query_norm.with(EPSILON), to.q);
        lane.norm(from.k, layer.key_norm.with(EPSILON), to.k);
        lane.convert(from.v, to.v);
        if index + 1 == model.layers.len() {
            read_attention(lane, pass, &batch, to, &spec, scratch, outputs)?;
        }
        lane.attention(to, &batch, &spec, operand);
        lane.linear(operand, &layer.attention_out, None, Epilogue::Residual, x);
        lane.release(inner);

        let wide = config.feed_forward();
        lane.norm(x, layer.feed_forward_norm.with(EPSILON), operand);
        let pairs = lane.buffer(tokens, 2 * wide, Format::F32)?;
        let units = lane.buffer(tokens, wide, Format::F32)?;
        let units_operand = lane.buffer(tokens, wide, Format::Operand(model.dtype))?;
        lane.linear(operand, &layer.gated, None, Epilogue::Store, pairs);
        lane.gate(pairs, Activation::Silu, units);
        lane.convert(units, units_operand);
        let down = &layer.feed_forward_down;
        lane.linear(units_operand, down, None, Epilogue::Residual, x);
        lane.release(inner);
    }
    lane.release(mark);
    lane.norm(x, model.final_norm.with(EPSILON), x);
    hidden_states.read(lane, x, scratch)?;
    hidden_states.hand_out(pass, hidden, outputs);

    let ends = model.info.ends();
    pooled(lane, pass, ends, &batch, x, scratch, outputs)?;
    per_residue(lane, pass, ends, x, scratch, outputs)?;
    if let Some(head) = &model.language_head {
        let head = head.over(EPSILON, model.dtype, ends);
        head.scores(lane, pass, x, scratch, outputs)?;
    }
    Ok(())
}
