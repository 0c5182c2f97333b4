//! ModernBERT (Warner et al., 2024, arXiv:2412.13663), as the ModernProst models have it to read
//! structure states from residues.
//!
//! A pre-norm transformer with rotary positions and gated units. Every third layer (by
//! configuration) sees the whole sequence; the others see a window around each residue and rotate
//! by other angles. Heads are found by the shapes of their tensors ([`HeadMap`]), because the
//! names that the 3Di and 12-state checkpoint gives them are not known here.

mod config;
mod family;
mod forward;
mod heads;
mod load;
mod step_down;
mod tensors;

use sessile_device::{Device, DeviceError, Output};

use crate::encoder::{Encoder, ModelInfo, Pass, Scratch};
use crate::weights::{Dense, LayerNorm};
use step_down::StepDown;

pub use config::ModernBertConfig;
pub use heads::{HeadMap, HeadNames};
pub use tensors::tensor_shapes;

/// One transformer layer.
struct Layer<W> {
    /// The first layer has none: the embeddings are normalised already.
    attention_norm: Option<LayerNorm<W>>,
    qkv: Dense<W>,
    attention_out: Dense<W>,
    feed_forward_norm: LayerNorm<W>,
    /// Gate and value; value and gate where the configuration is of the first ModernProst.
    gated: W,
    feed_forward_down: Dense<W>,
    /// Whether it sees the whole sequence.
    is_global: bool,
}

/// A head that scores states.
enum StateHead<W> {
    /// Dense, GELU and norm where it has them, then the classifier.
    Classifier {
        dense: Option<Dense<W>>,
        norm: Option<LayerNorm<W>>,
        classifier: Dense<W>,
    },
    /// Of the first ModernProst.
    StepDown(StepDown<W>),
}

/// ModernBERT with its weights on a device.
pub struct ModernBert<D: Device> {
    config: ModernBertConfig,
    info: ModelInfo,
    embeddings: D::Weight,
    embedding_norm: LayerNorm<D::Weight>,
    /// Angles of the layers that see everything.
    global_rotary: D::Weight,
    /// Angles of the others.
    local_rotary: D::Weight,
    layers: Vec<Layer<D::Weight>>,
    final_norm: LayerNorm<D::Weight>,
    three_di: Option<StateHead<D::Weight>>,
    twelve_state: Option<StateHead<D::Weight>>,
    dtype: sessile_device::DType,
}

impl<D: Device> Encoder<D> for ModernBert<D> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn mask_token(&self) -> Option<u32> {
        None
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
