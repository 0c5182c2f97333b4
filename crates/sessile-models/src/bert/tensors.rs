//! The tensors of a BERT checkpoint: names and shapes.

use super::BertConfig;

/// Names (as transformers' `BertForMaskedLM` writes them) and shapes of all tensors of a checkpoint
/// of this configuration, with the pooler and the head of the vocabulary.
pub fn tensor_shapes(config: &BertConfig) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (config.hidden, config.feed_forward);
    let mut shapes = Vec::new();
    let table = |name: &str, rows| {
        (
            format!("bert.embeddings.{name}_embeddings.weight"),
            vec![rows, hidden],
        )
    };
    shapes.push(table("word", config.vocabulary));
    shapes.push(table("position", config.positions));
    shapes.push(table("token_type", config.types));
    let mut both = |name: String, outputs: usize, weight: &[usize]| {
        shapes.push((format!("{name}.weight"), weight.to_vec()));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    };
    both("bert.embeddings.LayerNorm".to_owned(), hidden, &[hidden]);
    for layer in 0..config.layers {
        let layer = format!("bert.encoder.layer.{layer}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            both(
                format!("{layer}.attention.{part}"),
                hidden,
                &[hidden, hidden],
            );
        }
        both(format!("{layer}.intermediate.dense"), wide, &[wide, hidden]);
        both(format!("{layer}.output.dense"), hidden, &[hidden, wide]);
        for part in ["attention.output", "output"] {
            both(format!("{layer}.{part}.LayerNorm"), hidden, &[hidden]);
        }
    }
    both("bert.pooler.dense".to_owned(), hidden, &[hidden, hidden]);
    let head = "cls.predictions.transform";
    both(format!("{head}.dense"), hidden, &[hidden, hidden]);
    both(format!("{head}.LayerNorm"), hidden, &[hidden]);
    shapes.push((
        "cls.predictions.decoder.bias".to_owned(),
        vec![config.vocabulary],
    ));
    shapes
}
