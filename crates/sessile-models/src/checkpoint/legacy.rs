//! Names that old checkpoints use.
//!
//! TensorFlow called the gain and the shift of a norm `gamma` and `beta`, and converted checkpoints
//! (BERT's above all) kept the words. They are offered as `weight` and `bias`.

/// The present name of a tensor, when its name is an old one.
pub(crate) fn present_name(name: &str) -> Option<String> {
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
