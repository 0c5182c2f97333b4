//! What a classifier was trained for, and the refusal of anything else.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, ModelErrorKind};

/// The chunk length and the embedding sizes that a classifier belongs to; what is not known is
/// `None` and binds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Bases of a chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<usize>,
    /// Numbers in the embedding of the nucleotides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nucleotide: Option<usize>,
    /// Numbers in the embedding of the protein.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protein: Option<usize>,
}

impl Binding {
    /// The chunk length in the names of the published classifiers: `300_model.pth`.
    pub(super) fn from_name(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let chunk = name
            .split_once("_model.")
            .and_then(|(length, _)| length.parse().ok());
        Binding {
            chunk,
            ..Binding::default()
        }
    }

    /// Refuses another chunk length.
    ///
    /// # Errors
    ///
    /// `Mismatch`.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::classifier::Binding;
    ///
    /// let binding = Binding { chunk: Some(300), ..Binding::default() };
    /// assert!(binding.check_chunk(300).is_ok() && binding.check_chunk(500).is_err());
    /// assert!(Binding::default().check_chunk(500).is_ok());
    /// ```
    pub fn check_chunk(&self, chunk: usize) -> Result<(), ModelError> {
        match self.chunk {
            Some(bound) if bound != chunk => Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!("the classifier is for chunks of {bound} bases, not of {chunk}"),
            )
            .with_hint(format!(
                "use --chunk {bound}, or the classifier for {chunk}"
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses embeddings of other sizes than those that are known.
    ///
    /// # Errors
    ///
    /// `Mismatch`.
    pub fn check_sizes(
        &self,
        nucleotide: Option<usize>,
        protein: Option<usize>,
    ) -> Result<(), ModelError> {
        let pairs = [
            ("nucleotide", self.nucleotide, nucleotide),
            ("protein", self.protein, protein),
        ];
        for (what, bound, given) in pairs {
            if let (Some(bound), Some(given)) = (bound, given)
                && bound != given
            {
                return Err(ModelError::new(
                    ModelErrorKind::Mismatch,
                    format!(
                        "the classifier is for {what} embeddings of {bound} numbers, these have \
                         {given}"
                    ),
                )
                .with_hint("take the classifier that was trained with this model"));
            }
        }
        Ok(())
    }
}
