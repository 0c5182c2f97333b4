//! The configuration of ESM-2, from `config.json`.

use serde::Deserialize;

use crate::encoder::Classes;
use crate::error::{ModelError, ModelErrorKind};
use crate::model::{BuiltIn, check_extents, parse};
use crate::rotary::Rope;

/// The numbers that fix an ESM-2 network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Esm2Config {
    /// Columns of the residual stream.
    #[serde(rename = "hidden_size", default = "default_hidden")]
    pub hidden: usize,
    /// Number of layers.
    #[serde(rename = "num_hidden_layers", default = "default_layers")]
    pub layers: usize,
    /// Attention heads of a layer.
    #[serde(rename = "num_attention_heads", default = "default_layers")]
    pub heads: usize,
    /// Columns between the two products of the feed-forward part.
    #[serde(rename = "intermediate_size", default = "default_feed_forward")]
    pub feed_forward: usize,
    /// Tokens in the vocabulary.
    #[serde(rename = "vocab_size", default = "published_vocabulary")]
    pub vocabulary: usize,
    /// Positions the model was trained with, plus 2.
    #[serde(rename = "max_position_embeddings", default = "published_positions")]
    pub positions: usize,
    /// Added to the variance in norms.
    #[serde(rename = "layer_norm_eps", default = "default_epsilon")]
    pub epsilon: f32,
    /// Id of `<mask>`.
    #[serde(rename = "mask_token_id", default = "published_mask")]
    pub mask_token: u32,
    /// Whether embeddings are scaled by the share of masked tokens.
    #[serde(default)]
    pub token_dropout: bool,
    /// Whether the embeddings are normalised before the first layer.
    #[serde(default)]
    pub emb_layer_norm_before: Option<bool>,
    /// How positions are known.
    #[serde(rename = "position_embedding_type", default)]
    pub position_kind: PositionKind,
    /// Base of the rotary angles.
    #[serde(rename = "rope_theta", default = "published_theta")]
    pub theta: f64,
    /// Id of `<pad>`, behind which the table of positions begins.
    #[serde(rename = "pad_token_id", default = "published_pad")]
    pub pad_token: u32,
    /// Whether the vocabulary is scored with the embeddings.
    #[serde(rename = "tie_word_embeddings", default = "published_tie")]
    pub is_tied: bool,
    /// The head of classes that the model was saved with.
    #[serde(skip)]
    pub(crate) classes: Option<Classes>,
}

/// How a network of the ESM family knows positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PositionKind {
    /// By a table that is added to the embeddings: ESM-1b and ESM-1v, and what a configuration
    /// means that does not say.
    #[default]
    Absolute,
    /// By angles: ESM-2.
    Rotary,
}

/// Keys of which some values are built in.
const BUILT_IN: [BuiltIn; 3] = [
    ("position_embedding_type", &["absolute", "rotary"]),
    ("hidden_act", &["gelu"]),
    ("is_folding_model", &["false"]),
];

fn default_hidden() -> usize {
    768
}

fn default_layers() -> usize {
    12
}

fn default_feed_forward() -> usize {
    3072
}

fn default_epsilon() -> f32 {
    1e-12
}

fn published_theta() -> f64 {
    10_000.0
}

fn published_pad() -> u32 {
    1
}

fn published_tie() -> bool {
    true
}

fn published_vocabulary() -> usize {
    33
}

fn published_positions() -> usize {
    1026
}

fn published_epsilon() -> f32 {
    1e-5
}

fn published_mask() -> u32 {
    32
}

impl Esm2Config {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` when it asks for a
    /// variant of the network that is not built in.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, ModelError> {
        let mut parsed: Esm2Config = parse(config, &BUILT_IN)?;
        parsed.classes = Classes::of_config(config);
        parsed.check()?;
        // The class of transformers reads `rope_theta` alone and passes these over.
        for key in ["rope_parameters", "rope_scaling"] {
            if parsed.rope()?.with(config.get(key))? != parsed.rope()? {
                return Err(ModelError::new(
                    ModelErrorKind::Unsupported,
                    format!("config.json: {key} of an ESM is not supported"),
                )
                .with_hint("the base of its angles is rope_theta"));
            }
        }
        Ok(parsed)
    }

    fn check(&self) -> Result<(), ModelError> {
        check_extents(&[
            ("hidden_size", self.hidden),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("intermediate_size", self.feed_forward),
            ("vocab_size", self.vocabulary),
            ("max_position_embeddings", self.positions),
        ])?;
        if !self.hidden.is_multiple_of(self.heads) || !(self.hidden / self.heads).is_multiple_of(2)
        {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!(
                    "config.json: hidden_size {} can not be cut into {} heads of even size",
                    self.hidden, self.heads
                ),
            ));
        }
        if self.position_kind == PositionKind::Absolute && self.most_positions() == 0 {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!(
                    "config.json: max_position_embeddings {} leaves no position behind pad_token_id \
                     {}",
                    self.positions, self.pad_token
                ),
            ));
        }
        Ok(())
    }

    /// The angles of positions.
    pub(super) fn rope(&self) -> Result<Rope, ModelError> {
        Rope::new(self.theta).check()
    }

    /// The longest sequence that a table of positions has room for, in tokens.
    pub(crate) fn most_positions(&self) -> usize {
        self.positions.saturating_sub(self.pad_token as usize + 1)
    }

    /// The longest sequence the model was made for, in tokens with special ones.
    pub(crate) fn default_max_tokens(&self) -> usize {
        match self.position_kind {
            PositionKind::Absolute => self.most_positions(),
            // The number was taken over from the table of ESM-1b.
            PositionKind::Rotary => self.positions,
        }
    }

    /// Columns of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// The configuration of a published model by its short name, such as `esm2_t6_8M`.
    pub fn published(name: &str) -> Option<Self> {
        let name = name
            .trim_start_matches("facebook/")
            .trim_end_matches("_UR50D");
        let (layers, hidden, heads) = match name {
            "esm2_t6_8M" => (6, 320, 20),
            "esm2_t12_35M" => (12, 480, 20),
            "esm2_t30_150M" => (30, 640, 20),
            "esm2_t33_650M" => (33, 1280, 20),
            "esm2_t36_3B" => (36, 2560, 40),
            "esm2_t48_15B" => (48, 5120, 40),
            _ => return None,
        };
        Some(Esm2Config::of_size(layers, hidden, heads))
    }

    /// A network of this size with everything else as published.
    pub fn of_size(layers: usize, hidden: usize, heads: usize) -> Self {
        Esm2Config {
            hidden,
            layers,
            heads,
            feed_forward: 4 * hidden,
            vocabulary: published_vocabulary(),
            positions: published_positions(),
            epsilon: published_epsilon(),
            mask_token: published_mask(),
            token_dropout: true,
            emb_layer_norm_before: Some(false),
            position_kind: PositionKind::Rotary,
            theta: published_theta(),
            pad_token: published_pad(),
            is_tied: true,
            classes: None,
        }
    }

    /// The configuration as transformers writes it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "architectures": ["EsmForMaskedLM"],
            "model_type": "esm",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feed_forward,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "layer_norm_eps": self.epsilon,
            "mask_token_id": self.mask_token,
            "pad_token_id": 1,
            "token_dropout": self.token_dropout,
            "emb_layer_norm_before": self.emb_layer_norm_before.unwrap_or(false),
            "position_embedding_type": "rotary",
            "hidden_act": "gelu",
            "attention_probs_dropout_prob": 0.0,
            "hidden_dropout_prob": 0.0,
            "initializer_range": 0.02,
            "is_folding_model": false,
            "use_cache": true,
            "torch_dtype": "float32",
            "esmfold_config": null,
            "vocab_list": null,
            "classifier_dropout": null,
            "transformers_version": "4.25.0.dev0"
        })
    }
}
