//! Loading BART: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, DecodingLane, Device, WeightLayout};

use super::{Bart, BartConfig, DecoderLayer, Embeddings, EncoderLayer, FeedForward, tensor_shapes};
use crate::error::ModelError;
use crate::generation::GeneratorInfo;
use crate::weights::{self, Dense, LoadReport, Packing, Unused, WeightSource};

/// Tensors that checkpoints carry although nothing reads them: copies of the shared embeddings.
const KNOWN_EXTRAS: [&str; 5] = [
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
    "model.encoder.version",
    "model.decoder.version",
];

impl<D: Device> Bart<D>
where
    D::Lane: DecodingLane,
{
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
        let tensors = Packing {
            source,
            device,
            dtype,
            without: None,
        };
        let has_bias = tensors.has("final_logits_bias");
        let expected = tensor_shapes(&config)
            .into_iter()
            .filter(|(name, _)| has_bias || name != "final_logits_bias");
        let unused = Unused {
            known: &KNOWN_EXTRAS,
            layers: "layers.",
        };
        let report = weights::check(source, expected, &unused)?;
        let parameters = tensor_shapes(&config)
            .iter()
            .filter(|(name, _)| name != "final_logits_bias")
            .map(|(_, shape)| shape.iter().product::<usize>() as u64)
            .sum();
        let embeddings = |stack: &str| -> Result<Embeddings<D::Weight>, ModelError> {
            let name = format!("model.{stack}.embed_positions.weight");
            Ok(Embeddings {
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
            info: GeneratorInfo {
                architecture: "bart",
                encoder_layers: config.encoder_layers,
                decoder_layers: config.decoder_layers,
                hidden: config.hidden,
                cache_columns: config.hidden,
                vocabulary: config.vocabulary,
                parameters,
                max_source_tokens: config.positions,
                max_target_tokens: config.positions,
            },
            embeddings: tensors.pack(&["model.shared.weight"], WeightLayout::Table)?,
            encoder_embeddings: embeddings("encoder")?,
            decoder_embeddings: embeddings("decoder")?,
            encoder: (0..config.encoder_layers)
                .map(|layer| encoder_layer(&tensors, &config, layer))
                .collect::<Result<_, _>>()?,
            decoder: (0..config.decoder_layers)
                .map(|layer| decoder_layer(&tensors, &config, layer))
                .collect::<Result<_, _>>()?,
            scores: Dense {
                weight: tensors.pack(&["model.shared.weight"], WeightLayout::Linear)?,
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
