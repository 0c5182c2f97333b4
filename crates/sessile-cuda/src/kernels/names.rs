//! The names of the kernels, by the source they are in.

use sessile_device::DType;

/// Every kernel of a source.
pub(crate) fn of(source: &str) -> &'static [&'static str] {
    match source {
        "attention" => &[
            "attention_bf16_32_none",
            "attention_bf16_32_distance",
            "attention_bf16_32_alibi",
            "attention_bf16_64_none",
            "attention_bf16_64_distance",
            "attention_bf16_64_alibi",
            "attention_bf16_128_none",
            "attention_bf16_128_distance",
            "attention_bf16_128_alibi",
            "attention_f16_32_none",
            "attention_f16_32_distance",
            "attention_f16_32_alibi",
            "attention_f16_64_none",
            "attention_f16_64_distance",
            "attention_f16_64_alibi",
            "attention_f16_128_none",
            "attention_f16_128_distance",
            "attention_f16_128_alibi",
        ],
        "attention_f32" => &[
            "attention_f32_32_none",
            "attention_f32_32_distance",
            "attention_f32_32_alibi",
            "attention_f32_64_none",
            "attention_f32_64_distance",
            "attention_f32_64_alibi",
            "attention_f32_128_none",
            "attention_f32_128_distance",
            "attention_f32_128_alibi",
        ],
        "heads" => &[
            "pack_f32",
            "pack_bf16",
            "pack_f16",
            "map_f32",
            "map_bf16",
            "map_f16",
            "cells_f32",
            "cells_bf16",
            "cells_f16",
        ],
        "linear" => &["linear_f32", "linear_bf16", "linear_f16"],
        "norm" => &["norm_f32", "norm_bf16", "norm_f16"],
        "rows" => &[
            "gather_f32",
            "gather_bf16",
            "gather_f16",
            "convert_f32",
            "convert_bf16",
            "convert_f16",
            "add",
            "zero",
            "scatter_16",
            "scatter_32",
            "activate_f32_bias",
            "activate_f32_gelu",
            "activate_f32_relu",
            "activate_bf16_bias",
            "activate_bf16_gelu",
            "activate_bf16_relu",
            "activate_f16_bias",
            "activate_f16_gelu",
            "activate_f16_relu",
            "gate_f32",
            "gate_bf16",
            "gate_f16",
            "sigmoid",
            "silu_gate",
            "gelu_tanh_gate",
        ],
        "sequences" => &[
            "pool",
            "add_taps",
            "log_softmax_at",
            "log_sum_exp",
            "contact_margins",
            "contact_add",
        ],
        _ => &[],
    }
}

/// Bytes of shared memory that a kernel is launched with at most, where that is about as much as
/// every kernel may have, or more; `Some(None)`: as many as the GPU has.
pub(crate) fn dynamic_shared(name: &str) -> Option<Option<usize>> {
    if name.starts_with("cells") {
        return Some(None);
    }
    if name.starts_with("linear_") && name != "linear_f32" {
        return Some(Some(LINEAR_SHARED));
    }
    let mut parts = name.strip_prefix("attention_")?.split('_');
    let is_wide = parts.next()? == "f32";
    let padded: usize = parts.next()?.parse().ok()?;
    Some(Some(attention_shared(is_wide, padded)))
}

/// Rows of a block that packs heads, and queries of one that makes an attention map.
pub(crate) const PACKED_ROWS: usize = 8;
pub(crate) const MAP_ROWS: usize = 8;

/// Queries of a block of attention.
pub(crate) const fn attention_queries(is_wide: bool) -> usize {
    if is_wide { 32 } else { 128 }
}

/// Keys of a tile of attention in 16 bits.
const fn attention_keys(padded: usize) -> usize {
    if padded == 128 { 32 } else { 64 }
}

/// Shared memory of a block of attention: queries, and keys and values (twice, while the next ones
/// come, in 16 bits).
pub(crate) const fn attention_shared(is_wide: bool, padded: usize) -> usize {
    if is_wide {
        (3 * 32 * (padded + 4) + 32 * 33) * 4
    } else {
        (attention_queries(is_wide) + 4 * attention_keys(padded)) * padded * 2
    }
}

/// Shared memory of a block of a 16-bit product: three stages of two tiles.
pub(crate) const LINEAR_SHARED: usize = 3 * 2 * 128 * 32 * 2;

/// A kernel that there is one of for every number format.
macro_rules! by_dtype {
    ($($function:ident = $f32:literal, $bf16:literal, $f16:literal;)*) => {
        $(pub(crate) fn $function(dtype: DType) -> &'static str {
            match dtype {
                DType::F32 => $f32,
                DType::Bf16 => $bf16,
                DType::F16 => $f16,
            }
        })*
    };
}

by_dtype! {
    gather = "gather_f32", "gather_bf16", "gather_f16";
    convert = "convert_f32", "convert_bf16", "convert_f16";
    add_bias = "activate_f32_bias", "activate_bf16_bias", "activate_f16_bias";
    activate_gelu = "activate_f32_gelu", "activate_bf16_gelu", "activate_f16_gelu";
    activate_relu = "activate_f32_relu", "activate_bf16_relu", "activate_f16_relu";
    gate = "gate_f32", "gate_bf16", "gate_f16";
    norm = "norm_f32", "norm_bf16", "norm_f16";
    linear = "linear_f32", "linear_bf16", "linear_f16";
    pack = "pack_f32", "pack_bf16", "pack_f16";
    map = "map_f32", "map_bf16", "map_f16";
    cells = "cells_f32", "cells_bf16", "cells_f16";
}
