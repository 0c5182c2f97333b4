//! Loading ModernBERT: tensors by name, checked against the configuration, packed onto a device.

use std::collections::BTreeSet;

use sessile_device::{DType, Device, HostTensor, OutputKind, OutputSet, WeightLayout};

use super::{HeadMap, HeadNames, Layer, ModernBert, ModernBertConfig, StateHead, tensor_shapes};
use crate::encoder::{Encoder, ModelInfo};
use crate::error::{ModelError, ModelErrorKind};
use crate::three_di::{STATES, TWELVE_STATES};
use crate::weights::{self, LoadReport, Packing, Unused, WeightSource};

/// The tensor by which the encoder is found in a checkpoint, whatever stands before its name.
const EMBEDDINGS: &str = "embeddings.tok_embeddings.weight";

/// Endings of what layers may have beside the tensors that they must have. Biases are read where
/// they are; rotary angles are computed.
const KNOWN_EXTRAS: [&str; 2] = ["inv_freq", ".bias"];

impl<D: Device> ModernBert<D> {
    /// Packs the encoder and the heads of `source` onto `device`. Heads of `head`, a file of its
    /// own, go before those of `source`, and what `map` names goes before what shapes tell.
    /// `special` are the tokens that the tokenizer puts before and after a sequence.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says or when shapes
    /// leave a choice of heads, and whatever the source or the device reports.
    #[allow(clippy::too_many_arguments)] // Each is a thing of its own, and named by the only caller.
    pub fn load(
        device: &D,
        source: &dyn WeightSource,
        head: Option<&dyn WeightSource>,
        map: Option<&HeadMap>,
        config: ModernBertConfig,
        special: (usize, usize),
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Self, LoadReport), ModelError> {
        let prefix = prefix(source)?;
        let tensors = Packing {
            source,
            device,
            dtype,
            without: None,
        };
        let expected: Vec<(String, Vec<usize>)> = tensor_shapes(&config)
            .into_iter()
            .map(|(name, shape)| (format!("{prefix}{name}"), shape))
            .collect();
        let mut report = weights::check(
            source,
            expected,
            &Unused {
                known: &KNOWN_EXTRAS,
                layers: &format!("{prefix}layers."),
            },
        )?;
        report.ignored.retain(|name| !name.ends_with(".bias"));

        let encoder: Vec<String> = ["embeddings.", "layers.", "final_norm."]
            .iter()
            .map(|part| format!("{prefix}{part}"))
            .collect();
        let mut heads = Heads {
            parameters: 0,
            three_di: None,
            twelve_state: None,
        };
        for (source, map) in [(head, None), (Some(source), map)] {
            let Some(source) = source else { continue };
            let found = match map {
                Some(map) => map.clone(),
                None => HeadMap::find(source, &encoder, config.hidden, &mut report.assumed)?,
            };
            let tensors = Packing { source, ..tensors };
            heads.add(&tensors, &found, config.hidden)?;
            heads.parameters += found.parameters(source);
            let used = [found.three_di, found.twelve_state];
            let used: Vec<&HeadNames> = used.iter().flatten().collect();
            report.ignored.retain(|name| {
                let module = name
                    .rsplit_once('.')
                    .map_or(name.as_str(), |(module, _)| module);
                !used.iter().any(|head| head.has(module))
            });
        }
        let layers = (0..config.layers)
            .map(|layer| load_layer(&tensors, &prefix, &config, layer))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let rotary = |theta| {
            let table = rotary_table(config.head_dim(), max_tokens, theta);
            device.pack(&[&table], WeightLayout::TableF32, dtype)
        };
        let model = ModernBert {
            info: info(&config, special, max_tokens, &heads),
            embeddings: tensors
                .pack(&[&format!("{prefix}{EMBEDDINGS}")], WeightLayout::TableF32)?,
            embedding_norm: tensors.norm(&format!("{prefix}embeddings.norm"))?,
            global_rotary: rotary(config.global_theta)?,
            local_rotary: rotary(config.local_theta.unwrap_or(config.global_theta))?,
            layers,
            final_norm: tensors.norm(&format!("{prefix}final_norm"))?,
            three_di: heads.three_di,
            twelve_state: heads.twelve_state,
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

/// What stands before the names of the encoder: `model.` in transformers, and whatever else in
/// checkpoints of other code.
fn prefix(source: &dyn WeightSource) -> Result<String, ModelError> {
    let found: Vec<&str> = source
        .names()
        .into_iter()
        .filter_map(|name| name.strip_suffix(EMBEDDINGS))
        .collect();
    match found.as_slice() {
        [prefix] => Ok((*prefix).to_owned()),
        [] => Err(ModelError::new(
            ModelErrorKind::MissingTensor,
            format!("{}: there is no tensor `{EMBEDDINGS}`", source.describe()),
        )
        .with_hint("the file is no ModernBERT checkpoint, or config.json is of another model")),
        several => Err(ModelError::new(
            ModelErrorKind::Mismatch,
            format!(
                "{}: there are {} encoders, under {}",
                source.describe(),
                several.len(),
                several.join(", ")
            ),
        )),
    }
}

/// The heads that were found.
struct Heads<W> {
    /// Values of their tensors; a layer that both share counts once.
    parameters: u64,
    three_di: Option<StateHead<W>>,
    twelve_state: Option<StateHead<W>>,
}

impl<W> Heads<W> {
    /// Packs the heads of a source that are not there yet.
    fn add<D: Device<Weight = W>>(
        &mut self,
        tensors: &Packing<'_, D>,
        map: &HeadMap,
        hidden: usize,
    ) -> Result<(), ModelError> {
        let places = [
            (&mut self.three_di, &map.three_di, STATES.len()),
            (
                &mut self.twelve_state,
                &map.twelve_state,
                TWELVE_STATES.len(),
            ),
        ];
        for (place, names, states) in places {
            if let (None, Some(names)) = (&place, names) {
                *place = Some(load_head(tensors, names, hidden, states)?);
            }
        }
        Ok(())
    }
}

impl HeadMap {
    /// Values of all tensors that it names.
    fn parameters(&self, source: &dyn WeightSource) -> u64 {
        let modules: BTreeSet<&String> = [&self.three_di, &self.twelve_state]
            .into_iter()
            .flatten()
            .flat_map(|head| {
                let optional = head.dense.iter().chain(&head.norm);
                optional.chain([&head.classifier])
            })
            .collect();
        let tensors = modules
            .into_iter()
            .flat_map(|module| [format!("{module}.weight"), format!("{module}.bias")]);
        tensors
            .filter_map(|name| source.shape(&name))
            .map(|shape| shape.iter().product::<usize>() as u64)
            .sum()
    }
}

impl HeadNames {
    /// Whether a module is part of this head.
    fn has(&self, module: &str) -> bool {
        self.classifier == module
            || self.dense.as_deref() == Some(module)
            || self.norm.as_deref() == Some(module)
    }
}

/// Packs one head, after its shapes have been compared.
fn load_head<D: Device>(
    tensors: &Packing<'_, D>,
    names: &HeadNames,
    hidden: usize,
    states: usize,
) -> Result<StateHead<D::Weight>, ModelError> {
    let check = |name: &str, shape: &[usize]| {
        let name = format!("{name}.weight");
        let source = tensors.source;
        match source.shape(&name) {
            Some(have) if have == shape => Ok(()),
            Some(have) => Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: tensor `{name}` of a head has the shape {have:?}, not {shape:?}",
                    source.describe()
                ),
            )),
            None => Err(ModelError::new(
                ModelErrorKind::MissingTensor,
                format!("{}: there is no tensor `{name}`", source.describe()),
            )),
        }
    };
    check(&names.classifier, &[states, hidden])?;
    if let Some(dense) = &names.dense {
        check(dense, &[hidden, hidden])?;
    }
    if let Some(norm) = &names.norm {
        check(norm, &[hidden])?;
    }
    let dense = names.dense.as_deref();
    let norm = names.norm.as_deref();
    Ok(StateHead {
        dense: dense.map(|name| tensors.dense(&[name])).transpose()?,
        norm: norm.map(|name| tensors.norm(name)).transpose()?,
        classifier: tensors.dense(&[&names.classifier])?,
    })
}

fn load_layer<D: Device>(
    tensors: &Packing<'_, D>,
    prefix: &str,
    config: &ModernBertConfig,
    layer: usize,
) -> Result<Layer<D::Weight>, ModelError> {
    let name = |part: &str| format!("{prefix}layers.{layer}.{part}");
    let attention_norm = name("attn_norm");
    Ok(Layer {
        attention_norm: tensors
            .has(&format!("{attention_norm}.weight"))
            .then(|| tensors.norm(&attention_norm))
            .transpose()?,
        qkv: tensors.dense(&[&name("attn.Wqkv")])?,
        attention_out: tensors.dense(&[&name("attn.Wo")])?,
        feed_forward_norm: tensors.norm(&name("mlp_norm"))?,
        gated: tensors.pack(&[&name("mlp.Wi.weight")], WeightLayout::Gated)?,
        feed_forward_down: tensors.dense(&[&name("mlp.Wo")])?,
        is_global: config.is_global(layer),
    })
}

/// Cosines and sines by position, as the published code computes them: in f32, frequency first.
fn rotary_table(head_dim: usize, positions: usize, theta: f64) -> HostTensor {
    let half = head_dim / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / head_dim as f32))
        .collect();
    let mut values = Vec::with_capacity(positions * head_dim);
    for position in 0..positions {
        let angles = frequencies
            .iter()
            .map(|frequency| f64::from(position as f32 * frequency));
        values.extend(angles.clone().map(|angle| angle.cos() as f32));
        values.extend(angles.map(|angle| angle.sin() as f32));
    }
    HostTensor::new(vec![positions, head_dim], values)
}

fn info<W>(
    config: &ModernBertConfig,
    special: (usize, usize),
    max_tokens: usize,
    heads: &Heads<W>,
) -> ModelInfo {
    let outputs: OutputSet = [
        OutputKind::Mean,
        OutputKind::MeanAll,
        OutputKind::Cls,
        OutputKind::PerResidue,
        OutputKind::HiddenStates,
        OutputKind::Attention,
    ]
    .into_iter()
    .chain(heads.three_di.is_some().then_some(OutputKind::ThreeDi))
    .chain(
        heads
            .twelve_state
            .is_some()
            .then_some(OutputKind::TwelveState),
    )
    .collect();
    let encoder: usize = tensor_shapes(config)
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    ModelInfo {
        architecture: "modern_bert",
        layers: config.layers,
        hidden: config.hidden,
        heads: config.heads,
        vocabulary: config.vocabulary,
        parameters: encoder as u64 + heads.parameters,
        max_tokens,
        special_tokens: special.0 + special.1,
        leading_tokens: special.0,
        outputs,
    }
}
