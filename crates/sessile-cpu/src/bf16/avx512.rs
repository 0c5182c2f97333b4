//! bf16 products by AVX-512 for processors without AMX: pairs are widened to f32 and multiplied
//! there. Right, and slower than f32: a widening stands beside every multiply-add.
//!
//! Scalar twin: [`crate::bf16::product::portable`].

use std::arch::x86_64::*;
use std::ops::Range;

use sessile_device::Epilogue;

use crate::bf16::gelu::gelu;
use crate::bf16::operand;
use crate::bf16::panels;
use crate::bf16::product::{Product, store};

/// Rows that share the widened weights.
const ROWS: usize = 8;

/// Computes the columns that the weight panels `range` make.
///
/// # Safety
///
/// As [`crate::bf16::product::run`], with AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) unsafe fn product(product: &Product<'_>, range: Range<usize>) {
    let steps = operand::steps(product.k);
    for panel in range {
        let bias = bias(product, panel);
        for first in (0..product.rows).step_by(ROWS) {
            // SAFETY: `x` and the weight hold whole panels; 32 is a multiple of `ROWS`, so the
            // rows are in one panel of `x`.
            let sums = unsafe {
                let x = product.x.add(operand::row(first, steps));
                let weight = product.weight.as_ptr().add(panel * steps * panels::BLOCK);
                sums(x, weight, steps)
            };
            for (row, sums) in (first..product.rows).zip(&sums) {
                let values = finish(product.epilogue, sums, &bias);
                // SAFETY: passed on to the caller.
                unsafe { store(product, panel, row, &values) };
            }
        }
    }
}

/// The bias of 32 sums in the order of the panel; zeros where there is none.
fn bias(product: &Product<'_>, panel: usize) -> [f32; 32] {
    let Some(bias) = product.bias else {
        return [0.0; 32];
    };
    std::array::from_fn(|i| {
        let (at, end) = match (product.gated(), i < 16) {
            (false, _) => (panel * 32 + i, product.n),
            (true, true) => (panel * 16 + i, product.n / 2),
            (true, false) => (product.n / 2 + panel * 16 + i - 16, product.n),
        };
        if at < end { bias[at] } else { 0.0 }
    })
}

/// The sums of eight rows and 32 outputs.
///
/// # Safety
///
/// `x` points into an operand and `weight` to a panel, of `steps` steps each.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sums(x: *const u16, weight: *const u16, steps: usize) -> [[f32; 32]; ROWS] {
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let even = |pairs| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs));
    let odd = |pairs| _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for step in 0..steps {
        for pair in 0..16 {
            let weights = [0, 1].map(|half| {
                // SAFETY: 32 elements inside the panel.
                unsafe {
                    let at = weight.add(step * panels::BLOCK + half * 512 + pair * 32);
                    _mm512_loadu_si512(at.cast())
                }
            });
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: two elements inside the operand, at an even place of an aligned row.
                let x = unsafe {
                    let at = x.add(step * operand::BLOCK + row * operand::STEP + pair * 2);
                    _mm512_set1_epi32(at.cast::<i32>().read_unaligned())
                };
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_fmadd_ps(even(x), even(weights), *sum);
                    *sum = _mm512_fmadd_ps(odd(x), odd(weights), *sum);
                }
            }
        }
    }
    let mut out = [[0.0; 32]; ROWS];
    for (to, sums) in out.iter_mut().zip(sums) {
        // SAFETY: 2 × 16 values.
        unsafe {
            _mm512_storeu_ps(to.as_mut_ptr(), sums[0]);
            _mm512_storeu_ps(to.as_mut_ptr().add(16), sums[1]);
        }
    }
    out
}

/// Bias and activation of 32 sums.
#[target_feature(enable = "avx512f")]
fn finish(epilogue: Epilogue, sums: &[f32; 32], bias: &[f32; 32]) -> [f32; 32] {
    let mut values = [0.0; 32];
    // SAFETY: 2 × 16 values each, and AVX-512F is there.
    unsafe {
        let half = |at: usize| {
            let sum = _mm512_loadu_ps(sums.as_ptr().add(at));
            _mm512_add_ps(sum, _mm512_loadu_ps(bias.as_ptr().add(at)))
        };
        let [low, high] = [half(0), half(16)];
        let zero = _mm512_setzero_ps();
        let [low, high] = match epilogue {
            Epilogue::Store | Epilogue::Residual => [low, high],
            Epilogue::Gelu => [gelu(low), gelu(high)],
            Epilogue::Relu => [_mm512_max_ps(low, zero), _mm512_max_ps(high, zero)],
            Epilogue::GeluGated => [_mm512_mul_ps(gelu(low), high), zero],
        };
        _mm512_storeu_ps(values.as_mut_ptr(), low);
        _mm512_storeu_ps(values.as_mut_ptr().add(16), high);
    }
    values
}
