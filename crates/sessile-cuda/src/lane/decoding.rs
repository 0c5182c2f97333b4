//! The operations of a lane that decoders need beyond encoders.

use sessile_device::{
    AttentionSpec, Buf, CellCache, CellLists, DecodingLane, DeviceErrorKind, Format,
};

use super::attention::BiasArguments;
use super::{Address, CudaLane, Float, Long, Word, dtype, word};
use crate::kernels::{Grid, names};
use crate::weight::CudaWeight;

impl DecodingLane for CudaLane {
    fn scatter_rows(&mut self, x: Buf, cells: Buf, out: Buf) {
        assert!(x.format() == out.format() && matches!(x.format(), Format::Heads(_)));
        assert!(x.cols() == out.cols() && cells.rows() >= x.rows());
        let (from, to) = (self.view(x), self.view(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(self.indices(cells)),
            Address(to.address),
            Long(to.stride as u64),
            word(out.rows()),
            word(x.cols()),
            self.index_fault(),
        ];
        let name = match dtype(x.format()).size() {
            2 => "scatter_16",
            _ => "scatter_32",
        };
        self.launch(name, Grid::blocks(x.rows()), &arguments);
    }

    fn attention_cells(
        &mut self,
        q: Buf,
        cache: CellCache,
        lists: &CellLists,
        spec: &AttentionSpec<'_, CudaWeight>,
        out: Buf,
    ) {
        let CellCache { keys, values } = cache;
        let columns = spec.heads * spec.head_dim;
        assert!(spec.rotary.is_none() && spec.window.is_none());
        assert!(q.format() == keys.format() && q.format() == values.format());
        assert!([q.cols(), keys.cols(), values.cols(), out.cols()] == [columns; 4]);
        assert!(q.rows() == out.rows());
        let shared_bytes = lists.longest.saturating_mul(size_of::<f32>());
        let limit = self.shared.dynamic_shared_limit();
        if shared_bytes > limit {
            return self.fail(
                DeviceErrorKind::Unsupported,
                format!(
                    "attention over {} cells; this GPU takes {}",
                    lists.longest,
                    limit / size_of::<f32>()
                ),
            );
        }
        let bias = BiasArguments::new(spec);
        let (from, to) = (self.view(q), self.f32(out));
        let (k, v) = (self.view(keys), self.view(values));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(k.address),
            Long(k.stride as u64),
            Address(v.address),
            Long(v.stride as u64),
            word(keys.rows().min(values.rows())),
            Address(self.indices(lists.cells)),
            Address(self.indices(lists.cell_offsets)),
            Address(self.indices(lists.row_offsets)),
            word(lists.lists),
            word(spec.head_dim),
            Float(spec.scale),
            Word(bias.kind),
            Address(bias.address),
            word(bias.reach),
            Address(to.address),
            Long(to.stride as u64),
            self.index_fault(),
        ];
        let grid = Grid {
            blocks_y: spec.heads,
            shared_bytes,
            ..Grid::blocks(q.rows())
        };
        self.launch(names::cells(dtype(q.format())), grid, &arguments);
    }

    fn log_sum_exp(&mut self, x: Buf, out: Buf) {
        assert!(x.rows() == out.rows() && x.cols() > 0);
        let (from, to) = (self.f32(x), self.f32(out));
        let arguments = [
            Address(from.address),
            Long(from.stride as u64),
            Address(to.address),
            Long(to.stride as u64),
            word(x.cols()),
        ];
        self.launch("log_sum_exp", Grid::blocks(x.rows()), &arguments);
    }
}
