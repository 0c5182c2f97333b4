//! MosaicBERT (Portes et al., 2023, arXiv:2312.17482): the network of DNABERT-2 (Zhou et al., 2023,
//! arXiv:2306.15006) and DNABERT-S (Zhou et al., 2024, arXiv:2402.08777).
//!
//! A post-norm transformer over byte-pair tokens. Positions are known by ALiBi alone, in both
//! directions, so sequences may be longer than those of the training; the feed-forward part is
//! gated. The vector that DNABERT-S is used for is the mean over all tokens, `[CLS]` and `[SEP]`
//! included ([`OutputKind::MeanAll`](sessile_device::OutputKind::MeanAll)).

mod config;
mod family;
mod forward;
mod load;
mod tensors;

use sessile_device::{Device, DeviceError, Output};

use crate::encoder::{Encoder, LanguageHead, ModelInfo, Pass, Scratch};
use crate::weights::{Dense, LayerNorm};

pub use config::MosaicBertConfig;
pub use tensors::tensor_shapes;

/// One transformer layer.
struct Layer<W> {
    qkv: Dense<W>,
    attention_out: Dense<W>,
    attention_norm: LayerNorm<W>,
    /// Gate and value.
    gated: W,
    feed_forward_down: Dense<W>,
    feed_forward_norm: LayerNorm<W>,
}

/// MosaicBERT with its weights on a device.
pub struct MosaicBert<D: Device> {
    config: MosaicBertConfig,
    info: ModelInfo,
    /// The first token type is added already.
    embeddings: D::Weight,
    embedding_norm: LayerNorm<D::Weight>,
    /// ALiBi's slopes, one for each head.
    slopes: D::Weight,
    layers: Vec<Layer<D::Weight>>,
    pooler: Option<Dense<D::Weight>>,
    language_head: Option<LanguageHead<D::Weight>>,
    mask_token: Option<u32>,
    dtype: sessile_device::DType,
}

impl<D: Device> Encoder<D> for MosaicBert<D> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn mask_token(&self) -> Option<u32> {
        self.mask_token
    }

    fn enqueue(
        &self,
        lane: &mut D::Lane,
        pass: &Pass,
        scratch: &mut Scratch,
        outputs: &mut [Output],
    ) -> Result<(), DeviceError> {
        forward::run(self, lane, pass, scratch, outputs)
    }
}
