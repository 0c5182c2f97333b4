//! T5 (Raffel et al., 2020, arXiv:1910.10683), as ProstT5 (Heinzinger et al., 2024,
//! doi:10.1093/nargab/lqae150) has it: [`T5`] is its encoder with the head that reads 3Di states
//! from it, [`T5Translator`] the encoder with the decoder that writes them token by token.
//!
//! A pre-norm transformer with root-mean-square norms and no biases. Scores are not scaled;
//! positions are known by a learned bias for ranges of distances, which the first layer's table
//! holds for all layers. The head is a network of two convolutions along the sequence.

mod cnn;
mod config;
mod family;
mod forward;
mod load;
mod stack;
mod tensors;
mod translation;
mod translator;

use sessile_device::{Device, DeviceError, Norm, Output};

use crate::encoder::{ClassHead, Encoder, ModelInfo, Pass, Scratch};
use cnn::ConvolutionHead;
use stack::EncoderStack;

pub use config::{DEFAULT_TOKENS, T5Config};
pub use tensors::{decoder_shapes, head_shapes, tensor_shapes};
pub use translation::Translation;
pub use translator::T5Translator;

/// The encoder with its weights on a device.
pub struct T5<D: Device> {
    config: T5Config,
    info: ModelInfo,
    stack: EncoderStack<D::Weight>,
    head: Option<ConvolutionHead<D::Weight>>,
    class_head: Option<ClassHead<D::Weight>>,
    dtype: sessile_device::DType,
}

impl<D: Device> Encoder<D> for T5<D> {
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

/// The norm of all layers.
fn rms<W>(gain: &W, epsilon: f32) -> Norm<'_, W> {
    Norm::Rms { gain, epsilon }
}
