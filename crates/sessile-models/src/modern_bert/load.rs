//! Loading ModernBERT: tensors by name, checked against the configuration, packed onto a device.

use std::collections::BTreeSet;

use sessile_device::{DType, Device, OutputKind, WeightLayout};

use super::step_down::{self, StepDown};
use super::{HeadMap, HeadNames, Layer, ModernBert, ModernBertConfig, StateHead, tensor_shapes};
use crate::encoder::{Encoder, ModelInfo};
use crate::error::{ModelError, ModelErrorKind};
use crate::family::{Family, Parts};
use crate::rotary::Rope;
use crate::three_di::{STATES, TWELVE_STATES};
use crate::weights::{self, LoadReport, Naming, Packing, Unused, View, WeightSource};

/// Endings of what layers may have beside the tensors that they must have: angles are computed.
const KNOWN_EXTRAS: [&str; 1] = ["inv_freq"];

/// The names of transformers.
const NAMING: Naming<'_> = Naming {
    anchor: "layers.0.attn.Wqkv.weight",
    base: "model.",
    roots: &["embeddings.", "layers.", "final_norm."],
};

/// Beginnings of what checkpoints have outside of the encoder although it scores no states: a head
/// of confidence, and the rest of a head of masked tokens.
const OTHER_HEADS: [&str; 2] = ["plddt_head.", "decoder."];

impl<D: Device> ModernBert<D> {
    /// Packs the encoder and its heads onto `device`. Heads in a file of their own go before those
    /// beside the encoder, and what a map names goes before what shapes tell.
    ///
    /// # Errors
    ///
    /// `MissingTensor`, `Mismatch` when a shape is not what the configuration says or when shapes
    /// leave a choice of heads, and whatever the source or the device reports.
    pub(super) fn load(
        device: &D,
        parts: &Parts<'_>,
        config: ModernBertConfig,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Self, LoadReport), ModelError> {
        let Parts {
            source,
            head,
            head_map: map,
            tokenizer,
        } = *parts;
        let view = View::of(source, &NAMING)?;
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        let expected = tensor_shapes(&config)
            .into_iter()
            .map(|(name, shape)| (format!("model.{name}"), shape));
        let unused = Unused {
            known: &KNOWN_EXTRAS,
            owned: &["model."],
        };
        let mut report = weights::check(&view, expected, &unused)?;
        let is_ours = |name: &String| !OTHER_HEADS.iter().any(|head| name.starts_with(head));
        report.ignored.retain(is_ours);
        if !config.is_legacy && step_down::is_legacy(&view) {
            return Err(step_down::unnamed(&view));
        }

        let mut heads = Heads {
            parameters: 0,
            three_di: None,
            twelve_state: None,
        };
        let sources: [(Option<&dyn WeightSource>, _); 2] = [(head, None), (Some(&view), map)];
        for (source, map) in sources {
            let Some(source) = source else { continue };
            let tensors = Packing { source, ..tensors };
            let used = if map.is_none() && step_down::is_in(source) {
                heads.add_step_down(&tensors, config.hidden)?
            } else {
                let found = match map {
                    Some(map) => map.clone(),
                    None => HeadMap::find(source, config.hidden, &mut report.assumed)?,
                };
                heads.add(&tensors, &found, config.hidden)?;
                found.tensors(source)
            };
            heads.parameters += values(source, &used);
            report.ignored.retain(|name| !used.contains(name));
            // A tensor that no head takes is a part of one that is not known, unless somebody
            // has said which are the heads.
            if map.is_none() && !used.is_empty() {
                refuse_others(source, &used)?;
            }
        }
        let layers = (0..config.layers)
            .map(|layer| load_layer(&tensors, &config, layer))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let rotary = |rope: Rope| {
            let table = rope.table(config.head_dim(), max_tokens);
            device.pack(&[&table], WeightLayout::TableF32, dtype)
        };
        let [global, local] = config.ropes();
        let model = ModernBert {
            info: ModelInfo::of(
                &config.description(),
                tokenizer.special_tokens(),
                max_tokens,
                &[
                    (OutputKind::ThreeDi, heads.three_di.is_some()),
                    (OutputKind::TwelveState, heads.twelve_state.is_some()),
                ],
                weights::values(&tensor_shapes(&config)) + heads.parameters,
            ),
            embeddings: tensors.pack(
                &["model.embeddings.tok_embeddings.weight"],
                WeightLayout::TableF32,
            )?,
            embedding_norm: tensors.norm("model.embeddings.norm")?,
            global_rotary: rotary(global)?,
            local_rotary: rotary(local)?,
            layers,
            final_norm: tensors.norm("model.final_norm")?,
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

/// Refuses what lies beside heads that were found.
fn refuse_others(source: &dyn WeightSource, used: &BTreeSet<String>) -> Result<(), ModelError> {
    let other = source.names().into_iter().find(|name| {
        let is_known = OTHER_HEADS.iter().any(|head| name.starts_with(head));
        !is_known && !name.starts_with(NAMING.base) && !used.contains(*name)
    });
    match other {
        None => Ok(()),
        Some(name) => Err(ModelError::new(
            ModelErrorKind::Mismatch,
            format!(
                "{}: tensor `{name}` has no place in the heads that were found",
                source.describe()
            ),
        )
        .with_hint(
            "the heads are of a kind that is not built in; where the tensor belongs to none of \
             them, say which tensors do with --head-map",
        )),
    }
}

fn values(source: &dyn WeightSource, names: &BTreeSet<String>) -> u64 {
    let shapes = names.iter().filter_map(|name| source.shape(name));
    shapes
        .map(|shape| shape.iter().product::<usize>() as u64)
        .sum()
}

/// The heads that were found.
struct Heads<W> {
    /// Values of their tensors; a layer that both share counts once.
    parameters: u64,
    three_di: Option<StateHead<W>>,
    twelve_state: Option<StateHead<W>>,
}

impl<W> Heads<W> {
    /// Packs the head of the first ModernProst, unless there is one of its alphabet. Returns the
    /// names of its tensors.
    fn add_step_down<D: Device<Weight = W>>(
        &mut self,
        tensors: &Packing<'_, D>,
        hidden: usize,
    ) -> Result<BTreeSet<String>, ModelError> {
        let (head, names) = StepDown::load(tensors, hidden)?;
        self.three_di.get_or_insert(StateHead::StepDown(head));
        Ok(names)
    }

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
    /// All tensors that it names.
    fn tensors(&self, source: &dyn WeightSource) -> BTreeSet<String> {
        let heads = [&self.three_di, &self.twelve_state].into_iter().flatten();
        let modules = heads.flat_map(|head| {
            let optional = head.dense.iter().chain(&head.norm);
            optional.chain([&head.classifier])
        });
        modules
            .flat_map(|module| [format!("{module}.weight"), format!("{module}.bias")])
            .filter(|name| source.shape(name).is_some())
            .collect()
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
    Ok(StateHead::Classifier {
        dense: dense.map(|name| tensors.dense(&[name])).transpose()?,
        norm: norm.map(|name| tensors.norm(name)).transpose()?,
        classifier: tensors.dense(&[&names.classifier])?,
    })
}

fn load_layer<D: Device>(
    tensors: &Packing<'_, D>,
    config: &ModernBertConfig,
    layer: usize,
) -> Result<Layer<D::Weight>, ModelError> {
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let attention_norm = name("attn_norm");
    Ok(Layer {
        attention_norm: tensors
            .has(&format!("{attention_norm}.weight"))
            .then(|| tensors.norm(&attention_norm))
            .transpose()?,
        qkv: tensors.dense(&[&name("attn.Wqkv")])?,
        attention_out: tensors.dense(&[&name("attn.Wo")])?,
        feed_forward_norm: tensors.norm(&name("mlp_norm"))?,
        gated: tensors.pack(
            &[&name("mlp.Wi.weight")],
            if config.is_legacy {
                WeightLayout::Linear
            } else {
                WeightLayout::Gated
            },
        )?,
        feed_forward_down: tensors.dense(&[&name("mlp.Wo")])?,
        is_global: config.is_global(layer),
    })
}
