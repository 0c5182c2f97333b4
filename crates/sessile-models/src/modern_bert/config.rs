//! The configuration of ModernBERT, from `config.json`.

use serde::Deserialize;

use crate::error::{ModelError, ModelErrorKind};
use crate::model::check_extents;

/// The numbers that fix a ModernBERT network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ModernBertConfig {
    /// Columns of the residual stream.
    #[serde(rename = "hidden_size")]
    pub hidden: usize,
    /// Number of layers.
    #[serde(rename = "num_hidden_layers")]
    pub layers: usize,
    /// Attention heads of a layer.
    #[serde(rename = "num_attention_heads")]
    pub heads: usize,
    /// Columns between the two products of the feed-forward part.
    #[serde(rename = "intermediate_size")]
    pub feed_forward: usize,
    /// Tokens in the vocabulary.
    #[serde(rename = "vocab_size")]
    pub vocabulary: usize,
    /// Positions the model was trained with.
    #[serde(rename = "max_position_embeddings", default = "published_positions")]
    pub positions: usize,
    /// Added to the variance in norms.
    #[serde(rename = "norm_eps", default = "published_epsilon")]
    pub epsilon: f32,
    /// Residues that a layer with a window sees, its own in the middle.
    #[serde(rename = "local_attention", default = "published_window")]
    pub window: usize,
    /// Every how many layers one sees the whole sequence, from the first on.
    #[serde(
        rename = "global_attn_every_n_layers",
        default = "published_global_every"
    )]
    pub global_every: usize,
    /// Kinds of all layers, where the file lists them: `full_attention` or `sliding_attention`.
    #[serde(default)]
    pub layer_types: Option<Vec<String>>,
    /// Base of the angles of layers that see everything.
    #[serde(rename = "global_rope_theta", default = "published_global_theta")]
    pub global_theta: f64,
    /// Base of the angles of layers with a window; that of the others where it is null.
    #[serde(rename = "local_rope_theta", default = "published_local_theta")]
    pub local_theta: Option<f64>,
    /// `gelu`, the exact one.
    #[serde(default)]
    pub hidden_activation: Option<String>,
    /// `gelu`, the exact one.
    #[serde(default)]
    pub classifier_activation: Option<String>,
    /// Whether the gated units have a bias.
    #[serde(default)]
    pub mlp_bias: bool,
}

fn published_positions() -> usize {
    8192
}

fn published_epsilon() -> f32 {
    1e-5
}

fn published_window() -> usize {
    128
}

fn published_global_every() -> usize {
    3
}

fn published_global_theta() -> f64 {
    160_000.0
}

#[allow(clippy::unnecessary_wraps)] // The field may be null.
fn published_local_theta() -> Option<f64> {
    Some(10_000.0)
}

/// The longest sequence in tokens unless something else is asked for, or the model's own limit
/// where that is less; memory is planned for this many.
pub(crate) const DEFAULT_TOKENS: usize = 4096;

/// Kinds of layers in `layer_types`.
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

impl ModernBertConfig {
    /// Whether a `config.json` is of this architecture. ModernProst's own code may call it by
    /// another name than the library does.
    pub(crate) fn recognises(config: &serde_json::Value) -> bool {
        let named = |value: &serde_json::Value| {
            value.as_str().is_some_and(|name| {
                let name = name.to_ascii_lowercase();
                name.starts_with("modernbert") || name.starts_with("modernprost")
            })
        };
        config.get("model_type").is_some_and(named)
            || config
                .get("architectures")
                .and_then(serde_json::Value::as_array)
                .is_some_and(|names| names.iter().any(named))
    }

    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` for other activations and
    /// for gated units with a bias.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, ModelError> {
        let mut parsed: ModernBertConfig =
            serde_json::from_value(config.clone()).map_err(|error| {
                ModelError::new(ModelErrorKind::Malformed, format!("config.json: {error}"))
            })?;
        // Newer files keep the bases by kind of layer.
        let theta = |kind: &str| {
            config
                .pointer(&format!("/rope_parameters/{kind}/rope_theta"))
                .and_then(serde_json::Value::as_f64)
        };
        parsed.global_theta = theta(FULL).unwrap_or(parsed.global_theta);
        parsed.local_theta = theta(SLIDING).or(parsed.local_theta);
        parsed.check()?;
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
            ("local_attention", self.window),
            ("global_attn_every_n_layers", self.global_every),
        ])?;
        let malformed = |what: String| {
            Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!("config.json: {what}"),
            ))
        };
        if !self.hidden.is_multiple_of(self.heads) || !(self.hidden / self.heads).is_multiple_of(2)
        {
            return malformed(format!(
                "hidden_size {} can not be cut into {} heads of even size",
                self.hidden, self.heads
            ));
        }
        for theta in [Some(self.global_theta), self.local_theta]
            .into_iter()
            .flatten()
        {
            if !(theta.is_finite() && theta >= 1.0) {
                return malformed(format!("rope_theta can not be {theta}"));
            }
        }
        if let Some(kinds) = &self.layer_types {
            if kinds.len() != self.layers {
                return malformed(format!(
                    "layer_types names {} layers of {}",
                    kinds.len(),
                    self.layers
                ));
            }
            if let Some(other) = kinds.iter().find(|kind| *kind != FULL && *kind != SLIDING) {
                return malformed(format!("layer_types has the kind `{other}`"));
            }
        }
        let unsupported = |what: String| {
            Err(
                ModelError::new(ModelErrorKind::Unsupported, format!("config.json: {what}"))
                    .with_hint("ModernBERT has the exact GELU, and gated units without bias"),
            )
        };
        let activations = [
            ("hidden_activation", &self.hidden_activation),
            ("classifier_activation", &self.classifier_activation),
        ];
        for (name, activation) in activations {
            match activation.as_deref() {
                None | Some("gelu") => {}
                Some(other) => return unsupported(format!("{name} `{other}`")),
            }
        }
        if self.mlp_bias {
            return unsupported("mlp_bias true".to_owned());
        }
        Ok(())
    }

    /// Columns of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Whether a layer sees the whole sequence.
    pub fn is_global(&self, layer: usize) -> bool {
        match &self.layer_types {
            Some(kinds) => kinds[layer] == FULL,
            None => layer.is_multiple_of(self.global_every),
        }
    }

    /// How far a residue sees in a layer with a window.
    pub fn reach(&self) -> usize {
        self.window / 2
    }

    /// A network of 50 million parameters for residues. The sizes of the published ModernProst-50M
    /// are not known here; these are chosen to make as many parameters.
    pub fn of_50m() -> Self {
        ModernBertConfig {
            hidden: 512,
            layers: 17,
            heads: 8,
            feed_forward: 1344,
            vocabulary: 30,
            positions: published_positions(),
            epsilon: published_epsilon(),
            window: published_window(),
            global_every: published_global_every(),
            layer_types: None,
            global_theta: published_global_theta(),
            local_theta: published_local_theta(),
            hidden_activation: Some("gelu".to_owned()),
            classifier_activation: Some("gelu".to_owned()),
            mlp_bias: false,
        }
    }

    /// The configuration as transformers writes it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "architectures": ["ModernBertForTokenClassification"],
            "model_type": "modernbert",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feed_forward,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "norm_eps": self.epsilon,
            "local_attention": self.window,
            "global_attn_every_n_layers": self.global_every,
            "global_rope_theta": self.global_theta,
            "local_rope_theta": self.local_theta,
            "hidden_activation": "gelu",
            "classifier_activation": "gelu",
            "attention_bias": false,
            "mlp_bias": false,
            "norm_bias": false,
            "classifier_bias": false,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "cls_token_id": 2,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "num_labels": 20,
            "torch_dtype": "float32"
        })
    }
}
