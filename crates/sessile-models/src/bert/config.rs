//! The configuration of BERT, from `config.json`.

use serde::Deserialize;

use crate::encoder::Classes;
use crate::error::{ModelError, ModelErrorKind};
use crate::model::{BuiltIn, check_extents, parse};

/// The numbers that fix a BERT network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BertConfig {
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
    #[serde(rename = "vocab_size", default = "default_vocabulary")]
    pub vocabulary: usize,
    /// Rows of the table of positions.
    #[serde(rename = "max_position_embeddings", default = "default_positions")]
    pub positions: usize,
    /// Token types; only the first is used.
    #[serde(rename = "type_vocab_size", default = "default_types")]
    pub types: usize,
    /// Added to the variance in norms.
    #[serde(rename = "layer_norm_eps", default = "default_epsilon")]
    pub epsilon: f32,
    /// Whether the vocabulary is scored with the embeddings.
    #[serde(rename = "tie_word_embeddings", default = "default_tie")]
    pub is_tied: bool,
    /// The head of classes that the model was saved with.
    #[serde(skip)]
    pub(crate) classes: Option<Classes>,
}

/// Keys of which some values are built in.
const BUILT_IN: [BuiltIn; 2] = [
    ("hidden_act", &["gelu"]),
    ("position_embedding_type", &["absolute"]),
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

fn default_vocabulary() -> usize {
    30_522
}

fn default_positions() -> usize {
    512
}

fn default_types() -> usize {
    2
}

fn default_epsilon() -> f32 {
    1e-12
}

fn default_tie() -> bool {
    true
}

impl BertConfig {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` for another activation or
    /// other positions.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, ModelError> {
        let classes = Classes::of_config(config);
        let mut config: BertConfig = parse(config, &BUILT_IN)?;
        config.classes = classes;
        check_extents(&[
            ("hidden_size", config.hidden),
            ("num_hidden_layers", config.layers),
            ("num_attention_heads", config.heads),
            ("intermediate_size", config.feed_forward),
            ("vocab_size", config.vocabulary),
            ("max_position_embeddings", config.positions),
            ("type_vocab_size", config.types),
        ])?;
        if !config.hidden.is_multiple_of(config.heads) {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!(
                    "config.json: hidden_size {} can not be cut into {} heads",
                    config.hidden, config.heads
                ),
            ));
        }
        Ok(config)
    }

    /// Columns of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// The size of all-MiniLM-L6-v2 (23M parameters).
    pub fn mini_lm() -> Self {
        BertConfig {
            hidden: 384,
            layers: 6,
            heads: 12,
            feed_forward: 1536,
            vocabulary: default_vocabulary(),
            positions: default_positions(),
            types: default_types(),
            epsilon: default_epsilon(),
            is_tied: true,
            classes: None,
        }
    }

    /// The size of ProtBERT (420M parameters).
    pub fn prot_bert() -> Self {
        BertConfig {
            hidden: 1024,
            layers: 30,
            heads: 16,
            feed_forward: 4096,
            vocabulary: 30,
            positions: 40_000,
            ..BertConfig::mini_lm()
        }
    }

    /// The configuration as transformers writes it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feed_forward,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
            "layer_norm_eps": self.epsilon,
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
            "attention_probs_dropout_prob": 0.0,
            "hidden_dropout_prob": 0.0,
            "pad_token_id": 0,
            "torch_dtype": "float32"
        })
    }
}
