//! The configuration of ESM C, from `config.json` or from the shapes of the tensors.

use serde::Deserialize;
use serde_json::{Value, json};

use super::tensors::Layout;
use crate::error::{ModelError, ModelErrorKind};
use crate::model::{BuiltIn, check_extents, parse};
use crate::rotary::Rope;
use crate::weights::WeightSource;

/// The numbers that fix an ESM C network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EsmcConfig {
    /// Columns of the residual stream.
    #[serde(rename = "hidden_size", default = "default_hidden")]
    pub hidden: usize,
    /// Number of layers.
    #[serde(rename = "num_hidden_layers", default = "default_layers")]
    pub layers: usize,
    /// Attention heads of a layer.
    #[serde(rename = "num_attention_heads", default = "default_heads")]
    pub heads: usize,
    /// Columns between the two products of the feed-forward part; `None`: as the published code
    /// makes it from the residual stream's.
    #[serde(rename = "intermediate_size", default)]
    pub feed_forward: Option<usize>,
    /// Tokens in the vocabulary.
    #[serde(rename = "vocab_size", default = "default_vocabulary")]
    pub vocabulary: usize,
    /// Positions the model was trained with.
    #[serde(rename = "max_position_embeddings", default = "default_positions")]
    pub positions: usize,
    /// Angles of the positions.
    #[serde(skip, default = "default_rope")]
    pub rope: Rope,
}

/// Keys of which some values are built in.
const BUILT_IN: [BuiltIn; 4] = [
    ("hidden_act", &["silu"]),
    ("attention_bias", &["false"]),
    ("mlp_bias", &["false"]),
    ("tie_word_embeddings", &["false"]),
];

/// Columns of a head in every published model.
const HEAD_COLUMNS: usize = 64;

/// Added to the variance in norms.
pub(super) const EPSILON: f32 = 1e-5;

fn default_hidden() -> usize {
    2560
}

fn default_layers() -> usize {
    80
}

fn default_heads() -> usize {
    40
}

fn default_vocabulary() -> usize {
    64
}

fn default_positions() -> usize {
    2048
}

fn default_rope() -> Rope {
    Rope::new(10_000.0)
}

impl EsmcConfig {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` for a variant that is not
    /// built in.
    pub fn from_json(config: &Value) -> Result<Self, ModelError> {
        let mut parsed: EsmcConfig = parse(config, &BUILT_IN)?;
        parsed.rope = default_rope().with(config.get("rope_parameters"))?;
        check_extents(&[
            ("hidden_size", parsed.hidden),
            ("num_hidden_layers", parsed.layers),
            ("num_attention_heads", parsed.heads),
            ("intermediate_size", parsed.feed_forward()),
            ("vocab_size", parsed.vocabulary),
            ("max_position_embeddings", parsed.positions),
        ])?;
        let malformed = |what: String| {
            let message = format!("config.json: {what}");
            Err(ModelError::new(ModelErrorKind::Malformed, message))
        };
        if !parsed.hidden.is_multiple_of(parsed.heads) || !parsed.head_dim().is_multiple_of(2) {
            return malformed(format!(
                "hidden_size {} can not be cut into {} heads of even size",
                parsed.hidden, parsed.heads
            ));
        }
        for (key, only) in [
            ("num_key_value_heads", parsed.heads),
            ("head_dim", parsed.head_dim()),
        ] {
            let value = config.get(key).filter(|value| !value.is_null());
            if value.is_some_and(|value| value.as_u64() != Some(only as u64)) {
                return malformed(format!("{key} can only be {only} here"));
            }
        }
        Ok(parsed)
    }

    /// What the shapes of the tensors say, for a file of the `esm` package, which comes alone.
    pub(super) fn of_tensors(source: &dyn WeightSource) -> Option<Value> {
        let table = source.shape(Layout::Package.embeddings())?;
        let &[vocabulary, hidden] = table else {
            return None;
        };
        let norm = |layer: usize| format!("transformer.blocks.{layer}.attn.layernorm_qkv.0.weight");
        let layers = (0..).find(|&layer| source.shape(&norm(layer)).is_none())?;
        let wide = source.shape("transformer.blocks.0.ffn.3.weight")?;
        Some(json!({
            "model_type": "esmc",
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": (hidden / HEAD_COLUMNS).max(1),
            "intermediate_size": wide.get(1)?,
        }))
    }

    /// Columns of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Columns between the two products of the feed-forward part: eight thirds of the residual
    /// stream's, in whole blocks of 256, where the configuration does not say.
    pub fn feed_forward(&self) -> usize {
        let usual = (self.hidden.saturating_mul(8) / 3).next_multiple_of(256);
        self.feed_forward.unwrap_or(usual)
    }

    /// What a layer adds is multiplied with this.
    pub(super) fn share(&self) -> f32 {
        (36.0 / self.layers as f32).sqrt()
    }

    /// The configuration of a published model by its short name.
    pub fn published(name: &str) -> Option<Self> {
        let (layers, hidden) = match name {
            "esmc_300m" => (30, 960),
            "esmc_600m" => (36, 1152),
            _ => return None,
        };
        Some(EsmcConfig {
            hidden,
            layers,
            heads: hidden / HEAD_COLUMNS,
            feed_forward: None,
            vocabulary: default_vocabulary(),
            positions: default_positions(),
            rope: default_rope(),
        })
    }

    /// The configuration as transformers writes it.
    pub fn to_json(&self) -> Value {
        json!({
            "architectures": ["EsmcForMaskedLM"],
            "model_type": "esmc",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "head_dim": self.head_dim(),
            "intermediate_size": self.feed_forward(),
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "hidden_act": "silu",
            "attention_bias": false,
            "mlp_bias": false,
            "tie_word_embeddings": false,
            "mask_token_id": 32,
            "rope_parameters": { "rope_type": "default", "rope_theta": self.rope.theta },
            "dtype": "float32"
        })
    }
}
