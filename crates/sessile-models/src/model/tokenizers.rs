//! Which tokenizer an architecture has, and from which file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Architecture;
use crate::error::ModelError;
use crate::tokenizer::{
    BpeTokenizer, EsmTokenizer, LetterTokenizer, Preprocessing, ProstT5Tokenizer, Tokenizer,
};

/// The files beside the weights that answers depend on.
pub(crate) const FILES: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
];

/// The tokenizer of an architecture, and the file it comes from.
pub(super) fn open(
    architecture: &Architecture,
    directory: &Path,
    preprocessing: Preprocessing,
) -> Result<(Tokenizer, PathBuf), ModelError> {
    match architecture {
        Architecture::Esm2(_) => {
            let path = directory.to_owned();
            let tokenizer = EsmTokenizer::from_directory(directory)?;
            Ok((Tokenizer::Esm(tokenizer), path))
        }
        Architecture::MosaicBert(_) => {
            let path = directory.join("tokenizer.json");
            let tokenizer = BpeTokenizer::from_file(&path)?;
            Ok((Tokenizer::Bpe(Arc::new(tokenizer)), path))
        }
        Architecture::ModernBert(config) => {
            let path = directory.join("tokenizer.json");
            let has_file = path.exists() || directory.join("vocab.txt").exists();
            let tokenizer = if config.is_legacy && !has_file {
                LetterTokenizer::of_first_modernprost(preprocessing)
            } else {
                LetterTokenizer::from_directory(directory, preprocessing)?
            };
            Ok((Tokenizer::Letters(Arc::new(tokenizer)), path))
        }
        Architecture::T5(_) => {
            let path = directory.to_owned();
            let tokenizer = ProstT5Tokenizer::from_directory(directory, preprocessing)?;
            Ok((Tokenizer::ProstT5(Arc::new(tokenizer)), path))
        }
    }
}
