//! The configuration of ModernBERT, from `config.json`.

use serde::Deserialize;

use crate::error::{ModelError, ModelErrorKind};
use crate::model::{BuiltIn, check_extents, parse};
use crate::rotary::Rope;

/// The numbers that fix a ModernBERT network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ModernBertConfig {
    /// Columns of the residual stream.
    #[serde(rename = "hidden_size", default = "default_hidden")]
    pub hidden: usize,
    /// Number of layers.
    #[serde(rename = "num_hidden_layers", default = "default_layers")]
    pub layers: usize,
    /// Attention heads of a layer.
    #[serde(rename = "num_attention_heads", default = "default_heads")]
    pub heads: usize,
    /// Columns between the two products of the feed-forward part.
    #[serde(rename = "intermediate_size", default = "default_feed_forward")]
    pub feed_forward: usize,
    /// Tokens in the vocabulary.
    #[serde(rename = "vocab_size", default = "default_vocabulary")]
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
    global_theta: f64,
    /// Base of the angles of layers with a window; that of the others where it is null.
    #[serde(rename = "local_rope_theta", default = "published_local_theta")]
    local_theta: f64,
    /// Angles of layers that see everything, and of those with a window.
    #[serde(skip)]
    ropes: Option<[Rope; 2]>,
    /// Whether attention has biases.
    #[serde(default)]
    pub attention_bias: bool,
    /// Whether norms have a shift.
    #[serde(default)]
    pub norm_bias: bool,
    /// Whether the gated units are those of the first ModernProst, SiLU behind the values; else
    /// they are ModernBERT's, GELU before them.
    #[serde(skip)]
    pub is_legacy: bool,
}

/// Keys of which some values are built in.
const BUILT_IN: [BuiltIn; 3] = [
    ("hidden_activation", &["gelu"]),
    ("classifier_activation", &["gelu"]),
    ("mlp_bias", &["false"]),
];

fn default_hidden() -> usize {
    768
}

fn default_layers() -> usize {
    22
}

fn default_heads() -> usize {
    12
}

fn default_feed_forward() -> usize {
    1152
}

fn default_vocabulary() -> usize {
    50_368
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

fn published_local_theta() -> f64 {
    10_000.0
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
    pub(super) fn is_named_in(config: &serde_json::Value) -> bool {
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

    /// Whether a `config.json` is of the first ModernProst: its code replaces the gated units of the
    /// layers, and the configuration goes on to name those of the library.
    fn is_of_first_modernprost(config: &serde_json::Value) -> bool {
        let named = |value: &serde_json::Value| {
            let name = value.as_str().unwrap_or_default().to_ascii_lowercase();
            name == "modernprost" || name == "mprostt5"
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
    /// `Malformed` when a number is missing or impossible, `Unsupported` for other activations, for
    /// gated units with a bias and for scaled angles other than linear ones.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, ModelError> {
        let mut parsed: ModernBertConfig = parse(config, &BUILT_IN)?;
        if config
            .get("local_rope_theta")
            .is_some_and(|theta| theta.is_null())
        {
            parsed.local_theta = parsed.global_theta;
        }
        // Older files have one scaling for all layers, newer ones all of it by kind of layer.
        let by_kind = config.get("rope_parameters");
        let angles = |theta: f64, kind: &str| {
            Rope::new(theta)
                .with(by_kind.and_then(|kinds| kinds.get(kind)))?
                .with(config.get("rope_scaling"))
        };
        let all_layers =
            by_kind.filter(|kinds| kinds.get(FULL).is_none() && kinds.get(SLIDING).is_none());
        if Rope::new(1.0).with(all_layers)? != Rope::new(1.0) {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                "config.json: rope_parameters that name no kind of layer are not supported",
            )
            .with_hint("ModernBERT has them below full_attention and sliding_attention"));
        }
        parsed.ropes = Some([
            angles(parsed.global_theta, FULL)?,
            angles(parsed.local_theta, SLIDING)?,
        ]);
        parsed.is_legacy = Self::is_of_first_modernprost(config);
        parsed.check()?;
        Ok(parsed)
    }

    /// Angles of the layers that see everything, and of those with a window.
    pub(super) fn ropes(&self) -> [Rope; 2] {
        self.ropes
            .unwrap_or_else(|| [self.global_theta, self.local_theta].map(Rope::new))
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
            ropes: None,
            attention_bias: false,
            norm_bias: false,
            is_legacy: false,
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
