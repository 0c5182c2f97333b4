//! Loading MosaicBERT: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, Device, OutputKind, WeightLayout};

use super::{Layer, MosaicBert, MosaicBertConfig, tensor_shapes};
use crate::encoder::{Encoder, LanguageHead, ModelInfo};
use crate::error::ModelError;
use crate::family::Family;
use crate::weights::{self, LoadReport, Naming, Packing, Shifted, Unused, View, WeightSource};

/// Tensors that checkpoints carry although nothing reads them.
const KNOWN_EXTRAS: [&str; 2] = ["position_ids", "position_embeddings.weight"];

/// The names of transformers.
const NAMING: Naming<'_> = Naming {
    anchor: "encoder.layer.0.attention.self.Wqkv.weight",
    base: "bert.",
    roots: &["embeddings.", "encoder.", "pooler."],
};

const EMBEDDINGS: &str = "bert.embeddings.word_embeddings.weight";
const DECODER: &str = "cls.predictions.decoder.weight";
const DECODER_BIAS: &str = "cls.predictions.decoder.bias";

impl<D: Device> MosaicBert<D> {
    /// Packs the weights of `source` onto `device`. `special` are the tokens that the tokenizer
    /// puts before and after a sequence, `mask_token` the one that hides another.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says, and whatever
    /// the source or the device reports.
    pub fn load(
        device: &D,
        source: &dyn WeightSource,
        config: MosaicBertConfig,
        special: (usize, usize),
        mask_token: Option<u32>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Self, LoadReport), ModelError> {
        let mut view = View::of(source, &NAMING)?;
        if config.is_tied {
            view.share(&[EMBEDDINGS, DECODER])?;
        }
        view.share(&[DECODER_BIAS, "cls.predictions.bias"])?;
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
        let report = weights::check(&view, expected, &unused)?;

        let layers = (0..config.layers)
            .map(|layer| load_layer(&tensors, layer))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let pooler = has_pooler
            .then(|| tensors.dense(&["bert.pooler.dense"]))
            .transpose()?;
        let language_head = has_language_head
            .then(|| {
                let decoder = if config.is_tied { EMBEDDINGS } else { DECODER };
                LanguageHead::of_bert(&tensors, decoder, config.vocabulary)
            })
            .transpose()?;
        let types = "bert.embeddings.token_type_embeddings.weight";
        let embeddings = Shifted::by_first_row(&tensors, EMBEDDINGS, types)?;
        let model = MosaicBert {
            info: ModelInfo::of(
                &config.description(),
                special,
                max_tokens,
                &[
                    (OutputKind::Pooler, has_pooler),
                    (OutputKind::Logits, has_language_head),
                    (OutputKind::UnmaskedLogprob, has_language_head),
                    (
                        OutputKind::MaskedLogprob,
                        has_language_head && mask_token.is_some(),
                    ),
                ],
                parameters,
            ),
            embeddings: device.pack(&[&embeddings], WeightLayout::TableF32, dtype)?,
            embedding_norm: tensors.norm("bert.embeddings.LayerNorm")?,
            slopes: tensors.pack_values(
                vec![config.heads],
                config.slopes(),
                WeightLayout::Vector,
            )?,
            layers,
            pooler,
            language_head,
            mask_token,
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

fn load_layer<D: Device>(
    tensors: &Packing<'_, D>,
    layer: usize,
) -> Result<Layer<D::Weight>, ModelError> {
    let name = |part: &str| format!("bert.encoder.layer.{layer}.{part}");
    Ok(Layer {
        qkv: tensors.dense(&[&name("attention.self.Wqkv")])?,
        attention_out: tensors.dense(&[&name("attention.output.dense")])?,
        attention_norm: tensors.norm(&name("attention.output.LayerNorm"))?,
        gated: tensors.pack(&[&name("mlp.gated_layers.weight")], WeightLayout::Gated)?,
        feed_forward_down: tensors.dense(&[&name("mlp.wo")])?,
        feed_forward_norm: tensors.norm(&name("mlp.layernorm"))?,
    })
}
