//! The tensors of an ESM C checkpoint: names and shapes.

use super::EsmcConfig;

/// How the tensors are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As transformers does: `esmc.layers.0.self_attn.q_proj`.
    Transformers,
    /// As the `esm` package and those who copied it do: `transformer.blocks.0.attn.out_proj`.
    Package,
}

/// The parts of a network, in one order for both layouts.
pub(super) mod part {
    pub(in crate::esmc) const ATTENTION_NORM: usize = 0;
    pub(in crate::esmc) const QUERY_NORM: usize = 1;
    pub(in crate::esmc) const KEY_NORM: usize = 2;
    pub(in crate::esmc) const ATTENTION_OUT: usize = 3;
    pub(in crate::esmc) const FEED_FORWARD_NORM: usize = 4;
    pub(in crate::esmc) const FEED_FORWARD_DOWN: usize = 5;
}

const TRANSFORMERS: [&str; 6] = [
    "input_layernorm",
    "self_attn.q_norm",
    "self_attn.k_norm",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "mlp.down_proj",
];

const PACKAGE: [&str; 6] = [
    "attn.layernorm_qkv.0",
    "attn.q_ln",
    "attn.k_ln",
    "attn.out_proj",
    "ffn.0",
    "ffn.3",
];

impl Layout {
    /// The table of embeddings.
    pub(super) fn embeddings(self) -> &'static str {
        match self {
            Layout::Transformers => "esmc.embed_tokens.weight",
            Layout::Package => "embed.weight",
        }
    }

    /// The last norm.
    pub(super) fn final_norm(self) -> &'static str {
        match self {
            Layout::Transformers => "esmc.norm",
            Layout::Package => "transformer.norm",
        }
    }

    /// A module of a layer that has one name in each layout.
    pub(super) fn module(self, layer: usize, part: usize) -> String {
        let modules = match self {
            Layout::Transformers => TRANSFORMERS,
            Layout::Package => PACKAGE,
        };
        self.within(layer, modules[part])
    }

    fn within(self, layer: usize, module: &str) -> String {
        match self {
            Layout::Transformers => format!("esmc.layers.{layer}.{module}"),
            Layout::Package => format!("transformer.blocks.{layer}.{module}"),
        }
    }

    /// The weights of queries, keys and values: three, or one.
    pub(super) fn qkv(self, layer: usize) -> Vec<String> {
        let modules: &[&str] = match self {
            Layout::Transformers => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            Layout::Package => &["attn.layernorm_qkv.1"],
        };
        let names = modules.iter().map(|module| self.within(layer, module));
        names.map(|name| format!("{name}.weight")).collect()
    }

    /// The weights of gates and values: two, or one.
    pub(super) fn gated(self, layer: usize) -> Vec<String> {
        let modules: &[&str] = match self {
            Layout::Transformers => &["mlp.gate_proj", "mlp.up_proj"],
            Layout::Package => &["ffn.1"],
        };
        let names = modules.iter().map(|module| self.within(layer, module));
        names.map(|name| format!("{name}.weight")).collect()
    }

    /// Dense, norm and decoder of the head of the vocabulary.
    pub(super) fn head(self) -> [&'static str; 3] {
        match self {
            Layout::Transformers => ["lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"],
            Layout::Package => ["sequence_head.0", "sequence_head.2", "sequence_head.3"],
        }
    }
}

/// Names and shapes of all tensors of a checkpoint of this configuration, with the head.
pub fn tensor_shapes(config: &EsmcConfig, layout: Layout) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (config.hidden, config.feed_forward());
    let mut shapes = vec![(
        layout.embeddings().to_owned(),
        vec![config.vocabulary, hidden],
    )];
    for layer in 0..config.layers {
        let module = |part| layout.module(layer, part);
        for part in [part::ATTENTION_NORM, part::FEED_FORWARD_NORM] {
            for end in ["weight", "bias"] {
                shapes.push((format!("{}.{end}", module(part)), vec![hidden]));
            }
        }
        for part in [part::QUERY_NORM, part::KEY_NORM] {
            shapes.push((format!("{}.weight", module(part)), vec![hidden]));
        }
        for (part, inputs) in [
            (part::ATTENTION_OUT, hidden),
            (part::FEED_FORWARD_DOWN, wide),
        ] {
            shapes.push((format!("{}.weight", module(part)), vec![hidden, inputs]));
        }
        for (names, rows) in [
            (layout.qkv(layer), 3 * hidden),
            (layout.gated(layer), 2 * wide),
        ] {
            let rows = rows / names.len();
            shapes.extend(names.into_iter().map(|name| (name, vec![rows, hidden])));
        }
    }
    shapes.push((format!("{}.weight", layout.final_norm()), vec![hidden]));
    let [dense, norm, decoder] = layout.head();
    for (name, rows, is_matrix) in [
        (dense, hidden, true),
        (norm, hidden, false),
        (decoder, config.vocabulary, true),
    ] {
        let weight = if is_matrix {
            vec![rows, hidden]
        } else {
            vec![rows]
        };
        shapes.push((format!("{name}.weight"), weight));
        shapes.push((format!("{name}.bias"), vec![rows]));
    }
    shapes
}
