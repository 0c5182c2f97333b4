//! The tokenizer from the files of a checkpoint.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::protobuf::{Damaged, Field, Fields};
use super::unigram::{Kind, Piece, Unigram};
use super::{Preprocessing, ProstT5Tokenizer, SENTINELS};
use crate::error::{ModelError, ModelErrorKind};
use crate::tokenizer::file::AddedToken;

/// Largest file that is read, in bytes. The published model has a few hundred kilobytes.
const MAX_BYTES: u64 = 64 << 20;

/// Numbers of fields in `sentencepiece_model.proto`.
mod number {
    pub(super) const PIECES: u64 = 1;
    pub(super) const TRAINER: u64 = 2;
    pub(super) const PIECE_TEXT: u64 = 1;
    pub(super) const PIECE_SCORE: u64 = 2;
    pub(super) const PIECE_KIND: u64 = 3;
    pub(super) const MODEL_KIND: u64 = 3;
}

pub(super) fn read(
    directory: &Path,
    preprocessing: Preprocessing,
) -> Result<ProstT5Tokenizer, ModelError> {
    let path = directory.join("spiece.model");
    let bytes = read_file(&path)?;
    let pieces = pieces(&bytes, &path)?;
    let added = added(&directory.join("added_tokens.json"))?;
    let sentinels = sentinels(&directory.join("tokenizer_config.json"))?;
    ProstT5Tokenizer::new(Unigram::new(pieces), sentinels, added, preprocessing).map_err(
        |missing| {
            ModelError::new(
                ModelErrorKind::Unsupported,
                format!("{}: there is no token `{missing}`", directory.display()),
            )
            .with_hint("ProstT5 has it, in spiece.model or added_tokens.json")
        },
    )
}

fn malformed(path: &Path, what: impl std::fmt::Display) -> ModelError {
    ModelError::new(
        ModelErrorKind::Malformed,
        format!("{}: {what}", path.display()),
    )
}

fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ModelErrorKind::NotFound,
                _ => ModelErrorKind::Unreadable,
            };
            ModelError::new(kind, format!("can not read {}", path.display())).with_source(error)
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(malformed(path, "too long for a tokenizer"));
    }
    Ok(bytes)
}

/// The pieces of a sentencepiece model.
///
/// Its normalisation of characters is not applied: residues are ASCII letters, which it leaves
/// alone, and anything else is unknown either way.
fn pieces(bytes: &[u8], path: &Path) -> Result<Vec<Piece>, ModelError> {
    let damaged = |_: Damaged| malformed(path, "this is no sentencepiece model");
    let mut pieces = Vec::new();
    for field in Fields::of(bytes) {
        match field.map_err(damaged)? {
            (number::PIECES, Field::Bytes(message)) => {
                pieces.push(piece(message).map_err(damaged)?);
            }
            (number::TRAINER, Field::Bytes(message)) => {
                for field in Fields::of(message) {
                    if let (number::MODEL_KIND, Field::Varint(kind)) = field.map_err(damaged)?
                        && kind != 1
                    {
                        return Err(ModelError::new(
                            ModelErrorKind::Unsupported,
                            format!(
                                "{}: only unigram models of sentencepiece are supported",
                                path.display()
                            ),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    if pieces.is_empty() {
        return Err(malformed(path, "there are no pieces"));
    }
    Ok(pieces)
}

fn piece(message: &[u8]) -> Result<Piece, Damaged> {
    let mut piece = Piece::normal("", 0.0);
    for field in Fields::of(message) {
        match field? {
            (number::PIECE_TEXT, Field::Bytes(text)) => {
                std::str::from_utf8(text)
                    .map_err(|_| Damaged)?
                    .clone_into(&mut piece.text);
            }
            (number::PIECE_SCORE, Field::Fixed32(score)) => {
                piece.score = f32::from_le_bytes(score);
            }
            (number::PIECE_KIND, Field::Varint(kind)) => {
                piece.kind = match kind {
                    // Normal, and defined by the user.
                    1 | 4 => Kind::Normal,
                    2 => Kind::Unknown,
                    // Control, unused, bytes.
                    _ => Kind::Control,
                };
            }
            _ => {}
        }
    }
    Ok(piece)
}

/// `added_tokens.json`: ids by token; nothing where there is no such file.
fn added(path: &Path) -> Result<Vec<AddedToken>, ModelError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let tokens: BTreeMap<String, u32> =
        serde_json::from_slice(&read_file(path)?).map_err(|error| malformed(path, error))?;
    if tokens.contains_key("") {
        return Err(malformed(path, "an added token is empty"));
    }
    Ok(tokens
        .into_iter()
        .map(|(content, id)| AddedToken { id, content })
        .collect())
}

/// How many sentinels (`<extra_id_0>`…) follow the pieces.
fn sentinels(path: &Path) -> Result<usize, ModelError> {
    if !path.exists() {
        return Ok(SENTINELS);
    }
    let config: serde_json::Value =
        serde_json::from_slice(&read_file(path)?).map_err(|error| malformed(path, error))?;
    match config.get("extra_ids").and_then(serde_json::Value::as_u64) {
        None => Ok(SENTINELS),
        Some(count) if count <= 10_000 => Ok(count as usize),
        Some(count) => Err(malformed(path, format!("extra_ids can not be {count}"))),
    }
}
