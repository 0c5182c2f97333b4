//! Loading BART: tensors by name, checked against the configuration, packed onto a device.

use std::collections::BTreeSet;

use sessile_device::{DType, Device, WeightLayout};

use super::{Bart, BartConfig, DecoderLayer, Embeddings, EncoderLayer, FeedForward, tensor_shapes};
use crate::encoder::{DecoderInfo, ModelInfo};
use crate::error::{ModelError, ModelErrorKind};
use crate::family::Family;
use crate::weights::{self, Dense, LoadReport, Naming, Packing, Unused, View, WeightSource};

/// Tensors that checkpoints carry although nothing reads them. The shared table is one where both
/// stacks have their own.
const KNOWN_EXTRAS: [&str; 3] = [SHARED, "model.encoder.version", "model.decoder.version"];

/// The names of transformers.
const NAMING: Naming<'_> = Naming {
    anchor: "encoder.layers.0.self_attn.q_proj.weight",
    base: "model.",
    roots: &["shared.", "encoder.", "decoder."],
};

const SHARED: &str = "model.shared.weight";
const ENCODER: &str = "model.encoder.embed_tokens.weight";
const DECODER: &str = "model.decoder.embed_tokens.weight";
const SCORES: &str = "lm_head.weight";

/// The tables of the vocabulary.
struct Tables {
    encoder: &'static str,
    decoder: &'static str,
    scores: &'static str,
}

impl Tables {
    /// One table under any of its names; or, where the configuration does not tie them, each.
    fn find(view: &mut View<'_>, is_tied: bool) -> Result<Self, ModelError> {
        if is_tied {
            view.share(&[SHARED, ENCODER, DECODER, SCORES])?;
            return Ok(Tables {
                encoder: SHARED,
                decoder: SHARED,
                scores: SHARED,
            });
        }
        // transformers fills a table that is missing here with random numbers.
        for name in [ENCODER, DECODER, SCORES] {
            if view.shape(name).is_none() {
                return Err(ModelError::new(
                    ModelErrorKind::MissingTensor,
                    format!(
                        "{}: there is no tensor `{name}`, and config.json does not tie the tables",
                        view.describe()
                    ),
                )
                .with_hint(format!(
                    "save a copy of {SHARED} under that name where the stacks share it, or set \
                     tie_word_embeddings to true"
                )));
            }
        }
        Ok(Tables {
            encoder: ENCODER,
            decoder: if view.has_same_values(ENCODER, DECODER)? {
                ENCODER
            } else {
                DECODER
            },
            scores: SCORES,
        })
    }

    /// Each once.
    fn names(&self) -> BTreeSet<&'static str> {
        [self.encoder, self.decoder, self.scores].into()
    }
}

impl<D: Device> Bart<D> {
    /// Packs the weights of `source` onto `device`.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says, and whatever
    /// the source or the device reports.
    pub fn load(
        device: &D,
        source: &dyn WeightSource,
        config: BartConfig,
        dtype: DType,
    ) -> Result<(Self, LoadReport), ModelError> {
        let mut view = View::of(source, &NAMING)?;
        let tables = Tables::find(&mut view, config.is_tied)?;
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        let has_bias = tensors.has("final_logits_bias");
        let table_shape = vec![config.vocabulary, config.hidden];
        let expected: Vec<_> = tensor_shapes(&config)
            .into_iter()
            .filter(|(name, _)| name != SHARED && (has_bias || name != "final_logits_bias"))
            .chain(
                tables
                    .names()
                    .into_iter()
                    .map(|name| (name.to_owned(), table_shape.clone())),
            )
            .collect();
        let parameters = expected
            .iter()
            .filter(|(name, _)| name != "final_logits_bias")
            .map(|(_, shape)| shape.iter().product::<usize>() as u64)
            .sum();
        let known: &[&str] = if config.is_tied {
            &KNOWN_EXTRAS
        } else {
            &[KNOWN_EXTRAS.as_slice(), &[ENCODER, DECODER]].concat()
        };
        let unused = Unused {
            known,
            owned: &["model.", "lm_head.", "final_logits_bias"],
        };
        let report = weights::check(&view, expected, &unused)?;
        let embeddings = |stack: &str, own: Option<&str>| -> Result<_, ModelError> {
            let name = format!("model.{stack}.embed_positions.weight");
            Ok(Embeddings {
                own_tokens: own
                    .map(|table| tensors.pack(&[table], WeightLayout::Table))
                    .transpose()?,
                positions: tensors.pack(&[&name], WeightLayout::TableF32)?,
                norm: tensors.norm(&format!("model.{stack}.layernorm_embedding"))?,
            })
        };
        let bias = if has_bias {
            Some(tensors.pack_values(
                vec![config.vocabulary],
                tensors.values("final_logits_bias")?,
                WeightLayout::Vector,
            )?)
        } else {
            None
        };
        let model = Bart {
            info: ModelInfo::writing(
                &config.description(),
                DecoderInfo {
                    layers: config.decoder_layers,
                    cache_columns: config.hidden,
                    max_target_tokens: config.positions,
                },
                parameters,
            ),
            embeddings: tensors.pack(&[tables.encoder], WeightLayout::Table)?,
            encoder_embeddings: embeddings("encoder", None)?,
            decoder_embeddings: embeddings(
                "decoder",
                (tables.decoder != tables.encoder).then_some(tables.decoder),
            )?,
            encoder: (0..config.encoder_layers)
                .map(|layer| encoder_layer(&tensors, &config, layer))
                .collect::<Result<_, _>>()?,
            decoder: (0..config.decoder_layers)
                .map(|layer| decoder_layer(&tensors, &config, layer))
                .collect::<Result<_, _>>()?,
            scores: Dense {
                weight: tensors.pack(&[tables.scores], WeightLayout::Linear)?,
                bias,
            },
            config,
            dtype,
        };
        Ok((model, report))
    }
}

fn encoder_layer<D: Device>(
    tensors: &Packing<'_, D>,
    config: &BartConfig,
    layer: usize,
) -> Result<EncoderLayer<D::Weight>, ModelError> {
    let name = |part: &str| format!("model.encoder.layers.{layer}.{part}");
    Ok(EncoderLayer {
        qkv: tensors.dense(&[
            &name("self_attn.q_proj"),
            &name("self_attn.k_proj"),
            &name("self_attn.v_proj"),
        ])?,
        attention_out: tensors.dense(&[&name("self_attn.out_proj")])?,
        attention_norm: tensors.norm(&name("self_attn_layer_norm"))?,
        feed_forward: feed_forward(tensors, &name(""), config.encoder_ffn_dim)?,
    })
}

fn decoder_layer<D: Device>(
    tensors: &Packing<'_, D>,
    config: &BartConfig,
    layer: usize,
) -> Result<DecoderLayer<D::Weight>, ModelError> {
    let name = |part: &str| format!("model.decoder.layers.{layer}.{part}");
    Ok(DecoderLayer {
        qkv: tensors.dense(&[
            &name("self_attn.q_proj"),
            &name("self_attn.k_proj"),
            &name("self_attn.v_proj"),
        ])?,
        attention_out: tensors.dense(&[&name("self_attn.out_proj")])?,
        attention_norm: tensors.norm(&name("self_attn_layer_norm"))?,
        source_query: tensors.dense(&[&name("encoder_attn.q_proj")])?,
        source_keys: tensors
            .dense(&[&name("encoder_attn.k_proj"), &name("encoder_attn.v_proj")])?,
        source_out: tensors.dense(&[&name("encoder_attn.out_proj")])?,
        source_norm: tensors.norm(&name("encoder_attn_layer_norm"))?,
        feed_forward: feed_forward(tensors, &name(""), config.decoder_ffn_dim)?,
    })
}

fn feed_forward<D: Device>(
    tensors: &Packing<'_, D>,
    layer: &str,
    width: usize,
) -> Result<FeedForward<D::Weight>, ModelError> {
    Ok(FeedForward {
        width,
        up: tensors.dense(&[&format!("{layer}fc1")])?,
        down: tensors.dense(&[&format!("{layer}fc2")])?,
        norm: tensors.norm(&format!("{layer}final_layer_norm"))?,
    })
}
