//! What becomes of sums once they are complete: bias, activation, rounding and the way to where they
//! are wanted, by AVX-512 with bf16. The kernels on tiles and on pairs share it.

use std::arch::x86_64::*;
use std::ops::Range;

use sessile_device::Epilogue;

use crate::bf16::gelu::gelu;
use crate::bf16::operand;
use crate::bf16::product::{Out, Product};

/// A product that is compiled for every way to finish.
pub(crate) trait Kernel {
    /// Computes the columns that the weight panels `range` make.
    ///
    /// # Safety
    ///
    /// As [`crate::bf16::product::run`].
    unsafe fn run<F: Finish>(product: &Product<'_>, range: Range<usize>);
}

/// Runs a kernel with the way to finish that the product asks for.
///
/// # Safety
///
/// As [`crate::bf16::product::run`].
pub(crate) unsafe fn run<K: Kernel>(product: &Product<'_>, range: Range<usize>) {
    // SAFETY: passed on to the caller.
    unsafe {
        match (product.epilogue, product.out) {
            (Epilogue::Residual, Out::F32 { .. }) => K::run::<Residual>(product, range),
            (Epilogue::Store, Out::F32 { .. }) => K::run::<ToF32<STORE>>(product, range),
            (Epilogue::Gelu, Out::F32 { .. }) => K::run::<ToF32<GELU>>(product, range),
            (Epilogue::Relu, Out::F32 { .. }) => K::run::<ToF32<RELU>>(product, range),
            (Epilogue::GeluGated, Out::F32 { .. }) => K::run::<GatedToF32>(product, range),
            (Epilogue::Gelu, _) => K::run::<ToBf16<GELU>>(product, range),
            (Epilogue::Relu, _) => K::run::<ToBf16<RELU>>(product, range),
            (Epilogue::GeluGated, _) => K::run::<GatedToBf16>(product, range),
            (Epilogue::Store | Epilogue::Residual, _) => K::run::<ToBf16<STORE>>(product, range),
        }
    }
}

/// What becomes of 32 neighbouring sums of one row.
pub(crate) trait Finish {
    /// Columns of output for 32 sums.
    const COLUMNS: usize = 32;
    /// Whether the output is added to, so that `k` may be cut.
    const ADDS: bool = false;

    /// Finishes one row. Only the columns of `mask` are stored.
    ///
    /// # Safety
    ///
    /// AVX-512 with bf16; the columns of `mask` from `out` on are writable.
    unsafe fn row(sums: [__m512; 2], out: *mut u8, mask: u32);
}

const STORE: u8 = 0;
const GELU: u8 = 1;
const RELU: u8 = 2;

/// # Safety
///
/// AVX-512.
#[inline(always)]
unsafe fn activate<const A: u8>(x: __m512) -> __m512 {
    // SAFETY: AVX-512 is the caller's promise.
    unsafe {
        match A {
            GELU => gelu(x),
            RELU => _mm512_max_ps(x, _mm512_setzero_ps()),
            _ => x,
        }
    }
}

struct ToF32<const A: u8>;
impl<const A: u8> Finish for ToF32<A> {
    #[inline(always)]
    unsafe fn row(sums: [__m512; 2], out: *mut u8, mask: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            let out = out.cast::<f32>();
            _mm512_mask_storeu_ps(out, mask as u16, activate::<A>(sums[0]));
            _mm512_mask_storeu_ps(out.add(16), (mask >> 16) as u16, activate::<A>(sums[1]));
        }
    }
}

struct Residual;
impl Finish for Residual {
    const ADDS: bool = true;
    #[inline(always)]
    unsafe fn row(sums: [__m512; 2], out: *mut u8, mask: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            let out = out.cast::<f32>();
            let (low, high) = (mask as u16, (mask >> 16) as u16);
            let old = _mm512_maskz_loadu_ps(low, out);
            _mm512_mask_storeu_ps(out, low, _mm512_add_ps(old, sums[0]));
            let old = _mm512_maskz_loadu_ps(high, out.add(16));
            _mm512_mask_storeu_ps(out.add(16), high, _mm512_add_ps(old, sums[1]));
        }
    }
}

struct ToBf16<const A: u8>;
impl<const A: u8> Finish for ToBf16<A> {
    #[inline(always)]
    unsafe fn row(sums: [__m512; 2], out: *mut u8, mask: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            let rounded = _mm512_cvtne2ps_pbh(activate::<A>(sums[1]), activate::<A>(sums[0]));
            _mm512_mask_storeu_epi16(
                out.cast(),
                mask,
                std::mem::transmute::<__m512bh, __m512i>(rounded),
            );
        }
    }
}

struct GatedToBf16;
impl Finish for GatedToBf16 {
    const COLUMNS: usize = 16;
    #[inline(always)]
    unsafe fn row(sums: [__m512; 2], out: *mut u8, mask: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            let rounded = _mm512_cvtneps_pbh(_mm512_mul_ps(gelu(sums[0]), sums[1]));
            let rounded = std::mem::transmute::<__m256bh, __m256i>(rounded);
            _mm256_mask_storeu_epi16(out.cast(), mask as u16, rounded);
        }
    }
}

struct GatedToF32;
impl Finish for GatedToF32 {
    const COLUMNS: usize = 16;
    #[inline(always)]
    unsafe fn row(sums: [__m512; 2], out: *mut u8, mask: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            let value = _mm512_mul_ps(gelu(sums[0]), sums[1]);
            _mm512_mask_storeu_ps(out.cast(), mask as u16, value);
        }
    }
}

/// Where the output of a block begins.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    start: *mut u8,
    /// Bytes from row to row.
    pub(crate) stride: usize,
    /// Bytes from a panel of rows to the next, and from a panel of columns to the next.
    row_panel: usize,
    column_panel: usize,
    /// Columns that are stored: those of the result, or whole steps of an operand.
    pub(crate) columns: usize,
}

impl Target {
    pub(crate) fn new<F: Finish>(product: &Product<'_>) -> Self {
        let columns = product.columns();
        match product.out {
            Out::F32 { start, stride } => Target {
                start: start.cast(),
                stride: stride * 4,
                row_panel: 32 * stride * 4,
                column_panel: F::COLUMNS * 4,
                columns,
            },
            Out::Rows { start, stride } => Target {
                start: start.cast(),
                stride: stride * 2,
                row_panel: 32 * stride * 2,
                column_panel: F::COLUMNS * 2,
                columns,
            },
            Out::Operand { start } => {
                let steps = operand::steps(columns);
                Target {
                    start: start.cast(),
                    stride: operand::STEP * 2,
                    row_panel: steps * operand::BLOCK * 2,
                    // Of two gated panels, the second is the right half of the same step.
                    column_panel: if F::COLUMNS == 16 {
                        0
                    } else {
                        operand::BLOCK * 2
                    },
                    columns: steps * operand::STEP,
                }
            }
        }
    }

    #[inline(always)]
    pub(crate) fn block<F: Finish>(&self, row_panel: usize, panel: usize) -> *mut u8 {
        let columns = if self.column_panel == 0 {
            panel / 2 * operand::BLOCK * 2 + panel % 2 * 32
        } else {
            panel * self.column_panel
        };
        self.start
            .wrapping_add(row_panel * self.row_panel + columns)
    }
}

/// The bias of 32 sums; zero beyond the last column and where there is none.
///
/// # Safety
///
/// AVX-512.
#[inline(always)]
pub(crate) unsafe fn bias<F: Finish>(
    product: &Product<'_>,
    panel: usize,
    first: bool,
) -> [__m512; 2] {
    // SAFETY: AVX-512 is the caller's promise; masks keep the loads inside the slice.
    unsafe {
        let Some(bias) = product.bias.filter(|_| first) else {
            return [_mm512_setzero_ps(); 2];
        };
        let load = |from: usize, end: usize| {
            let exist = end.saturating_sub(from).min(16) as u32;
            let mask = (u32::from(u16::MAX) >> (16 - exist)) as u16;
            _mm512_maskz_loadu_ps(mask, bias.as_ptr().wrapping_add(from))
        };
        if F::COLUMNS == 16 {
            let half = product.n / 2;
            [load(panel * 16, half), load(half + panel * 16, product.n)]
        } else {
            [
                load(panel * 32, product.n),
                load(panel * 32 + 16, product.n),
            ]
        }
    }
}
