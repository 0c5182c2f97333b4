//! T5 with its decoder: ProstT5 as a translator between residues and 3Di states.
//!
//! The source begins with the direction, `<AA2fold>` for residues and `<fold2AA>` for states, and
//! ends with `</s>`; the answer begins with `<pad>`. Scores are made with the embeddings, and the
//! decoder's last norm is scaled down for that by the square root of the columns.

mod decode;
mod encode;
mod load;

use sessile_device::{Buf, DType, Device, DeviceError, Epilogue, Format, Lane, PackedBatch};

use super::stack::EncoderStack;
use super::{T5Config, rms};
use crate::encoder::ModelInfo;
use crate::generation::{Caches, Scores, SequenceToSequence, Step};

/// One layer of the decoder.
struct DecoderLayer<W> {
    attention_norm: W,
    qkv: W,
    attention_out: W,
    source_norm: W,
    source_query: W,
    /// Keys and values of the encoder's states.
    source_keys: W,
    source_out: W,
    feed_forward_norm: W,
    feed_forward_up: W,
    feed_forward_down: W,
}

/// The encoder and the decoder with their weights on a device.
pub struct T5Translator<D: Device> {
    config: T5Config,
    info: ModelInfo,
    encoder: EncoderStack<D::Weight>,
    /// The decoder's bias by head and distance.
    distances: D::Weight,
    decoder: Vec<DecoderLayer<D::Weight>>,
    final_norm: D::Weight,
    /// The embeddings as a product.
    scores: D::Weight,
    dtype: DType,
}

impl<D: Device> T5Translator<D> {
    /// `x += feed_forward(norm(x))`.
    fn feed_forward(
        &self,
        lane: &mut D::Lane,
        layer: &DecoderLayer<D::Weight>,
        x: Buf,
        operand: Buf,
    ) -> Result<(), DeviceError> {
        let mark = lane.mark();
        let config = &self.config;
        lane.norm(x, rms(&layer.feed_forward_norm, config.epsilon), operand);
        let wide = lane.buffer(x.rows(), config.feed_forward, Format::Operand(self.dtype))?;
        lane.linear(operand, &layer.feed_forward_up, None, Epilogue::Relu, wide);
        lane.linear(wide, &layer.feed_forward_down, None, Epilogue::Residual, x);
        lane.release(mark);
        Ok(())
    }
}

impl<D: Device> SequenceToSequence<D> for T5Translator<D> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode(
        &self,
        lane: &mut D::Lane,
        batch: &PackedBatch,
        cells: &[u32],
        caches: &Caches,
    ) -> Result<Buf, DeviceError> {
        encode::run(self, lane, batch, cells, caches)
    }

    fn decode(
        &self,
        lane: &mut D::Lane,
        step: &Step,
        caches: &Caches,
    ) -> Result<Scores, DeviceError> {
        decode::run(self, lane, step, caches)
    }
}
