//! The tile registers of one thread, and their instructions as macros.
//!
//! A register number is part of the instruction's name, so these are macros and not functions.
//! Each takes the [`Tiles`] that proves the registers are configured.

use std::arch::asm;
use std::marker::PhantomData;

/// Bytes of one tile: 16 rows of 64.
pub(crate) const TILE_BYTES: usize = 1024;

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All eight tiles at their full size.
static FULL: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The configured tile registers of this thread. They are given back when it is dropped, which
/// also spares the kernel from saving 8 KiB whenever the thread is switched out.
pub(crate) struct Tiles {
    /// Registers belong to a thread.
    stays_here: PhantomData<*mut ()>,
}

impl Tiles {
    /// Configures eight tiles of 16 × 64 bytes.
    ///
    /// # Safety
    ///
    /// The processor has AMX and the kernel has granted its state ([`crate::amx::available`]), and
    /// no other `Tiles` lives on this thread.
    pub(crate) unsafe fn configure() -> Self {
        // SAFETY: AMX may be used (the caller's duty); the instruction reads the 64 bytes of
        // `FULL`, a valid configuration of palette 1.
        unsafe {
            asm!("ldtilecfg [{config}]", config = in(reg) &raw const FULL, options(nostack, readonly));
        }
        Tiles {
            stays_here: PhantomData,
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: a `Tiles` exists only where AMX may be used.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// One tile of bf16 in memory.
#[repr(C, align(64))]
pub(crate) struct Bytes(pub(crate) [[u16; 32]; 16]);

impl Bytes {
    /// A tile from its values by row and place.
    pub(crate) fn from_fn(value: impl Fn(usize, usize) -> u16) -> Self {
        Bytes(std::array::from_fn(|row| {
            std::array::from_fn(|at| value(row, at))
        }))
    }
}

/// `tile_zero!(tiles, C)`: sets tile `C` to zero.
macro_rules! tile_zero {
    ($tiles:expr, $c:literal) => {{
        let _: &$crate::amx::tile::Tiles = &$tiles;
        // SAFETY: the tiles are configured; no memory is touched.
        #[allow(unused_unsafe)]
        unsafe {
            std::arch::asm!(concat!("tilezero tmm", $c), options(nostack, nomem));
        }
    }};
}

/// `tile_mul!(tiles, C, A, B)`: adds the product of tiles `A` and `B` to tile `C`.
macro_rules! tile_mul {
    ($tiles:expr, $c:literal, $a:literal, $b:literal) => {{
        let _: &$crate::amx::tile::Tiles = &$tiles;
        // SAFETY: the tiles are configured; no memory is touched.
        #[allow(unused_unsafe)]
        unsafe {
            std::arch::asm!(
                concat!("tdpbf16ps tmm", $c, ", tmm", $a, ", tmm", $b),
                options(nostack, nomem)
            );
        }
    }};
}

/// `tile_load!(tiles, T, pointer, stride)`: loads 16 rows of 64 bytes, `stride` bytes apart.
/// Unsafe: they must be readable.
macro_rules! tile_load {
    ($tiles:expr, $t:literal, $pointer:expr, $stride:expr) => {{
        let _: &$crate::amx::tile::Tiles = &$tiles;
        std::arch::asm!(
            concat!("tileloadd tmm", $t, ", [{pointer} + {stride}]"),
            pointer = in(reg) $pointer,
            stride = in(reg) $stride as usize,
            options(nostack, readonly)
        );
    }};
}

/// `tile_store!(tiles, T, pointer, stride)`: stores 16 rows of 64 bytes, `stride` bytes apart.
/// Unsafe: they must be writable.
macro_rules! tile_store {
    ($tiles:expr, $t:literal, $pointer:expr, $stride:expr) => {{
        let _: &$crate::amx::tile::Tiles = &$tiles;
        std::arch::asm!(
            concat!("tilestored [{pointer} + {stride}], tmm", $t),
            pointer = in(reg) $pointer,
            stride = in(reg) $stride as usize,
            options(nostack)
        );
    }};
}

pub(crate) use {tile_load, tile_mul, tile_store, tile_zero};
