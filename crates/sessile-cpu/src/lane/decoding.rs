//! The operations of a lane that decoders need beyond encoders.

use sessile_device::{AttentionSpec, Buf, CellCache, CellLists, DType, DecodingLane, Format};

use super::{CpuLane, bf16};
use crate::attention::Attention;
use crate::cells::{self, Cached, Lists};
use crate::gather;
use crate::rows::RowsMut;
use crate::softmax;
use crate::weight::CpuWeight;

impl DecodingLane for CpuLane {
    fn scatter_rows(&mut self, x: Buf, cells: Buf, out: Buf) {
        if !self.check(cells, out.rows(), "cell") {
            return;
        }
        assert!(x.format() == out.format(), "a row goes into its like");
        if out.format() == Format::Heads(DType::F32) {
            let (out, inputs) = self.workspace.open(out, [x, cells]);
            gather::scatter(inputs.rows(0), inputs.indices(1), out);
            return;
        }
        let (start, inputs) = self.workspace.open_bytes(out, [x, cells]);
        let (rows, cols, stride) = (out.rows(), out.cols(), out.row_stride());
        // SAFETY: `open_bytes` has lent the output, whose rows are bf16 as those of `x` are
        // (`halves` looks, the formats are equal), and nobody else has it meanwhile.
        let out = unsafe { RowsMut::from_ptr(start.cast(), rows, cols, stride) };
        gather::scatter(inputs.halves(0), inputs.indices(1), out);
    }

    fn attention_cells(
        &mut self,
        q: Buf,
        cache: CellCache,
        lists: &CellLists,
        spec: &AttentionSpec<'_, CpuWeight>,
        out: Buf,
    ) {
        let limit = cache.keys.rows().min(cache.values.rows());
        if !self.check(lists.cells, limit, "cell") {
            return;
        }
        let spec = Attention::new(spec);
        let CellLists {
            cells,
            cell_offsets,
            row_offsets,
            ..
        } = *lists;
        let scratch = Lists {
            cells: self.workspace.indices(cells),
            cell_offsets: self.workspace.indices(cell_offsets),
            row_offsets: self.workspace.indices(row_offsets),
        }
        .scratch_floats(spec.heads, spec.head_dim, self.team.threads());
        if !self.reserve(scratch) {
            return;
        }
        let bufs = [
            q,
            cache.keys,
            cache.values,
            cells,
            cell_offsets,
            row_offsets,
        ];
        let (out, inputs) = self.workspace.open(out, bufs);
        let lists = Lists {
            cells: inputs.indices(3),
            cell_offsets: inputs.indices(4),
            row_offsets: inputs.indices(5),
        };
        if q.format() == bf16::HEADS {
            let input = Cached {
                q: inputs.halves(0),
                keys: inputs.halves(1),
                values: inputs.halves(2),
            };
            cells::attention(self.isa, &mut self.team, input, lists, &spec, out);
        } else {
            let input = Cached {
                q: inputs.rows(0),
                keys: inputs.rows(1),
                values: inputs.rows(2),
            };
            cells::attention(self.isa, &mut self.team, input, lists, &spec, out);
        }
    }

    fn log_sum_exp(&mut self, x: Buf, out: Buf) {
        if self.fault.is_none() {
            let (out, inputs) = self.workspace.open(out, [x]);
            softmax::log_sum_exp(self.isa, &mut self.team, inputs.rows(0), out);
        }
    }
}
