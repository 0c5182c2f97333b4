//! Feature files: a vector for every frame, and the names of the frames.
//!
//! | file | holds |
//! | --- | --- |
//! | `…_merged.pt` | `{'ids': […], 'data': [N, width]}`, and for training `'labels': [0 or 1]` |
//! | `…_DNABERT_S.pt` and `…_ESM.pt` | the two halves, joined here by name in the order of the first |
//! | `.safetensors` | `data` `[N, width]` and `ids`: names as UTF-8, one a line |
//! | `.parquet` | a column `id` and one of vectors, or two: `nucleotide` and `protein` |
//!
//! The `.pt` files are the original's. Vectors stay in their files and are read by rows.

mod joined;
mod parquet;
mod write;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile_device::RowSource;
use sessile_models::checkpoint::pickle::{Tensor, Value};
use sessile_models::checkpoint::{Checkpoint, TorchFile};
use sessile_models::{ModelError, ModelErrorKind};

pub use write::{FeatureRows, write_merged, write_nucleotide, write_protein};

/// Where the features of one file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureSource {
    /// A file with whole vectors.
    Merged(PathBuf),
    /// The two halves.
    Halves {
        /// Embeddings of nucleotides: `…_DNABERT_S.pt`.
        nucleotide: PathBuf,
        /// Embeddings of proteins: `…_ESM.pt`.
        protein: PathBuf,
    },
}

impl FeatureSource {
    /// Its files.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let (first, second) = match self {
            FeatureSource::Merged(path) => (path, None),
            FeatureSource::Halves {
                nucleotide,
                protein,
            } => (nucleotide, Some(protein)),
        };
        std::iter::once(first).chain(second)
    }
}

impl fmt::Display for FeatureSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FeatureSource::Merged(path) => path.display().fmt(f),
            FeatureSource::Halves { nucleotide, .. } => nucleotide.display().fmt(f),
        }
    }
}

/// What a feature file is.
enum Kind {
    Torch,
    Safetensors,
    Parquet,
}

impl Kind {
    /// By the file's first bytes, and by its name where these say nothing.
    fn of(path: &Path) -> Result<Self, ModelError> {
        let mut start = [0; 16];
        let read = File::open(path).and_then(|mut file| read_start(&mut file, &mut start));
        // What can not be read is told by whoever reads all of it.
        let start = &start[..read.unwrap_or(0)];
        let name = path.display().to_string();
        if start.starts_with(b"PAR1") {
            return Ok(Kind::Parquet);
        }
        let is_archive =
            start.starts_with(b"PK") && path.extension().is_none_or(|end| end != "npz");
        if is_archive || start.starts_with(b"\x80") {
            return Ok(Kind::Torch);
        }
        if start.starts_with(b"\x89HDF") {
            return Err(wrong(&name, "this is an HDF5 file").with_hint(KINDS));
        }
        if start.starts_with(b"\x93NUMPY") {
            return Err(wrong(&name, "this is a NumPy array without names").with_hint(KINDS));
        }
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("npz") => Err(wrong(&name, "this is a NumPy archive").with_hint(KINDS)),
            Some("safetensors") => Ok(Kind::Safetensors),
            Some("parquet" | "pq") => Ok(Kind::Parquet),
            // A header of JSON behind its length: safetensors under another name.
            _ if start.get(8) == Some(&b'{') => Ok(Kind::Safetensors),
            _ if matches!(start.first(), Some(b'{' | b'[' | b'>')) => {
                Err(wrong(&name, "this is text, not a feature file").with_hint(KINDS))
            }
            _ => Ok(Kind::Torch),
        }
    }
}

/// What to give instead of another file.
const KINDS: &str = "features are .pt files of VirNucPro, .safetensors with `data` and `ids`, or \
                     .parquet with `id` and vectors, as `sessile embed` writes it";

fn read_start(file: &mut File, start: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while read < start.len() {
        match file.read(&mut start[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// An open feature file.
pub struct Features {
    name: String,
    ids: Vec<String>,
    width: usize,
    /// Sizes of the halves, where they are known.
    nucleotide: Option<usize>,
    protein: Option<usize>,
    /// Bases of the chunks, where the file says so.
    chunk: Option<usize>,
    is_virus: Option<bool>,
    /// Frames that have one half only.
    incomplete: Vec<String>,
    data: Data,
}

enum Data {
    Torch {
        file: TorchFile,
        tensor: Arc<Tensor>,
    },
    Safetensors(Checkpoint),
    Memory(Vec<f32>),
}

/// The tensor of vectors in both formats.
const DATA: &str = "data";

/// The names of the frames in both formats.
const IDS: &str = "ids";

/// The key of the chunk length in the metadata of a safetensors file.
const CHUNK_KEY: &str = "chunk";

impl Features {
    /// Opens a feature file and reads its names.
    ///
    /// # Errors
    ///
    /// When it can not be read, is no feature file, or its names and vectors do not fit.
    pub fn open(source: &FeatureSource) -> Result<Self, ModelError> {
        let features = match source {
            FeatureSource::Halves {
                nucleotide,
                protein,
            } => joined::join(nucleotide, protein)?,
            FeatureSource::Merged(path) => match Kind::of(path)? {
                Kind::Safetensors => from_safetensors(path)?,
                Kind::Parquet => parquet::from_parquet(path)?,
                Kind::Torch => from_torch(path)?,
            },
        };
        if features.width == 0 {
            return Err(wrong(&features.name, "its vectors have no numbers"));
        }
        Ok(features)
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the frames, in order.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Numbers in a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers of the nucleotides' embedding, where that is known.
    pub fn nucleotide(&self) -> Option<usize> {
        self.nucleotide
    }

    /// Numbers of the protein's embedding, where that is known.
    pub fn protein(&self) -> Option<usize> {
        self.protein
    }

    /// Bases of the chunks, where the file says so.
    pub fn chunk(&self) -> Option<usize> {
        self.chunk
    }

    /// Whether all frames are of viruses, where the file says so.
    pub fn is_virus(&self) -> Option<bool> {
        self.is_virus
    }

    /// Frames that have one half only, and so no vector.
    pub fn incomplete(&self) -> &[String] {
        &self.incomplete
    }

    /// Reads whole vectors from `first` on.
    ///
    /// # Errors
    ///
    /// When the file can not be read.
    pub fn read(&self, first: usize, out: &mut [f32]) -> Result<(), ModelError> {
        match &self.data {
            Data::Torch { file, tensor } => file.read_rows(tensor, first, out),
            Data::Safetensors(checkpoint) => Ok(checkpoint.rows(DATA)?.read_rows(first, out)?),
            Data::Memory(data) => {
                let start = first * self.width;
                out.copy_from_slice(&data[start..start + out.len()]);
                Ok(())
            }
        }
    }
}

fn from_torch(path: &Path) -> Result<Features, ModelError> {
    let name = path.display().to_string();
    let file = TorchFile::open(path)?;
    let ids = names(&file, IDS, &name)?;
    let Some(Value::Tensor(tensor)) = file.value().get(DATA) else {
        return Err(half_hint(wrong(&name, "`data` is no tensor"), &file));
    };
    let &[rows, width] = tensor.shape.as_slice() else {
        return Err(wrong(&name, "`data` is not a matrix"));
    };
    check_count(&name, ids.len(), rows)?;
    let label = file
        .value()
        .get("labels")
        .and_then(Value::as_list)
        .and_then(|labels| labels.first()?.as_int());
    let is_virus = match label {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => {
            return Err(wrong(&name, &format!("`labels` says {other}, not 0 or 1")));
        }
    };
    let tensor = Arc::clone(tensor);
    Ok(Features {
        name,
        ids,
        width,
        nucleotide: None,
        protein: None,
        chunk: None,
        is_virus,
        incomplete: Vec::new(),
        data: Data::Torch { file, tensor },
    })
}

fn from_safetensors(path: &Path) -> Result<Features, ModelError> {
    let name = path.display().to_string();
    let checkpoint = Checkpoint::open(path)?;
    let header = sessile_models::checkpoint::safetensors::read_header(path)?;
    let Some(info) = checkpoint.tensor(DATA) else {
        return Err(wrong(&name, "there is no tensor `data`"));
    };
    let &[rows, width] = info.shape.as_slice() else {
        return Err(wrong(&name, "`data` is not a matrix"));
    };
    if checkpoint.tensor(IDS).is_none() {
        return Err(wrong(&name, "there is no tensor `ids`"));
    }
    // Bytes are read as numbers: each is below 256, and f32 holds it exactly.
    let bytes = checkpoint.rows(IDS)?.to_host()?.data;
    let bytes: Vec<u8> = bytes.into_iter().map(|byte| byte as u8).collect();
    let text = String::from_utf8(bytes).map_err(|_| wrong(&name, "`ids` is not UTF-8"))?;
    let ids: Vec<String> = text.lines().map(str::to_owned).collect();
    check_count(&name, ids.len(), rows)?;
    let count = |key: &str| header.metadata.get(key).and_then(|text| text.parse().ok());
    Ok(Features {
        ids,
        width,
        nucleotide: count("nucleotide"),
        protein: count("protein"),
        chunk: count(CHUNK_KEY),
        is_virus: count("label").map(|label| label == 1),
        incomplete: Vec::new(),
        data: Data::Safetensors(checkpoint),
        name,
    })
}

/// The list of names under a key.
fn names(file: &TorchFile, key: &str, name: &str) -> Result<Vec<String>, ModelError> {
    let Some(list) = file.value().get(key).and_then(Value::as_list) else {
        return Err(half_hint(
            wrong(name, &format!("there is no list `{key}`")),
            file,
        ));
    };
    list.iter()
        .map(|value| match value.as_str() {
            Some(id) if !id.contains(['\n', '\r', '\t']) => Ok(id.to_owned()),
            _ => Err(wrong(
                name,
                &format!("`{key}` holds something that is no name"),
            )),
        })
        .collect()
}

/// Says what a file is when it is one of the halves.
fn half_hint(error: ModelError, file: &TorchFile) -> ModelError {
    let hint = if file.value().get("nucleotide").is_some() {
        "this is a DNABERT-S file: give it with --nucleotide-features, and --protein-features \
         beside it"
    } else if file.value().get("proteins").is_some() {
        "this is an ESM file: give it with --protein-features, and --nucleotide-features beside it"
    } else {
        "a merged feature file holds `ids` and `data`"
    };
    error.with_hint(hint)
}

fn check_count(name: &str, ids: usize, rows: usize) -> Result<(), ModelError> {
    if ids == rows {
        return Ok(());
    }
    Err(wrong(name, &format!("{ids} names for {rows} vectors")))
}

fn wrong(name: &str, what: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Malformed, format!("{name}: {what}"))
}
