//! Loading BERT: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, Device, OutputKind, WeightLayout};

use super::{Bert, BertConfig, Layer, tensor_shapes};
use crate::encoder::{ClassHead, Encoder, LanguageHead, ModelInfo};
use crate::error::ModelError;
use crate::family::{Family, Parts};
use crate::weights::{self, LoadReport, Naming, Packing, Shifted, Unused, View, WeightSource};

/// Tensors that checkpoints carry although nothing reads them.
const KNOWN_EXTRAS: [&str; 2] = ["position_ids", "cls.predictions.bias"];

/// The names of transformers.
const NAMING: Naming<'_> = Naming {
    anchor: "encoder.layer.0.attention.self.query.weight",
    base: "bert.",
    roots: &["embeddings.", "encoder.", "pooler."],
};

const EMBEDDINGS: &str = "bert.embeddings.word_embeddings.weight";
const POSITIONS: &str = "bert.embeddings.position_embeddings.weight";
const TYPES: &str = "bert.embeddings.token_type_embeddings.weight";
const DECODER: &str = "cls.predictions.decoder.weight";
const DECODER_BIAS: &str = "cls.predictions.decoder.bias";

impl<D: Device> Bert<D> {
    /// Packs the encoder and its heads onto `device`.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says, and whatever
    /// the source or the device reports.
    pub(super) fn load(
        device: &D,
        parts: &Parts<'_>,
        config: BertConfig,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Self, LoadReport), ModelError> {
        let mut view = View::of(parts.source, &NAMING)?;
        if config.is_tied {
            view.share(&[EMBEDDINGS, DECODER])?;
        }
        // Of two that are not tied the first is used.
        if config.is_tied || view.shape(DECODER_BIAS).is_none() {
            view.share(&[DECODER_BIAS, "cls.predictions.bias"])?;
        }
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        let has_pooler = tensors.has("bert.pooler.dense.weight");
        let has_language_head = tensors.has("cls.predictions.transform.dense.weight");
        let own_decoder = (!config.is_tied && has_language_head)
            .then(|| (DECODER.to_owned(), vec![config.vocabulary, config.hidden]));
        let expected: Vec<_> = tensor_shapes(&config)
            .into_iter()
            .filter(|(name, _)| {
                (has_pooler || !name.contains("pooler"))
                    && (has_language_head || !name.starts_with("cls."))
            })
            .chain(own_decoder)
            .collect();
        let parameters = weights::values(&expected);
        let unused = Unused {
            known: &KNOWN_EXTRAS,
            owned: &["bert.", "cls.predictions."],
        };
        let mut report = weights::check(&view, expected, &unused)?;
        let class_head = ClassHead::load(
            &tensors,
            config.classes.as_ref(),
            config.hidden,
            ("bert.pooler.dense", "classifier"),
        )?;
        if let Some(head) = &class_head {
            report.ignored.retain(|name| !head.tensors.contains(name));
        }

        let mask_token = parts.tokenizer.mask();
        let heads = [
            (OutputKind::Pooler, has_pooler),
            (OutputKind::Logits, has_language_head),
            (OutputKind::UnmaskedLogprob, has_language_head),
            (
                OutputKind::MaskedLogprob,
                has_language_head && mask_token.is_some(),
            ),
        ];
        let embeddings = Shifted::by_first_row(&tensors, EMBEDDINGS, TYPES)?;
        let model = Bert {
            info: ModelInfo::of(
                &config.description(),
                parts.tokenizer.special_tokens(),
                max_tokens.min(config.positions),
                &heads,
                parameters,
            )
            .with_classes(class_head.as_ref()),
            class_head,
            embeddings: device.pack(&[&embeddings], WeightLayout::TableF32, dtype)?,
            positions: tensors.pack(&[POSITIONS], WeightLayout::TableF32)?,
            embedding_norm: tensors.norm("bert.embeddings.LayerNorm")?,
            layers: (0..config.layers)
                .map(|layer| load_layer(&tensors, layer))
                .collect::<Result<_, _>>()?,
            pooler: has_pooler
                .then(|| tensors.dense(&["bert.pooler.dense"]))
                .transpose()?,
            language_head: has_language_head
                .then(|| {
                    let decoder = if config.is_tied { EMBEDDINGS } else { DECODER };
                    LanguageHead::of_bert(&tensors, decoder, config.vocabulary)
                })
                .transpose()?,
            mask_token,
            config,
            dtype,
        };
        Ok((model, report))
    }

    /// The model as the runtime drives it.
    pub(super) fn into_encoder(self) -> std::sync::Arc<dyn Encoder<D>> {
        std::sync::Arc::new(self)
    }
}

fn load_layer<D: Device>(
    tensors: &Packing<'_, D>,
    layer: usize,
) -> Result<Layer<D::Weight>, ModelError> {
    let name = |part: &str| format!("bert.encoder.layer.{layer}.{part}");
    Ok(Layer {
        qkv: tensors.dense(&[
            &name("attention.self.query"),
            &name("attention.self.key"),
            &name("attention.self.value"),
        ])?,
        attention_out: tensors.dense(&[&name("attention.output.dense")])?,
        attention_norm: tensors.norm(&name("attention.output.LayerNorm"))?,
        feed_forward_up: tensors.dense(&[&name("intermediate.dense")])?,
        feed_forward_down: tensors.dense(&[&name("output.dense")])?,
        feed_forward_norm: tensors.norm(&name("output.LayerNorm"))?,
    })
}
