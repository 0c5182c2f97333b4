//! A model as it is found: configuration, tokenizer and weights, before it is on any device.

mod architecture;
mod config;
mod head;
mod tokenizers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile_device::{
    AttentionShape, DType, Device, Epilogue, Format, Geometry, PlanDevice, WeightLayout,
};

use crate::checkpoint::Checkpoint;
use crate::encoder::{Encoder, ModelInfo};
use crate::error::{ModelError, ModelErrorKind};
use crate::esm2::{Esm2, Esm2Config, tensor_shapes};
use crate::modern_bert::{HeadMap, ModernBert};
use crate::mosaic_bert::MosaicBert;
use crate::small_file;
use crate::t5::T5;
use crate::tokenizer::{EsmTokenizer, Preprocessing, Tokenizer};
use crate::weights::{LoadReport, RandomWeights, WeightSource, with_adapter};

pub use architecture::Architecture;
pub(crate) use architecture::check_extents;
pub(crate) use config::{BuiltIn, parse};
pub(crate) use tokenizers::FILES;

/// The name of the built-in demonstration model.
pub const DEMO: &str = "demo";

/// The seed of the demonstration model: its answers are the same everywhere.
const DEMO_SEED: u64 = 20_240_229;

/// What may be said of a model beside its path.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The file of a head that is published apart from the model: the 3Di head of ProstT5, which is
    /// found beside the model where none is named; for ModernBERT one more head of states.
    pub head: Option<PathBuf>,
    /// Which tensors of the checkpoint are the heads, for ModernBERT; found by shape where there
    /// is no map.
    pub head_map: Option<HeadMap>,
    /// What is done to residues before they are tokens, for the models that read 3Di.
    pub preprocessing: Preprocessing,
}

/// A model's configuration, tokenizer and weights.
pub struct ModelFiles {
    name: String,
    architecture: Architecture,
    tokenizer: Tokenizer,
    source: Box<dyn WeightSource>,
    /// The weights of a head that lies in a file of its own.
    head: Option<Box<dyn WeightSource>>,
    head_map: Option<HeadMap>,
    files: String,
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
            head: None,
            head_map: None,
            files: String::new(),
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
        ModelFiles::open_with(path, &OpenOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also when a head is named for a model that takes none.
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, ModelError> {
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
        let directory = checkpoint.directory();
        let (tokenizer, vocabulary) =
            tokenizers::open(&architecture, directory, options.preprocessing)?;
        let head = open_head(&architecture, directory, options)?;
        let rows = architecture.vocabulary();
        if let Some(token) = tokenizer.beyond(rows) {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: the vocabulary has token {token}, config.json has only {rows} tokens",
                    vocabulary.display()
                ),
            ));
        }
        if let (Some(_), Tokenizer::ProstT5(tokenizer)) = (&head, &tokenizer) {
            tokenizer.check_residues(&vocabulary)?;
        }
        let files = small_file::fingerprint(directory, &FILES)?;
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
            source: with_adapter(checkpoint)?,
            head,
            head_map: options.head_map.clone(),
            files,
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

    /// The tensors of the head, where it lies in a file of its own.
    pub fn head(&self) -> Option<&dyn WeightSource> {
        self.head.as_deref()
    }

    /// The files that it is read from; none of the built-in model.
    pub fn files(&self) -> Vec<PathBuf> {
        let head = self.head.iter().flat_map(|head| head.files());
        self.source.files().into_iter().chain(head).collect()
    }

    /// A hash of the weights: equal for equal tensors, however they are stored.
    ///
    /// # Errors
    ///
    /// When the weights can not be read.
    pub fn content_hash(&self) -> Result<String, ModelError> {
        self.hash(|source| source.content_hash())
    }

    /// The same, without reading weights again that were hashed before and have not changed since:
    /// see [`Checkpoint::remembered_hash`](crate::checkpoint::Checkpoint::remembered_hash).
    ///
    /// # Errors
    ///
    /// As [`content_hash`](Self::content_hash).
    pub fn remembered_hash(&self) -> Result<String, ModelError> {
        self.hash(|source| source.remembered_hash())
    }

    fn hash(
        &self,
        of: impl Fn(&dyn WeightSource) -> Result<String, ModelError>,
    ) -> Result<String, ModelError> {
        let weights = of(&*self.source)?;
        Ok(match &self.head {
            None => weights,
            Some(head) => {
                let both = format!("{weights} {}", of(&**head)?);
                blake3::hash(both.as_bytes()).to_string()
            }
        })
    }

    /// A hash of the files beside the weights that answers depend on: configuration and tokenizer.
    pub fn files_hash(&self) -> &str {
        &self.files
    }

    /// Compares the tensors with the configuration, as loading does, without loading.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::ModelFiles;
    ///
    /// let (info, report) = ModelFiles::demo().check()?;
    /// assert_eq!(info.layers, 4);
    /// assert!(report.ignored.is_empty());
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn check(&self) -> Result<(ModelInfo, LoadReport), ModelError> {
        let device = PlanDevice::new(Arc::new(Nothing));
        let max_tokens = self.architecture.default_max_tokens();
        let (model, report) = self.load(&device, DType::F32, max_tokens)?;
        Ok((model.info().clone(), report))
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
                let (model, report) = MosaicBert::load(
                    device,
                    &*self.source,
                    config.clone(),
                    self.tokenizer.special_tokens(),
                    self.tokenizer.mask(),
                    dtype,
                    max_tokens,
                )?;
                Ok((model.into_encoder(), report))
            }
            Architecture::ModernBert(config) => {
                let (model, report) = ModernBert::load(
                    device,
                    &*self.source,
                    self.head(),
                    self.head_map.as_ref(),
                    config.clone(),
                    self.tokenizer.special_tokens(),
                    dtype,
                    max_tokens,
                )?;
                Ok((model.into_encoder(), report))
            }
            Architecture::T5(config) => {
                let (model, report) = T5::load(
                    device,
                    &*self.source,
                    self.head(),
                    config.clone(),
                    self.tokenizer.special_tokens(),
                    dtype,
                    max_tokens,
                )?;
                Ok((model.into_encoder(), report))
            }
        }
    }
}

/// The weights of the head that is named, or that lies beside a model that has one apart.
fn open_head(
    architecture: &Architecture,
    directory: &Path,
    options: &OpenOptions,
) -> Result<Option<Box<dyn WeightSource>>, ModelError> {
    let path = match (architecture, &options.head) {
        (Architecture::T5(_) | Architecture::ModernBert(_), Some(path)) => path.clone(),
        (Architecture::T5(_), None) => match head::beside(directory) {
            Some(path) => path,
            None => return Ok(None),
        },
        (_, None) => return Ok(None),
        (_, Some(path)) => {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!("{}: the model takes no head from a file", path.display()),
            ));
        }
    };
    Ok(Some(Box::new(Checkpoint::open(&path)?)))
}

/// Sizes of a device that holds nothing: loading onto it is a check.
pub(crate) struct Nothing;

impl Geometry for Nothing {
    fn buffer_bytes(&self, _: usize, _: usize, _: Format) -> usize {
        0
    }

    fn weight_bytes(&self, _: usize, _: usize, _: WeightLayout, _: DType) -> usize {
        0
    }

    fn attention_scratch_bytes(&self, _: &AttentionShape) -> usize {
        0
    }

    fn linear_scratch_bytes(&self, _: usize, _: usize, _: usize, _: Epilogue, _: DType) -> usize {
        0
    }
}
