//! BART (Lewis et al., 2020, arXiv:1910.13461): an encoder reads an article, a decoder writes its
//! summary token by token.
//!
//! Both stacks are post-norm with learned positions. The embeddings are shared by the encoder, the
//! decoder and, transposed, the scores over the vocabulary. Published as `facebook/bart-large-cnn`,
//! `facebook/bart-large-xsum` and `sshleifer/distilbart-*`.

mod config;
mod decode;
mod encode;
mod family;
mod load;
mod tensors;

use sessile_device::{Buf, DType, Device, DeviceError, Lane, PackedBatch};

use crate::encoder::ModelInfo;
use crate::generation::{Caches, Scores, SequenceToSequence, Step};
use crate::weights::{Dense, DenseLane, LayerNorm};

pub use config::BartConfig;
pub use tensors::tensor_shapes;

/// Token and position embeddings of a stack, and their norm.
struct Embeddings<W> {
    /// Where it is not the one that both stacks share.
    own_tokens: Option<W>,
    positions: W,
    norm: LayerNorm<W>,
}

struct EncoderLayer<W> {
    qkv: Dense<W>,
    attention_out: Dense<W>,
    attention_norm: LayerNorm<W>,
    feed_forward: FeedForward<W>,
}

struct DecoderLayer<W> {
    qkv: Dense<W>,
    attention_out: Dense<W>,
    attention_norm: LayerNorm<W>,
    source_query: Dense<W>,
    /// Keys and values of the encoder's states.
    source_keys: Dense<W>,
    source_out: Dense<W>,
    source_norm: LayerNorm<W>,
    feed_forward: FeedForward<W>,
}

struct FeedForward<W> {
    /// Columns between the two products.
    width: usize,
    up: Dense<W>,
    down: Dense<W>,
    norm: LayerNorm<W>,
}

/// BART with its weights on a device.
pub struct Bart<D: Device> {
    config: BartConfig,
    info: ModelInfo,
    /// As a table, for both stacks.
    embeddings: D::Weight,
    encoder_embeddings: Embeddings<D::Weight>,
    decoder_embeddings: Embeddings<D::Weight>,
    encoder: Vec<EncoderLayer<D::Weight>>,
    decoder: Vec<DecoderLayer<D::Weight>>,
    /// The embeddings as a product, or a table of its own, with `final_logits_bias`.
    scores: Dense<D::Weight>,
    dtype: DType,
}

impl<D: Device> Bart<D> {
    /// `x = norm(tokens + positions)`.
    fn embed(
        &self,
        lane: &mut D::Lane,
        embeddings: &Embeddings<D::Weight>,
        tokens: Buf,
        positions: &[u32],
    ) -> Result<Buf, DeviceError> {
        use sessile_device::Format;
        let (rows, hidden) = (positions.len(), self.config.hidden);
        let x = lane.buffer(rows, hidden, Format::F32)?;
        let mark = lane.mark();
        let scale = if self.config.scale_embedding {
            Some(lane.upload_values(&vec![(hidden as f32).sqrt(); rows])?)
        } else {
            None
        };
        let table = embeddings.own_tokens.as_ref().unwrap_or(&self.embeddings);
        lane.gather(tokens, table, scale, x);
        let places = lane.upload_indices(positions)?;
        let added = lane.buffer(rows, hidden, Format::F32)?;
        lane.gather(places, &embeddings.positions, None, added);
        lane.add(added, x);
        lane.norm(x, embeddings.norm.with(config::EPSILON), x);
        lane.release(mark);
        Ok(x)
    }

    /// `x = norm(x + feed_forward(x))`, and its operand again.
    fn feed_forward(
        &self,
        lane: &mut D::Lane,
        part: &FeedForward<D::Weight>,
        operand: Buf,
        x: Buf,
    ) -> Result<(), DeviceError> {
        use sessile_device::{Epilogue, Format};
        let mark = lane.mark();
        let width = part.width;
        let wide = lane.buffer(x.rows(), width, Format::Operand(self.dtype))?;
        lane.dense(operand, &part.up, Epilogue::Gelu, wide);
        lane.dense(wide, &part.down, Epilogue::Residual, x);
        lane.norm(x, part.norm.with(config::EPSILON), x);
        lane.convert(x, operand);
        lane.release(mark);
        Ok(())
    }
}

impl<D: Device> SequenceToSequence<D> for Bart<D> {
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
