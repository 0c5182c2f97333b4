//! A model as it is found: configuration, tokenizer and weights, before it is on any device.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile_device::{DType, Device};

use crate::checkpoint::Checkpoint;
use crate::encoder::Encoder;
use crate::error::{ModelError, ModelErrorKind};
use crate::esm2::{Esm2, Esm2Config, tensor_shapes};
use crate::mosaic_bert::{self, MosaicBert, MosaicBertConfig};
use crate::tokenizer::{BpeTokenizer, EsmTokenizer, Tokenizer};
use crate::weights::{LoadReport, RandomWeights, WeightSource};

/// The name of the built-in demonstration model.
pub const DEMO: &str = "demo";

/// The seed of the demonstration model: its answers are the same everywhere.
const DEMO_SEED: u64 = 20_240_229;

/// No network in sight is wider, deeper or has more tokens than this: larger numbers come from a
/// damaged file, and allocations follow these numbers.
const LARGEST_EXTENT: usize = 1 << 20;

/// Refuses numbers of a `config.json` that no network has.
pub(crate) fn check_extents(extents: &[(&str, usize)]) -> Result<(), ModelError> {
    match extents
        .iter()
        .find(|(_, value)| !(1..=LARGEST_EXTENT).contains(value))
    {
        None => Ok(()),
        Some((name, value)) => Err(ModelError::new(
            ModelErrorKind::Malformed,
            format!("config.json: {name} can not be {value}"),
        )),
    }
}

/// Architectures that are built in, with their configuration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Architecture {
    /// A protein language model.
    Esm2(Esm2Config),
    /// A nucleotide language model: DNABERT-2 and DNABERT-S.
    MosaicBert(MosaicBertConfig),
}

impl Architecture {
    /// Recognises an architecture by `model_type` of a `config.json`.
    ///
    /// # Errors
    ///
    /// `UnknownArchitecture`, or what the architecture says of its configuration.
    pub fn from_config(config: &serde_json::Value) -> Result<Self, ModelError> {
        match config.get("model_type").and_then(serde_json::Value::as_str) {
            Some("esm") => Ok(Architecture::Esm2(Esm2Config::from_json(config)?)),
            Some("bert") if MosaicBertConfig::recognises(config) => Ok(Architecture::MosaicBert(
                MosaicBertConfig::from_json(config)?,
            )),
            Some(other) => Err(ModelError::new(
                ModelErrorKind::UnknownArchitecture,
                format!("config.json: the architecture `{other}` is not built in"),
            )
            .with_hint("built in: esm (ESM-2), bert with ALiBi (DNABERT-2, DNABERT-S)")),
            None => Err(ModelError::new(
                ModelErrorKind::Malformed,
                "config.json: there is no model_type",
            )),
        }
    }

    /// The longest sequence the model was made for, in tokens with special ones.
    pub fn default_max_tokens(&self) -> usize {
        match self {
            // The position table counts from 2: 1,026 rows are 1,024 residues and both ends.
            Architecture::Esm2(config) => config.positions,
            Architecture::MosaicBert(_) => mosaic_bert::DEFAULT_TOKENS,
        }
    }

    /// Tokens in the vocabulary of the weights.
    pub fn vocabulary(&self) -> usize {
        match self {
            Architecture::Esm2(config) => config.vocabulary,
            Architecture::MosaicBert(config) => config.vocabulary,
        }
    }

    /// Whether sequences are nucleotides; else they are residues.
    pub fn reads_nucleotides(&self) -> bool {
        matches!(self, Architecture::MosaicBert(_))
    }
}

/// A model's configuration, tokenizer and weights.
pub struct ModelFiles {
    name: String,
    architecture: Architecture,
    tokenizer: Tokenizer,
    source: Box<dyn WeightSource>,
    is_demo: bool,
}

impl ModelFiles {
    /// The built-in demonstration model: a small ESM-2 with random weights made in memory. It has
    /// learned nothing; it is for trying things out.
    pub fn demo() -> Self {
        let config = Esm2Config::of_size(4, 128, 4);
        let source = RandomWeights::new(DEMO_SEED, tensor_shapes(&config));
        ModelFiles {
            name: DEMO.to_owned(),
            architecture: Architecture::Esm2(config),
            tokenizer: Tokenizer::Esm(EsmTokenizer::default()),
            source: Box::new(source),
            is_demo: true,
        }
    }

    /// Reads configuration, vocabulary and the tensors' headers of a checkpoint: a directory in
    /// the layout of Hugging Face, or a single file.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files; no weight is read yet.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(path)?;
        let config = checkpoint.config().ok_or_else(|| {
            ModelError::new(
                ModelErrorKind::NotFound,
                format!(
                    "{}: there is no config.json",
                    checkpoint.directory().display()
                ),
            )
            .with_hint("a model is a directory with config.json beside its weights")
        })?;
        let architecture = Architecture::from_config(config)?;
        let (tokenizer, vocabulary) = open_tokenizer(&architecture, checkpoint.directory())?;
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
        let name = path
            .canonicalize()
            .ok()
            .as_deref()
            .unwrap_or(path)
            .file_name()
            .map_or_else(
                || path.display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            );
        Ok(ModelFiles {
            name,
            architecture,
            tokenizer,
            source: Box::new(checkpoint),
            is_demo: false,
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

    /// Whether this is the untrained demonstration model.
    pub fn is_demo(&self) -> bool {
        self.is_demo
    }

    /// The architecture and its configuration.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The tensors.
    pub fn weights(&self) -> &dyn WeightSource {
        &*self.source
    }

    /// A hash of the weights: equal for equal tensors, however they are stored.
    ///
    /// # Errors
    ///
    /// When the weights can not be read.
    pub fn content_hash(&self) -> Result<String, ModelError> {
        self.source.content_hash()
    }

    /// Packs the weights onto a device, for sequences of up to `max_tokens` tokens.
    ///
    /// # Errors
    ///
    /// When tensors are missing, do not fit the configuration, can not be read or do not fit the
    /// device.
    pub fn load<D: Device>(
        &self,
        device: &D,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<(Arc<dyn Encoder<D>>, LoadReport), ModelError> {
        match &self.architecture {
            Architecture::Esm2(config) => {
                let (model, report) =
                    Esm2::load(device, &*self.source, config.clone(), dtype, max_tokens)?;
                Ok((model.into_encoder(), report))
            }
            Architecture::MosaicBert(config) => {
                let (special, mask) = match &self.tokenizer {
                    Tokenizer::Bpe(bpe) => (bpe.special_tokens(), bpe.mask()),
                    _ => ((1, 1), None),
                };
                let (model, report) = MosaicBert::load(
                    device,
                    &*self.source,
                    config.clone(),
                    special,
                    mask,
                    dtype,
                    max_tokens,
                )?;
                Ok((model.into_encoder(), report))
            }
        }
    }
}

/// The tokenizer of an architecture, and the file it comes from.
fn open_tokenizer(
    architecture: &Architecture,
    directory: &Path,
) -> Result<(Tokenizer, PathBuf), ModelError> {
    match architecture {
        Architecture::Esm2(_) => {
            let path = directory.join("vocab.txt");
            let tokenizer = if path.exists() {
                EsmTokenizer::from_vocabulary(&path)?
            } else {
                EsmTokenizer::default()
            };
            Ok((Tokenizer::Esm(tokenizer), path))
        }
        Architecture::MosaicBert(_) => {
            let path = directory.join("tokenizer.json");
            Ok((
                Tokenizer::Bpe(Arc::new(BpeTokenizer::from_file(&path)?)),
                path,
            ))
        }
    }
}
