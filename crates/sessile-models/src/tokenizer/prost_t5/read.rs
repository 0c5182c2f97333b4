//! The tokenizer from the files of a checkpoint.

use std::path::Path;

use super::protobuf::{Damaged, Field, Fields};
use super::unigram::{Kind, Piece, Spaces, Unigram};
use super::{END, Preprocessing, ProstT5Tokenizer, SENTINELS, json};
use crate::error::{ModelError, ModelErrorKind};
use crate::small_file::{self, malformed};
use crate::tokenizer::beside::Beside;

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

/// The vocabulary of a directory, if there is one.
pub(super) fn read(
    directory: &Path,
    preprocessing: Preprocessing,
) -> Result<Option<ProstT5Tokenizer>, ModelError> {
    let beside = Beside::read(directory)?;
    beside.check_class(&["T5Tokenizer"])?;
    beside.check_special("eos_token", END)?;
    let json = directory.join("tokenizer.json");
    if json.symlink_metadata().is_ok() {
        return json::read(&json, preprocessing).map(Some);
    }
    let path = directory.join("spiece.model");
    let Some(bytes) = small_file::read_if_there(&path, MAX_BYTES)? else {
        return match beside.is_there() {
            false => Ok(None),
            true => Err(ModelError::new(
                ModelErrorKind::NotFound,
                format!(
                    "{}: there is no vocabulary, neither spiece.model nor tokenizer.json",
                    directory.display()
                ),
            )
            .with_hint("copy the file that the model was trained with into the directory")),
        };
    };
    let pieces = pieces(&bytes, &path)?;
    let sentinels = match beside.count("extra_ids") {
        None => SENTINELS,
        Some(count) if count <= 10_000 => count as usize,
        Some(count) => {
            return Err(malformed(
                &directory.join("tokenizer_config.json"),
                format!("extra_ids cannot be {count}"),
            ));
        }
    };
    let pieces = Unigram::new(pieces, Spaces::Sentence);
    ProstT5Tokenizer::new(pieces, sentinels, beside.added()?, preprocessing)
        .map_err(|missing| lacks(directory, missing))
        .map(Some)
}

/// The error of a vocabulary without a token that ProstT5 has.
pub(super) fn lacks(path: &Path, missing: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Unsupported,
        format!("{}: there is no token `{missing}`", path.display()),
    )
    .with_hint("ProstT5 has it, in spiece.model or added_tokens.json")
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
