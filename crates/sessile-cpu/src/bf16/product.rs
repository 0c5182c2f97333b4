//! `x · Wᵀ` with an epilogue, over the packed layouts, by whichever kernel the machine has.
//!
//! Scalar twin: `crate::scalar::bf16::product`.

use std::ops::Range;

use sessile_device::Epilogue;

use crate::bf16::operand;
use crate::bf16::panels;
use crate::bf16::widened;
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
    /// Pairs of bf16 by `vdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    Pairs,
    /// Widened to f32, in the vectors of an instruction set.
    Widened(Isa),
    /// The scalar twin.
    #[cfg(test)]
    Twin,
}

impl Kernel {
    /// The kernels for an instruction set. All have the same layouts.
    pub(crate) fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Kernel::Amx,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Kernel::Pairs,
            isa => Kernel::Widened(isa),
        }
    }

    /// Floats of scratch that every thread needs for a product with `k` inputs.
    pub(crate) fn scratch_floats(self, k: usize) -> usize {
        match self {
            Kernel::Widened(isa) => widened::scratch_floats(isa, k),
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx | Kernel::Pairs => 0,
            #[cfg(test)]
            Kernel::Twin => 0,
        }
    }
}

/// Computes the columns that the weight panels `range` make, with [`Kernel::scratch_floats`] of
/// scratch. Which panels are computed together changes no byte.
///
/// # Safety
///
/// - The processor has `kernel`.
/// - `x` holds whole panels of readable elements.
/// - The output holds all rows and columns (for [`Out::Operand`], whole panels of rows and steps
///   of columns), and nobody else reads or writes those columns meanwhile.
pub(crate) unsafe fn run(
    kernel: Kernel,
    product: &Product<'_>,
    range: Range<usize>,
    scratch: &mut [f32],
) {
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
            Kernel::Pairs => crate::bf16::pairs::product(product, range.clone()),
            Kernel::Widened(isa) => widened::product(isa, product, range.clone(), scratch),
            #[cfg(test)]
            Kernel::Twin => crate::scalar::bf16::product(product, range.clone()),
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

#[cfg(test)]
#[path = "product/tests.rs"]
mod tests;
