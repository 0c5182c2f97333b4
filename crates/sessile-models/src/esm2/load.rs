//! Loading ESM-2: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, Device, HostTensor, OutputKind, OutputSet, WeightLayout};

use super::{ContactHead, Encoder, Esm2, Esm2Config, Layer, ModelInfo, tensor_shapes};
use crate::encoder::LanguageHead;
use crate::error::ModelError;
use crate::weights::{self, Dense, LoadReport, Packing, Unused, WeightSource};

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
        let bare = source.shape("embeddings.word_embeddings.weight").is_some();
        let tensors = Packing {
            source,
            device,
            dtype,
            without: bare.then_some("esm."),
        };
        let has_language_head = tensors.has("lm_head.dense.weight");
        let has_contact_head = tensors.has("esm.contact_head.regression.weight");
        let report = check(source, &config, bare, has_language_head, has_contact_head)?;

        let layers = (0..config.layers)
            .map(|layer| load_layer(&tensors, layer))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let language_head = has_language_head
            .then(|| load_language_head(&tensors, config.vocabulary))
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
        let rotary = rotary_table(config.head_dim(), max_tokens);
        let model = Esm2 {
            info: info(&config, max_tokens, has_language_head, has_contact_head),
            embeddings: tensors.pack(
                &["esm.embeddings.word_embeddings.weight"],
                WeightLayout::TableF32,
            )?,
            embedding_norm: (config.emb_layer_norm_before == Some(true))
                .then(|| tensors.norm("esm.embeddings.layer_norm"))
                .transpose()?,
            rotary: device.pack(&[&rotary], WeightLayout::TableF32, dtype)?,
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
    vocabulary: usize,
) -> Result<LanguageHead<D::Weight>, ModelError> {
    // The decoder is tied to the embeddings where it is not in the file.
    let decoder = if tensors.has("lm_head.decoder.weight") {
        "lm_head.decoder.weight"
    } else {
        "esm.embeddings.word_embeddings.weight"
    };
    Ok(LanguageHead {
        dense: tensors.dense(&["lm_head.dense"])?,
        norm: tensors.norm("lm_head.layer_norm")?,
        vocabulary,
        decoder: Dense {
            weight: tensors.pack(&[decoder], WeightLayout::Linear)?,
            bias: Some(tensors.pack(&["lm_head.bias"], WeightLayout::Vector)?),
        },
    })
}

/// Compares the checkpoint's tensors with the configuration, before anything is packed.
fn check(
    source: &dyn WeightSource,
    config: &Esm2Config,
    bare: bool,
    has_language_head: bool,
    has_contact_head: bool,
) -> Result<LoadReport, ModelError> {
    let expected = tensor_shapes(config)
        .into_iter()
        .filter(|(name, _)| {
            (has_language_head || !name.starts_with("lm_head."))
                && (has_contact_head || !name.contains("contact_head"))
        })
        .map(|(name, shape)| match name.strip_prefix("esm.") {
            Some(short) if bare => (short.to_owned(), shape),
            _ => (name, shape),
        });
    let mut report = weights::check(
        source,
        expected,
        &Unused {
            known: &KNOWN_EXTRAS,
            layers: "encoder.layer.",
        },
    )?;
    report
        .ignored
        .retain(|name| name != "lm_head.decoder.weight");
    Ok(report)
}

/// Cosines and sines by position, as the published code computes them: in f32, frequency first.
fn rotary_table(head_dim: usize, positions: usize) -> HostTensor {
    let half = head_dim / 2;
    let mut values = Vec::with_capacity(positions * head_dim);
    let frequencies: Vec<f32> = (0..half)
        .map(|i| 1.0 / 10000_f32.powf((2 * i) as f32 / head_dim as f32))
        .collect();
    for position in 0..positions {
        let angles = frequencies
            .iter()
            .map(|frequency| f64::from(position as f32 * frequency));
        values.extend(angles.clone().map(|angle| angle.cos() as f32));
        values.extend(angles.map(|angle| angle.sin() as f32));
    }
    HostTensor::new(vec![positions, head_dim], values)
}

fn info(
    config: &Esm2Config,
    max_tokens: usize,
    has_language_head: bool,
    has_contact_head: bool,
) -> ModelInfo {
    let outputs: OutputSet = OutputKind::ALL
        .into_iter()
        .filter(|kind| match kind {
            OutputKind::Logits | OutputKind::MaskedLogprob | OutputKind::UnmaskedLogprob => {
                has_language_head
            }
            OutputKind::Contacts => has_contact_head,
            OutputKind::Pooler | OutputKind::ThreeDi | OutputKind::TwelveState => false,
            _ => true,
        })
        .collect();
    let parameters = tensor_shapes(config)
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>() as u64)
        .sum();
    ModelInfo {
        architecture: "esm2",
        layers: config.layers,
        hidden: config.hidden,
        heads: config.heads,
        vocabulary: config.vocabulary,
        parameters,
        max_tokens,
        special_tokens: 2,
        leading_tokens: 1,
        outputs,
    }
}
