//! Loading T5 with its decoder: tensors by name, checked against the configuration, packed onto a
//! device.

use sessile_device::{DType, Device, WeightLayout};

use super::{DecoderLayer, T5Translator};
use crate::encoder::{DecoderInfo, ModelInfo};
use crate::error::{ModelError, ModelErrorKind};
use crate::family::Family;
use crate::t5::config::DEFAULT_TOKENS;
use crate::t5::load::{DECODER, ENCODER, NAMING, SCORES, SHARED};
use crate::t5::stack::{EncoderStack, distances};
use crate::t5::{T5Config, decoder_shapes, tensor_shapes};
use crate::weights::{self, LoadReport, Packing, Unused, View, WeightSource};

/// Tensors that checkpoints carry although nothing reads them: a table of the decoder's attention
/// over the source that the published code never used.
const KNOWN_EXTRAS: [&str; 1] =
    ["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"];

/// The longest answer in tokens. The network has no limit of its own; genome_entropy asks for two
/// tokens for each one of the source, and for nine more.
const MOST_WRITTEN: usize = 2 * DEFAULT_TOKENS + 16;

impl<D: Device> T5Translator<D> {
    /// Packs the weights of `source` onto `device`.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, also for a checkpoint of the encoder alone; `Mismatch` when a shape is not
    /// what the configuration says; and whatever the source or the device reports.
    pub fn load(
        device: &D,
        source: &dyn WeightSource,
        config: T5Config,
        dtype: DType,
    ) -> Result<(Self, LoadReport), ModelError> {
        let mut view = View::of(source, &NAMING)?;
        // A file of transformers 5 says how scores are scaled, and has a table for them only where
        // they are not made with the embeddings.
        let scores = if config.tie_word_embeddings && config.scale_decoder_outputs.is_none() {
            view.share(&[SHARED, ENCODER, DECODER, SCORES])?;
            SHARED
        } else {
            view.share(&[SHARED, ENCODER, DECODER])?;
            match view.shape(SCORES) {
                Some(_) => SCORES,
                None => SHARED,
            }
        };
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        if !tensors.has("decoder.final_layer_norm.weight") {
            return Err(ModelError::new(
                ModelErrorKind::MissingTensor,
                format!("{}: there is no decoder", source.describe()),
            )
            .with_hint("this is the encoder alone; Rostlab/ProstT5 has both"));
        }
        let shapes: Vec<_> = tensor_shapes(&config)
            .into_iter()
            .chain(decoder_shapes(&config))
            .filter(|(name, _)| name != SCORES)
            .chain(
                (scores == SCORES)
                    .then(|| (SCORES.to_owned(), vec![config.vocabulary, config.hidden])),
            )
            .collect();
        let parameters = shapes
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>() as u64)
            .sum();
        let unused = Unused {
            known: &KNOWN_EXTRAS,
            owned: &["shared.", "encoder.", "decoder.", "lm_head."],
        };
        let report = weights::check(&view, shapes, &unused)?;
        let table = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
        let behind = |distance| config.bucket_behind(distance);
        let model = T5Translator {
            info: ModelInfo::writing(
                &config.description(),
                DecoderInfo {
                    layers: config.decoder_layers(),
                    cache_columns: config.inner(),
                    max_target_tokens: MOST_WRITTEN,
                },
                parameters,
            ),
            encoder: EncoderStack::load(&tensors, &config)?,
            distances: distances(&tensors, &config, table, behind)?,
            decoder: (0..config.decoder_layers())
                .map(|layer| decoder_layer(&tensors, layer))
                .collect::<Result<_, _>>()?,
            final_norm: final_norm(&tensors, &config)?,
            scores: tensors.pack(&[scores], WeightLayout::Linear)?,
            config,
            dtype,
        };
        Ok((model, report))
    }
}

/// The gains of the last norm. Embeddings are larger than a product's weights would be: where they
/// make the scores, what they are multiplied with is scaled down.
fn final_norm<D: Device>(
    tensors: &Packing<'_, D>,
    config: &T5Config,
) -> Result<D::Weight, ModelError> {
    let mut gains = tensors.values("decoder.final_layer_norm.weight")?;
    if config.scales_scores() {
        let scale = (config.hidden as f32).sqrt().recip();
        gains.iter_mut().for_each(|gain| *gain *= scale);
    }
    tensors.pack_values(vec![gains.len()], gains, WeightLayout::Vector)
}

fn decoder_layer<D: Device>(
    tensors: &Packing<'_, D>,
    layer: usize,
) -> Result<DecoderLayer<D::Weight>, ModelError> {
    let name = |part: &str| format!("decoder.block.{layer}.layer.{part}.weight");
    let linear = |parts: &[&str]| {
        let names: Vec<String> = parts.iter().map(|part| name(part)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        tensors.pack(&names, WeightLayout::Linear)
    };
    let norm = |part: usize| {
        let name = name(&format!("{part}.layer_norm"));
        tensors.pack(&[&name], WeightLayout::Vector)
    };
    Ok(DecoderLayer {
        attention_norm: norm(0)?,
        qkv: linear(&[
            "0.SelfAttention.q",
            "0.SelfAttention.k",
            "0.SelfAttention.v",
        ])?,
        attention_out: linear(&["0.SelfAttention.o"])?,
        source_norm: norm(1)?,
        source_query: linear(&["1.EncDecAttention.q"])?,
        source_keys: linear(&["1.EncDecAttention.k", "1.EncDecAttention.v"])?,
        source_out: linear(&["1.EncDecAttention.o"])?,
        feed_forward_norm: norm(2)?,
        feed_forward_up: linear(&["2.DenseReluDense.wi"])?,
        feed_forward_down: linear(&["2.DenseReluDense.wo"])?,
    })
}
