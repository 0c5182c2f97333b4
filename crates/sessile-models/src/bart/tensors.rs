//! Names and shapes of the tensors of a BART checkpoint.

use super::BartConfig;
use super::config::POSITION_OFFSET;

/// All tensors with their shapes, by the names of `transformers`.
pub fn tensor_shapes(config: &BartConfig) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden;
    let mut tensors = vec![
        ("final_logits_bias".to_owned(), vec![1, config.vocabulary]),
        (
            "model.shared.weight".to_owned(),
            vec![config.vocabulary, hidden],
        ),
    ];
    let mut add = |name: String, shape: Vec<usize>| tensors.push((name, shape));
    for (stack, layers, wide) in [
        ("encoder", config.encoder_layers, config.encoder_ffn_dim),
        ("decoder", config.decoder_layers, config.decoder_ffn_dim),
    ] {
        let prefix = format!("model.{stack}");
        add(
            format!("{prefix}.embed_positions.weight"),
            vec![config.positions + POSITION_OFFSET, hidden],
        );
        let mut norm = |name: String| {
            add(format!("{name}.weight"), vec![hidden]);
            add(format!("{name}.bias"), vec![hidden]);
        };
        norm(format!("{prefix}.layernorm_embedding"));
        let attentions: &[&str] = if stack == "encoder" {
            &["self_attn"]
        } else {
            &["self_attn", "encoder_attn"]
        };
        for layer in 0..layers {
            let layer = format!("{prefix}.layers.{layer}");
            for attention in attentions {
                norm(format!("{layer}.{attention}_layer_norm"));
            }
            norm(format!("{layer}.final_layer_norm"));
        }
        for layer in 0..layers {
            let layer = format!("{prefix}.layers.{layer}");
            let mut dense = |name: String, rows: usize, cols: usize| {
                add(format!("{name}.weight"), vec![rows, cols]);
                add(format!("{name}.bias"), vec![rows]);
            };
            for attention in attentions {
                for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    dense(format!("{layer}.{attention}.{part}"), hidden, hidden);
                }
            }
            dense(format!("{layer}.fc1"), wide, hidden);
            dense(format!("{layer}.fc2"), hidden, wide);
        }
    }
    tensors
}
