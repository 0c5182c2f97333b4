//! A model as it is found: configuration, tokenizer and weights, before it is on any device.

mod config;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile_device::{
    AttentionShape, DType, Device, Epilogue, Format, GenerationSettings, Geometry, PlanDevice,
    WeightLayout,
};

use crate::checkpoint::Checkpoint;
use crate::encoder::{Encoder, ModelInfo};
use crate::error::{ModelError, ModelErrorKind};
use crate::esm2::{Esm2Config, tensor_shapes};
use crate::family::{
    self, Alphabet, Architecture, Description, HeadFile, Parts, Writing, writes_nothing,
};
use crate::generation::{SequenceToSequence, settings_from_json};
use crate::modern_bert::HeadMap;
use crate::small_file;
use crate::tokenizer::{EsmTokenizer, Preprocessing, TextTokenizer, Tokenizer};
use crate::weights::{LoadReport, RandomWeights, WeightSource, with_adapter};

pub(crate) use config::{BuiltIn, check_extents, parse};

/// The name of the built-in demonstration model.
pub const DEMO: &str = "demo";

/// The seed of the demonstration model: its answers are the same everywhere.
const DEMO_SEED: u64 = 20_240_229;

/// The files beside the weights that answers depend on.
pub(crate) const FILES: [&str; 10] = [
    "config.json",
    SETTINGS_FILE,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
];

/// Where a model that writes has its settings.
const SETTINGS_FILE: &str = "generation_config.json";

/// Largest `generation_config.json` that is read, in bytes.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;

/// What may be said of a model beside its path.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The file of a head that is published apart from the model: the 3Di head of ProstT5, which is
    /// found beside the model where none is named; for ModernBERT one more head of states.
    pub head: Option<PathBuf>,
    /// Which tensors of the checkpoint are the heads, for ModernBERT; found by shape where there
    /// is no map.
    pub head_map: Option<HeadMap>,
    /// The folder of a LoRA adapter, whose matrices are added to the weights.
    pub adapter: Option<PathBuf>,
    /// What is done to residues before they are tokens, for the models that read 3Di.
    pub preprocessing: Preprocessing,
}

/// A model's configuration, tokenizer and weights.
pub struct Model {
    name: String,
    architecture: Architecture,
    description: Description,
    tokenizer: Tokenizer,
    source: Box<dyn WeightSource>,
    /// The weights of a head that lies in a file of its own.
    head: Option<Box<dyn WeightSource>>,
    head_map: Option<HeadMap>,
    /// What it writes, and how unless something else is asked for.
    writes: Option<(Writing, TextTokenizer, GenerationSettings)>,
    files: String,
    is_demo: bool,
}

impl Model {
    /// The built-in demonstration model: a small ESM-2 with random weights made in memory. It has
    /// learned nothing; it is for trying things out.
    pub fn demo() -> Self {
        let config = Esm2Config::of_size(4, 128, 4);
        let source = RandomWeights::new(DEMO_SEED, tensor_shapes(&config));
        let architecture = Architecture::Esm2(config);
        Model {
            name: DEMO.to_owned(),
            description: architecture.description(),
            architecture,
            tokenizer: Tokenizer::Esm(EsmTokenizer::default()),
            source: Box::new(source),
            head: None,
            head_map: None,
            writes: None,
            files: String::new(),
            is_demo: true,
        }
    }

    /// Reads configuration, vocabulary, settings and the tensors' headers of a checkpoint: a
    /// directory in the layout of Hugging Face, or a single file.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files; no weight is read yet.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Model::open_with(path, &OpenOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also when a head is named for a model that takes none.
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(path)?;
        let directory = checkpoint.directory().to_owned();
        let config = match checkpoint.config() {
            Some(config) => config.clone(),
            None => family::config_of(&checkpoint).ok_or_else(|| {
                ModelError::new(
                    ModelErrorKind::NotFound,
                    format!("{}: there is no config.json", directory.display()),
                )
                .with_hint("a model is a directory with config.json beside its weights")
            })?,
        };
        let architecture = Architecture::from_config(&config)?;
        let description = architecture.description();
        let tokenizer = architecture.tokenizer(&directory, options.preprocessing)?;
        let rows = description.vocabulary;
        if let Some(token) = tokenizer.beyond(rows) {
            return Err(too_few(&directory, "the vocabulary", token, rows));
        }
        let head = open_head(&architecture, &directory, options)?;
        if let (Some(_), Tokenizer::ProstT5(tokenizer)) = (&head, &tokenizer) {
            tokenizer.check_residues(&directory)?;
        }
        let writes = match (architecture.writes(&checkpoint), tokenizer.text()) {
            (Some(writing), Some(text)) => {
                let settings = small_file::object_if_there(
                    &directory.join(SETTINGS_FILE),
                    MAX_SETTINGS_BYTES,
                )?;
                let settings = settings_from_json(settings.as_ref(), &config)?;
                let beyond = |&(_, token): &(_, u32)| token as usize >= rows;
                if let Some((name, token)) = settings.named_tokens().find(beyond) {
                    return Err(too_few(&directory, name, token, rows));
                }
                Some((writing, text, settings))
            }
            _ => None,
        };
        let files = small_file::fingerprint(&directory, &FILES)?;
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
        Ok(Model {
            name,
            architecture,
            description,
            tokenizer,
            source: with_adapter(checkpoint, options.adapter.as_deref())?,
            head,
            head_map: options.head_map.clone(),
            writes,
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

    /// What its configuration says of it.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What sequences are made of.
    pub fn alphabet(&self) -> Alphabet {
        self.tokenizer.alphabet()
    }

    /// All of its configuration, as a text that is equal for equal configurations.
    pub fn configuration(&self) -> String {
        format!("{:?}", self.architecture)
    }

    /// What it writes, if it has a decoder.
    pub fn writes(&self) -> Option<Writing> {
        self.writes.as_ref().map(|(writing, ..)| *writing)
    }

    /// The tokenizer of what it writes.
    ///
    /// # Errors
    ///
    /// `UnknownArchitecture` when it writes nothing.
    pub fn text_tokenizer(&self) -> Result<&TextTokenizer, ModelError> {
        match &self.writes {
            Some((_, text, _)) => Ok(text),
            None => Err(writes_nothing(&self.description)),
        }
    }

    /// How it writes unless something else is asked for.
    ///
    /// # Errors
    ///
    /// `UnknownArchitecture` when it writes nothing.
    pub fn settings(&self) -> Result<&GenerationSettings, ModelError> {
        match &self.writes {
            Some((.., settings)) => Ok(settings),
            None => Err(writes_nothing(&self.description)),
        }
    }

    /// Why it cannot read a text of these tokens, if so: see [`TextTokenizer::beyond`].
    pub fn beyond(&self, tokens: &[u32]) -> Option<String> {
        let (_, text, _) = self.writes.as_ref()?;
        text.beyond(tokens, self.description.vocabulary)
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
    /// use sessile_models::Model;
    ///
    /// let (info, report) = Model::demo().check()?;
    /// assert_eq!(info.layers, 4);
    /// assert!(report.ignored.is_empty());
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn check(&self) -> Result<(ModelInfo, LoadReport), ModelError> {
        let device = PlanDevice::new(Arc::new(Nothing));
        let max_tokens = self.description.max_tokens;
        let (model, report) = self.load(&device, DType::F32, max_tokens)?;
        Ok((model.info().clone(), report))
    }

    /// The same of a model that writes.
    ///
    /// # Errors
    ///
    /// As [`load_writer`](Self::load_writer).
    pub fn check_writer(&self) -> Result<(ModelInfo, LoadReport), ModelError> {
        let device = PlanDevice::new(Arc::new(Nothing));
        let (model, report) = self.load_writer(&device, DType::F32)?;
        Ok((model.info().clone(), report))
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            source: &*self.source,
            head: self.head(),
            head_map: self.head_map.as_ref(),
            tokenizer: &self.tokenizer,
        }
    }

    /// Packs the weights of the encoder onto a device, for sequences of up to `max_tokens` tokens.
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
        self.architecture
            .load_encoder(device, &self.parts(), dtype, max_tokens)
    }

    /// Packs the weights of encoder and decoder onto a device.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); `UnknownArchitecture` when it writes nothing.
    pub fn load_writer<D: Device>(
        &self,
        device: &D,
        dtype: DType,
    ) -> Result<(Arc<dyn SequenceToSequence<D>>, LoadReport), ModelError> {
        self.architecture.load_writer(device, &self.parts(), dtype)
    }
}

/// The error for a token without an embedding.
fn too_few(directory: &Path, what: &str, token: u32, rows: usize) -> ModelError {
    ModelError::new(
        ModelErrorKind::Mismatch,
        format!(
            "{}: {what} has token {token}, config.json has only {rows} tokens",
            directory.display()
        ),
    )
}

/// The weights of the head that is named, or that lies beside a model that has one apart.
fn open_head(
    architecture: &Architecture,
    directory: &Path,
    options: &OpenOptions,
) -> Result<Option<Box<dyn WeightSource>>, ModelError> {
    let path = match (architecture.head_file(), &options.head) {
        (HeadFile::None, Some(path)) => {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                format!("{}: the model takes no head from a file", path.display()),
            ));
        }
        (_, Some(path)) => Some(path.clone()),
        (HeadFile::Beside(places), None) => places
            .iter()
            .map(|place| directory.join(place))
            .find(|path| path.is_file()),
        (HeadFile::None | HeadFile::Named, None) => None,
    };
    let open = |path: PathBuf| -> Result<Box<dyn WeightSource>, ModelError> {
        Ok(Box::new(Checkpoint::open(&path)?))
    };
    path.map(open).transpose()
}

/// Sizes of a device that holds nothing: loading onto it is a check.
struct Nothing;

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
