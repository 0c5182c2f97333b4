//! The configuration of MosaicBERT, from `config.json`.

use serde::Deserialize;

use crate::error::{ModelError, ModelErrorKind};
use crate::model::{BuiltIn, check_extents, parse};

/// The numbers that fix a MosaicBERT network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MosaicBertConfig {
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
    /// Token types; only the first is used.
    #[serde(rename = "type_vocab_size", default = "published_types")]
    pub types: usize,
    /// Added to the variance in norms.
    #[serde(rename = "layer_norm_eps", default = "published_epsilon")]
    pub epsilon: f32,
    /// Whether the vocabulary is scored with the embeddings.
    #[serde(rename = "tie_word_embeddings", default = "published_tie")]
    pub is_tied: bool,
}

/// Keys of which some values are built in.
const BUILT_IN: [BuiltIn; 1] = [("hidden_act", &["gelu"])];

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

fn published_tie() -> bool {
    true
}

fn published_types() -> usize {
    2
}

fn published_epsilon() -> f32 {
    1e-12
}

/// The longest sequence in tokens unless something else is asked for. The network has no limit of
/// its own; memory is planned for this many.
pub(crate) const DEFAULT_TOKENS: usize = 2048;

impl MosaicBertConfig {
    /// Whether a `config.json` of the type `bert` is one of these and not the original BERT.
    pub(super) fn has_alibi(config: &serde_json::Value) -> bool {
        config.get("alibi_starting_size").is_some()
            || config
                .pointer("/auto_map/AutoModel")
                .and_then(serde_json::Value::as_str)
                .is_some_and(|class| class.contains("bert_layers."))
    }

    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` for another activation.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, ModelError> {
        let config: MosaicBertConfig = parse(config, &BUILT_IN)?;
        check_extents(&[
            ("hidden_size", config.hidden),
            ("num_hidden_layers", config.layers),
            ("num_attention_heads", config.heads),
            ("intermediate_size", config.feed_forward),
            ("vocab_size", config.vocabulary),
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

    /// The size of the published DNABERT-2 and DNABERT-S (117M parameters).
    pub fn published() -> Self {
        MosaicBertConfig {
            hidden: 768,
            layers: 12,
            heads: 12,
            feed_forward: 3072,
            vocabulary: 4096,
            types: published_types(),
            epsilon: published_epsilon(),
            is_tied: true,
        }
    }

    /// The configuration as the published models have it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "architectures": ["BertModel"],
            "model_type": "bert",
            "alibi_starting_size": 512,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feed_forward,
            "vocab_size": self.vocabulary,
            "type_vocab_size": self.types,
            "layer_norm_eps": self.epsilon,
            "hidden_act": "gelu",
            "attention_probs_dropout_prob": 0.0,
            "hidden_dropout_prob": 0.1,
            "max_position_embeddings": 512,
            "pad_token_id": 0,
            "torch_dtype": "float32"
        })
    }

    /// ALiBi's slopes (Press et al., 2021, arXiv:2108.12409): a geometric sequence for a power of
    /// two; for other numbers of heads that of the power below, and then every second slope of
    /// the power above.
    pub fn slopes(&self) -> Vec<f32> {
        let geometric = |heads: usize| {
            let first = 2_f64.powf(-8.0 / heads as f64);
            (1..=heads).map(move |head| first.powi(head as i32) as f32)
        };
        let below = 1 << self.heads.ilog2();
        geometric(below)
            .chain(geometric(2 * below).step_by(2))
            .take(self.heads)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_any_number_of_heads() {
        let slopes = |heads| {
            let config = MosaicBertConfig {
                heads,
                ..MosaicBertConfig::published()
            };
            config.slopes()
        };
        let powers = |exponents: &[f32]| -> Vec<f32> {
            exponents
                .iter()
                .map(|&exponent| 2_f32.powf(-exponent))
                .collect()
        };
        assert_eq!(slopes(1), powers(&[8.0]));
        assert_eq!(slopes(4), powers(&[2.0, 4.0, 6.0, 8.0]));
        assert_eq!(slopes(6), powers(&[2.0, 4.0, 6.0, 8.0, 1.0, 3.0]));
        let twelve = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.5, 1.5, 2.5, 3.5];
        for (slope, expected) in slopes(12).iter().zip(powers(&twelve)) {
            assert!((slope - expected).abs() < 1e-7, "{slope} {expected}");
        }
    }
}
