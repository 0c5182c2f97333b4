//! The tensors of an ESM-2 checkpoint: names and shapes.

use super::{Esm2Config, PositionKind};

/// Names (as transformers' `EsmForMaskedLM` writes them) and shapes of all tensors that a
/// checkpoint of this configuration has, heads included.
pub fn tensor_shapes(config: &Esm2Config) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (config.hidden, config.feed_forward);
    let mut shapes = vec![(
        "esm.embeddings.word_embeddings.weight".to_owned(),
        vec![config.vocabulary, hidden],
    )];
    let mut dense = |name: String, outputs: usize, inputs: usize| {
        shapes.push((format!("{name}.weight"), vec![outputs, inputs]));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    };
    for layer in 0..config.layers {
        let layer = format!("esm.encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            dense(format!("{layer}.attention.self.{part}"), hidden, hidden);
        }
        dense(format!("{layer}.attention.output.dense"), hidden, hidden);
        dense(format!("{layer}.intermediate.dense"), wide, hidden);
        dense(format!("{layer}.output.dense"), hidden, wide);
    }
    dense("lm_head.dense".to_owned(), hidden, hidden);
    dense(
        "esm.contact_head.regression".to_owned(),
        1,
        config.layers * config.heads,
    );
    let mut norm = |name: String| {
        shapes.push((format!("{name}.weight"), vec![hidden]));
        shapes.push((format!("{name}.bias"), vec![hidden]));
    };
    if config.emb_layer_norm_before == Some(true) {
        norm("esm.embeddings.layer_norm".to_owned());
    }
    for layer in 0..config.layers {
        let layer = format!("esm.encoder.layer.{layer}");
        norm(format!("{layer}.attention.LayerNorm"));
        norm(format!("{layer}.LayerNorm"));
    }
    norm("esm.encoder.emb_layer_norm_after".to_owned());
    norm("lm_head.layer_norm".to_owned());
    shapes.push(("lm_head.bias".to_owned(), vec![config.vocabulary]));
    if config.position_kind == PositionKind::Absolute {
        let name = "esm.embeddings.position_embeddings.weight".to_owned();
        shapes.push((name, vec![config.positions, hidden]));
    }
    shapes
}
