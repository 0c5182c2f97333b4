//! Whether this process may use AMX, found out by asking the kernel and trying it.
//!
//! CPUID leaf 0x1D (the tile palettes) is not consulted: virtual machines hide it on processors
//! whose tiles work. What decides is leaf 7, the kernel's permission and one trial product.

use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

use crate::amx::tile::{self, Tiles, tile_load, tile_mul, tile_store, tile_zero};
use crate::bf16::{from_bf16, to_bf16};

/// Whether bf16 tile products work here. The first call asks the kernel for the tile state, which
/// holds for the whole process and every later thread; the answer is kept.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| announced() && permitted() && trial())
}

/// Leaf 7: AMX-BF16 (EDX bit 22) and AMX-TILE (bit 24), and the AVX-512 that the epilogues use.
fn announced() -> bool {
    if __cpuid(0).eax < 7 {
        return false;
    }
    let leaf7 = __cpuid_count(7, 0);
    let tiles = leaf7.edx & (1 << 22) != 0 && leaf7.edx & (1 << 24) != 0;
    tiles
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512bf16")
}

/// Asks the kernel whether it saves tiles, and for the permission to use them.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_GET_XCOMP_SUPP: libc::c_long = 0x1021;
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    let mut supported = 0_u64;
    // SAFETY: the kernel writes one u64 through a pointer to one.
    let got = unsafe {
        libc::syscall(
            libc::SYS_arch_prctl,
            ARCH_GET_XCOMP_SUPP,
            &raw mut supported,
        )
    };
    if got != 0 || supported & (1 << TILE_DATA) == 0 {
        return false;
    }
    // SAFETY: this request takes a number and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

/// Only Linux hands out the tile state on request.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// One tile product compared with the scalar result. The values are small integers, so every
/// order of summation gives the same bits.
fn trial() -> bool {
    let a = tile::Bytes::from_fn(|row, k| to_bf16(((row * 7 + k * 3) % 5) as f32 - 2.0));
    let b = tile::Bytes::from_fn(|pair, at| to_bf16(((pair * 5 + at) % 7) as f32 - 3.0));
    let mut c = [[0.0_f32; 16]; 16];
    {
        // SAFETY: the kernel has granted the tile state to this process.
        let tiles = unsafe { Tiles::configure() };
        tile_zero!(tiles, 0);
        // SAFETY: both tiles are 1 KiB of rows 64 bytes apart.
        unsafe {
            tile_load!(tiles, 4, a.0.as_ptr(), 64);
            tile_load!(tiles, 6, b.0.as_ptr(), 64);
        }
        tile_mul!(tiles, 0, 4, 6);
        // SAFETY: `c` is 1 KiB of rows 64 bytes apart.
        unsafe { tile_store!(tiles, 0, c.as_mut_ptr(), 64) };
    }
    (0..16).all(|row| {
        (0..16).all(|col| {
            let sum: f32 = (0..32)
                .map(|k| from_bf16(a.0[row][k]) * from_bf16(b.0[k / 2][col * 2 + k % 2]))
                .sum();
            sum == c[row][col]
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn asks_once_and_stays_with_the_answer() {
        assert_eq!(super::available(), super::available());
    }
}
