//! The encoder: a packed batch of articles, and the keys and values that the decoder will look at.

use sessile_device::{
    AttentionInput, AttentionSpec, Bias, Buf, DecodingLane, Device, DeviceError, Epilogue, Format,
    Lane, PackedBatch,
};

use super::Bart;
use super::config::{EPSILON, POSITION_OFFSET};
use crate::generation::Caches;
use crate::weights::DenseLane;

/// Encodes `batch` and puts what each decoder layer needs of token *i* into cell `cells[i]`.
/// Returns the encoder's last states, `[tokens, hidden]` in f32.
pub(super) fn run<D: Device>(
    model: &Bart<D>,
    lane: &mut D::Lane,
    batch: &PackedBatch,
    cells: &[u32],
    caches: &Caches,
) -> Result<Buf, DeviceError> {
    let config = &model.config;
    let hidden = config.hidden;
    let positions: Vec<u32> = (0..batch.len())
        .flat_map(|index| 0..batch.sequence(index).len())
        .map(|position| (position + POSITION_OFFSET) as u32)
        .collect();
    let tokens = positions.len();
    let batch = lane.upload(batch)?;
    let x = model.embed(lane, &model.encoder_embeddings, batch.tokens, &positions)?;
    let mark = lane.mark();
    let operand = lane.buffer(tokens, hidden, Format::Operand(model.dtype))?;
    lane.convert(x, operand);
    let head_dim = hidden / config.encoder_attention_heads;
    let spec = AttentionSpec {
        heads: config.encoder_attention_heads,
        head_dim,
        scale: (head_dim as f32).sqrt().recip(),
        rotary: None,
        bias: Bias::None,
        window: None,
    };
    for layer in &model.encoder {
        let mark = lane.mark();
        let qkv = lane.buffer(tokens, 3 * hidden, Format::Heads(model.dtype))?;
        lane.dense(operand, &layer.qkv, Epilogue::Store, qkv);
        let input = AttentionInput::fused(qkv);
        lane.attention(input, &batch, &spec, operand);
        lane.dense(operand, &layer.attention_out, Epilogue::Residual, x);
        lane.norm(x, layer.attention_norm.with(EPSILON), x);
        lane.convert(x, operand);
        lane.release(mark);
        model.feed_forward(lane, &layer.feed_forward, operand, x)?;
    }
    let cells = lane.upload_indices(cells)?;
    let pair = lane.buffer(tokens, 2 * hidden, Format::Heads(model.dtype))?;
    for (layer, cache) in model.decoder.iter().zip(&caches.source) {
        lane.dense(operand, &layer.source_keys, Epilogue::Store, pair);
        lane.scatter_rows(pair.columns(0..hidden), cells, cache.keys);
        lane.scatter_rows(pair.columns(hidden..2 * hidden), cells, cache.values);
    }
    lane.release(mark);
    Ok(x)
}
