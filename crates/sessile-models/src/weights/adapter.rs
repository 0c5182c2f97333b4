//! LoRA adapters (Hu et al., 2021, arXiv:2106.09685) as the peft library saves them: beside the
//! weights of their base lie `adapter_config.json` and two thin matrices for each weight that they
//! change. They are added while rows are read, `W + alpha / r × B A`, so a device never knows.
//!
//! What peft knows beyond that is refused by its name in the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sessile_device::{DeviceError, RowSource};

use super::WeightSource;
use crate::checkpoint::{Checkpoint, adapter_settings, adapter_weights};
use crate::error::{ModelError, ModelErrorKind};

/// What peft writes before the names of the base.
const PREFIX: &str = "base_model.model.";

/// Keys that say how the adapter was made or where, and keys that are read here.
const HARMLESS: [&str; 19] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "lora_alpha",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// A checkpoint, with the adapter in the folder that is named, or with the one that lies beside it.
///
/// # Errors
///
/// `NotFound` for a folder without an adapter, `Unsupported` for two adapters and for what is not
/// built in.
pub(crate) fn with_adapter(
    checkpoint: Checkpoint,
    named: Option<&Path>,
) -> Result<Box<dyn WeightSource>, ModelError> {
    let beside = checkpoint.directory().to_owned();
    let own = adapter_settings(&beside)?;
    let (directory, settings) = match (named, own) {
        (None, None) => return Ok(Box::new(checkpoint)),
        (None, Some(settings)) => (beside, settings),
        (Some(_), Some(_)) => {
            return Err(unsupported(
                &beside.join("adapter_config.json"),
                "another adapter beside the one that is named",
            ));
        }
        (Some(named), None) => {
            let settings = adapter_settings(named)?.ok_or_else(|| {
                let message = format!("{}: there is no adapter_config.json", named.display());
                ModelError::new(ModelErrorKind::NotFound, message)
                    .with_hint("an adapter is the folder that peft saves it in")
            })?;
            (named.to_owned(), settings)
        }
    };
    Ok(Box::new(Adapted::new(checkpoint, &directory, &settings)?))
}

/// The two matrices of a weight.
struct Delta {
    /// `[rank, inputs]`.
    down: Vec<f32>,
    /// `[outputs, rank]`, scaled.
    up: Vec<f32>,
    rank: usize,
}

struct Adapted {
    base: Checkpoint,
    adapter: Checkpoint,
    /// By the name of the weight in the base.
    deltas: BTreeMap<String, Delta>,
    /// What the hash must know beside the tensors.
    settings: String,
}

impl Adapted {
    fn new(base: Checkpoint, directory: &Path, settings: &Value) -> Result<Self, ModelError> {
        let config = directory.join("adapter_config.json");
        let refused = |what: String| unsupported(&config, &what);
        let scale = Scale::read(settings).map_err(refused)?;
        let rank = settings.get("r").filter(|rank| !rank.is_null());
        let Some(path) = adapter_weights(directory) else {
            return Err(ModelError::new(
                ModelErrorKind::NotFound,
                format!(
                    "{}: adapter_config.json without adapter_model.safetensors",
                    directory.display()
                ),
            )
            .with_hint("fetch the adapter's weights, or remove adapter_config.json"));
        };
        let adapter = Checkpoint::open_file(&path)?;
        let mut deltas = BTreeMap::new();
        let names: Vec<String> = adapter.names().map(str::to_owned).collect();
        for name in &names {
            let bare = name.strip_prefix(PREFIX).unwrap_or(name);
            let Some((module, side)) = matrix(bare) else {
                return Err(unsupported(&path, &format!("the tensor `{name}`")));
            };
            if side == Side::Up {
                continue;
            }
            let other = name.replace(".lora_A.", ".lora_B.");
            let weight = base_name(&base, module)
                .ok_or_else(|| unsupported(&path, &format!("`{name}`, which fits no weight,")))?;
            if !is_target(settings, module) {
                let targets = &settings["target_modules"];
                return Err(refused(format!(
                    "target_modules `{targets}` without {module}"
                )));
            }
            let delta = delta(&base, &adapter, (name, &other), &weight, scale)?;
            if rank.is_some_and(|rank| rank.as_u64() != Some(delta.rank as u64)) {
                let rank = &settings["r"];
                return Err(refused(format!(
                    "r `{rank}` beside `{name}` of rank {}",
                    delta.rank
                )));
            }
            deltas.insert(weight, delta);
        }
        if names.len() != 2 * deltas.len() {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!("{}: the matrices do not come in pairs", path.display()),
            ));
        }
        Ok(Adapted {
            base,
            adapter,
            deltas,
            settings: format!("{scale:?}"),
        })
    }

    fn hash(&self, base: &str, adapter: &str) -> String {
        let all = format!("{base} {adapter} {}", self.settings);
        blake3::hash(all.as_bytes()).to_string()
    }
}

/// Whether an adapter says that it changes a module: the last part of its name, or more of them. A
/// pattern is not looked into.
fn is_target(settings: &Value, module: &str) -> bool {
    let Some(targets) = settings.get("target_modules").and_then(Value::as_array) else {
        return true;
    };
    targets.iter().filter_map(Value::as_str).any(|target| {
        let rest = module.strip_suffix(target);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Down,
    Up,
}

/// The module that a matrix belongs to, and which of the two it is.
fn matrix(name: &str) -> Option<(&str, Side)> {
    let stem = name.strip_suffix(".weight")?;
    let stem = stem.strip_suffix(".default").unwrap_or(stem);
    if let Some(module) = stem.strip_suffix(".lora_A") {
        return Some((module, Side::Down));
    }
    Some((stem.strip_suffix(".lora_B")?, Side::Up))
}

/// The weight of a module in the base, where either may have more before its names.
fn base_name(base: &Checkpoint, module: &str) -> Option<String> {
    let wanted = format!("{module}.weight");
    let ends = |long: &str, short: &str| {
        long.strip_suffix(short)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let mut found = base
        .names()
        .filter(|name| ends(name, &wanted) || ends(&wanted, name));
    let first = found.next()?.to_owned();
    found.next().is_none().then_some(first)
}

fn delta(
    base: &Checkpoint,
    adapter: &Checkpoint,
    (down, up): (&str, &str),
    weight: &str,
    scale: Scale,
) -> Result<Delta, ModelError> {
    let shape = |checkpoint: &Checkpoint, name: &str| {
        checkpoint.tensor(name).map(|tensor| tensor.shape.clone())
    };
    let shapes = (
        shape(base, weight),
        shape(adapter, down),
        shape(adapter, up),
    );
    let (Some(whole), Some(first), Some(second)) = shapes else {
        return Err(ModelError::new(
            ModelErrorKind::MissingTensor,
            format!("{}: there is no tensor `{up}`", adapter.path().display()),
        ));
    };
    let rank = match (whole.as_slice(), first.as_slice(), second.as_slice()) {
        ([outputs, inputs], [rank, i], [o, r]) if (i, o, r) == (inputs, outputs, rank) => *rank,
        _ => {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: `{down}` {first:?} and `{up}` {second:?} do not fit `{weight}` {whole:?}",
                    adapter.path().display()
                ),
            )
            .with_hint("the adapter belongs to another base model"));
        }
    };
    let down = adapter.rows(down)?.to_host()?.data;
    let mut up = adapter.rows(up)?.to_host()?.data;
    let factor = scale.factor(rank);
    up.iter_mut().for_each(|value| *value *= factor);
    Ok(Delta { down, up, rank })
}

/// How much an adapter counts.
#[derive(Clone, Copy, Debug)]
struct Scale {
    alpha: f64,
    /// Divided by the square root of the rank instead of by the rank.
    by_root: bool,
}

impl Scale {
    /// Reads the settings; the error is what is not supported.
    fn read(settings: &Value) -> Result<Self, String> {
        let kind = settings.get("peft_type").and_then(Value::as_str);
        if kind != Some("LORA") {
            return Err(format!("peft_type `{}`", kind.unwrap_or("none")));
        }
        for (key, value) in settings.as_object().into_iter().flatten() {
            let is_off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Object(map) => map.is_empty(),
                Value::Array(list) => list.is_empty(),
                Value::String(text) => text == "none",
                _ => false,
            };
            if !is_off && !HARMLESS.contains(&key.as_str()) {
                return Err(format!("{key} `{value}`"));
            }
        }
        // Some ways to begin change the base as well.
        match settings.get("init_lora_weights") {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(way)) if ["gaussian", "eva", "orthogonal"].contains(&&**way) => {}
            Some(other) => return Err(format!("init_lora_weights `{other}`")),
        }
        let alpha = match settings.get("lora_alpha") {
            None | Some(Value::Null) => 8.0,
            Some(value) => value
                .as_f64()
                .filter(|alpha| alpha.is_finite())
                .ok_or_else(|| format!("lora_alpha `{value}`"))?,
        };
        let by_root = settings.get("use_rslora").and_then(Value::as_bool);
        Ok(Scale {
            alpha,
            by_root: by_root.unwrap_or(false),
        })
    }

    fn factor(self, rank: usize) -> f32 {
        let rank = rank.max(1) as f64;
        (self.alpha / if self.by_root { rank.sqrt() } else { rank }) as f32
    }
}

struct AdaptedRows<'a> {
    base: Box<dyn RowSource + 'a>,
    delta: &'a Delta,
}

impl RowSource for AdaptedRows<'_> {
    fn rows(&self) -> usize {
        self.base.rows()
    }

    fn cols(&self) -> usize {
        self.base.cols()
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        self.base.read_rows(first, out)?;
        let (cols, rank) = (self.cols(), self.delta.rank);
        if cols == 0 || rank == 0 {
            return Ok(());
        }
        let factors = self.delta.up[first * rank..].chunks_exact(rank);
        for (row, factors) in out.chunks_exact_mut(cols).zip(factors) {
            for (factor, down) in factors.iter().zip(self.delta.down.chunks_exact(cols)) {
                for (value, down) in row.iter_mut().zip(down) {
                    *value += factor * down;
                }
            }
        }
        Ok(())
    }
}

impl WeightSource for Adapted {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        WeightSource::shape(&self.base, name)
    }

    fn names(&self) -> Vec<&str> {
        WeightSource::names(&self.base)
    }

    fn rows(&self, name: &str) -> Result<Box<dyn RowSource + '_>, ModelError> {
        let base = WeightSource::rows(&self.base, name)?;
        Ok(match self.deltas.get(name) {
            None => base,
            Some(delta) => Box::new(AdaptedRows { base, delta }),
        })
    }

    fn same(&self, one: &str, other: &str) -> bool {
        let changed = |name| self.deltas.contains_key(name);
        !changed(one) && !changed(other) && self.base.same(one, other)
    }

    fn files(&self) -> Vec<PathBuf> {
        [self.base.files(), self.adapter.files()].concat()
    }

    fn describe(&self) -> String {
        format!("{} with its adapter", self.base.path().display())
    }

    fn content_hash(&self) -> Result<String, ModelError> {
        Ok(self.hash(&self.base.content_hash()?, &self.adapter.content_hash()?))
    }

    fn remembered_hash(&self) -> Result<String, ModelError> {
        Ok(self.hash(
            &self.base.remembered_hash()?,
            &self.adapter.remembered_hash()?,
        ))
    }
}

fn unsupported(path: &Path, what: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Unsupported,
        format!("{}: {what} is not supported", path.display()),
    )
    .with_hint(
        "merge the adapter into its base with peft (merge_and_unload) and save the whole model, or \
         remove adapter_config.json to use the base alone",
    )
}
