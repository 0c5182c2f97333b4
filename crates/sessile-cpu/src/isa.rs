//! Instruction sets: what the machine can do, and what a user allows.

use std::fmt;
use std::str::FromStr;

use sessile_device::{DeviceError, DeviceErrorKind};

/// A family of kernels, from the one that runs everywhere to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust.
    Portable,
    /// 128-bit vectors of AArch64.
    Neon,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors.
    Avx512,
    /// 512-bit vectors, and products of bf16 pairs.
    Avx512Bf16,
    /// 512-bit vectors, and bf16 products on AMX tiles.
    Amx,
}

/// The environment variable that caps the instruction set.
pub const ISA_VARIABLE: &str = "SESSILE_ISA";

impl Isa {
    /// Every instruction set, the least capable first.
    pub const ALL: [Isa; 6] = [
        Isa::Portable,
        Isa::Neon,
        Isa::Avx2,
        Isa::Avx512,
        Isa::Avx512Bf16,
        Isa::Amx,
    ];

    /// The instruction set whose kernels this machine runs, no better than `SESSILE_ISA` allows.
    ///
    /// It is the best one, with one exception: [`Isa::Avx512Bf16`] is taken where its instruction
    /// computes faster than f32 arithmetic, which is tried once in a process and takes a
    /// millisecond or two, or where `SESSILE_ISA` names it.
    ///
    /// # Errors
    ///
    /// `Misuse` when `SESSILE_ISA` is set to something that is not an instruction set.
    pub fn detect() -> Result<Isa, DeviceError> {
        let cap = Isa::cap()?;
        let best = Isa::best(cap);
        if best == Isa::Avx512Bf16 && cap != best && !crate::peak::pairs_are_fast() {
            return Ok(Isa::Avx512);
        }
        Ok(best)
    }

    /// The best instruction set that `SESSILE_ISA` allows, whether or not the machine has it.
    ///
    /// # Errors
    ///
    /// `Misuse` when it is set to something that is not an instruction set.
    pub fn cap() -> Result<Isa, DeviceError> {
        match std::env::var(ISA_VARIABLE) {
            Ok(name) if !name.is_empty() => name.parse().map_err(|error: ParseIsaError| {
                DeviceError::new(
                    DeviceErrorKind::Misuse,
                    format!("{ISA_VARIABLE} is not an instruction set"),
                )
                .with_source(error)
            }),
            _ => Ok(Isa::Amx),
        }
    }

    /// The best instruction set of this machine that is no better than `cap`.
    pub fn best(cap: Isa) -> Isa {
        Isa::ALL
            .into_iter()
            .rev()
            .find(|isa| *isa <= cap && isa.available())
            .unwrap_or(Isa::Portable)
    }

    /// Whether this machine can run these kernels.
    pub fn available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            Isa::Avx2 => avx2(),
            Isa::Avx512 => avx512(),
            Isa::Avx512Bf16 => avx512_bf16(),
            Isa::Amx => amx(),
        }
    }

    /// The name used in `SESSILE_ISA` and in kernel families.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Amx => "amx",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> bool {
    avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
}

/// With VBMI, whose table look-ups the softmax wants: every processor with both but Cooper Lake,
/// which counts as AVX-512 without bf16.
#[cfg(target_arch = "x86_64")]
fn avx512_bf16() -> bool {
    avx512() && is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vbmi")
}

#[cfg(target_arch = "x86_64")]
fn amx() -> bool {
    avx512_bf16() && crate::amx::available()
}

#[cfg(not(target_arch = "x86_64"))]
fn amx() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512_bf16() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512() -> bool {
    false
}

/// What the processor calls itself, or its architecture where it does not.
pub fn processor_name() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        if __cpuid(0x8000_0000).eax >= 0x8000_0004 {
            let bytes: Vec<u8> = (0x8000_0002..=0x8000_0004)
                .map(__cpuid)
                .flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
                .flat_map(u32::to_le_bytes)
                .take_while(|&byte| byte != 0)
                .collect();
            let name = String::from_utf8_lossy(&bytes).trim().to_owned();
            if !name.is_empty() {
                return name;
            }
        }
    }
    std::env::consts::ARCH.to_owned()
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of an instruction set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIsaError(String);

impl fmt::Display for ParseIsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown instruction set `{}` (portable, neon, avx2, avx512, avx512bf16 or amx)",
            self.0
        )
    }
}

impl std::error::Error for ParseIsaError {}

impl FromStr for Isa {
    type Err = ParseIsaError;

    /// # Examples
    ///
    /// ```
    /// use sessile_cpu::Isa;
    /// assert_eq!("avx2".parse(), Ok(Isa::Avx2));
    /// assert!("sse9".parse::<Isa>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == text)
            .ok_or_else(|| ParseIsaError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_set_is_available_and_within_the_cap() {
        for cap in Isa::ALL {
            let best = Isa::best(cap);
            assert!(best <= cap && best.available());
            let better = Isa::ALL
                .into_iter()
                .filter(|isa| (best..=cap).contains(isa));
            assert_eq!(better.filter(|isa| isa.available()).max(), Some(best));
        }
    }

    #[test]
    fn what_is_detected_is_available_and_stays() {
        let first = Isa::detect().unwrap();
        assert!(first.available() && first <= Isa::cap().unwrap());
        assert!((0..20).all(|_| Isa::detect().unwrap() == first));
    }

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        let error = "sse9".parse::<Isa>().unwrap_err();
        assert!(error.to_string().contains("`sse9`"));
    }
}
