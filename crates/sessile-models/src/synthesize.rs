//! Checkpoints of real size with random weights, to measure and to try things with where the
//! published weights are not at hand.

mod merges;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::f16;
use serde_json::{Map, Value, json};

use crate::bart::{self, BartConfig};
use crate::error::{ModelError, ModelErrorKind};
use crate::esm2::{self, Esm2Config};
use crate::modern_bert::{self, ModernBertConfig};
use crate::mosaic_bert::{self, MosaicBertConfig};
use crate::t5::{self, T5Config};
use crate::tokenizer::{EsmTokenizer, byte_characters};
use crate::weights::{RandomWeights, WeightSource};

/// Names of the models whose size is known.
pub const NAMES: [&str; 11] = [
    "esm2_t6_8M",
    "esm2_t12_35M",
    "esm2_t30_150M",
    "esm2_t33_650M",
    "esm2_t36_3B",
    "esm2_t48_15B",
    "dnabert_s",
    "prostt5",
    "prostt5_translator",
    "modernprost_50M",
    "bart_large_cnn",
];

/// What is written for a model: all but the values of its tensors.
struct Plan {
    config: Value,
    /// Files of the tokenizer, with their contents.
    tokenizer: Vec<(&'static str, Vec<u8>)>,
    shapes: Shapes,
    /// A head in a file of its own: its place and its tensors.
    head: Option<(&'static str, Shapes)>,
    format: FloatFormat,
}

type Shapes = Vec<(String, Vec<usize>)>;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FloatFormat {
    F32,
    F16,
}

impl Plan {
    fn of(name: &str, seed: u64) -> Option<Self> {
        if let Some(config) = Esm2Config::published(name) {
            let vocabulary = EsmTokenizer::default().tokens().join("\n");
            return Some(Plan {
                shapes: esm2::tensor_shapes(&config),
                tokenizer: vec![("vocab.txt", vocabulary.into_bytes())],
                config: config.to_json(),
                head: None,
                format: FloatFormat::F32,
            });
        }
        match name {
            "dnabert_s" => {
                let config = MosaicBertConfig::published();
                let tokenizer = merges::tokenizer(config.vocabulary, seed);
                // The published model has no head for masked tokens.
                let shapes = mosaic_bert::tensor_shapes(&config)
                    .into_iter()
                    .filter(|(name, _)| !name.starts_with("cls."))
                    .map(|(name, shape)| (name.replacen("bert.", "", 1), shape))
                    .collect();
                Some(Plan {
                    config: config.to_json(),
                    tokenizer: vec![("tokenizer.json", tokenizer.to_string().into_bytes())],
                    shapes,
                    head: None,
                    format: FloatFormat::F32,
                })
            }
            "prostt5" | "prostt5_translator" => {
                let config = T5Config::published();
                let mut shapes = t5::tensor_shapes(&config);
                if name == "prostt5_translator" {
                    shapes.extend(t5::decoder_shapes(&config));
                }
                Some(Plan {
                    shapes,
                    // The vocabulary is the published one, which is built in.
                    tokenizer: Vec::new(),
                    head: Some(("cnn/model.safetensors", t5::head_shapes(&config))),
                    config: config.to_json(),
                    // As Rostlab/ProstT5_fp16: half the size.
                    format: FloatFormat::F16,
                })
            }
            "modernprost_50M" => {
                let config = ModernBertConfig::of_50m();
                let mut shapes: Shapes = modern_bert::tensor_shapes(&config)
                    .into_iter()
                    .map(|(name, shape)| (format!("model.{name}"), shape))
                    .collect();
                let hidden = config.hidden;
                shapes.extend(
                    [
                        ("head.dense.weight", vec![hidden, hidden]),
                        ("head.norm.weight", vec![hidden]),
                        ("classifier.weight", vec![20, hidden]),
                        ("classifier.bias", vec![20]),
                        ("classifier_12st.weight", vec![12, hidden]),
                        ("classifier_12st.bias", vec![12]),
                    ]
                    .map(|(name, shape)| (name.to_owned(), shape)),
                );
                let tokenizer = letters(&EsmTokenizer::default());
                Some(Plan {
                    config: config.to_json(),
                    tokenizer: vec![("tokenizer.json", tokenizer.to_string().into_bytes())],
                    shapes,
                    head: None,
                    format: FloatFormat::F32,
                })
            }
            "bart_large_cnn" => {
                let config = BartConfig::large();
                let tokenizer = bytes();
                let settings = json!({
                    "decoder_start_token_id": 2,
                    "eos_token_id": 2,
                    "forced_bos_token_id": 0,
                    "forced_eos_token_id": 2,
                    "num_beams": 4,
                    "length_penalty": 2.0,
                    "min_length": 56,
                    "max_length": 142,
                    "no_repeat_ngram_size": 3,
                    "early_stopping": true,
                });
                Some(Plan {
                    shapes: bart::tensor_shapes(&config),
                    tokenizer: vec![
                        ("tokenizer.json", tokenizer.to_string().into_bytes()),
                        (
                            "generation_config.json",
                            format!("{settings:#}\n").into_bytes(),
                        ),
                    ],
                    config: config.to_json(),
                    head: None,
                    format: FloatFormat::F32,
                })
            }
            _ => None,
        }
    }
}

/// A byte-level `tokenizer.json` without merges: a token for each byte.
fn bytes() -> Value {
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
fn letters(esm: &EsmTokenizer) -> Value {
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
    let plan = Plan::of(name, seed).ok_or_else(|| {
        ModelError::new(
            ModelErrorKind::NotFound,
            format!("no size is known for `{name}`"),
        )
        .with_hint(format!("one of {}", NAMES.join(", ")))
    })?;
    let weights = RandomWeights::new(seed, plan.shapes);
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
    for (file, text) in texts.into_iter().chain(plan.tokenizer) {
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
