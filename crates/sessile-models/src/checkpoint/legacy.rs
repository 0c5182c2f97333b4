//! Names that old checkpoints and training wrappers use.
//!
//! TensorFlow called the gain and the shift of a norm `gamma` and `beta`, and converted checkpoints
//! (BERT's above all) kept the words. They are offered as `weight` and `bias`. Wrappers of modules
//! leave a word of theirs in the names of what they wrap, at any depth.

/// `torch.nn.DataParallel` puts this before every name.
pub(crate) const PARALLEL_PREFIX: &str = "module.";

/// What `torch.compile`, FSDP, activation checkpointing and Lightning put into names.
const WRAPPERS: [&str; 4] = [
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
    "_forward_module.",
];

/// Endings of names that share a table with others.
const SHARED: [&str; 6] = [
    "lm_head.weight",
    "lm_head.decoder.weight",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "embed_tokens.weight",
    "shared.weight",
];

/// Whether a tensor may be missing from a file because it is there by another name.
pub(crate) fn is_shared(name: &str) -> bool {
    SHARED.iter().any(|ending| name.ends_with(ending))
}

/// The present name of a tensor, when its name is an old one.
pub(crate) fn present_name(name: &str) -> Option<String> {
    let unwrapped = WRAPPERS
        .iter()
        .fold(name.to_owned(), |name, word| name.replace(word, ""));
    let renamed = present_norm(&unwrapped);
    renamed.or_else(|| (unwrapped != name).then_some(unwrapped))
}

fn present_norm(name: &str) -> Option<String> {
    let (module, last) = name.rsplit_once('.')?;
    let new = match last {
        "gamma" => "weight",
        "beta" => "bias",
        _ => return None,
    };
    // A `gamma` that is not in a norm (a layer's scale, say) is the model's own word.
    let owner = module.rsplit('.').next()?.to_ascii_lowercase();
    (owner.contains("norm") || owner.starts_with("ln")).then(|| format!("{module}.{new}"))
}
