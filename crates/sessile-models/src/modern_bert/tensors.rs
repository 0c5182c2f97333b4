//! The tensors of a ModernBERT encoder: names and shapes.

use super::ModernBertConfig;

/// Names (as transformers' `ModernBertModel` has them, without a prefix) and shapes of the tensors
/// of the encoder. Biases, which some configurations have, are not listed.
pub fn tensor_shapes(config: &ModernBertConfig) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (config.hidden, config.feed_forward);
    let mut shapes = vec![
        (
            "embeddings.tok_embeddings.weight".to_owned(),
            vec![config.vocabulary, hidden],
        ),
        ("embeddings.norm.weight".to_owned(), vec![hidden]),
        ("final_norm.weight".to_owned(), vec![hidden]),
    ];
    for layer in 0..config.layers {
        let mut add = |part: &str, shape: &[usize]| {
            shapes.push((format!("layers.{layer}.{part}.weight"), shape.to_vec()));
        };
        if layer > 0 {
            add("attn_norm", &[hidden]);
        }
        add("attn.Wqkv", &[3 * hidden, hidden]);
        add("attn.Wo", &[hidden, hidden]);
        add("mlp_norm", &[hidden]);
        add("mlp.Wi", &[2 * wide, hidden]);
        add("mlp.Wo", &[hidden, wide]);
    }
    shapes
}
