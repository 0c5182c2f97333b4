//! Which tokenizer an architecture has, and from which file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Architecture;
use crate::error::ModelError;
use crate::tokenizer::{
    BpeTokenizer, EsmTokenizer, LetterTokenizer, Preprocessing, ProstT5Tokenizer, Tokenizer,
};

/// The tokenizer of an architecture, and the file it comes from.
pub(super) fn open(
    architecture: &Architecture,
    directory: &Path,
    preprocessing: Preprocessing,
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
            let path = directory.join("spiece.model");
            let tokenizer = if path.exists() {
                ProstT5Tokenizer::from_directory(directory, preprocessing)?
            } else {
                ProstT5Tokenizer::published(preprocessing)
            };
            Ok((Tokenizer::ProstT5(Arc::new(tokenizer)), path))
        }
    }
}
