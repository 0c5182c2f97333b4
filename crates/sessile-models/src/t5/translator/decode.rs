//! One step of the decoder: one token for every hypothesis.

use sessile_device::{DecodingLane, Device, DeviceError, Epilogue, Format, Lane};

use super::T5Translator;
use crate::generation::{Caches, Scores, Step};
use crate::t5::rms;
use crate::t5::stack::{attention, plain_attention};

/// Decodes one token per row; the scores stay on the arena.
pub(super) fn run<D: Device>(
    model: &T5Translator<D>,
    lane: &mut D::Lane,
    step: &Step,
    caches: &Caches,
) -> Result<Scores, DeviceError> {
    let config = &model.config;
    let (rows, hidden, inner) = (step.tokens.len(), config.hidden, config.inner());
    let logits = lane.buffer(rows, config.vocabulary, Format::F32)?;
    let log_sums = lane.buffer(rows, 1, Format::F32)?;
    let mark = lane.mark();

    let tokens = lane.upload_indices(&step.tokens)?;
    let own_cells = lane.upload_indices(&step.own_cells)?;
    let own = lane.upload_cells(&step.own)?;
    let source = lane.upload_cells(&step.source)?;
    let x = lane.buffer(rows, hidden, Format::F32)?;
    lane.gather(tokens, &model.encoder.embeddings, None, x);
    let operand = lane.buffer(rows, hidden, Format::Operand(model.dtype))?;
    let qkv = lane.buffer(rows, 3 * inner, Format::Heads(model.dtype))?;
    let attended = lane.buffer(rows, inner, Format::F32)?;
    let attended_operand = lane.buffer(rows, inner, Format::Operand(model.dtype))?;
    // Where a token stands is known by the bias alone: its list of cells ends with itself.
    let own_spec = attention(config, &model.distances);
    let source_spec = plain_attention(config);
    let query = qkv.columns(0..inner);
    for (index, layer) in model.decoder.iter().enumerate() {
        lane.norm(x, rms(&layer.attention_norm, config.epsilon), operand);
        lane.linear(operand, &layer.qkv, None, Epilogue::Store, qkv);
        let cache = caches.own[index];
        lane.scatter_rows(qkv.columns(inner..2 * inner), own_cells, cache.keys);
        lane.scatter_rows(qkv.columns(2 * inner..3 * inner), own_cells, cache.values);
        lane.attention_cells(query, cache, &own, &own_spec, attended);
        lane.convert(attended, attended_operand);
        let out = &layer.attention_out;
        lane.linear(attended_operand, out, None, Epilogue::Residual, x);

        lane.norm(x, rms(&layer.source_norm, config.epsilon), operand);
        lane.linear(operand, &layer.source_query, None, Epilogue::Store, query);
        lane.attention_cells(query, caches.source[index], &source, &source_spec, attended);
        lane.convert(attended, attended_operand);
        let out = &layer.source_out;
        lane.linear(attended_operand, out, None, Epilogue::Residual, x);

        model.feed_forward(lane, layer, x, operand)?;
    }
    lane.norm(x, rms(&model.final_norm, config.epsilon), operand);
    lane.linear(operand, &model.scores, None, Epilogue::Store, logits);
    lane.log_sum_exp(logits, log_sums);
    lane.release(mark);
    Ok(Scores { logits, log_sums })
}
