//! The forward pass of the T5 encoder over a packed batch.

use sessile_device::{
    AttentionInput, AttentionSpec, Bias, Device, DeviceError, Epilogue, Format, Lane, Norm, Output,
};

use super::T5;
use crate::encoder::outputs::{HiddenStates, per_residue, pooled, read_attention};
use crate::encoder::{Pass, Scratch};

/// Runs the pass and appends an output per job.
pub(super) fn run<D: Device>(
    model: &T5<D>,
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
    model: &T5<D>,
    lane: &mut D::Lane,
    pass: &Pass,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let config = &model.config;
    let batch = lane.upload(&pass.batch)?;
    let (tokens, hidden, inner) = (batch.len(), config.hidden, config.inner());
    let operand_format = Format::Operand(model.dtype);
    let x = lane.buffer(tokens, hidden, Format::F32)?;
    lane.gather(batch.tokens, &model.embeddings, None, x);

    let spec = AttentionSpec {
        heads: config.heads,
        head_dim: config.head_dim,
        scale: 1.0,
        rotary: None,
        bias: Bias::ByDistance {
            table: &model.distances,
            reach: config.max_distance,
        },
        window: None,
    };
    let mut hidden_states = HiddenStates::new(pass, config.layers + 1);
    let mark = lane.mark();
    let operand = lane.buffer(tokens, hidden, operand_format)?;
    for (index, layer) in model.layers.iter().enumerate() {
        hidden_states.read(lane, x, scratch)?;
        let within = lane.mark();
        lane.norm(x, rms(&layer.attention_norm, config.epsilon), operand);
        let attended = lane.buffer(tokens, inner, operand_format)?;
        let qkv = lane.buffer(tokens, 3 * inner, Format::Heads(model.dtype))?;
        lane.linear(operand, &layer.qkv, None, Epilogue::Store, qkv);
        let input = AttentionInput {
            q: qkv.columns(0..inner),
            k: qkv.columns(inner..2 * inner),
            v: qkv.columns(2 * inner..3 * inner),
        };
        if index + 1 == model.layers.len() {
            read_attention(lane, pass, &batch, input, &spec, scratch, outputs)?;
        }
        lane.attention(input, &batch, &spec, attended);
        lane.linear(attended, &layer.attention_out, None, Epilogue::Residual, x);
        lane.release(within);

        lane.norm(x, rms(&layer.feed_forward_norm, config.epsilon), operand);
        let wide = lane.buffer(tokens, config.feed_forward, operand_format)?;
        lane.linear(operand, &layer.feed_forward_up, None, Epilogue::Relu, wide);
        lane.linear(wide, &layer.feed_forward_down, None, Epilogue::Residual, x);
        lane.release(within);
    }
    lane.release(mark);
    lane.norm(x, rms(&model.final_norm, config.epsilon), x);
    hidden_states.read(lane, x, scratch)?;
    hidden_states.hand_out(pass, hidden, outputs);

    let ends = model.info.ends();
    pooled(lane, pass, ends, &batch, x, scratch, outputs)?;
    per_residue(lane, pass, ends, x, scratch, outputs)?;
    if let Some(head) = &model.head {
        head.scores(lane, pass, ends, x, scratch, outputs)?;
    }
    Ok(())
}

fn rms<W>(gain: &W, epsilon: f32) -> Norm<'_, W> {
    Norm::Rms { gain, epsilon }
}
