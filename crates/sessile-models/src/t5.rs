//! The encoder of T5 (Raffel et al., 2020, arXiv:1910.10683), as ProstT5 (Heinzinger et al., 2024,
//! doi:10.1093/nargab/lqae150) has it, with the head that reads 3Di states from it.
//!
//! A pre-norm transformer with root-mean-square norms and no biases. Scores are not scaled;
//! positions are known by a learned bias for ranges of distances, which the first layer's table
//! holds for all layers. The head is a network of two convolutions along the sequence.

mod cnn;
mod config;
mod forward;
mod load;
mod tensors;

use sessile_device::{Device, DeviceError, Output};

use crate::encoder::{Encoder, ModelInfo, Pass, Scratch};
use cnn::ConvolutionHead;

pub(crate) use config::DEFAULT_TOKENS;
pub use config::T5Config;
pub use tensors::{head_shapes, tensor_shapes};

/// One transformer layer.
struct Layer<W> {
    attention_norm: W,
    qkv: W,
    attention_out: W,
    feed_forward_norm: W,
    feed_forward_up: W,
    feed_forward_down: W,
}

/// The encoder with its weights on a device.
pub struct T5<D: Device> {
    config: T5Config,
    info: ModelInfo,
    embeddings: D::Weight,
    /// The bias by head and distance.
    distances: D::Weight,
    layers: Vec<Layer<D::Weight>>,
    final_norm: D::Weight,
    head: Option<ConvolutionHead<D::Weight>>,
    dtype: sessile_device::DType,
}

impl<D: Device> Encoder<D> for T5<D> {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn mask_token(&self) -> Option<u32> {
        None
    }

    fn forward(
        &self,
        lane: &mut D::Lane,
        pass: &Pass,
        scratch: &mut Scratch,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DeviceError> {
        forward::run(self, lane, pass, scratch, outputs)
    }
}
