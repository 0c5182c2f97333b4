//! Loading ESM-2: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, Device, OutputKind, WeightLayout};

use super::{
    ContactHead, Encoder, Esm2, Esm2Config, Layer, ModelInfo, PositionKind, Positions,
    tensor_shapes,
};
use crate::encoder::{ClassHead, LanguageHead};
use crate::error::ModelError;
use crate::family::Family;
use crate::weights::{self, Dense, LoadReport, Naming, Packing, Unused, View, WeightSource};

/// Tensors that published checkpoints carry although nothing reads them: tables that are computed
/// here, and heads of other tasks.
const KNOWN_EXTRAS: [&str; 6] = [
    "inv_freq",
    "position_embeddings.weight",
    "position_ids",
    "pooler.dense.weight",
    "pooler.dense.bias",
    "lm_head.decoder.bias",
];

/// The names of transformers.
const NAMING: Naming<'_> = Naming {
    anchor: "encoder.layer.0.attention.self.query.weight",
    base: "esm.",
    roots: &["embeddings.", "encoder.", "contact_head.", "pooler."],
};

const EMBEDDINGS: &str = "esm.embeddings.word_embeddings.weight";
const POSITIONS: &str = "esm.embeddings.position_embeddings.weight";
const DECODER: &str = "lm_head.decoder.weight";

impl<D: Device> Esm2<D> {
    /// Packs the weights of `source` onto `device`, for sequences of up to `max_tokens` tokens.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says, and whatever
    /// the source or the device reports.
    pub fn load(
        device: &D,
        source: &dyn WeightSource,
        config: Esm2Config,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Self, LoadReport), ModelError> {
        let mut view = View::of(source, &NAMING)?;
        if config.is_tied {
            view.share(&[EMBEDDINGS, DECODER])?;
        }
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        let has_language_head = tensors.has("lm_head.dense.weight");
        let has_contact_head = tensors.has("esm.contact_head.regression.weight");
        let mut report = check(&view, &config, has_language_head, has_contact_head)?;
        let max_tokens = match config.position_kind {
            PositionKind::Absolute => max_tokens.min(config.most_positions()),
            PositionKind::Rotary => max_tokens,
        };

        let class_head = ClassHead::load(
            &tensors,
            config.classes.as_ref(),
            config.hidden,
            ("classifier.dense", "classifier.out_proj"),
        )?;
        if let Some(head) = &class_head {
            report.ignored.retain(|name| !head.tensors.contains(name));
        }
        let layers = (0..config.layers)
            .map(|layer| load_layer(&tensors, layer))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let language_head = has_language_head
            .then(|| load_language_head(&tensors, &config))
            .transpose()?;
        let contact_head = has_contact_head
            .then(|| {
                Ok::<_, ModelError>(ContactHead {
                    factors: tensors.pack(
                        &["esm.contact_head.regression.weight"],
                        WeightLayout::Vector,
                    )?,
                    shift: tensors
                        .pack(&["esm.contact_head.regression.bias"], WeightLayout::Vector)?,
                })
            })
            .transpose()?;
        let positions = match config.position_kind {
            PositionKind::Absolute => {
                Positions::Table(tensors.pack(&[POSITIONS], WeightLayout::TableF32)?)
            }
            PositionKind::Rotary => {
                let table = config.rope()?.table(config.head_dim(), max_tokens);
                Positions::Rotary(device.pack(&[&table], WeightLayout::TableF32, dtype)?)
            }
        };
        let model = Esm2 {
            info: ModelInfo::of(
                &config.description(),
                (1, 1),
                max_tokens,
                &[
                    (OutputKind::Logits, has_language_head),
                    (OutputKind::MaskedLogprob, has_language_head),
                    (OutputKind::UnmaskedLogprob, has_language_head),
                    (OutputKind::Contacts, has_contact_head),
                ],
                weights::values(&tensor_shapes(&config)),
            )
            .with_classes(class_head.as_ref()),
            class_head,
            embeddings: tensors.pack(&[EMBEDDINGS], WeightLayout::TableF32)?,
            embedding_norm: (config.emb_layer_norm_before == Some(true))
                .then(|| tensors.norm("esm.embeddings.layer_norm"))
                .transpose()?,
            positions,
            layers,
            final_norm: tensors.norm("esm.encoder.emb_layer_norm_after")?,
            language_head,
            contact_head,
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
    let name = |part: &str| format!("esm.encoder.layer.{layer}.{part}");
    Ok(Layer {
        attention_norm: tensors.norm(&name("attention.LayerNorm"))?,
        qkv: tensors.dense(&[
            &name("attention.self.query"),
            &name("attention.self.key"),
            &name("attention.self.value"),
        ])?,
        attention_out: tensors.dense(&[&name("attention.output.dense")])?,
        feed_forward_norm: tensors.norm(&name("LayerNorm"))?,
        feed_forward_up: tensors.dense(&[&name("intermediate.dense")])?,
        feed_forward_down: tensors.dense(&[&name("output.dense")])?,
    })
}

fn load_language_head<D: Device>(
    tensors: &Packing<'_, D>,
    config: &Esm2Config,
) -> Result<LanguageHead<D::Weight>, ModelError> {
    let decoder = if config.is_tied { EMBEDDINGS } else { DECODER };
    Ok(LanguageHead {
        dense: tensors.dense(&["lm_head.dense"])?,
        norm: tensors.norm("lm_head.layer_norm")?,
        vocabulary: config.vocabulary,
        decoder: Dense {
            weight: tensors.pack(&[decoder], WeightLayout::Linear)?,
            bias: Some(tensors.pack(&["lm_head.bias"], WeightLayout::Vector)?),
        },
    })
}

/// Compares the checkpoint's tensors with the configuration, before anything is packed.
fn check(
    source: &View<'_>,
    config: &Esm2Config,
    has_language_head: bool,
    has_contact_head: bool,
) -> Result<LoadReport, ModelError> {
    let own_decoder = (!config.is_tied && has_language_head)
        .then(|| (DECODER.to_owned(), vec![config.vocabulary, config.hidden]));
    let expected = tensor_shapes(config)
        .into_iter()
        .chain(own_decoder)
        .filter(|(name, _)| {
            (has_language_head || !name.starts_with("lm_head."))
                && (has_contact_head || !name.contains("contact_head"))
        });
    let unused = Unused {
        known: &KNOWN_EXTRAS,
        owned: &["esm.", "lm_head."],
    };
    weights::check(source, expected, &unused)
}
