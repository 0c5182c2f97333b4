//! The encoder: a packed batch of sources, and the keys and values that the decoder will look at.

use sessile_device::{Buf, DecodingLane, Device, DeviceError, Epilogue, Format, Lane, PackedBatch};

use super::T5Translator;
use crate::generation::Caches;
use crate::t5::rms;

/// Encodes `batch` and puts what each decoder layer needs of token *i* into cell `cells[i]`.
/// Returns the encoder's last states, `[tokens, hidden]` in f32.
pub(super) fn run<D: Device>(
    model: &T5Translator<D>,
    lane: &mut D::Lane,
    batch: &PackedBatch,
    cells: &[u32],
    caches: &Caches,
) -> Result<Buf, DeviceError> {
    let (config, stack) = (&model.config, &model.encoder);
    let (hidden, inner) = (config.hidden, config.inner());
    let batch = lane.upload(batch)?;
    let tokens = batch.len();
    let x = lane.buffer(tokens, hidden, Format::F32)?;
    lane.gather(batch.tokens, &stack.embeddings, None, x);
    let mark = lane.mark();
    let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
    let spec = stack.attention(config);
    for layer in &stack.layers {
        let look = |_: &mut D::Lane, _| Ok(());
        layer.run(lane, config, model.dtype, &spec, &batch, (x, operand), look)?;
    }
    lane.norm(x, rms(&stack.final_norm, config.epsilon), x);
    lane.convert(x, operand);
    let cells = lane.upload_indices(cells)?;
    let pair = lane.buffer(tokens, 2 * inner, Format::Heads(model.dtype))?;
    for (layer, cache) in model.decoder.iter().zip(&caches.source) {
        lane.linear(operand, &layer.source_keys, None, Epilogue::Store, pair);
        lane.scatter_rows(pair.columns(0..inner), cells, cache.keys);
        lane.scatter_rows(pair.columns(inner..2 * inner), cells, cache.values);
    }
    lane.release(mark);
    Ok(x)
}
