//! Loading ESM-2: tensors by name, checked against the configuration, packed onto a device.

use sessile_device::{DType, Device, HostTensor, OutputKind, OutputSet, RowSource, WeightLayout};

use super::{
    ContactHead, Dense, Encoder, Esm2, Esm2Config, LanguageHead, Layer, LayerNorm, ModelInfo,
    tensor_shapes,
};
use crate::error::{ModelError, ModelErrorKind};
use crate::weights::WeightSource;

/// What loading left aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of the checkpoint that the model does not use.
    pub ignored: Vec<String>,
}

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

/// Reads tensors by the names of `EsmForMaskedLM`, also from a bare `EsmModel`.
struct Tensors<'a, D: Device> {
    source: &'a dyn WeightSource,
    /// `EsmModel` checkpoints have the same names without `esm.`.
    bare: bool,
    device: &'a D,
    dtype: DType,
}

impl<'a, D: Device> Tensors<'a, D> {
    fn name<'n>(&self, name: &'n str) -> &'n str {
        if self.bare {
            name.strip_prefix("esm.").unwrap_or(name)
        } else {
            name
        }
    }

    fn has(&self, name: &str) -> bool {
        self.source.shape(self.name(name)).is_some()
    }

    fn rows(&self, name: &str) -> Result<Box<dyn RowSource + 'a>, ModelError> {
        self.source.rows(self.name(name))
    }

    fn pack(&self, names: &[&str], layout: WeightLayout) -> Result<D::Weight, ModelError> {
        let parts = names
            .iter()
            .map(|name| self.rows(name))
            .collect::<Result<Vec<_>, ModelError>>()?;
        if layout == WeightLayout::Vector && parts.len() > 1 {
            // Biases of a fused product lie behind each other in one vector.
            let mut joined = Vec::new();
            for part in &parts {
                let start = joined.len();
                joined.resize(start + part.rows() * part.cols(), 0.0);
                part.read_rows(0, &mut joined[start..])?;
            }
            let joined = HostTensor::new(vec![joined.len()], joined);
            return Ok(self.device.pack(&[&joined], layout, self.dtype)?);
        }
        let parts: Vec<&dyn RowSource> = parts.iter().map(|part| &**part).collect();
        Ok(self.device.pack(&parts, layout, self.dtype)?)
    }

    fn dense(&self, names: &[&str]) -> Result<Dense<D::Weight>, ModelError> {
        let weights: Vec<String> = names.iter().map(|name| format!("{name}.weight")).collect();
        let biases: Vec<String> = names.iter().map(|name| format!("{name}.bias")).collect();
        let as_str = |names: &'_ [String]| names.iter().map(String::clone).collect::<Vec<_>>();
        let (weights, biases) = (as_str(&weights), as_str(&biases));
        let weights: Vec<&str> = weights.iter().map(String::as_str).collect();
        let biases: Vec<&str> = biases.iter().map(String::as_str).collect();
        Ok(Dense {
            weight: self.pack(&weights, WeightLayout::Linear)?,
            bias: self.pack(&biases, WeightLayout::Vector)?,
        })
    }

    fn norm(&self, name: &str) -> Result<LayerNorm<D::Weight>, ModelError> {
        Ok(LayerNorm {
            gain: self.pack(&[&format!("{name}.weight")], WeightLayout::Vector)?,
            shift: self.pack(&[&format!("{name}.bias")], WeightLayout::Vector)?,
        })
    }
}

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
        let tensors = Tensors {
            source,
            bare,
            device,
            dtype,
        };
        let has_language_head = tensors.has("lm_head.dense.weight");
        let has_contact_head = tensors.has("esm.contact_head.regression.weight");
        let report = check(source, &config, bare, has_language_head, has_contact_head)?;

        let layers = (0..config.layers)
            .map(|layer| load_layer(&tensors, layer))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let language_head = has_language_head
            .then(|| load_language_head(&tensors))
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
    tensors: &Tensors<'_, D>,
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
    tensors: &Tensors<'_, D>,
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
        decoder: Dense {
            weight: tensors.pack(&[decoder], WeightLayout::Linear)?,
            bias: tensors.pack(&["lm_head.bias"], WeightLayout::Vector)?,
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
    let mut expected = std::collections::BTreeSet::new();
    for (name, shape) in tensor_shapes(config) {
        if name.starts_with("lm_head.") && !has_language_head
            || name.contains("contact_head") && !has_contact_head
        {
            continue;
        }
        let name = if bare {
            name.trim_start_matches("esm.").to_owned()
        } else {
            name
        };
        match source.shape(&name) {
            None => {
                return Err(ModelError::new(
                    ModelErrorKind::MissingTensor,
                    format!("{}: there is no tensor `{name}`", source.describe()),
                )
                .with_hint(
                    "the file is not a whole ESM-2 checkpoint, or config.json is of another model",
                ));
            }
            Some(found) if found != shape => {
                return Err(ModelError::new(
                    ModelErrorKind::Mismatch,
                    format!(
                        "{}: tensor `{name}` has the shape {found:?}, config.json asks for {shape:?}",
                        source.describe()
                    ),
                ));
            }
            Some(_) => {
                expected.insert(name);
            }
        }
    }
    let mut report = LoadReport::default();
    for name in source.names() {
        if expected.contains(name) || name == "lm_head.decoder.weight" {
            continue;
        }
        let known = KNOWN_EXTRAS.iter().any(|extra| name.ends_with(extra));
        if !known && name.contains("encoder.layer.") {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: tensor `{name}` has no place in the {} layers of config.json",
                    source.describe(),
                    config.layers
                ),
            ));
        }
        report.ignored.push(name.to_owned());
    }
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
        outputs,
    }
}
