//! Checkpoints of real size with random weights, to measure and to try things with where the
//! published weights are not at hand.

pub(crate) mod merges;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::f16;
use serde_json::{Map, Value, json};

use crate::error::{ModelError, ModelErrorKind};
use crate::family;
use crate::tokenizer::{EsmTokenizer, byte_characters};
use crate::weights::{RandomWeights, WeightSource};

/// What is written for a model: all but the values of its tensors.
pub(crate) struct Synthetic {
    pub(crate) config: Value,
    /// Further files, with their contents.
    pub(crate) beside: Vec<(&'static str, Vec<u8>)>,
    pub(crate) tensors: Shapes,
    /// A head in a file of its own: its place and its tensors.
    pub(crate) head: Option<(&'static str, Shapes)>,
    pub(crate) format: FloatFormat,
}

pub(crate) type Shapes = Vec<(String, Vec<usize>)>;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatFormat {
    F32,
    F16,
}

impl Synthetic {
    /// A configuration without tensors.
    pub(crate) fn of(config: Value) -> Self {
        Synthetic {
            config,
            beside: Vec::new(),
            tensors: Vec::new(),
            head: None,
            format: FloatFormat::F32,
        }
    }
}

/// A byte-level `tokenizer.json` without merges: a token for each byte.
pub(crate) fn bytes() -> Value {
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(str::to_owned);
    let bytes = byte_characters().map(|character| character.to_string());
    let vocabulary: Map<String, Value> = special
        .iter()
        .chain(&bytes)
        .zip(0..)
        .map(|(token, id): (&String, u32)| (token.clone(), json!(id)))
        .collect();
    let added: Vec<Value> = special
        .iter()
        .zip(0..)
        .map(|(content, id): (&String, u32)| json!({ "id": id, "content": content }))
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false },
        "post_processor": { "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0] },
        "decoder": { "type": "ByteLevel" },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] }
    })
}

/// `tokenizer.json` with a token for each letter of ESM-2's vocabulary.
pub(crate) fn letters(esm: &EsmTokenizer) -> Value {
    let special = ["<pad>", "<unk>", "<cls>", "<eos>", "<mask>"].map(str::to_owned);
    let residues = esm
        .tokens()
        .iter()
        .filter(|token| matches!(token.as_bytes(), [b'A'..=b'Z']));
    let vocabulary: Map<String, Value> = special
        .iter()
        .chain(residues)
        .zip(0..)
        .map(|(token, id): (&String, u32)| (token.clone(), json!(id)))
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": { "Regex": "" },
            "behavior": "Isolated",
            "invert": false
        },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" }
    })
}

/// Tensors are made and written in blocks of about this many values, so that memory stays small.
const BLOCK_VALUES: usize = 1 << 20;

/// Writes `config.json`, the tokenizer and `model.safetensors` of the published size of `name`
/// into `directory`, with random weights that follow from `seed`. Returns the bytes of the weights.
///
/// Files appear under their names only when they are whole.
///
/// # Errors
///
/// `NotFound` for a name of unknown size, `Unreadable` when a file can not be written.
pub fn synthesize(name: &str, seed: u64, directory: &Path) -> Result<u64, ModelError> {
    let plan = family::synthetic(name, seed).ok_or_else(|| {
        ModelError::new(
            ModelErrorKind::NotFound,
            format!("no size is known for `{name}`"),
        )
        .with_hint(format!(
            "one of {}",
            family::sizes().collect::<Vec<_>>().join(", ")
        ))
    })?;
    let weights = RandomWeights::new(seed, plan.tensors);
    let failed = |path: &Path, error: std::io::Error| {
        ModelError::new(
            ModelErrorKind::Unreadable,
            format!("can not write {}: {error}", path.display()),
        )
        .with_source(error)
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let path = directory.join("model.safetensors");
    let mut bytes = write_safetensors(&weights, plan.format, &path)?;
    if let Some((place, shapes)) = plan.head {
        let path = directory.join(place);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        }
        let weights = RandomWeights::new(seed, shapes);
        bytes += write_safetensors(&weights, FloatFormat::F32, &path)?;
    }
    let config_text = format!("{:#}\n", plan.config);
    let readme = format!(
        "Random weights in the size of {name}, made by `sessile models synthesize` (seed {seed}).\n\
         Untrained: for measuring and trying things out.\n"
    );
    let texts = [
        ("config.json", config_text.into_bytes()),
        ("README.md", readme.into_bytes()),
    ];
    for (file, text) in texts.into_iter().chain(plan.beside) {
        let path = directory.join(file);
        write_whole(&path, |out| out.write_all(&text)).map_err(|error| failed(&path, error))?;
    }
    Ok(bytes)
}

/// Writes a file under a temporary name, syncs it and gives it its name.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".tmp");
    let partial = PathBuf::from(partial);
    let result = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        write(&mut out)?;
        out.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        fs::rename(&partial, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&partial);
    }
    result
}

/// Writes all tensors, in name order (the safetensors format: the header's length in eight
/// bytes, the header as JSON, the values).
fn write_safetensors(
    weights: &RandomWeights,
    format: FloatFormat,
    path: &Path,
) -> Result<u64, ModelError> {
    let (size, name_of_format) = match format {
        FloatFormat::F32 => (4, "F32"),
        FloatFormat::F16 => (2, "F16"),
    };
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut end = 0_u64;
    for name in weights.names() {
        let shape = weights.shape(name).unwrap_or_default();
        let bytes = size * shape.iter().product::<usize>() as u64;
        header.insert(
            name.to_owned(),
            json!({ "dtype": name_of_format, "shape": shape, "data_offsets": [end, end + bytes] }),
        );
        end += bytes;
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    write_whole(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        let mut values = Vec::new();
        let mut bytes = Vec::new();
        for name in weights.names() {
            let rows = weights.rows(name).map_err(std::io::Error::other)?;
            let block = (BLOCK_VALUES / rows.cols()).max(1);
            let mut first = 0;
            while first < rows.rows() {
                let count = block.min(rows.rows() - first);
                values.resize(count * rows.cols(), 0.0);
                rows.read_rows(first, &mut values)
                    .map_err(std::io::Error::other)?;
                bytes.clear();
                match format {
                    FloatFormat::F32 => {
                        bytes.extend(values.iter().flat_map(|value: &f32| value.to_le_bytes()));
                    }
                    FloatFormat::F16 => bytes.extend(
                        values
                            .iter()
                            .flat_map(|&value| f16::from_f32(value).to_le_bytes()),
                    ),
                }
                out.write_all(&bytes)?;
                first += count;
            }
        }
        Ok(())
    })
    .map_err(|error| {
        ModelError::new(
            ModelErrorKind::Unreadable,
            format!("can not write {}: {error}", path.display()),
        )
        .with_source(error)
    })?;
    Ok(end)
}

/// `vocab.txt` of BERT with these words, and made-up ones until there are `len` tokens.
pub(crate) fn words(words: &[&str], len: usize) -> String {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let known = special.iter().chain(words).map(|word| (*word).to_owned());
    let mut lines: Vec<String> = known.collect();
    let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    lines.extend(letters.take(len.saturating_sub(lines.len())));
    let more = lines.len()..len;
    lines.extend(more.map(|number| format!("##{number}")));
    lines.join("\n") + "\n"
}
