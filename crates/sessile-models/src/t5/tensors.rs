//! The tensors of T5's encoder, of its decoder and of the 3Di head: names and shapes.

use super::T5Config;

/// Names (as transformers' `T5EncoderModel` has them) and shapes of the tensors of the encoder.
pub fn tensor_shapes(config: &T5Config) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner, wide) = (config.hidden, config.inner(), config.feed_forward);
    let mut shapes = vec![
        ("shared.weight".to_owned(), vec![config.vocabulary, hidden]),
        ("encoder.final_layer_norm.weight".to_owned(), vec![hidden]),
        (
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight".to_owned(),
            vec![config.buckets, config.heads],
        ),
    ];
    for layer in 0..config.layers {
        let mut add = |part: &str, shape: &[usize]| {
            shapes.push((
                format!("encoder.block.{layer}.layer.{part}"),
                shape.to_vec(),
            ));
        };
        add("0.SelfAttention.q.weight", &[inner, hidden]);
        add("0.SelfAttention.k.weight", &[inner, hidden]);
        add("0.SelfAttention.v.weight", &[inner, hidden]);
        add("0.SelfAttention.o.weight", &[hidden, inner]);
        add("0.layer_norm.weight", &[hidden]);
        match config.gate {
            None => add("1.DenseReluDense.wi.weight", &[wide, hidden]),
            Some(_) => {
                add("1.DenseReluDense.wi_0.weight", &[wide, hidden]);
                add("1.DenseReluDense.wi_1.weight", &[wide, hidden]);
            }
        }
        add("1.DenseReluDense.wo.weight", &[hidden, wide]);
        add("1.layer_norm.weight", &[hidden]);
    }
    shapes
}

/// Names and shapes of the tensors that the decoder adds; the scores have a tensor of their own
/// unless they are tied to the embeddings.
pub fn decoder_shapes(config: &T5Config) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner, wide) = (config.hidden, config.inner(), config.feed_forward);
    let mut shapes = vec![
        ("decoder.final_layer_norm.weight".to_owned(), vec![hidden]),
        (
            "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight".to_owned(),
            vec![config.buckets, config.heads],
        ),
    ];
    if !config.tie_word_embeddings {
        shapes.push(("lm_head.weight".to_owned(), vec![config.vocabulary, hidden]));
    }
    for layer in 0..config.decoder_layers() {
        let mut add = |part: String, shape: &[usize]| {
            let name = format!("decoder.block.{layer}.layer.{part}.weight");
            shapes.push((name, shape.to_vec()));
        };
        for attention in ["0.SelfAttention", "1.EncDecAttention"] {
            for part in ["q", "k", "v"] {
                add(format!("{attention}.{part}"), &[inner, hidden]);
            }
            add(format!("{attention}.o"), &[hidden, inner]);
        }
        for part in 0..3 {
            add(format!("{part}.layer_norm"), &[hidden]);
        }
        add("2.DenseReluDense.wi".to_owned(), &[wide, hidden]);
        add("2.DenseReluDense.wo".to_owned(), &[hidden, wide]);
    }
    shapes
}

/// Names and shapes of the published 3Di head: two convolutions over 7 residues.
pub fn head_shapes(config: &T5Config) -> Vec<(String, Vec<usize>)> {
    const CHANNELS: usize = 32;
    vec![
        (
            "classifier.0.weight".to_owned(),
            vec![CHANNELS, config.hidden, 7, 1],
        ),
        ("classifier.0.bias".to_owned(), vec![CHANNELS]),
        (
            "classifier.3.weight".to_owned(),
            vec![crate::three_di::STATES.len(), CHANNELS, 7, 1],
        ),
        (
            "classifier.3.bias".to_owned(),
            vec![crate::three_di::STATES.len()],
        ),
    ]
}
