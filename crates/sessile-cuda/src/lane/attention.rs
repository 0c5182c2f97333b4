//! Attention: heads that do not fit the kernels as they lie, or are rotated, are packed first.

use sessile_device::{
    AttentionInput, AttentionSpec, BatchBuf, Bias, Buf, DType, DeviceErrorKind, Format,
};

use super::{Address, CudaLane, Float, Long, View, Word, dtype, word};
use crate::driver::RawAddress;
use crate::geometry::{MAX_HEAD_DIM, is_packed, packed_bytes, padded_head};
use crate::kernels::{Grid, names};
use crate::weight::CudaWeight;

/// The bias as kernels take it.
pub(super) struct BiasArguments {
    /// The numbers of `prelude.cuh`.
    pub(super) kind: u32,
    pub(super) name: &'static str,
    pub(super) address: RawAddress,
    pub(super) reach: usize,
}

impl BiasArguments {
    pub(super) fn new(spec: &AttentionSpec<'_, CudaWeight>) -> Self {
        let (kind, name, address, reach) = match spec.bias {
            Bias::None => (0, "none", 0, 0),
            Bias::ByDistance { table, reach } => {
                assert!(table.cols == 2 * reach + 1 && table.rows >= spec.heads);
                (1, "distance", table.values(), reach)
            }
            Bias::Alibi { slopes } => {
                assert!(slopes.rows * slopes.cols >= spec.heads);
                (2, "alibi", slopes.values(), 0)
            }
        };
        BiasArguments {
            kind,
            name,
            address,
            reach,
        }
    }
}

/// No window is one that nothing lies outside of.
fn window(spec: &AttentionSpec<'_, CudaWeight>) -> u32 {
    const ALL: u32 = i32::MAX as u32;
    spec.window
        .map_or(ALL, |window| u32::try_from(window).unwrap_or(ALL).min(ALL))
}

impl CudaLane {
    /// Whether this attention can be done; notes a fault when not.
    fn can_attend(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, CudaWeight>,
    ) -> bool {
        let AttentionInput { q, k, v } = input;
        for buf in [q, k, v] {
            assert!(buf.cols() == spec.heads * spec.head_dim && buf.rows() == batch.len());
            assert!(buf.format() == q.format() && matches!(q.format(), Format::Heads(_)));
        }
        if let Some(rotary) = spec.rotary {
            let table = rotary.table;
            assert!(table.cols == spec.head_dim && spec.head_dim.is_multiple_of(2));
            if batch.longest > table.rows {
                self.fail(
                    DeviceErrorKind::Misuse,
                    format!(
                        "a sequence of {} tokens over {} positions",
                        batch.longest, table.rows
                    ),
                );
            }
        }
        if spec.head_dim > MAX_HEAD_DIM {
            self.fail(
                DeviceErrorKind::Unsupported,
                format!(
                    "heads of {} columns; a GPU takes up to {MAX_HEAD_DIM}",
                    spec.head_dim
                ),
            );
        }
        self.fault.is_none() && !batch.is_empty()
    }

    pub(super) fn run_attention(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, CudaWeight>,
        out: Buf,
    ) {
        if !self.can_attend(input, batch, spec) {
            return;
        }
        let format = dtype(input.q.format());
        assert!(out.rows() == batch.len() && out.cols() == spec.heads * spec.head_dim);
        assert!(
            dtype(out.format()) == format,
            "{:?} from {format}",
            out.format()
        );
        let to = self.view(out);
        let Some([q, k, v]) = self.pack_heads(input, batch, spec, format) else {
            return;
        };
        let (bias, padded) = (BiasArguments::new(spec), padded_head(spec.head_dim));
        let is_f32 = format == DType::F32;
        let tiles = batch.longest.div_ceil(names::attention_queries(is_f32));
        let grid = Grid {
            blocks: batch
                .sequences
                .saturating_mul(spec.heads)
                .saturating_mul(tiles),
            blocks_y: 1,
            threads: 128,
            shared_bytes: names::attention_shared(is_f32, padded),
        };
        let arguments = [
            Address(q.address),
            Address(k.address),
            Address(v.address),
            Long(q.stride as u64),
            Long(k.stride as u64),
            Long(v.stride as u64),
            Address(to.address),
            Long(to.stride as u64),
            Address(self.indices(batch.offsets)),
            word(spec.heads),
            word(spec.head_dim),
            word(tiles),
            Float(spec.scale),
            Address(bias.address),
            word(bias.reach),
            Word(window(spec)),
        ];
        let name = format!("attention_{format}_{padded}_{}", bias.name);
        self.launch(&name, grid, &arguments);
    }

    /// Queries, keys and values as the kernels want them: packed into scratch, or as they lie.
    fn pack_heads(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, CudaWeight>,
        format: DType,
    ) -> Option<[View; 3]> {
        let AttentionInput { q, k, v } = input;
        let views = [self.view(q), self.view(k), self.view(v)];
        let (queries_and_keys, values) = is_packed(spec.head_dim, spec.rotary.is_some());
        let is_aligned = |view: &View| {
            format == DType::F32
                || view.address.is_multiple_of(16)
                    && (view.stride * format.size()).is_multiple_of(16)
        };
        if !queries_and_keys {
            // Whole heads of 32, 64 or 128 columns lie on whole chunks where the buffer does.
            assert!(views.iter().all(is_aligned), "heads that are not aligned");
            return Some(views);
        }
        let count = if values { 3 } else { 2 };
        let bytes = packed_bytes(batch.len(), spec.heads, spec.head_dim, format);
        let scratch = self.scratch(bytes.saturating_mul(count))?;
        let padded = padded_head(spec.head_dim);
        let place = |index: usize| View {
            address: scratch + (index * bytes) as u64,
            stride: spec.heads * padded,
        };
        let packed = [place(0), place(1), if values { place(2) } else { views[2] }];
        assert!(is_aligned(&packed[2]), "values that are not aligned");
        let arguments = [
            Address(views[0].address),
            Address(views[1].address),
            Address(views[2].address),
            Long(views[0].stride as u64),
            Long(views[1].stride as u64),
            Long(views[2].stride as u64),
            Address(packed[0].address),
            Address(packed[1].address),
            Address(packed[2].address),
            word(batch.len()),
            word(spec.heads),
            word(spec.head_dim),
            word(padded),
            Address(spec.rotary.map_or(0, |rotary| rotary.table.values())),
            Address(self.indices(batch.offsets)),
            word(batch.sequences),
        ];
        let grid = Grid {
            blocks_y: count,
            ..Grid::blocks(batch.len().div_ceil(names::PACKED_ROWS))
        };
        self.launch(names::pack(format), grid, &arguments);
        Some(packed)
    }

    pub(super) fn run_attention_map(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        [sequence, head]: [usize; 2],
        spec: &AttentionSpec<'_, CudaWeight>,
        out: Buf,
    ) {
        if !self.can_attend(input, batch, spec) {
            return;
        }
        assert!(sequence < batch.sequences && head < spec.heads && out.rows() == out.cols());
        let (q, k, to) = (self.view(input.q), self.view(input.k), self.f32(out));
        let bias = BiasArguments::new(spec);
        let arguments = [
            Address(q.address),
            Address(k.address),
            Long(q.stride as u64),
            Long(k.stride as u64),
            Address(self.indices(batch.offsets)),
            word(sequence),
            word(head),
            word(spec.head_dim),
            Float(spec.scale),
            Address(spec.rotary.map_or(0, |rotary| rotary.table.values())),
            Word(bias.kind),
            Address(bias.address),
            word(bias.reach),
            Word(window(spec)),
            Address(to.address),
            Long(to.stride as u64),
        ];
        let name = names::map(dtype(input.q.format()));
        let grid = Grid::blocks(out.rows().div_ceil(names::MAP_ROWS));
        self.launch(name, grid, &arguments);
    }
}
