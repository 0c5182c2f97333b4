//! Loading the T5 encoder: tensors by name, checked against the configuration, packed onto a
//! device.

use sessile_device::{DType, Device, OutputKind};

use super::cnn::ConvolutionHead;
use super::stack::EncoderStack;
use super::{T5, T5Config, head_shapes, tensor_shapes};
use crate::encoder::{ClassHead, Encoder, ModelInfo};
use crate::error::ModelError;
use crate::family::Family;
use crate::weights::{self, LoadReport, Naming, Packing, Unused, View, WeightSource};

/// The names of transformers.
pub(super) const NAMING: Naming<'_> = Naming {
    anchor: "encoder.block.0.layer.0.SelfAttention.q.weight",
    base: "",
    roots: &["shared.", "encoder.", "decoder."],
};

pub(super) const SHARED: &str = "shared.weight";
pub(super) const ENCODER: &str = "encoder.embed_tokens.weight";
pub(super) const DECODER: &str = "decoder.embed_tokens.weight";
pub(super) const SCORES: &str = "lm_head.weight";

impl<D: Device> T5<D> {
    /// Packs the encoder of `source` onto `device`, and the 3Di head of `head` where there is one.
    /// `special` are the tokens that the tokenizer puts before and after a sequence.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says, and whatever
    /// the source or the device reports.
    pub fn load(
        device: &D,
        source: &dyn WeightSource,
        head: Option<&dyn WeightSource>,
        config: T5Config,
        special: (usize, usize),
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Self, LoadReport), ModelError> {
        let mut view = View::of(source, &NAMING)?;
        view.share(&[SHARED, ENCODER])?;
        if view.shape(SHARED).is_none() {
            view.share(&[SHARED, DECODER])?;
        }
        if view.shape(SHARED).is_none() && config.tie_word_embeddings {
            view.share(&[SHARED, SCORES])?;
        }
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        let unused = Unused {
            known: &[],
            owned: &["shared.", "encoder."],
        };
        let mut report = weights::check(&view, tensor_shapes(&config), &unused)?;
        // The decoder of a whole checkpoint is no surprise.
        report
            .ignored
            .retain(|name| !name.starts_with("decoder.") && name != SCORES);
        let class_head =
            ClassHead::load(&tensors, config.classes.as_ref(), config.hidden, ("", ""))?;
        if let Some(head) = &class_head {
            report.ignored.retain(|name| !head.tensors.contains(name));
        }
        let head = head
            .map(|head| ConvolutionHead::load(device, head, config.hidden, dtype))
            .transpose()?;
        let head_values = match &head {
            Some(_) => weights::values(&head_shapes(&config)),
            None => 0,
        };
        let model = T5 {
            info: ModelInfo::of(
                &config.description(),
                special,
                max_tokens,
                &[(OutputKind::ThreeDi, head.is_some())],
                weights::values(&tensor_shapes(&config)) + head_values,
            )
            .with_classes(class_head.as_ref()),
            class_head,
            stack: EncoderStack::load(&tensors, &config)?,
            head,
            config,
            dtype,
        };
        Ok((model, report))
    }

    /// The model as the runtime drives it.
    pub fn into_encoder(self) -> std::sync::Arc<dyn Encoder<D>> {
        std::sync::Arc::new(self)
    }
}
