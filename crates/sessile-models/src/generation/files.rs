//! A model that generates as it is found: configuration, tokenizer, settings and weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile_device::{DType, DecodingLane, Device, GenerationSettings, PlanDevice};

use super::{GeneratorInfo, SequenceToSequence, settings_from_json};
use crate::bart::{Bart, BartConfig};
use crate::checkpoint::Checkpoint;
use crate::error::{ModelError, ModelErrorKind};
use crate::model::{FILES, Nothing};
use crate::small_file;
use crate::t5::{self, T5Config, T5Translator};
use crate::tokenizer::{ByteLevelTokenizer, Preprocessing, ProstT5Tokenizer, TextTokenizer};
use crate::weights::{LoadReport, WeightSource, with_adapter};

/// Where a model has its settings.
const SETTINGS_FILE: &str = "generation_config.json";

/// Largest `generation_config.json` that is read, in bytes.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;

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

    /// Tokens that it has a row for.
    pub fn vocabulary(&self) -> usize {
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
    fingerprint: String,
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
        let generation =
            small_file::object_if_there(&directory.join(SETTINGS_FILE), MAX_SETTINGS_BYTES)?;
        let settings = settings_from_json(generation.as_ref(), config)?;
        let tokenizer = match architecture {
            GeneratorArchitecture::Bart(_) => {
                let tokenizer = ByteLevelTokenizer::from_directory(directory)?;
                TextTokenizer::ByteLevel(Arc::new(tokenizer))
            }
            GeneratorArchitecture::T5(_) => {
                let tokenizer = ProstT5Tokenizer::from_directory(directory, preprocessing)?;
                TextTokenizer::ProstT5(Arc::new(tokenizer))
            }
        };
        let rows = architecture.vocabulary();
        let mismatch = |what: String| {
            let message = format!(
                "{}: {what}, config.json has only {rows} tokens",
                directory.display()
            );
            Err(ModelError::new(ModelErrorKind::Mismatch, message))
        };
        if let Some(token) = tokenizer.usual_beyond(rows) {
            return mismatch(format!("the vocabulary has token {token}"));
        }
        if let Some((name, token)) = settings
            .named_tokens()
            .find(|&(_, token)| token as usize >= rows)
        {
            return mismatch(format!("{name} has token {token}"));
        }
        let fingerprint = small_file::fingerprint(directory, &FILES)?;
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
            fingerprint,
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
        self.source.files()
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

    /// A hash of the files beside the weights that answers depend on: configuration, settings and
    /// tokenizer.
    pub fn files_hash(&self) -> &str {
        &self.fingerprint
    }

    /// Longest answer, in tokens, the start token included; none where the network has no limit.
    pub fn max_target_tokens(&self) -> Option<usize> {
        match &self.architecture {
            GeneratorArchitecture::Bart(config) => Some(config.positions),
            GeneratorArchitecture::T5(_) => None,
        }
    }

    /// Why the model cannot read these tokens, if so: see [`TextTokenizer::beyond`].
    pub fn beyond(&self, tokens: &[u32]) -> Option<String> {
        self.tokenizer
            .beyond(tokens, self.architecture.vocabulary())
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
