//! The architectures that are built in, recognised by `config.json`.

use crate::error::{ModelError, ModelErrorKind};
use crate::esm2::Esm2Config;
use crate::modern_bert::{self, ModernBertConfig};
use crate::mosaic_bert::{self, MosaicBertConfig};
use crate::t5::{self, T5Config};

/// No network in sight is wider, deeper or has more tokens than this: larger numbers come from a
/// damaged file, and allocations follow these numbers.
const LARGEST_EXTENT: usize = 1 << 20;

/// Refuses numbers of a `config.json` that no network has.
pub(crate) fn check_extents(extents: &[(&str, usize)]) -> Result<(), ModelError> {
    match extents
        .iter()
        .find(|(_, value)| !(1..=LARGEST_EXTENT).contains(value))
    {
        None => Ok(()),
        Some((name, value)) => Err(ModelError::new(
            ModelErrorKind::Malformed,
            format!("config.json: {name} can not be {value}"),
        )),
    }
}

/// Architectures that are built in, with their configuration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Architecture {
    /// A protein language model.
    Esm2(Esm2Config),
    /// A nucleotide language model: DNABERT-2 and DNABERT-S.
    MosaicBert(MosaicBertConfig),
    /// The encoder of a translator between residues and structure states: ProstT5.
    T5(T5Config),
    /// An encoder of residues with heads of structure states: ModernProst.
    ModernBert(ModernBertConfig),
}

impl Architecture {
    /// Recognises an architecture by `model_type` of a `config.json`.
    ///
    /// # Errors
    ///
    /// `UnknownArchitecture`, or what the architecture says of its configuration.
    pub fn from_config(config: &serde_json::Value) -> Result<Self, ModelError> {
        match config.get("model_type").and_then(serde_json::Value::as_str) {
            Some("esm") => Ok(Architecture::Esm2(Esm2Config::from_json(config)?)),
            Some("bert") if MosaicBertConfig::recognises(config) => Ok(Architecture::MosaicBert(
                MosaicBertConfig::from_json(config)?,
            )),
            Some("t5") => Ok(Architecture::T5(T5Config::from_json(config)?)),
            Some(_) if ModernBertConfig::recognises(config) => Ok(Architecture::ModernBert(
                ModernBertConfig::from_json(config)?,
            )),
            Some("bart") => Err(ModelError::new(
                ModelErrorKind::UnknownArchitecture,
                "config.json: BART writes text and is no encoder",
            )
            .with_hint(
                "`sessile summarize` and `sessile serve` use it, `sessile bench --generate` \
                 measures it",
            )),
            Some(other) => Err(ModelError::new(
                ModelErrorKind::UnknownArchitecture,
                format!("config.json: the architecture `{other}` is not built in"),
            )
            .with_hint(
                "built in: esm (ESM-2), bert with ALiBi (DNABERT-2, DNABERT-S), t5 (ProstT5), \
                 modernbert (ModernProst)",
            )),
            None => Err(ModelError::new(
                ModelErrorKind::Malformed,
                "config.json: there is no model_type",
            )),
        }
    }

    /// The longest sequence the model was made for, in tokens with special ones.
    pub fn default_max_tokens(&self) -> usize {
        match self {
            Architecture::Esm2(config) => config.default_max_tokens(),
            Architecture::MosaicBert(_) => mosaic_bert::DEFAULT_TOKENS,
            Architecture::T5(_) => t5::DEFAULT_TOKENS,
            Architecture::ModernBert(config) => config.positions.min(modern_bert::DEFAULT_TOKENS),
        }
    }

    /// Tokens in the vocabulary of the weights.
    pub fn vocabulary(&self) -> usize {
        match self {
            Architecture::Esm2(config) => config.vocabulary,
            Architecture::MosaicBert(config) => config.vocabulary,
            Architecture::T5(config) => config.vocabulary,
            Architecture::ModernBert(config) => config.vocabulary,
        }
    }

    /// Whether sequences are nucleotides; else they are residues.
    pub fn reads_nucleotides(&self) -> bool {
        matches!(self, Architecture::MosaicBert(_))
    }
}
