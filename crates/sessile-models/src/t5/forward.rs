//! The forward pass of the T5 encoder over a packed batch.

use sessile_device::{Device, DeviceError, Format, Lane, Output};

use super::{T5, rms};
use crate::encoder::outputs::{HiddenStates, per_residue, pooled, read_attention};
use crate::encoder::{Pass, Scratch};

/// Enqueues the pass and fills an output per job.
pub(super) fn run<D: Device>(
    model: &T5<D>,
    lane: &mut D::Lane,
    pass: &Pass,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let config = &model.config;
    let batch = lane.upload(&pass.batch)?;
    let (tokens, hidden) = (batch.len(), config.hidden);
    let x = lane.buffer(tokens, hidden, Format::F32)?;
    lane.gather(batch.tokens, &model.stack.embeddings, None, x);

    let spec = model.stack.attention(config);
    let mut hidden_states = HiddenStates::new(pass, config.layers + 1);
    let mark = lane.mark();
    let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
    for (index, layer) in model.stack.layers.iter().enumerate() {
        hidden_states.read(lane, x, scratch)?;
        let is_last = index + 1 == config.layers;
        let look = |lane: &mut D::Lane, input| {
            if is_last {
                read_attention(lane, pass, &batch, input, &spec, scratch, outputs)?;
            }
            Ok(())
        };
        layer.run(lane, config, model.dtype, &spec, &batch, (x, operand), look)?;
    }
    lane.release(mark);
    lane.norm(x, rms(&model.stack.final_norm, config.epsilon), x);
    hidden_states.read(lane, x, scratch)?;
    hidden_states.hand_out(pass, hidden, outputs);

    let ends = model.info.ends();
    pooled(lane, pass, ends, &batch, x, scratch, outputs)?;
    per_residue(lane, pass, ends, x, scratch, outputs)?;
    if let Some(head) = &model.class_head {
        let dtype = model.dtype;
        head.score(dtype, ends, lane, pass, &batch, x, scratch, outputs)?;
    }
    if let Some(head) = &model.head {
        head.scores(lane, pass, ends, x, scratch, outputs)?;
    }
    Ok(())
}
