//! Rounding f32 to the 16-bit formats, to the nearest and ties to even.

use sessile_device::DType;

/// The bits of `x` in `dtype`, which has 16.
pub(crate) fn round_all(dtype: DType, from: &[f32], to: &mut [u16]) {
    match dtype {
        DType::F16 => {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = to_f16(from);
            }
        }
        _ => {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = to_bf16(from);
            }
        }
    }
}

fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

fn to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // 65520 and beyond round to infinity.
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    // Below the smallest normal number: add a number whose last place is that of the result.
    if magnitude < 0x3880_0000 {
        let shifted = f32::from_bits(magnitude) + 0.5;
        return sign | (shifted.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = (magnitude >> 13) & 1;
    let rounded = magnitude + 0xfff + odd;
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a binary16.
    fn from_f16(bits: u16) -> f64 {
        let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        sign * match exponent {
            0 => fraction * 2_f64.powi(-24),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_f16_comes_back_and_its_middles_go_to_the_even_one() {
        for bits in 0..=u16::MAX {
            let value = from_f16(bits);
            if value.is_nan() {
                assert_eq!(to_f16(f32::from_bits(0x7fc0_0000)) & 0x7c00, 0x7c00);
                continue;
            }
            assert_eq!(to_f16(value as f32), bits, "{value}");
            let next = from_f16(bits.wrapping_add(1));
            if bits & 0x7fff < 0x7bff {
                let middle = ((value + next) / 2.0) as f32;
                let even = if bits & 1 == 0 { bits } else { bits + 1 };
                assert_eq!(to_f16(middle), even, "between {value} and {next}");
            }
        }
        assert_eq!(to_f16(65_519.9), 0x7bff);
        assert_eq!(to_f16(-65_520.0), 0xfc00);
    }

    #[test]
    fn bf16_is_rounded_to_even() {
        let cases = [
            (1.0, 0x3f80),
            (f32::from_bits(0x3f80_8000), 0x3f80),
            (f32::from_bits(0x3f81_8000), 0x3f82),
            (f32::MAX, 0x7f80),
            (f32::NEG_INFINITY, 0xff80),
        ];
        for (value, bits) in cases {
            assert_eq!(to_bf16(value), bits, "{value}");
        }
        assert!(to_bf16(f32::NAN) & 0x7fff > 0x7f80);
    }
}
