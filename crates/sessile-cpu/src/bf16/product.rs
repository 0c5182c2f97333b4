//! `x · Wᵀ` with an epilogue, over the packed layouts, by whichever kernel the machine has.
//!
//! The portable kernel in this file is the scalar twin of the others.

use std::ops::Range;

use sessile_device::Epilogue;

use crate::bf16::operand;
use crate::bf16::panels;
use crate::bf16::{from_bf16, to_bf16};
use crate::isa::Isa;

/// Where a product goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Out {
    /// Row-major f32, `stride` elements from row to row.
    F32 {
        /// First element of the first row.
        start: *mut f32,
        /// Elements from row to row.
        stride: usize,
    },
    /// Row-major bf16 (`Heads`), `stride` elements from row to row.
    Rows {
        /// First element of the first row.
        start: *mut u16,
        /// Elements from row to row.
        stride: usize,
    },
    /// The packed layout of [`operand`], for as many columns as the product has.
    Operand {
        /// First element.
        start: *mut u16,
    },
}

/// One product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    /// The left side in the layout of [`operand`], `k` columns. Rows beyond the last are read.
    pub(crate) x: *const u16,
    /// Rows of `x` and of the result.
    pub(crate) rows: usize,
    /// The packed weight.
    pub(crate) weight: &'a [u16],
    /// Outputs of the weight, gate and value together.
    pub(crate) n: usize,
    /// Inputs of the weight.
    pub(crate) k: usize,
    /// `n` values, or none.
    pub(crate) bias: Option<&'a [f32]>,
    /// What happens before the result is stored.
    pub(crate) epilogue: Epilogue,
    /// Where it is stored.
    pub(crate) out: Out,
}

// SAFETY: whoever computes a product promises exclusive use of the output columns; the input is
// only read.
unsafe impl Send for Product<'_> {}
// SAFETY: as above.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Whether the weight holds gates and values.
    pub(crate) fn gated(&self) -> bool {
        self.epilogue == Epilogue::GeluGated
    }

    /// Columns of the result.
    pub(crate) fn columns(&self) -> usize {
        if self.gated() { self.n / 2 } else { self.n }
    }

    /// Panels of the weight: what a product can be split by.
    pub(crate) fn panels(&self) -> usize {
        panels::panels(self.n, self.gated())
    }

    /// Columns of the result that one panel of the weight makes.
    pub(crate) fn panel_columns(&self) -> usize {
        if self.gated() {
            panels::PANEL / 2
        } else {
            panels::PANEL
        }
    }
}

/// A family of bf16 kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// AMX tiles.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// AVX-512: bf16 pairs widened to f32 and multiplied there.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Plain Rust.
    Portable,
}

impl Kernel {
    /// The kernels for an instruction set. All have the same layouts.
    pub(crate) fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Kernel::Amx,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Kernel::Avx512,
            _ => Kernel::Portable,
        }
    }
}

/// Computes the columns that the weight panels `range` make. Which panels are computed together
/// changes no byte.
///
/// # Safety
///
/// - The processor has `kernel`.
/// - `x` holds whole panels of readable elements.
/// - The output holds all rows and columns (for [`Out::Operand`], whole panels of rows and steps
///   of columns), and nobody else reads or writes those columns meanwhile.
pub(crate) unsafe fn run(kernel: Kernel, product: &Product<'_>, range: Range<usize>) {
    debug_assert!(product.bias.is_none_or(|bias| bias.len() >= product.n));
    debug_assert!(
        product.weight.len() >= panels::len(product.n, product.k, product.gated()),
        "a packed weight of {} × {}",
        product.n,
        product.k
    );
    if product.rows == 0 || range.is_empty() {
        return;
    }
    // SAFETY: passed on to the caller.
    unsafe {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => crate::amx::product::run(product, range.clone()),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => crate::bf16::avx512::product(product, range.clone()),
            Kernel::Portable => portable(product, range.clone()),
        }
        if product.gated() && range.end == product.panels() {
            zero_odd_half(product);
        }
    }
}

/// A gated product makes half steps; when their number is odd, the last half of an operand's last
/// step is written here.
unsafe fn zero_odd_half(product: &Product<'_>) {
    let Out::Operand { start } = product.out else {
        return;
    };
    let (made, steps) = (product.panels() * 16, operand::steps(product.columns()));
    if made == steps * operand::STEP {
        return;
    }
    for row in 0..product.rows {
        // SAFETY: inside the operand, which the caller lends whole.
        unsafe {
            let at = start.add(operand::index(row, made, steps));
            std::slice::from_raw_parts_mut(at, 16).fill(0);
        }
    }
}

/// The scalar twin: sums `k` in steps of 32, each step in pairs, as the tile instruction does.
///
/// # Safety
///
/// As [`run`].
pub(crate) unsafe fn portable(product: &Product<'_>, range: Range<usize>) {
    let steps = operand::steps(product.k);
    for panel in range {
        for row in 0..product.rows {
            let mut sums = [0.0_f32; panels::PANEL];
            for step in 0..steps {
                let block = (panel * steps + step) * panels::BLOCK;
                let weights = &product.weight[block..block + panels::BLOCK];
                // SAFETY: `x` holds whole panels of `steps` steps.
                let x = unsafe {
                    let at = operand::row(row, steps) + step * operand::BLOCK;
                    std::slice::from_raw_parts(product.x.add(at), operand::STEP)
                };
                for (half, sums) in sums.chunks_exact_mut(16).enumerate() {
                    for (pair, x) in x.chunks_exact(2).enumerate() {
                        let (x0, x1) = (from_bf16(x[0]), from_bf16(x[1]));
                        let weights = &weights[half * 512 + pair * 32..][..32];
                        for (sum, w) in sums.iter_mut().zip(weights.chunks_exact(2)) {
                            *sum += x0 * from_bf16(w[0]);
                            *sum += x1 * from_bf16(w[1]);
                        }
                    }
                }
            }
            let values = activate(product, panel, &sums);
            // SAFETY: passed on to the caller.
            unsafe { store(product, panel, row, &values) };
        }
    }
}

/// Bias and activation of 32 sums; columns beyond the last come out as zeros.
fn activate(product: &Product<'_>, panel: usize, sums: &[f32; 32]) -> [f32; 32] {
    let (columns, width) = (product.columns(), product.panel_columns());
    let bias = |at: usize| product.bias.map_or(0.0, |bias| bias[at]);
    std::array::from_fn(|i| {
        let column = panel * width + i;
        if i >= width || column >= columns {
            return 0.0;
        }
        let x = sums[i] + bias(column);
        match product.epilogue {
            Epilogue::Store | Epilogue::Residual => x,
            Epilogue::Gelu => gelu(x),
            Epilogue::Relu => x.max(0.0),
            Epilogue::GeluGated => gelu(x) * (sums[16 + i] + bias(columns + column)),
        }
    })
}

/// Stores one row of one panel.
///
/// # Safety
///
/// As [`run`].
pub(crate) unsafe fn store(product: &Product<'_>, panel: usize, row: usize, values: &[f32; 32]) {
    let (columns, width) = (product.columns(), product.panel_columns());
    let first = panel * width;
    let exist = width.min(columns - first);
    // SAFETY: all places are inside the output: columns beyond the last are written only in an
    // operand, which has whole steps.
    unsafe {
        match product.out {
            Out::Operand { start } => {
                let to = start.add(operand::index(row, first, operand::steps(columns)));
                for (i, &value) in values[..width].iter().enumerate() {
                    *to.add(i) = to_bf16(value);
                }
            }
            Out::Rows { start, stride } => {
                let to = start.add(row * stride + first);
                for (i, &value) in values[..exist].iter().enumerate() {
                    *to.add(i) = to_bf16(value);
                }
            }
            Out::F32 { start, stride } => {
                let to = start.add(row * stride + first);
                let adds = product.epilogue == Epilogue::Residual;
                for (i, &value) in values[..exist].iter().enumerate() {
                    *to.add(i) = if adds { *to.add(i) + value } else { value };
                }
            }
        }
    }
}

/// The exact GELU, `x · Φ(x)`.
pub(crate) fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)) as f32
}

/// `1 − erf(x)` with a relative error below 1.2e-7 (the Chebyshev fit of Numerical Recipes §6.2).
fn erfc(x: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let series = TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let tail = t * (-x * x + series).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

#[cfg(test)]
#[path = "product/tests.rs"]
mod tests;
