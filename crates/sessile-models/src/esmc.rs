//! ESM C (ESM Team, 2024, "ESM Cambrian: Revealing the mysteries of proteins with unsupervised
//! learning"): a protein language model beside ESM-3.
//!
//! A pre-norm transformer with rotary positions, gated units with SiLU, and norms over all columns of
//! the queries and of the keys before they are cut into heads. What a layer adds is divided by
//! `sqrt(layers / 36)`, which is done to its weights while they are packed.

mod config;
mod family;
mod forward;
mod load;
mod tensors;

use sessile_device::{Device, DeviceError, Output};

use crate::encoder::{Encoder, LanguageHead, ModelInfo, Pass, Scratch};
use crate::weights::LayerNorm;

pub use config::EsmcConfig;
pub use tensors::{Layout, tensor_shapes};

/// One transformer layer.
struct Layer<W> {
    attention_norm: LayerNorm<W>,
    qkv: W,
    query_norm: LayerNorm<W>,
    key_norm: LayerNorm<W>,
    attention_out: W,
    feed_forward_norm: LayerNorm<W>,
    /// Values, then gates.
    gated: W,
    feed_forward_down: W,
}

/// ESM C with its weights on a device.
pub struct Esmc<D: Device> {
    config: EsmcConfig,
    info: ModelInfo,
    embeddings: D::Weight,
    rotary: D::Weight,
    layers: Vec<Layer<D::Weight>>,
    final_norm: LayerNorm<D::Weight>,
    language_head: Option<LanguageHead<D::Weight>>,
    mask_token: u32,
    dtype: sessile_device::DType,
}

impl<D: Device> Encoder<D> for Esmc<D> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn mask_token(&self) -> Option<u32> {
        Some(self.mask_token)
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
