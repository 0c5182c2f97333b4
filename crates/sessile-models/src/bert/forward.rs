//! The forward pass of BERT over a packed batch.

use sessile_device::{
    AttentionInput, AttentionSpec, Bias, Device, DeviceError, Epilogue, Format, Lane, Output,
};

use super::Bert;
use crate::encoder::outputs::{HiddenStates, per_residue, pooled, read_attention};
use crate::encoder::{Pass, Scratch, pooler};
use crate::weights::DenseLane;

/// Enqueues the pass and fills an output per job.
pub(super) fn run<D: Device>(
    model: &Bert<D>,
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
    let mark = lane.mark();
    let places = lane.upload_indices(&places(pass))?;
    let added = lane.buffer(tokens, hidden, Format::F32)?;
    lane.gather(places, &model.positions, None, added);
    lane.add(added, x);
    lane.release(mark);
    lane.norm(x, model.embedding_norm.with(config.epsilon), x);

    let spec = AttentionSpec {
        heads: config.heads,
        head_dim: config.head_dim(),
        scale: (config.head_dim() as f32).sqrt().recip(),
        rotary: None,
        bias: Bias::None,
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
        lane.dense(operand, &layer.feed_forward_up, Epilogue::Gelu, wide);
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
    if let Some(pooler) = &model.pooler {
        pooler::run(pooler, model.dtype, lane, pass, &batch, x, scratch, outputs)?;
    }
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

/// Rows of the table of positions.
fn places(pass: &Pass) -> Vec<u32> {
    let lengths = (0..pass.batch.len()).map(|index| pass.batch.sequence(index).len() as u32);
    lengths.flat_map(|length| 0..length).collect()
}
