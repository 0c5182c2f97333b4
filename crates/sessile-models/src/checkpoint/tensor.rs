//! What a checkpoint says about one tensor: its shape, its number format and where its bytes lie.

use std::fmt;

use super::strided::Strided;

/// The number format in which a tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TensorDType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE 754 binary16.
    F16,
    /// 8-bit float, four bits of exponent.
    F8E4M3,
    /// 8-bit float, five bits of exponent.
    F8E5M2,
    /// Two binary32: real and imaginary part.
    C64,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl TensorDType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            TensorDType::F64 | TensorDType::I64 | TensorDType::U64 | TensorDType::C64 => 8,
            TensorDType::F32 | TensorDType::I32 | TensorDType::U32 => 4,
            TensorDType::Bf16 | TensorDType::F16 | TensorDType::I16 | TensorDType::U16 => 2,
            TensorDType::F8E4M3
            | TensorDType::F8E5M2
            | TensorDType::I8
            | TensorDType::U8
            | TensorDType::Bool => 1,
        }
    }

    /// The name used in messages and in the content hash: `f32`, `bf16`, `i64`…
    pub const fn name(self) -> &'static str {
        match self {
            TensorDType::F64 => "f64",
            TensorDType::F32 => "f32",
            TensorDType::Bf16 => "bf16",
            TensorDType::F16 => "f16",
            TensorDType::F8E4M3 => "f8_e4m3",
            TensorDType::F8E5M2 => "f8_e5m2",
            TensorDType::C64 => "c64",
            TensorDType::I64 => "i64",
            TensorDType::I32 => "i32",
            TensorDType::I16 => "i16",
            TensorDType::I8 => "i8",
            TensorDType::U64 => "u64",
            TensorDType::U32 => "u32",
            TensorDType::U16 => "u16",
            TensorDType::U8 => "u8",
            TensorDType::Bool => "bool",
        }
    }

    /// Whether the elements are floating-point numbers: what a weight is made of. Integer tensors
    /// (`position_ids`, `num_batches_tracked`) are bookkeeping that a model may pass over.
    pub const fn is_float(self) -> bool {
        matches!(
            self,
            TensorDType::F64
                | TensorDType::F32
                | TensorDType::Bf16
                | TensorDType::F16
                | TensorDType::F8E4M3
                | TensorDType::F8E5M2
        )
    }
}

impl fmt::Display for TensorDType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One tensor of a checkpoint. Its bytes stay in the file until they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Dimensions, outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// How the elements are stored.
    pub dtype: TensorDType,
    /// Which of the checkpoint's files holds the bytes.
    pub(crate) file: usize,
    /// Where in that file the elements lie.
    pub(crate) place: Strided,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        // Checked for overflow when the tensor was read from the file's header.
        self.shape.iter().product()
    }

    /// Bytes of all elements as they are stored.
    pub fn bytes(&self) -> u64 {
        self.elements() as u64 * self.dtype.size() as u64
    }
}
