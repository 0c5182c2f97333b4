//! The names of outputs: the same in flags, JSON keys, columns, datasets and tensors.

use std::fmt;
use std::str::FromStr;

use sessile_device::{OutputKind, OutputSet};

/// An output as users ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputName {
    /// Mean over the residues.
    Mean,
    /// Mean over all tokens, `<cls>` and `<eos>` too.
    MeanAll,
    /// The vector of `<cls>`.
    Cls,
    /// One vector per residue.
    PerResidue,
    /// Scores over the vocabulary, for every token.
    Logits,
    /// Probabilities of contacts between residues.
    Contacts,
    /// Masked and unmasked log-likelihood and pseudo-perplexity.
    Likelihood,
    /// The greatest of each column over the residues.
    Max,
    /// The standard deviation of each column over the residues.
    Std,
    /// The vector of the last token.
    Eos,
    /// Scores of the classes of a fine-tuned model.
    Classes,
}

impl OutputName {
    /// All names, in the order in which rows list them.
    pub const ALL: [OutputName; 11] = [
        OutputName::Mean,
        OutputName::MeanAll,
        OutputName::Cls,
        OutputName::PerResidue,
        OutputName::Logits,
        OutputName::Contacts,
        OutputName::Likelihood,
        OutputName::Max,
        OutputName::Std,
        OutputName::Eos,
        OutputName::Classes,
    ];

    /// The name, with `_`.
    pub const fn name(self) -> &'static str {
        match self {
            OutputName::Mean => "mean",
            OutputName::MeanAll => "mean_all",
            OutputName::Cls => "cls",
            OutputName::PerResidue => "per_residue",
            OutputName::Logits => "logits",
            OutputName::Contacts => "contacts",
            OutputName::Likelihood => "likelihood",
            OutputName::Max => "max",
            OutputName::Std => "std",
            OutputName::Eos => "eos",
            OutputName::Classes => "classes",
        }
    }

    /// What the model is asked for.
    pub const fn kinds(self) -> &'static [OutputKind] {
        match self {
            OutputName::Mean => &[OutputKind::Mean],
            OutputName::MeanAll => &[OutputKind::MeanAll],
            OutputName::Cls => &[OutputKind::Cls],
            OutputName::PerResidue => &[OutputKind::PerResidue],
            OutputName::Logits => &[OutputKind::Logits],
            OutputName::Contacts => &[OutputKind::Contacts],
            OutputName::Likelihood => &[OutputKind::MaskedLogprob, OutputKind::UnmaskedLogprob],
            OutputName::Max => &[OutputKind::Max],
            OutputName::Std => &[OutputKind::Std],
            OutputName::Eos => &[OutputKind::Eos],
            OutputName::Classes => &[OutputKind::Classes],
        }
    }
}

/// What the model is asked for to give all of `names`.
pub fn output_set(names: &[OutputName]) -> OutputSet {
    names
        .iter()
        .flat_map(|name| name.kinds().iter().copied())
        .collect()
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseOutputNameError(String);

impl fmt::Display for ParseOutputNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = OutputName::ALL.iter().map(|name| name.name()).collect();
        write!(f, "unknown output `{}` ({})", self.0, names.join(", "))
    }
}

impl std::error::Error for ParseOutputNameError {}

impl FromStr for OutputName {
    type Err = ParseOutputNameError;

    /// Takes the names with `-` or `_`.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::output::OutputName;
    /// assert_eq!("per-residue".parse(), Ok(OutputName::PerResidue));
    /// assert_eq!("per_residue".parse(), Ok(OutputName::PerResidue));
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().replace('-', "_");
        OutputName::ALL
            .into_iter()
            .find(|output| output.name() == name)
            .ok_or_else(|| ParseOutputNameError(text.to_owned()))
    }
}
