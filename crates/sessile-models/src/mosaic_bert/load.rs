//! Loading MosaicBERT: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, Device, DeviceError, OutputKind, OutputSet, RowSource, WeightLayout};

use super::{Layer, MosaicBert, MosaicBertConfig, tensor_shapes};
use crate::encoder::{Encoder, LanguageHead, ModelInfo};
use crate::error::ModelError;
use crate::weights::{self, Dense, LoadReport, Naming, Packing, Unused, View, WeightSource};

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

/// Rows with the same row added to each.
struct Shifted<'a> {
    rows: Box<dyn RowSource + 'a>,
    shift: Vec<f32>,
}

impl RowSource for Shifted<'_> {
    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn cols(&self) -> usize {
        self.rows.cols()
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        self.rows.read_rows(first, out)?;
        for row in out.chunks_exact_mut(self.shift.len()) {
            for (value, shift) in row.iter_mut().zip(&self.shift) {
                *value += shift;
            }
        }
        Ok(())
    }
}

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
        let report = check(&view, &config, has_pooler, has_language_head)?;

        let layers = (0..config.layers)
            .map(|layer| load_layer(&tensors, layer))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let pooler = has_pooler
            .then(|| tensors.dense(&["bert.pooler.dense"]))
            .transpose()?;
        let language_head = has_language_head
            .then(|| load_language_head(&tensors, &config))
            .transpose()?;
        let types = tensors.rows("bert.embeddings.token_type_embeddings.weight")?;
        let mut shift = vec![0.0; config.hidden];
        types.read_rows(0, &mut shift)?;
        let embeddings = Shifted {
            rows: tensors.rows(EMBEDDINGS)?,
            shift,
        };
        let model = MosaicBert {
            info: info(
                &config,
                special,
                max_tokens,
                has_pooler,
                has_language_head,
                mask_token,
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

fn load_language_head<D: Device>(
    tensors: &Packing<'_, D>,
    config: &MosaicBertConfig,
) -> Result<LanguageHead<D::Weight>, ModelError> {
    let decoder = if config.is_tied { EMBEDDINGS } else { DECODER };
    Ok(LanguageHead {
        dense: tensors.dense(&["cls.predictions.transform.dense"])?,
        norm: tensors.norm("cls.predictions.transform.LayerNorm")?,
        vocabulary: config.vocabulary,
        decoder: Dense {
            weight: tensors.pack(&[decoder], WeightLayout::Linear)?,
            bias: Some(tensors.pack(&[DECODER_BIAS], WeightLayout::Vector)?),
        },
    })
}

/// Compares the checkpoint's tensors with the configuration, before anything is packed.
fn check(
    source: &View<'_>,
    config: &MosaicBertConfig,
    has_pooler: bool,
    has_language_head: bool,
) -> Result<LoadReport, ModelError> {
    let own_decoder = (!config.is_tied && has_language_head)
        .then(|| (DECODER.to_owned(), vec![config.vocabulary, config.hidden]));
    let expected = tensor_shapes(config)
        .into_iter()
        .chain(own_decoder)
        .filter(|(name, _)| {
            (has_pooler || !name.contains("pooler"))
                && (has_language_head || !name.starts_with("cls."))
        });
    let unused = Unused {
        known: &KNOWN_EXTRAS,
        owned: &["bert.", "cls.predictions."],
    };
    weights::check(source, expected, &unused)
}

fn info(
    config: &MosaicBertConfig,
    special: (usize, usize),
    max_tokens: usize,
    has_pooler: bool,
    has_language_head: bool,
    mask_token: Option<u32>,
) -> ModelInfo {
    let outputs: OutputSet = OutputKind::ALL
        .into_iter()
        .filter(|kind| match kind {
            OutputKind::Mean
            | OutputKind::MeanAll
            | OutputKind::Cls
            | OutputKind::PerResidue
            | OutputKind::HiddenStates
            | OutputKind::Attention => true,
            OutputKind::Logits | OutputKind::UnmaskedLogprob => has_language_head,
            OutputKind::MaskedLogprob => has_language_head && mask_token.is_some(),
            OutputKind::Pooler => has_pooler,
            _ => false,
        })
        .collect();
    let parameters = tensor_shapes(config)
        .iter()
        .filter(|(name, _)| {
            (has_pooler || !name.contains("pooler"))
                && (has_language_head || !name.starts_with("cls."))
        })
        .map(|(_, shape)| shape.iter().product::<usize>() as u64)
        .sum();
    ModelInfo {
        architecture: "mosaic_bert",
        layers: config.layers,
        hidden: config.hidden,
        heads: config.heads,
        vocabulary: config.vocabulary,
        parameters,
        max_tokens,
        special_tokens: special.0 + special.1,
        leading_tokens: special.0,
        outputs,
    }
}
