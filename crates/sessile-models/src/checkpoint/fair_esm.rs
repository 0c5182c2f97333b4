//! fair-esm's checkpoints of ESM-2, ESM-1b and ESM-1v in the names of the Hugging Face libraries.
//!
//! Such a file is `{"args", "cfg": {"model": Namespace}, "model": state dict}`, before ESM-2
//! without `cfg`, and the weights of
//! the contact head lie beside it in `NAME-contact-regression.pt` (`esm/pretrained.py` of fair-esm
//! 2.0.0). The names are translated as in `convert_esm.py` of transformers, and a `config.json` is
//! made up from the settings and the shapes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::locate::REGRESSION_SUFFIX;
use super::pickle::Value;
use super::state_dict::{self, StateDict};
use crate::error::{ModelError, ModelErrorKind};

/// `Alphabet.from_architecture("ESM-1b")` of fair-esm, in the order of the ids.
const VOCABULARY: [&str; 33] = [
    "<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "G", "V", "S", "E", "R", "T", "I", "D", "P", "K",
    "Q", "N", "F", "Y", "M", "H", "W", "C", "X", "B", "U", "Z", "O", ".", "-", "<null_1>",
    "<mask>",
];

/// What the names of a fair-esm state dict begin with.
const PREFIXES: [&str; 2] = ["encoder.sentence_encoder.", "encoder."];

/// Parts of names outside of the layers.
const TRUNK: [(&str, &str); 9] = [
    ("embed_tokens.", "esm.embeddings.word_embeddings."),
    ("embed_positions.", "esm.embeddings.position_embeddings."),
    ("emb_layer_norm_before.", "esm.embeddings.layer_norm."),
    ("emb_layer_norm_after.", "esm.encoder.emb_layer_norm_after."),
    ("contact_head.", "esm.contact_head."),
    ("lm_head.dense.", "lm_head.dense."),
    ("lm_head.layer_norm.", "lm_head.layer_norm."),
    ("lm_head.weight", "lm_head.decoder.weight"),
    ("lm_head.bias", "lm_head.bias"),
];

/// Parts of names inside a layer.
const LAYER: [(&str, &str); 9] = [
    ("self_attn.q_proj.", "attention.self.query."),
    ("self_attn.k_proj.", "attention.self.key."),
    ("self_attn.v_proj.", "attention.self.value."),
    ("self_attn.rot_emb.", "attention.self.rotary_embeddings."),
    ("self_attn.out_proj.", "attention.output.dense."),
    ("self_attn_layer_norm.", "attention.LayerNorm."),
    ("fc1.", "intermediate.dense."),
    ("fc2.", "output.dense."),
    ("final_layer_norm.", "LayerNorm."),
];

/// The settings of a fair-esm checkpoint, if the object is one.
pub(crate) fn settings(value: &Value) -> Option<&Value> {
    let dict = value.as_dict()?;
    dict.get("model")?.as_dict()?;
    dict.get("cfg")
        .and_then(|cfg| cfg.get("model"))
        .or_else(|| dict.get("args"))
}

/// The file with the contact head's weights that belongs to a checkpoint.
pub(crate) fn regression_path(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or("pt");
    Some(path.with_file_name(format!("{stem}{REGRESSION_SUFFIX}.{extension}")))
}

/// The usual name of a tensor, or the same name when it is not one of fair-esm's.
pub(crate) fn translate(name: &str) -> String {
    let bare = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let translated = match bare
        .strip_prefix("layers.")
        .and_then(|rest| rest.split_once('.'))
    {
        Some((number, part)) => {
            replace(part, &LAYER).map(|part| format!("esm.encoder.layer.{number}.{part}"))
        }
        None => replace(bare, &TRUNK),
    };
    translated.unwrap_or_else(|| bare.to_owned())
}

fn replace(name: &str, table: &[(&str, &str)]) -> Option<String> {
    let (old, new) = table.iter().find(|(old, _)| name.starts_with(old))?;
    Some(format!("{new}{}", &name[old.len()..]))
}

/// The configuration in the words of `config.json`. The tensors have their usual names already.
pub(crate) fn config(settings: &Value, tensors: &StateDict) -> Result<Json, ModelError> {
    let count = |name: &str| {
        settings
            .get(name)
            .and_then(Value::as_int)
            .filter(|&value| value > 0)
    };
    let (Some(layers), Some(hidden), Some(heads)) = (
        count("encoder_layers"),
        count("encoder_embed_dim"),
        count("encoder_attention_heads"),
    ) else {
        return Err(unsupported("of another kind than ESM-2, ESM-1b and ESM-1v"));
    };
    // ESM-1 and the MSA transformer have other networks; ESM-2 names itself as ESM-1b does.
    if let Some(arch @ ("protein_bert_base" | "msa_transformer")) =
        settings.get("arch").and_then(Value::as_str)
    {
        return Err(unsupported(&format!("with the architecture `{arch}`")));
    }
    let rows = |name: &str| {
        tensors
            .iter()
            .find(|(have, _)| have == name)
            .and_then(|(_, t)| t.shape.first().copied())
    };
    let has = |part: &str| tensors.iter().any(|(name, _)| name.starts_with(part));
    // ESM-1b and ESM-1v have a table of positions, ESM-2 has angles.
    let table = rows("esm.embeddings.position_embeddings.weight");
    let vocabulary = rows("esm.embeddings.word_embeddings.weight").unwrap_or(VOCABULARY.len());
    let inner = rows("esm.encoder.layer.0.intermediate.dense.weight");
    Ok(json!({
        "architectures": ["EsmForMaskedLM"],
        "model_type": "esm",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": inner.map_or(Json::from(hidden.saturating_mul(4)), Json::from),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "position_embedding_type": if table.is_some() { "absolute" } else { "rotary" },
        "max_position_embeddings": table.unwrap_or(1026),
        "emb_layer_norm_before": has("esm.embeddings.layer_norm."),
        "token_dropout": settings.get("token_dropout").and_then(Value::as_bool).unwrap_or(true),
        "vocab_size": vocabulary,
        "vocab_list": VOCABULARY.as_slice(),
        "pad_token_id": 1,
        "mask_token_id": 32,
    }))
}

fn unsupported(what: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Unsupported,
        format!("this is a fair-esm checkpoint {what}"),
    )
    .with_hint("built in: ESM-2, ESM-1b and ESM-1v")
}

/// The tensors of a fair-esm file, by their usual names.
pub(crate) fn tensors(value: &Value) -> StateDict {
    let found = value
        .get("model")
        .and_then(Value::as_dict)
        .map(state_dict::tensors);
    let found = found.unwrap_or_default();
    found
        .into_iter()
        .map(|(name, tensor)| (translate(&name), tensor))
        .collect()
}
