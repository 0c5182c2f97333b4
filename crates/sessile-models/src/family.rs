//! The families of networks that are built in: one trait, one table.
//!
//! A family is a folder with a configuration that implements `Family`, and a line in the table at
//! the end of this file. Everything else asks the [`Description`] of a model, or the information
//! that a loaded one has.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sessile_device::{DType, Device};

use crate::encoder::Encoder;
use crate::error::{ModelError, ModelErrorKind};
use crate::generation::SequenceToSequence;
use crate::modern_bert::HeadMap;
use crate::synthesize::Synthetic;
use crate::tokenizer::{Preprocessing, Tokenizer};
use crate::weights::{LoadReport, WeightSource};

/// What sequences are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Residues of proteins.
    Protein,
    /// Nucleotides.
    Nucleotide,
    /// Any text.
    Text,
}

/// What a model writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Summaries of articles.
    Summaries,
    /// The structure states of a protein, or residues for states.
    States,
}

/// What is known of a model before its weights are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The architecture: `esm2`, `bart`, …
    pub architecture: &'static str,
    /// Whether it answers a sequence with vectors and scores.
    pub encodes: bool,
    /// Number of layers; of the encoder, where there is a decoder.
    pub layers: usize,
    /// Columns of the residual stream.
    pub hidden: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Tokens in the vocabulary of the weights.
    pub vocabulary: usize,
    /// The longest sequence the model was made for, in tokens with special ones.
    pub max_tokens: usize,
    /// The longest answer, in tokens, where the network has a limit.
    pub max_target_tokens: Option<usize>,
}

/// A head that is published in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFile {
    /// There is no such head.
    None,
    /// It is named.
    Named,
    /// It is named, or lies beside the model at the first of these places.
    Beside(&'static [&'static str]),
}

/// A published model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// `owner/name` on the hub.
    pub name: &'static str,
    /// What it may also be called.
    pub short: Option<&'static str>,
    /// What it is, in a few words.
    pub about: &'static str,
}

/// What a model is loaded from.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) source: &'a dyn WeightSource,
    /// The weights of a head in a file of its own.
    pub(crate) head: Option<&'a dyn WeightSource>,
    pub(crate) head_map: Option<&'a HeadMap>,
    pub(crate) tokenizer: &'a Tokenizer,
}

/// An encoder on a device, and what loading it left aside.
pub(crate) type LoadedEncoder<D> = (Arc<dyn Encoder<D>>, LoadReport);

/// A model that writes on a device, and what loading it left aside.
pub(crate) type LoadedWriter<D> = (Arc<dyn SequenceToSequence<D>>, LoadReport);

/// The configuration of a network, and how its family is read, loaded and made up.
pub(crate) trait Family: Clone + fmt::Debug + PartialEq {
    /// `model_type` of its files, and which models these are.
    const ABOUT: &'static str;
    /// Its models on the hub.
    const PUBLISHED: &'static [Published];
    /// The models whose size is known to [`synthesize`](Self::synthesize).
    const SIZES: &'static [&'static str];
    /// Whether there are heads in files of their own.
    const HEAD: HeadFile = HeadFile::None;

    /// Whether a `config.json` is of this family, by what it is called.
    fn recognises(config: &Value) -> bool;

    /// Reads a `config.json` of this family.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` when it asks for a variant
    /// that is not built in.
    fn from_json(config: &Value) -> Result<Self, ModelError>;

    /// The configuration that the tensors of a file without one tell, if they are of this family.
    fn config_of(source: &dyn WeightSource) -> Option<Value> {
        let _ = source;
        None
    }

    /// What it says.
    fn description(&self) -> Description;

    /// The tokenizer of a model.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with its files.
    fn tokenizer(
        &self,
        directory: &Path,
        preprocessing: Preprocessing,
    ) -> Result<Tokenizer, ModelError>;

    /// What a model with these tensors writes, if anything.
    fn writes(&self, source: &dyn WeightSource) -> Option<Writing> {
        let _ = source;
        None
    }

    /// Packs the encoder onto a device, for sequences of up to `max_tokens` tokens.
    ///
    /// # Errors
    ///
    /// When tensors are missing, do not fit the configuration, can not be read or do not fit the
    /// device.
    fn load_encoder<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<LoadedEncoder<D>, ModelError>;

    /// Packs encoder and decoder onto a device.
    ///
    /// # Errors
    ///
    /// As [`load_encoder`](Self::load_encoder); `UnknownArchitecture` for a network that does not
    /// write.
    fn load_writer<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
    ) -> Result<LoadedWriter<D>, ModelError> {
        let _ = (device, parts, dtype);
        Err(writes_nothing(&self.description()))
    }

    /// What is written for a model of one of [`SIZES`](Self::SIZES).
    fn synthesize(name: &str, seed: u64) -> Option<Synthetic>;
}

/// The error for a network without a decoder.
pub(crate) fn writes_nothing(description: &Description) -> ModelError {
    ModelError::new(
        ModelErrorKind::UnknownArchitecture,
        format!(
            "config.json: `{}` does not write text: there is no decoder",
            description.architecture
        ),
    )
    .with_hint("built in: bart (bart-large-cnn, bart-large-xsum, distilbart), t5 (ProstT5)")
}

/// `model_type` of a `config.json`.
pub(crate) fn model_type(config: &Value) -> Option<&str> {
    config.get("model_type").and_then(Value::as_str)
}

/// The table. The first family that recognises a configuration reads it.
macro_rules! families {
    ($($(#[$doc:meta])* $name:ident($config:ty),)+) => {
        /// Architectures that are built in, with their configuration.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Architecture {
            $($(#[$doc])* $name($config),)+
        }

        const ABOUT: &[&str] = &[$(<$config as Family>::ABOUT,)+];

        /// The models of every family on the hub.
        const PUBLISHED: &[&[Published]] = &[$(<$config as Family>::PUBLISHED,)+];

        /// The models of every family whose size is known.
        const SIZES: &[&[&str]] = &[$(<$config as Family>::SIZES,)+];

        impl Architecture {
            /// Recognises the family of a `config.json`.
            ///
            /// # Errors
            ///
            /// `UnknownArchitecture`, or what the family says of its configuration.
            pub fn from_config(config: &Value) -> Result<Self, ModelError> {
                $(if <$config as Family>::recognises(config) {
                    return Ok(Architecture::$name(<$config as Family>::from_json(config)?));
                })+
                Err(unknown(config))
            }

            /// What it says.
            pub fn description(&self) -> Description {
                match self {
                    $(Architecture::$name(config) => config.description(),)+
                }
            }

            pub(crate) fn tokenizer(
                &self,
                directory: &Path,
                preprocessing: Preprocessing,
            ) -> Result<Tokenizer, ModelError> {
                match self {
                    $(Architecture::$name(config) => {
                        Family::tokenizer(config, directory, preprocessing)
                    })+
                }
            }

            pub(crate) fn head_file(&self) -> HeadFile {
                match self {
                    $(Architecture::$name(_) => <$config as Family>::HEAD,)+
                }
            }

            pub(crate) fn writes(&self, source: &dyn WeightSource) -> Option<Writing> {
                match self {
                    $(Architecture::$name(config) => config.writes(source),)+
                }
            }

            pub(crate) fn load_encoder<D: Device>(
                &self,
                device: &D,
                parts: &Parts<'_>,
                dtype: DType,
                max_tokens: usize,
            ) -> Result<LoadedEncoder<D>, ModelError> {
                match self {
                    $(Architecture::$name(config) => {
                        config.load_encoder(device, parts, dtype, max_tokens)
                    })+
                }
            }

            pub(crate) fn load_writer<D: Device>(
                &self,
                device: &D,
                parts: &Parts<'_>,
                dtype: DType,
            ) -> Result<LoadedWriter<D>, ModelError> {
                match self {
                    $(Architecture::$name(config) => config.load_writer(device, parts, dtype),)+
                }
            }
        }

        /// The configuration that the tensors of a file without one tell.
        pub(crate) fn config_of(source: &dyn WeightSource) -> Option<Value> {
            [$(<$config as Family>::config_of,)+]
                .into_iter()
                .find_map(|config_of| config_of(source))
        }

        /// What is written for a model of this name.
        pub(crate) fn synthetic(name: &str, seed: u64) -> Option<Synthetic> {
            $(if <$config as Family>::SIZES.contains(&name) {
                return <$config as Family>::synthesize(name, seed);
            })+
            None
        }
    };
}

/// The models on the hub that are known by name.
pub fn published() -> impl Iterator<Item = Published> {
    PUBLISHED.iter().copied().flatten().copied()
}

/// The models whose size is known to [`synthesize`](crate::synthesize::synthesize).
pub fn sizes() -> impl Iterator<Item = &'static str> {
    SIZES.iter().copied().flatten().copied()
}

fn unknown(config: &Value) -> ModelError {
    match model_type(config) {
        Some(other) => ModelError::new(
            ModelErrorKind::UnknownArchitecture,
            format!("config.json: the architecture `{other}` is not built in"),
        )
        .with_hint(format!("built in: {}", ABOUT.join(", "))),
        None => ModelError::new(
            ModelErrorKind::Malformed,
            "config.json: there is no model_type",
        ),
    }
}

families! {
    /// Protein language models.
    Esm2(crate::esm2::Esm2Config),
    /// Protein language models: ESM C.
    Esmc(crate::esmc::EsmcConfig),
    /// Nucleotide language models: DNABERT-2 and DNABERT-S.
    MosaicBert(crate::mosaic_bert::MosaicBertConfig),
    /// Encoders of residues or text: ProtBERT, AntiBERTy, MiniLM, BGE.
    Bert(crate::bert::BertConfig),
    /// Translators between residues and structure states, and their encoders: ProstT5.
    T5(crate::t5::T5Config),
    /// Encoders of residues with heads of structure states: ModernProst.
    ModernBert(crate::modern_bert::ModernBertConfig),
    /// What writes summaries.
    Bart(crate::bart::BartConfig),
}
