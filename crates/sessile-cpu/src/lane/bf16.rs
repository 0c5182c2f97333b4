//! The operations of a lane over bf16 operands, heads and weights.

use std::ops::Range;

use sessile_device::{AttentionInput, BatchBuf, Buf, DType, Epilogue, Format};

use super::CpuLane;
use crate::attention::{self, Attention};
use crate::bf16::attention as bf16_attention;
use crate::bf16::operand;
use crate::bf16::product::{self, Kernel, Out, Product};
use crate::bf16::rows;
use crate::norm::{self, Norm};
use crate::rows::Rows;
use crate::weight::CpuWeight;

/// The format of these operations' operands.
pub(super) const OPERAND: Format = Format::Operand(DType::Bf16);

/// The format of queries, keys and values.
pub(super) const HEADS: Format = Format::Heads(DType::Bf16);

/// A pointer that the threads of a lane share; each writes to its own part.
#[derive(Clone, Copy)]
struct Shared(*mut u16);

// SAFETY: whoever writes through it promises that the parts do not overlap.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn row(self, at: usize, steps: usize) -> *mut u16 {
        self.0.wrapping_add(operand::row(at, steps))
    }

    /// So many values from a place on.
    ///
    /// # Safety
    ///
    /// They are lent, and no other thread has them.
    unsafe fn columns<'a>(self, at: usize, count: usize) -> &'a mut [u16] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.wrapping_add(at), count) }
    }
}

impl CpuLane {
    fn kernel(&self) -> Kernel {
        Kernel::of(self.isa)
    }

    /// Normalises f32 rows into an operand.
    pub(super) fn norm_to_operand(&mut self, x: Buf, norm: Norm<'_>, out: Buf) {
        if !self.reserve(x.cols()) {
            return;
        }
        assert!(x.rows() == out.rows() && x.cols() == out.cols());
        let (kernel, steps) = (self.kernel(), operand::steps(out.cols()));
        let (start, inputs) = self.workspace.open_bytes(out, [x]);
        let to = Shared(start.cast());
        norm::norm_each(self.isa, &mut self.team, inputs.rows(0), norm, |at, row| {
            // SAFETY: the kernel is one of this machine; the row is this task's alone.
            unsafe { rows::write(kernel, row, to.row(at, steps)) };
        });
    }

    /// Rounds f32 rows into an operand.
    pub(super) fn convert_to_operand(&mut self, x: Buf, out: Buf) {
        /// Rows of a task.
        const CHUNK: usize = 64;
        assert!(x.rows() == out.rows() && x.cols() == out.cols());
        let (kernel, steps) = (self.kernel(), operand::steps(out.cols()));
        let (start, inputs) = self.workspace.open_bytes(out, [x]);
        let (to, x) = (Shared(start.cast()), inputs.rows(0));
        self.team.share(x.rows().div_ceil(CHUNK), |chunk, _| {
            let first = chunk * CHUNK;
            for at in first..x.rows().min(first + CHUNK) {
                // SAFETY: the kernel is one of this machine; the row is this task's alone.
                unsafe { rows::write(kernel, x.row(at), to.row(at, steps)) };
            }
        });
    }

    /// Normalises f32 rows into heads.
    pub(super) fn norm_to_heads(&mut self, x: Buf, norm: Norm<'_>, out: Buf) {
        if !self.reserve(x.cols()) {
            return;
        }
        assert!(x.rows() == out.rows() && x.cols() == out.cols());
        let (start, inputs) = self.workspace.open_bytes(out, [x]);
        let (to, stride, isa) = (Shared(start.cast()), out.row_stride(), self.isa);
        norm::norm_each(self.isa, &mut self.team, inputs.rows(0), norm, |at, row| {
            // SAFETY: the row is this task's alone, and `out` has as many columns.
            let to = unsafe { to.columns(at * stride, row.len()) };
            rows::narrow(isa, row, to);
        });
    }

    /// Rounds f32 rows into heads.
    pub(super) fn convert_to_heads(&mut self, x: Buf, out: Buf) {
        /// Rows of a task.
        const CHUNK: usize = 64;
        assert!(x.rows() == out.rows() && x.cols() == out.cols());
        let (start, inputs) = self.workspace.open_bytes(out, [x]);
        let (to, stride, isa) = (Shared(start.cast()), out.row_stride(), self.isa);
        let x = inputs.rows(0);
        self.team.share(x.rows().div_ceil(CHUNK), |chunk, _| {
            let first = chunk * CHUNK;
            for at in first..x.rows().min(first + CHUNK) {
                // SAFETY: the row is this task's alone, and `out` has as many columns.
                let to = unsafe { to.columns(at * stride, x.cols()) };
                rows::narrow(isa, x.row(at), to);
            }
        });
    }

    /// A product over a bf16 operand.
    pub(super) fn linear_bf16(
        &mut self,
        x: Buf,
        weight: &CpuWeight,
        bias: Option<&CpuWeight>,
        epilogue: Epilogue,
        out: Buf,
    ) {
        let kernel = self.kernel();
        if !self.reserve(kernel.scratch_floats(weight.cols())) {
            return;
        }
        let (start, inputs) = self.workspace.open_bytes(out, [x]);
        let stride = out.row_stride();
        let product = Product {
            x: inputs.operand(0),
            rows: x.rows(),
            weight: weight.bf16_panels(epilogue == Epilogue::GeluGated),
            n: weight.rows(),
            k: weight.cols(),
            bias: bias.map(CpuWeight::values),
            epilogue,
            out: match out.format() {
                OPERAND => Out::Operand {
                    start: start.cast(),
                },
                HEADS => Out::Rows {
                    start: start.cast(),
                    stride,
                },
                Format::F32 => Out::F32 {
                    start: start.cast(),
                    stride,
                },
                other => panic!("a bf16 product into {other:?}"),
            },
        };
        assert!(x.cols() == product.k && out.rows() == x.rows());
        assert!(out.cols() == product.columns());
        assert!(product.bias.is_none_or(|bias| bias.len() == product.n));
        assert!(
            epilogue != Epilogue::Residual || out.format() == Format::F32,
            "a residual is f32"
        );
        let (threads, panels) = (self.team.threads(), product.panels());
        self.team.share(threads, |part, scratch| {
            let range = panels * part / threads..panels * (part + 1) / threads;
            // SAFETY: the kernel is one of this machine; `open_bytes` has lent the output, of
            // which every part takes its own columns, and the operand has whole panels.
            unsafe { product::run(kernel, &product, range, scratch) };
        });
    }

    /// Attention over bf16 heads.
    pub(super) fn attention_bf16(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &Attention<'_>,
        out: Buf,
    ) {
        let kernel = self.kernel();
        let dim = spec.head_dim;
        if !self.reserve(bf16_attention::scratch_floats(kernel, batch.longest, dim)) {
            return;
        }
        let AttentionInput { q, k, v } = input;
        let (start, inputs) = self.workspace.open_bytes(out, [q, k, v, batch.offsets]);
        let heads = bf16_attention::Heads {
            q: inputs.halves(0),
            k: inputs.halves(1),
            v: inputs.halves(2),
        };
        spec.check([heads.q.cols(), heads.k.cols(), heads.v.cols()]);
        let (offsets, out_cols) = (inputs.indices(3), out.cols());
        assert!(out_cols == spec.heads * dim && out.format() == OPERAND);
        let to = Shared(start.cast());
        let sequences = offsets.len().saturating_sub(1);
        self.team.share(sequences * spec.heads, |task, scratch| {
            let (sequence, head) = (task / spec.heads, task % spec.heads);
            let rows = offsets[sequence] as usize..offsets[sequence + 1] as usize;
            let to = to.row(0, 0);
            let head = bf16_attention::Head::new(heads, *spec, rows, head, to);
            // SAFETY: the kernel is one of this machine; `open_bytes` has lent the output, of
            // which every task takes the columns of its head in the rows of its sequence.
            unsafe { bf16_attention::run(kernel, &head, scratch) };
        });
        let steps = operand::steps(out_cols);
        if !out_cols.is_multiple_of(operand::STEP) {
            for at in 0..out.rows() {
                // SAFETY: columns beyond the last of a row that is lent.
                unsafe { operand::zero_tail(to.row(at, steps), out_cols) };
            }
        }
    }

    /// The attention probabilities of one head, by the f32 kernel over widened queries and keys.
    pub(super) fn attention_map_bf16(
        &mut self,
        input: AttentionInput,
        rows: Range<usize>,
        head: usize,
        spec: &Attention<'_>,
        out: Buf,
    ) {
        let (len, dim) = (rows.len(), spec.head_dim);
        if !self.reserve(attention::scratch_floats(self.isa, dim)) {
            return;
        }
        // Room that grows in the first pass and stays, as the threads' does.
        self.widened.resize(2 * len * dim, 0.0);
        let (queries, keys) = self.widened.split_at_mut(len * dim);
        let AttentionInput { q, k, .. } = input;
        let (out, inputs) = self.workspace.open(out, [q, k]);
        for (index, to) in [&mut *queries, &mut *keys].into_iter().enumerate() {
            let from = inputs.halves(index).columns(head * dim, dim);
            for (at, to) in to.chunks_exact_mut(dim).enumerate() {
                rows::widen(from.row(rows.start + at), 1.0, to);
            }
        }
        let heads = attention::Heads {
            q: Rows::new(queries, len, dim, dim),
            k: Rows::new(keys, len, dim, dim),
            v: Rows::new(keys, len, dim, dim),
        };
        let alone = spec.alone(head);
        attention::attention_map(self.isa, &mut self.team, heads, 0..len, 0, &alone, out);
    }
}
