//! The tensors of a MosaicBERT checkpoint: names and shapes.

use super::MosaicBertConfig;

/// Names (as DNABERT-S's `BertModel` has them, after `bert.`) and shapes of all tensors of a
/// checkpoint of this configuration, with both heads.
pub fn tensor_shapes(config: &MosaicBertConfig) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (config.hidden, config.feed_forward);
    let mut shapes = Vec::new();
    let mut add = |name: &str, shape: &[usize]| shapes.push((name.to_owned(), shape.to_vec()));
    add(
        "bert.embeddings.word_embeddings.weight",
        &[config.vocabulary, hidden],
    );
    add(
        "bert.embeddings.token_type_embeddings.weight",
        &[config.types, hidden],
    );
    add("bert.embeddings.LayerNorm.weight", &[hidden]);
    add("bert.embeddings.LayerNorm.bias", &[hidden]);
    for layer in 0..config.layers {
        let mut add = |part: &str, shape: &[usize]| {
            shapes.push((format!("bert.encoder.layer.{layer}.{part}"), shape.to_vec()));
        };
        add("attention.self.Wqkv.weight", &[3 * hidden, hidden]);
        add("attention.self.Wqkv.bias", &[3 * hidden]);
        add("attention.output.dense.weight", &[hidden, hidden]);
        add("attention.output.dense.bias", &[hidden]);
        add("attention.output.LayerNorm.weight", &[hidden]);
        add("attention.output.LayerNorm.bias", &[hidden]);
        add("mlp.gated_layers.weight", &[2 * wide, hidden]);
        add("mlp.wo.weight", &[hidden, wide]);
        add("mlp.wo.bias", &[hidden]);
        add("mlp.layernorm.weight", &[hidden]);
        add("mlp.layernorm.bias", &[hidden]);
    }
    let mut add = |name: &str, shape: &[usize]| shapes.push((name.to_owned(), shape.to_vec()));
    add("bert.pooler.dense.weight", &[hidden, hidden]);
    add("bert.pooler.dense.bias", &[hidden]);
    add("cls.predictions.transform.dense.weight", &[hidden, hidden]);
    add("cls.predictions.transform.dense.bias", &[hidden]);
    add("cls.predictions.transform.LayerNorm.weight", &[hidden]);
    add("cls.predictions.transform.LayerNorm.bias", &[hidden]);
    add("cls.predictions.decoder.bias", &[config.vocabulary]);
    shapes
}
