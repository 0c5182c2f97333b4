//! BERT (Devlin et al., 2019, arXiv:1810.04805): the network of ProtBERT (Elnaggar et al., 2022,
//! doi:10.1109/TPAMI.2021.3095381), AntiBERTy (Ruffolo et al., 2021, arXiv:2112.07782), MiniLM, BGE
//! and many others.
//!
//! A post-norm transformer with a table of positions and exact GELU. Vocabularies of residues are
//! read letter by letter, others as text.

mod config;
mod family;
mod forward;
mod load;
mod tensors;

use sessile_device::{Device, DeviceError, Output};

use crate::encoder::{ClassHead, Encoder, LanguageHead, ModelInfo, Pass, Scratch};
use crate::weights::{Dense, LayerNorm};

pub use config::BertConfig;
pub use tensors::tensor_shapes;

/// One transformer layer.
struct Layer<W> {
    qkv: Dense<W>,
    attention_out: Dense<W>,
    attention_norm: LayerNorm<W>,
    feed_forward_up: Dense<W>,
    feed_forward_down: Dense<W>,
    feed_forward_norm: LayerNorm<W>,
}

/// BERT with its weights on a device.
pub struct Bert<D: Device> {
    config: BertConfig,
    info: ModelInfo,
    /// The first token type is added already.
    embeddings: D::Weight,
    positions: D::Weight,
    embedding_norm: LayerNorm<D::Weight>,
    layers: Vec<Layer<D::Weight>>,
    pooler: Option<Dense<D::Weight>>,
    language_head: Option<LanguageHead<D::Weight>>,
    class_head: Option<ClassHead<D::Weight>>,
    mask_token: Option<u32>,
    dtype: sessile_device::DType,
}

impl<D: Device> Encoder<D> for Bert<D> {
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
