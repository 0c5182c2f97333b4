//! A model that generates as it is found: configuration, tokenizer, settings and weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile_device::{DType, DecodingLane, Device, GenerationSettings, PlanDevice};

use super::{GeneratorInfo, SequenceToSequence, settings_from_json};
use crate::bart::{Bart, BartConfig};
use crate::checkpoint::Checkpoint;
use crate::error::{ModelError, ModelErrorKind};
use crate::model::Nothing;
use crate::t5::{self, T5Config, T5Translator};
use crate::tokenizer::{ByteLevelTokenizer, Preprocessing, ProstT5Tokenizer, TextTokenizer};
use crate::weights::{LoadReport, WeightSource, with_adapter};

/// Largest `generation_config.json` that is read, in bytes.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// Architectures that generate, with their configuration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GeneratorArchitecture {
    /// Writes summaries.
    Bart(BartConfig),
    /// Translates between residues and structure states: ProstT5.
    T5(T5Config),
}

impl GeneratorArchitecture {
    fn from_config(config: &serde_json::Value) -> Result<Self, ModelError> {
        match config.get("model_type").and_then(serde_json::Value::as_str) {
            Some("bart") => Ok(Self::Bart(BartConfig::from_json(config)?)),
            Some("t5") => Ok(Self::T5(T5Config::from_json(config)?)),
            other => {
                let other = other.unwrap_or("none");
                Err(ModelError::new(
                    ModelErrorKind::UnknownArchitecture,
                    format!("config.json: `{other}` is not a model that writes text"),
                )
                .with_hint(
                    "built in: bart (bart-large-cnn, bart-large-xsum, distilbart), t5 (ProstT5)",
                ))
            }
        }
    }

    fn vocabulary(&self) -> usize {
        match self {
            Self::Bart(config) => config.vocabulary,
            Self::T5(config) => config.vocabulary,
        }
    }
}

/// Configuration, tokenizer, settings and weights of a model that generates.
pub struct GeneratorFiles {
    name: String,
    architecture: GeneratorArchitecture,
    tokenizer: TextTokenizer,
    settings: GenerationSettings,
    source: Box<dyn WeightSource>,
}

impl GeneratorFiles {
    /// Reads configuration, vocabulary, settings and the tensors' headers of a checkpoint in the
    /// layout of Hugging Face.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files; no weight is read yet.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        GeneratorFiles::open_with(path, Preprocessing::default())
    }

    /// The same; `preprocessing` is what ProstT5 does to residues.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, preprocessing: Preprocessing) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(path)?;
        let directory = checkpoint.directory();
        let config = checkpoint.config().ok_or_else(|| {
            ModelError::new(
                ModelErrorKind::NotFound,
                format!("{}: there is no config.json", directory.display()),
            )
            .with_hint("a model is a directory with config.json beside its weights")
        })?;
        let architecture = GeneratorArchitecture::from_config(config)?;
        let generation = read_settings(&directory.join("generation_config.json"))?;
        let settings = settings_from_json(generation.as_ref(), config)?;
        let (tokenizer, vocabulary) = match architecture {
            GeneratorArchitecture::Bart(_) => {
                let path = directory.join("tokenizer.json");
                let tokenizer = ByteLevelTokenizer::from_file(&path)?;
                (TextTokenizer::ByteLevel(Arc::new(tokenizer)), path)
            }
            GeneratorArchitecture::T5(_) => {
                let path = directory.join("spiece.model");
                let tokenizer = if path.exists() {
                    ProstT5Tokenizer::from_directory(directory, preprocessing)?
                } else {
                    ProstT5Tokenizer::published(preprocessing)
                };
                (TextTokenizer::ProstT5(Arc::new(tokenizer)), path)
            }
        };
        if tokenizer.len() > architecture.vocabulary() {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: {} tokens are more than the {} of config.json",
                    vocabulary.display(),
                    tokenizer.len(),
                    architecture.vocabulary()
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
            architecture,
            tokenizer,
            settings,
            source: with_adapter(checkpoint)?,
        })
    }

    /// The same model under another name, for example the hub's.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The files that it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        self.checkpoint.files()
    }

    /// The name users know it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The architecture and its configuration.
    pub fn architecture(&self) -> &GeneratorArchitecture {
        &self.architecture
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The settings that the model comes with.
    pub fn settings(&self) -> &GenerationSettings {
        &self.settings
    }

    /// Longest source, in tokens, special ones included.
    pub fn max_source_tokens(&self) -> usize {
        match &self.architecture {
            GeneratorArchitecture::Bart(config) => config.positions,
            GeneratorArchitecture::T5(_) => t5::DEFAULT_TOKENS,
        }
    }

    /// A hash of the weights: equal for equal tensors, however they are stored.
    ///
    /// # Errors
    ///
    /// When the weights can not be read.
    pub fn content_hash(&self) -> Result<String, ModelError> {
        self.source.content_hash()
    }

    /// The same, without reading weights again that were hashed before and have not changed since:
    /// see [`Checkpoint::remembered_hash`](crate::checkpoint::Checkpoint::remembered_hash).
    ///
    /// # Errors
    ///
    /// As [`content_hash`](Self::content_hash).
    pub fn remembered_hash(&self) -> Result<String, ModelError> {
        self.source.remembered_hash()
    }

    /// The tensors.
    pub fn weights(&self) -> &dyn WeightSource {
        &*self.source
    }

    /// Compares the tensors with the configuration, as loading does, without loading.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn check(&self) -> Result<(GeneratorInfo, LoadReport), ModelError> {
        let device = PlanDevice::new(Arc::new(Nothing));
        let (model, report) = self.load(&device, DType::F32)?;
        Ok((model.info().clone(), report))
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
        match &self.architecture {
            GeneratorArchitecture::Bart(config) => {
                let (model, report) = Bart::load(device, &*self.source, config.clone(), dtype)?;
                Ok((Arc::new(model), report))
            }
            GeneratorArchitecture::T5(config) => {
                let (model, report) =
                    T5Translator::load(device, &*self.source, config.clone(), dtype)?;
                Ok((Arc::new(model), report))
            }
        }
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
