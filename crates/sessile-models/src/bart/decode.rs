//! One step of the decoder: one token for every hypothesis.

use sessile_device::{
    AttentionSpec, Bias, DecodingLane, Device, DeviceError, Epilogue, Format, Lane,
};

use super::Bart;
use super::config::{EPSILON, POSITION_OFFSET};
use crate::generation::{Caches, Scores, Step};
use crate::weights::DenseLane;

/// Decodes one token per row; the scores stay on the arena.
pub(super) fn run<D: Device>(
    model: &Bart<D>,
    lane: &mut D::Lane,
    step: &Step,
    caches: &Caches,
) -> Result<Scores, DeviceError> {
    let config = &model.config;
    let (rows, hidden) = (step.tokens.len(), config.hidden);
    let logits = lane.buffer(rows, config.vocabulary, Format::F32)?;
    let log_sums = lane.buffer(rows, 1, Format::F32)?;
    let mark = lane.mark();

    let tokens = lane.upload_indices(&step.tokens)?;
    let positions: Vec<u32> = step
        .positions
        .iter()
        .map(|&position| position + POSITION_OFFSET as u32)
        .collect();
    let own_cells = lane.upload_indices(&step.own_cells)?;
    let own = lane.upload_cells(&step.own)?;
    let source = lane.upload_cells(&step.source)?;
    let x = model.embed(lane, &model.decoder_embeddings, tokens, &positions)?;
    let operand = lane.buffer(rows, hidden, Format::Operand(model.dtype))?;
    lane.convert(x, operand);
    let qkv = lane.buffer(rows, 3 * hidden, Format::Heads(model.dtype))?;
    let attended = lane.buffer(rows, hidden, Format::F32)?;
    let head_dim = hidden / config.decoder_attention_heads;
    let spec = AttentionSpec {
        heads: config.decoder_attention_heads,
        head_dim,
        scale: (head_dim as f32).sqrt().recip(),
        rotary: None,
        bias: Bias::None,
        window: None,
    };
    for (index, layer) in model.decoder.iter().enumerate() {
        lane.dense(operand, &layer.qkv, Epilogue::Store, qkv);
        let (cache, query) = (caches.own[index], qkv.columns(0..hidden));
        lane.scatter_rows(qkv.columns(hidden..2 * hidden), own_cells, cache.keys);
        lane.scatter_rows(qkv.columns(2 * hidden..3 * hidden), own_cells, cache.values);
        lane.attention_cells(query, cache, &own, &spec, attended);
        lane.convert(attended, operand);
        lane.dense(operand, &layer.attention_out, Epilogue::Residual, x);
        lane.norm(x, layer.attention_norm.with(EPSILON), x);
        lane.convert(x, operand);

        lane.dense(operand, &layer.source_query, Epilogue::Store, query);
        lane.attention_cells(query, caches.source[index], &source, &spec, attended);
        lane.convert(attended, operand);
        lane.dense(operand, &layer.source_out, Epilogue::Residual, x);
        lane.norm(x, layer.source_norm.with(EPSILON), x);
        lane.convert(x, operand);

        model.feed_forward(lane, &layer.feed_forward, operand, x)?;
    }
    lane.dense(operand, &model.scores, Epilogue::Store, logits);
    lane.log_sum_exp(logits, log_sums);
    lane.release(mark);
    Ok(Scores { logits, log_sums })
}
