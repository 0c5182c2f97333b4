//! ESM-2: a protein language model (Lin et al., 2023, doi:10.1126/science.ade2574).
//!
//! A pre-norm transformer over residues with rotary positions and exact GELU. Two details decide
//! whether an implementation agrees with the published one: *token dropout* (embeddings of masked
//! positions are zeroed and all embeddings scaled by `(1 − 0.12) / (1 − masked share)`, so by 0.88
//! when nothing is masked), and the final norm before every output.

mod config;
mod family;
mod forward;
mod load;
mod tensors;

use sessile_device::{Device, DeviceError, Output};

use crate::encoder::{ClassHead, Encoder, LanguageHead, ModelInfo, Pass, Scratch};
use crate::weights::{Dense, LayerNorm};

pub use config::{Esm2Config, PositionKind};
pub use tensors::tensor_shapes;

/// How positions are known.
enum Positions<W> {
    /// Angles by position.
    Rotary(W),
    /// Vectors by position, added to the embeddings.
    Table(W),
}

/// One transformer layer.
struct Layer<W> {
    attention_norm: LayerNorm<W>,
    qkv: Dense<W>,
    attention_out: Dense<W>,
    feed_forward_norm: LayerNorm<W>,
    feed_forward_up: Dense<W>,
    feed_forward_down: Dense<W>,
}

/// Logistic regression over all attention maps.
struct ContactHead<W> {
    /// `[1, layers × heads]`.
    factors: W,
    /// `[1, 1]`.
    shift: W,
}

/// ESM-2 with its weights on a device.
pub struct Esm2<D: Device> {
    config: Esm2Config,
    info: ModelInfo,
    embeddings: D::Weight,
    embedding_norm: Option<LayerNorm<D::Weight>>,
    positions: Positions<D::Weight>,
    layers: Vec<Layer<D::Weight>>,
    final_norm: LayerNorm<D::Weight>,
    language_head: Option<LanguageHead<D::Weight>>,
    contact_head: Option<ContactHead<D::Weight>>,
    class_head: Option<ClassHead<D::Weight>>,
    dtype: sessile_device::DType,
}

impl<D: Device> Encoder<D> for Esm2<D> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn mask_token(&self) -> Option<u32> {
        Some(self.config.mask_token)
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
