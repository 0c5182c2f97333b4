//! Reading a classifier from a whole-module `.pth`, a state dict or safetensors.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sessile_device::HostTensor;

use super::{Binding, CLASSES, MlpClassifier};
use crate::checkpoint::{Checkpoint, CheckpointFormat, safetensors};
use crate::error::{ModelError, ModelErrorKind};

/// The key of the binding in the metadata of a safetensors file.
pub(super) const BINDING_KEY: &str = "sessile.classifier";

/// A file of settings beside a classifier is a few lines.
const MAX_SIDECAR_BYTES: u64 = 1 << 16;

/// Hidden units times width that are read at most: a hundred times the published classifier.
const MAX_WEIGHTS: usize = 1 << 28;

impl MlpClassifier {
    /// Reads a classifier. Nothing in the file is run: the class `MLPClassifier` of a whole module
    /// is known by its name.
    ///
    /// The binding comes from the file's own metadata, from `FILE.json` beside it, or from the
    /// name of the published files (`300_model.pth`).
    ///
    /// # Errors
    ///
    /// - `NotFound`, `Unreadable`, `Malformed`, `Unsafe`: as [`Checkpoint::open`].
    /// - `MissingTensor`, `Mismatch`: the file holds another network.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::classifier::MlpClassifier;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/virnucpro/mlp");
    /// let classifier = MlpClassifier::open(format!("{golden}/model.pth").as_ref())?;
    /// assert_eq!((classifier.width(), classifier.hidden()), (120, 24));
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!("{} is a folder", path.display()),
            )
            .with_hint("name the classifier's file: model.pth or model.safetensors"));
        }
        let checkpoint = Checkpoint::open(path)?;
        let binding = binding(&checkpoint, path)?;
        let tensors = Tensors {
            checkpoint: &checkpoint,
            path,
        };
        let hidden_weight = tensors.read("hidden_layer.weight", None)?;
        let &[hidden, width] = hidden_weight.shape.as_slice() else {
            return Err(mismatch(path, "hidden_layer.weight is not a matrix"));
        };
        let vector = |name: &str| -> Result<Vec<f32>, ModelError> {
            Ok(tensors.read(name, Some(&[hidden]))?.data)
        };
        let classifier = MlpClassifier {
            hidden_bias: vector("hidden_layer.bias")?,
            norm_gain: vector("bn1.weight")?,
            norm_shift: vector("bn1.bias")?,
            norm_mean: vector("bn1.running_mean")?,
            norm_variance: vector("bn1.running_var")?,
            norm_batches: match checkpoint.tensor("bn1.num_batches_tracked") {
                Some(_) => tensors.read("bn1.num_batches_tracked", Some(&[]))?.data[0] as i64,
                None => 0,
            },
            output_weight: tensors.read("output_layer.weight", Some(&[CLASSES.len(), hidden]))?,
            output_bias: tensors
                .read("output_layer.bias", Some(&[CLASSES.len()]))?
                .data,
            hidden_weight,
            binding,
        };
        if classifier.norm_variance.iter().any(|&value| value < 0.0) {
            return Err(mismatch(path, "bn1.running_var holds a negative variance"));
        }
        if let (Some(nucleotide), Some(protein)) =
            (classifier.binding.nucleotide, classifier.binding.protein)
            && nucleotide.checked_add(protein) != Some(width)
        {
            return Err(mismatch(
                path,
                &format!(
                    "it is said to be for embeddings of {nucleotide} and {protein} numbers, its \
                     weights take {width}"
                ),
            ));
        }
        Ok(classifier)
    }
}

struct Tensors<'a> {
    checkpoint: &'a Checkpoint,
    path: &'a Path,
}

impl Tensors<'_> {
    fn read(&self, name: &str, shape: Option<&[usize]>) -> Result<HostTensor, ModelError> {
        let Some(info) = self.checkpoint.tensor(name) else {
            return Err(ModelError::new(
                ModelErrorKind::MissingTensor,
                format!("{}: no tensor `{name}`", self.path.display()),
            )
            .with_hint(
                "a classifier has hidden_layer, bn1 and output_layer, as VirNucPro's train.py \
                 makes it",
            ));
        };
        if let Some(shape) = shape
            && info.shape != shape
        {
            return Err(mismatch(
                self.path,
                &format!("{name} has the shape {:?}, not {shape:?}", info.shape),
            ));
        }
        if info.shape.contains(&0) || info.shape.iter().product::<usize>() > MAX_WEIGHTS {
            return Err(mismatch(
                self.path,
                &format!("{name} has the shape {:?}", info.shape),
            ));
        }
        let tensor = self.checkpoint.rows(name)?.to_host()?;
        if !tensor.is_finite() {
            return Err(mismatch(
                self.path,
                &format!("{name} holds numbers that are not finite"),
            ));
        }
        Ok(tensor)
    }
}

fn mismatch(path: &Path, what: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Mismatch,
        format!("{}: {what}", path.display()),
    )
}

/// Where the sidecar of a classifier lies.
pub(super) fn sidecar(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn binding(checkpoint: &Checkpoint, path: &Path) -> Result<Binding, ModelError> {
    let named = Binding::from_name(path);
    let own = match checkpoint.format() {
        CheckpointFormat::Safetensors => safetensors::read_header(path)?
            .metadata
            .remove(BINDING_KEY)
            .map(|text| (text, path.display().to_string())),
        _ => None,
    };
    let said = match own {
        Some(own) => Some(own),
        None => read_sidecar(path)?,
    };
    let Some((text, place)) = said else {
        return Ok(named);
    };
    let malformed = |what: String| {
        ModelError::new(ModelErrorKind::Malformed, format!("{place}: {what}"))
            .with_hint("it holds chunk, nucleotide and protein: three counts")
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let binding: Binding =
        serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
    Ok(Binding {
        chunk: binding.chunk.or(named.chunk),
        ..binding
    })
}

fn read_sidecar(path: &Path) -> Result<Option<(String, String)>, ModelError> {
    let path = sidecar(path);
    let place = path.display().to_string();
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_SIDECAR_BYTES => {}
        _ => return Ok(None),
    }
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((text, place))),
        Err(error) => Err(ModelError::new(
            ModelErrorKind::Unreadable,
            format!("{place}: {error}"),
        )),
    }
}
