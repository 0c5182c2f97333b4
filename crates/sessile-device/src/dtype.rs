//! Number formats of weights and activations.

use std::fmt;
use std::str::FromStr;

/// The format in which a model computes its products and keeps its weights.
///
/// Sums, norms, softmax and the residual stream are f32 whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// bfloat16: the upper half of binary32, eight bits of significand.
    Bf16,
    /// IEEE 754 binary16.
    F16,
}

impl DType {
    /// Bytes of one element.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(sessile_device::DType::Bf16.size(), 2);
    /// ```
    pub const fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::Bf16 | DType::F16 => 2,
        }
    }

    /// The name used in flags and output: `f32`, `bf16` or `f16`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
            DType::F16 => "f16",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a number format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDTypeError(String);

impl fmt::Display for ParseDTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown number format `{}` (f32, bf16 or f16)", self.0)
    }
}

impl std::error::Error for ParseDTypeError {}

impl FromStr for DType {
    type Err = ParseDTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" | "float32" => Ok(DType::F32),
            "bf16" | "bfloat16" => Ok(DType::Bf16),
            "f16" | "float16" => Ok(DType::F16),
            other => Err(ParseDTypeError(other.to_owned())),
        }
    }
}
