//! A model that generates as it is found: configuration, tokenizer, settings and weights.

use std::path::Path;
use std::sync::Arc;

use sessile_device::{DType, DecodingLane, Device, GenerationSettings};

use super::{SequenceToSequence, settings_from_json};
use crate::bart::{Bart, BartConfig};
use crate::checkpoint::Checkpoint;
use crate::error::{ModelError, ModelErrorKind};
use crate::tokenizer::ByteLevelTokenizer;
use crate::weights::{LoadReport, WeightSource};

/// Largest `generation_config.json` that is read, in bytes.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// Configuration, tokenizer, settings and weights of a model that generates.
pub struct GeneratorFiles {
    name: String,
    config: BartConfig,
    tokenizer: Arc<ByteLevelTokenizer>,
    settings: GenerationSettings,
    checkpoint: Checkpoint,
}

impl GeneratorFiles {
    /// Reads configuration, vocabulary, settings and the tensors' headers of a checkpoint in the
    /// layout of Hugging Face.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files; no weight is read yet.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(path)?;
        let directory = checkpoint.directory();
        let config = checkpoint.config().ok_or_else(|| {
            ModelError::new(
                ModelErrorKind::NotFound,
                format!("{}: there is no config.json", directory.display()),
            )
            .with_hint("a model is a directory with config.json beside its weights")
        })?;
        match config.get("model_type").and_then(serde_json::Value::as_str) {
            Some("bart") => {}
            other => {
                let other = other.unwrap_or("none");
                return Err(ModelError::new(
                    ModelErrorKind::UnknownArchitecture,
                    format!("config.json: `{other}` is not a model that writes text"),
                )
                .with_hint("built in: bart (bart-large-cnn, bart-large-xsum, distilbart)"));
            }
        }
        let generation = read_settings(&directory.join("generation_config.json"))?;
        let settings = settings_from_json(generation.as_ref(), config)?;
        let config = BartConfig::from_json(config)?;
        let tokenizer = ByteLevelTokenizer::from_file(&directory.join("tokenizer.json"))?;
        if tokenizer.len() > config.vocabulary {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: {} tokens are more than the {} of config.json",
                    directory.join("tokenizer.json").display(),
                    tokenizer.len(),
                    config.vocabulary
                ),
            ));
        }
        let name = directory
            .canonicalize()
            .ok()
            .as_deref()
            .unwrap_or(directory)
            .file_name()
            .map_or_else(
                || path.display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            );
        Ok(GeneratorFiles {
            name,
            config,
            tokenizer: Arc::new(tokenizer),
            settings,
            checkpoint,
        })
    }

    /// The same model under another name, for example the hub's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The name users know it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<ByteLevelTokenizer> {
        &self.tokenizer
    }

    /// The settings that the model comes with.
    pub fn settings(&self) -> &GenerationSettings {
        &self.settings
    }

    /// Longest source, in tokens, special ones included.
    pub fn max_source_tokens(&self) -> usize {
        self.config.positions
    }

    /// A hash of the weights: equal for equal tensors, however they are stored.
    ///
    /// # Errors
    ///
    /// When the weights can not be read.
    pub fn content_hash(&self) -> Result<String, ModelError> {
        WeightSource::content_hash(&self.checkpoint)
    }

    /// Packs the weights onto a device.
    ///
    /// # Errors
    ///
    /// When tensors are missing, do not fit the configuration, can not be read or do not fit the
    /// device.
    pub fn load<D: Device>(
        &self,
        device: &D,
        dtype: DType,
    ) -> Result<(Arc<dyn SequenceToSequence<D>>, LoadReport), ModelError>
    where
        D::Lane: DecodingLane,
    {
        let (model, report) = Bart::load(device, &self.checkpoint, self.config.clone(), dtype)?;
        Ok((Arc::new(model), report))
    }
}

fn read_settings(path: &Path) -> Result<Option<serde_json::Value>, ModelError> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_SETTINGS_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        ModelError::new(
            ModelErrorKind::Malformed,
            format!("{}: {error}", path.display()),
        )
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> ModelError {
    ModelError::new(
        ModelErrorKind::Unreadable,
        format!("can not read {}", path.display()),
    )
    .with_source(error)
}
