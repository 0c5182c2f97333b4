//! The configuration of BART, from `config.json`.

use serde::Deserialize;

use crate::error::{ModelError, ModelErrorKind};
use crate::model::{BuiltIn, check_extents, parse};

/// The numbers that fix a BART network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BartConfig {
    /// Columns of the residual stream.
    #[serde(rename = "d_model", default = "default_hidden")]
    pub hidden: usize,
    /// Layers of the encoder.
    #[serde(default = "default_layers")]
    pub encoder_layers: usize,
    /// Layers of the decoder.
    #[serde(default = "default_layers")]
    pub decoder_layers: usize,
    /// Attention heads of an encoder layer.
    #[serde(default = "default_heads")]
    pub encoder_attention_heads: usize,
    /// Attention heads of a decoder layer.
    #[serde(default = "default_heads")]
    pub decoder_attention_heads: usize,
    /// Columns between the two products of an encoder layer's feed-forward part.
    #[serde(default = "default_feed_forward")]
    pub encoder_ffn_dim: usize,
    /// The same in the decoder.
    #[serde(default = "default_feed_forward")]
    pub decoder_ffn_dim: usize,
    /// Tokens in the vocabulary.
    #[serde(rename = "vocab_size", default = "default_vocabulary")]
    pub vocabulary: usize,
    /// Longest source and longest summary, in tokens.
    #[serde(rename = "max_position_embeddings", default = "default_hidden")]
    pub positions: usize,
    /// Whether embeddings are multiplied by the square root of their columns.
    #[serde(default)]
    pub scale_embedding: bool,
    /// Whether encoder, decoder and scores have one table.
    #[serde(rename = "tie_word_embeddings", default = "default_tie")]
    pub is_tied: bool,
}

/// Keys of which some values are built in. Norms before each part are mBART's.
const BUILT_IN: [BuiltIn; 2] = [
    ("activation_function", &["gelu"]),
    ("normalize_before", &["false"]),
];

fn default_hidden() -> usize {
    1024
}

fn default_layers() -> usize {
    12
}

fn default_heads() -> usize {
    16
}

fn default_feed_forward() -> usize {
    4096
}

fn default_vocabulary() -> usize {
    50_265
}

fn default_tie() -> bool {
    true
}

/// Rows of the position table before the first position.
pub(super) const POSITION_OFFSET: usize = 2;

/// Added to the variance in norms.
pub(super) const EPSILON: f32 = 1e-5;

impl BartConfig {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` for a variant that is
    /// not built in.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, ModelError> {
        let config: BartConfig = parse(config, &BUILT_IN)?;
        check_extents(&[
            ("d_model", config.hidden),
            ("encoder_layers", config.encoder_layers),
            ("decoder_layers", config.decoder_layers),
            ("encoder_attention_heads", config.encoder_attention_heads),
            ("decoder_attention_heads", config.decoder_attention_heads),
            ("encoder_ffn_dim", config.encoder_ffn_dim),
            ("decoder_ffn_dim", config.decoder_ffn_dim),
            ("vocab_size", config.vocabulary),
            ("max_position_embeddings", config.positions),
        ])?;
        for heads in [
            config.encoder_attention_heads,
            config.decoder_attention_heads,
        ] {
            if !config.hidden.is_multiple_of(heads) {
                return Err(ModelError::new(
                    ModelErrorKind::Malformed,
                    format!(
                        "config.json: d_model {} can not be cut into {heads} heads",
                        config.hidden
                    ),
                ));
            }
        }
        Ok(config)
    }

    /// The size of bart-large-cnn (406M parameters).
    pub fn large() -> Self {
        BartConfig {
            hidden: 1024,
            encoder_layers: 12,
            decoder_layers: 12,
            encoder_attention_heads: 16,
            decoder_attention_heads: 16,
            encoder_ffn_dim: 4096,
            decoder_ffn_dim: 4096,
            vocabulary: 50264,
            positions: 1024,
            scale_embedding: false,
            is_tied: true,
        }
    }

    /// The configuration as the published models have it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "architectures": ["BartForConditionalGeneration"],
            "model_type": "bart",
            "d_model": self.hidden,
            "encoder_layers": self.encoder_layers,
            "decoder_layers": self.decoder_layers,
            "encoder_attention_heads": self.encoder_attention_heads,
            "decoder_attention_heads": self.decoder_attention_heads,
            "encoder_ffn_dim": self.encoder_ffn_dim,
            "decoder_ffn_dim": self.decoder_ffn_dim,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "scale_embedding": self.scale_embedding,
            "activation_function": "gelu",
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
        })
    }
}
