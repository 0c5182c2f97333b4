//! The configuration of T5, from `config.json`.

use serde::Deserialize;
use sessile_device::Activation;

use crate::encoder::{Classes, class_head::Reads};
use crate::error::{ModelError, ModelErrorKind};
use crate::model::{BuiltIn, check_extents, parse};

/// The numbers that fix a T5 network. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct T5Config {
    /// Columns of the residual stream.
    #[serde(rename = "d_model", default = "default_hidden")]
    pub hidden: usize,
    /// Columns of one head; all heads together may have another number than the residual stream.
    #[serde(rename = "d_kv", default = "default_head_dim")]
    pub head_dim: usize,
    /// Attention heads of a layer.
    #[serde(rename = "num_heads", default = "default_heads")]
    pub heads: usize,
    /// Columns between the two products of the feed-forward part.
    #[serde(rename = "d_ff", default = "default_feed_forward")]
    pub feed_forward: usize,
    /// Number of layers of the encoder.
    #[serde(rename = "num_layers", default = "default_layers")]
    pub layers: usize,
    /// Number of layers of the decoder; `None`: as many as the encoder's.
    #[serde(default)]
    pub num_decoder_layers: Option<usize>,
    /// Whether the scores over the vocabulary are made with the embeddings.
    #[serde(default = "published_tie")]
    pub tie_word_embeddings: bool,
    /// Whether the scores are scaled down; `None`: where they are made with the embeddings.
    #[serde(default)]
    pub scale_decoder_outputs: Option<bool>,
    /// Tokens in the vocabulary.
    #[serde(rename = "vocab_size", default = "default_vocabulary")]
    pub vocabulary: usize,
    /// Ranges of distances that have a bias of their own, both directions together.
    #[serde(
        rename = "relative_attention_num_buckets",
        default = "published_buckets"
    )]
    pub buckets: usize,
    /// Distance from which on the bias is constant.
    #[serde(
        rename = "relative_attention_max_distance",
        default = "published_max_distance"
    )]
    pub max_distance: usize,
    /// Added to the mean of squares in norms.
    #[serde(rename = "layer_norm_epsilon", default = "published_epsilon")]
    pub epsilon: f32,
    /// What is done to the gates, where the units of the feed-forward part are gated; else they have
    /// a ReLU.
    #[serde(skip)]
    pub gate: Option<Activation>,
    /// The head of classes that the model was saved with.
    #[serde(skip)]
    pub(crate) classes: Option<Classes>,
}

/// Keys of which some values are built in.
const BUILT_IN: [BuiltIn; 1] = [("feed_forward_proj", &["relu", "gated-gelu", "gated-silu"])];

/// What `feed_forward_proj` means: the activation by the name that transformers gives it, and that of
/// the gates where units are gated.
fn feed_forward_part(config: &serde_json::Value) -> (&'static str, Option<Activation>) {
    let named = config
        .get("feed_forward_proj")
        .and_then(|name| name.as_str());
    match named {
        Some("gated-gelu") => ("gelu_new", Some(Activation::GeluTanh)),
        Some("gated-silu") => ("silu", Some(Activation::Silu)),
        _ => ("relu", None),
    }
}

fn default_hidden() -> usize {
    512
}

fn default_head_dim() -> usize {
    64
}

fn default_heads() -> usize {
    8
}

fn default_feed_forward() -> usize {
    2048
}

fn default_layers() -> usize {
    6
}

fn default_vocabulary() -> usize {
    32_128
}

fn published_buckets() -> usize {
    32
}

fn published_max_distance() -> usize {
    128
}

fn published_epsilon() -> f32 {
    1e-6
}

fn published_tie() -> bool {
    true
}

/// The longest sequence in tokens unless something else is asked for. The network has no limit of
/// its own; memory is planned for this many.
pub const DEFAULT_TOKENS: usize = 4096;

impl T5Config {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// `Malformed` when a number is missing or impossible, `Unsupported` for a feed-forward
    /// part that is not built in.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, ModelError> {
        let json = config;
        let mut config: T5Config = parse(json, &BUILT_IN)?;
        let (activation, gate) = feed_forward_part(json);
        config.gate = gate;
        config.classes = Classes::of_config(json);
        // The keys that transformers derives from it, and believes.
        for (key, only) in [
            ("dense_act_fn", serde_json::Value::from(activation)),
            ("is_gated_act", gate.is_some().into()),
        ] {
            let value: Option<&serde_json::Value> = json.get(key).filter(|value| !value.is_null());
            if let Some(value) = value.filter(|value| **value != only) {
                return Err(ModelError::new(
                    ModelErrorKind::Unsupported,
                    format!("config.json: {key} {value} is not supported"),
                )
                .with_hint(format!("with this feed_forward_proj it is {only}")));
            }
        }
        check_extents(&[
            ("d_model", config.hidden),
            ("d_kv", config.head_dim),
            ("num_heads", config.heads),
            ("d_ff", config.feed_forward),
            ("num_layers", config.layers),
            ("num_decoder_layers", config.decoder_layers()),
            ("vocab_size", config.vocabulary),
            ("relative_attention_num_buckets", config.buckets),
            ("relative_attention_max_distance", config.max_distance),
            ("d_kv times num_heads", config.inner()),
        ])?;
        if let Some(Classes {
            reads: Reads::Sequence,
            ..
        }) = config.classes
        {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                "config.json: T5ForSequenceClassification is not supported",
            )
            .with_hint("it reads the decoder; set architectures to T5EncoderModel for vectors"));
        }
        // Half of the buckets are for one distance each: of all in the decoder, which looks one
        // way, and of those of a direction in the encoder.
        if config.buckets < 4 || config.max_distance <= config.buckets / 2 {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!(
                    "config.json: {} buckets can not cover distances up to {}",
                    config.buckets, config.max_distance
                ),
            ));
        }
        Ok(config)
    }

    /// Columns of all heads together.
    pub fn inner(&self) -> usize {
        self.head_dim.saturating_mul(self.heads)
    }

    /// Whether the scores are scaled down by the square root of the columns.
    pub(super) fn scales_scores(&self) -> bool {
        self.scale_decoder_outputs
            .unwrap_or(self.tie_word_embeddings)
    }

    /// Number of layers of the decoder.
    pub fn decoder_layers(&self) -> usize {
        self.num_decoder_layers.unwrap_or(self.layers)
    }

    /// The size of the published ProstT5 (its encoder has 1.2 thousand million parameters).
    pub fn published() -> Self {
        T5Config {
            hidden: 1024,
            head_dim: 128,
            heads: 32,
            feed_forward: 16_384,
            layers: 24,
            num_decoder_layers: Some(24),
            tie_word_embeddings: true,
            scale_decoder_outputs: None,
            vocabulary: 150,
            buckets: published_buckets(),
            max_distance: published_max_distance(),
            epsilon: published_epsilon(),
            gate: None,
            classes: None,
        }
    }

    /// The configuration as transformers writes it for an encoder alone.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "architectures": ["T5EncoderModel"],
            "model_type": "t5",
            "d_model": self.hidden,
            "d_kv": self.head_dim,
            "num_heads": self.heads,
            "d_ff": self.feed_forward,
            "num_layers": self.layers,
            "num_decoder_layers": self.decoder_layers(),
            "vocab_size": self.vocabulary,
            "relative_attention_num_buckets": self.buckets,
            "relative_attention_max_distance": self.max_distance,
            "layer_norm_epsilon": self.epsilon,
            "feed_forward_proj": "relu",
            "dense_act_fn": "relu",
            "is_gated_act": false,
            "is_encoder_decoder": true,
            "tie_word_embeddings": self.tie_word_embeddings,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "dropout_rate": 0.1,
            "n_positions": 512,
            "torch_dtype": "float32"
        })
    }

    /// The range that `distance = key − query` belongs to in the encoder, where half of the ranges
    /// are for each direction.
    pub(super) fn bucket(&self, distance: isize) -> usize {
        let half = self.buckets / 2;
        let direction = if distance > 0 { half } else { 0 };
        direction + self.range(distance.unsigned_abs(), half)
    }

    /// The range that `distance = key − query` belongs to in the decoder, where all ranges look
    /// back; what lies ahead is never seen.
    pub(super) fn bucket_behind(&self, distance: isize) -> usize {
        self.range(distance.min(0).unsigned_abs(), self.buckets)
    }

    /// One of `ranges`: one distance each for the near ones, then ranges that grow with the
    /// logarithm. Computed in f32, as the published code does.
    fn range(&self, distance: usize, ranges: usize) -> usize {
        let near = ranges / 2;
        if distance < near {
            return distance;
        }
        let share = (distance as f32 / near as f32).ln()
            / (self.max_distance as f64 / near as f64).ln() as f32;
        let far = near + (share * (ranges - near) as f32) as usize;
        far.min(ranges - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_fall_into_ranges() {
        let config = T5Config::published();
        // transformers: T5Attention._relative_position_bucket over these distances.
        let cases = [
            (0, 0),
            (-1, 1),
            (1, 17),
            (-7, 7),
            (-8, 8),
            (8, 24),
            (-11, 8),
            (-12, 9),
            (-15, 9),
            (-16, 10),
            (-32, 12),
            (-64, 14),
            (63, 29),
            (64, 30),
            (-90, 14),
            (-91, 15),
            (128, 31),
            (-5000, 15),
        ];
        for (distance, bucket) in cases {
            assert_eq!(config.bucket(distance), bucket, "{distance}");
        }
        // The same with `bidirectional=False`.
        let behind = [
            (5, 0),
            (0, 0),
            (-1, 1),
            (-15, 15),
            (-16, 16),
            (-19, 17),
            (-32, 21),
            (-64, 26),
            (-112, 30),
            (-113, 31),
            (-5000, 31),
        ];
        for (distance, bucket) in behind {
            assert_eq!(config.bucket_behind(distance), bucket, "{distance}");
        }
    }
}
