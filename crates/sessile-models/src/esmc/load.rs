//! Loading ESM C: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, Device, OutputKind, RowSource, WeightLayout};

use super::tensors::{Layout, part};
use super::{Esmc, EsmcConfig, Layer, tensor_shapes};
use crate::encoder::{Encoder, LanguageHead, ModelInfo};
use crate::error::ModelError;
use crate::family::{Family, Parts};
use crate::weights::{self, LoadReport, Naming, Packing, Part, Unused, View, WeightSource};

/// Tensors that checkpoints carry although nothing reads them: angles are computed.
const KNOWN_EXTRAS: [&str; 1] = ["inv_freq"];

/// The names of transformers.
const TRANSFORMERS: Naming<'_> = Naming {
    anchor: "layers.0.self_attn.q_norm.weight",
    base: "esmc.",
    roots: &["embed_tokens.", "layers.", "norm."],
};

/// The names of the `esm` package.
const PACKAGE: Naming<'_> = Naming {
    anchor: "transformer.blocks.0.attn.q_ln.weight",
    base: "",
    roots: &["embed.", "transformer.", "sequence_head."],
};

impl<D: Device> Esmc<D> {
    /// Packs the encoder and its head onto `device`, for sequences of up to `max_tokens` tokens.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says, and whatever
    /// the source or the device reports.
    pub(super) fn load(
        device: &D,
        parts: &Parts<'_>,
        config: EsmcConfig,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Self, LoadReport), ModelError> {
        let is_package = |name: &&str| name.ends_with(PACKAGE.anchor);
        let (layout, naming) = match parts.source.names().iter().any(is_package) {
            true => (Layout::Package, &PACKAGE),
            false => (Layout::Transformers, &TRANSFORMERS),
        };
        let view = View::of(parts.source, naming)?;
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        let [dense, norm, decoder] = layout.head();
        let has_head = view.shape(&format!("{dense}.weight")).is_some();
        let is_of_head = |name: &str| layout.head().iter().any(|head| name.starts_with(head));
        let expected: Vec<_> = tensor_shapes(&config, layout)
            .into_iter()
            .filter(|(name, _)| has_head || !is_of_head(name))
            .collect();
        let parameters = weights::values(&expected);
        let unused = Unused {
            known: &KNOWN_EXTRAS,
            owned: &[
                "esmc.",
                "lm_head.",
                "embed.",
                "transformer.",
                "sequence_head.",
            ],
        };
        let report = weights::check(&view, expected, &unused)?;
        let angles = config.rope.table(config.head_dim(), max_tokens);
        let model = Esmc {
            info: ModelInfo::of(
                &config.description(),
                parts.tokenizer.special_tokens(),
                max_tokens,
                &[
                    (OutputKind::Logits, has_head),
                    (OutputKind::MaskedLogprob, has_head),
                    (OutputKind::UnmaskedLogprob, has_head),
                ],
                parameters,
            ),
            embeddings: tensors.pack(&[layout.embeddings()], WeightLayout::TableF32)?,
            rotary: device.pack(&[&angles], WeightLayout::TableF32, dtype)?,
            layers: (0..config.layers)
                .map(|layer| load_layer(&tensors, &config, layout, layer))
                .collect::<Result<_, _>>()?,
            final_norm: tensors.norm(layout.final_norm())?,
            language_head: has_head
                .then(|| {
                    Ok::<_, ModelError>(LanguageHead {
                        dense: tensors.dense(&[dense])?,
                        norm: tensors.norm(norm)?,
                        decoder: tensors.dense(&[decoder])?,
                        vocabulary: config.vocabulary,
                    })
                })
                .transpose()?,
            mask_token: parts.tokenizer.mask().unwrap_or_default(),
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
    config: &EsmcConfig,
    layout: Layout,
    layer: usize,
) -> Result<Layer<D::Weight>, ModelError> {
    let module = |part| layout.module(layer, part);
    let pack = |parts: &[Part<'_>]| -> Result<D::Weight, ModelError> {
        let parts: Vec<&dyn RowSource> = parts.iter().map(|part| part as _).collect();
        Ok(tensors
            .device
            .pack(&parts, WeightLayout::Linear, tensors.dtype)?)
    };
    // What a layer adds is scaled where it is made.
    let scaled = |part| -> Result<D::Weight, ModelError> {
        let name = format!("{}.weight", module(part));
        pack(&[Part::whole(tensors, &name)?.times(config.share())])
    };
    let gated = layout.gated(layer);
    let [gates, values] = match gated.as_slice() {
        [gates, values] => [Part::whole(tensors, gates)?, Part::whole(tensors, values)?],
        both => {
            let half = |second| -> Result<_, ModelError> {
                Ok(Part::whole(tensors, &both[0])?.half(second))
            };
            [half(false)?, half(true)?]
        }
    };
    let qkv = layout.qkv(layer);
    let qkv: Vec<&str> = qkv.iter().map(String::as_str).collect();
    Ok(Layer {
        attention_norm: tensors.norm(&module(part::ATTENTION_NORM))?,
        qkv: tensors.pack(&qkv, WeightLayout::Linear)?,
        query_norm: tensors.norm(&module(part::QUERY_NORM))?,
        key_norm: tensors.norm(&module(part::KEY_NORM))?,
        attention_out: scaled(part::ATTENTION_OUT)?,
        feed_forward_norm: tensors.norm(&module(part::FEED_FORWARD_NORM))?,
        gated: pack(&[values, gates])?,
        feed_forward_down: scaled(part::FEED_FORWARD_DOWN)?,
    })
}
