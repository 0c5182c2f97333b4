//! The tensors of a ModernBERT encoder: names and shapes.

use super::ModernBertConfig;

/// Names (as transformers' `ModernBertModel` has them, without a prefix) and shapes of the tensors
/// of the encoder.
pub fn tensor_shapes(config: &ModernBertConfig) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (config.hidden, config.feed_forward);
    let mut shapes = vec![(
        "embeddings.tok_embeddings.weight".to_owned(),
        vec![config.vocabulary, hidden],
    )];
    let mut add = |name: String, shape: &[usize], has_bias: bool| {
        if has_bias {
            shapes.push((format!("{name}.bias"), vec![shape[0]]));
        }
        shapes.push((format!("{name}.weight"), shape.to_vec()));
    };
    add("embeddings.norm".to_owned(), &[hidden], config.norm_bias);
    add("final_norm".to_owned(), &[hidden], config.norm_bias);
    for layer in 0..config.layers {
        let mut add = |part: &str, shape: &[usize], has_bias: bool| {
            add(format!("layers.{layer}.{part}"), shape, has_bias);
        };
        if layer > 0 {
            add("attn_norm", &[hidden], config.norm_bias);
        }
        add("attn.Wqkv", &[3 * hidden, hidden], config.attention_bias);
        add("attn.Wo", &[hidden, hidden], config.attention_bias);
        add("mlp_norm", &[hidden], config.norm_bias);
        add("mlp.Wi", &[2 * wide, hidden], false);
        add("mlp.Wo", &[hidden, wide], false);
    }
    shapes
}
