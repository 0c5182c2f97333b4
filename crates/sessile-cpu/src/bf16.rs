//! Products and attention in bfloat16, with sums in f32.
//!
//! The memory layouts are those of the AMX tiles ([`operand`] for activations, [`panels`] for
//! weights) whatever the processor has, so a weight is packed once and every kernel reads the same
//! bytes: AMX tiles ([`crate::amx`]), pairs of bf16 by AVX512-BF16 ([`pairs`]), and f32 arithmetic
//! on widened values ([`widened`]) where there are no instructions for bf16. The tests compare each
//! with a scalar twin.

pub(crate) mod attention;
#[cfg(target_arch = "x86_64")]
pub(crate) mod finish;
#[cfg(target_arch = "x86_64")]
pub(crate) mod gelu;
pub(crate) mod operand;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pairs;
pub(crate) mod panels;
pub(crate) mod product;
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod widened;

/// The bfloat16 nearest to `x`, ties to even; a NaN stays a NaN.
#[inline(always)]
pub(crate) fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The value of a bfloat16.
#[inline(always)]
pub(crate) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::{from_bf16, to_bf16};

    #[test]
    fn rounds_to_the_nearest_even() {
        assert_eq!(to_bf16(1.0), 0x3f80);
        assert_eq!(to_bf16(1.0 + 1.0 / 256.0), 0x3f80);
        assert_eq!(to_bf16(1.0 + 3.0 / 256.0), 0x3f82);
        assert_eq!(to_bf16(f32::MAX), 0x7f80);
        assert_eq!(from_bf16(to_bf16(f32::INFINITY)), f32::INFINITY);
        assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
        assert!(from_bf16(to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    }
}
