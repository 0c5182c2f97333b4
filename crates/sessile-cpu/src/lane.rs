//! Lanes: operations that run at once, inside the call.

mod bf16;
mod decoding;
mod staging;
mod workspace;

use std::ops::Range;

use sessile_device::{
    Activation, AttentionInput, AttentionSpec, BatchBuf, Buf, DeviceError, DeviceErrorKind,
    Epilogue, Format, GivenUp, Lane, LaneSpec, Mark, Norm, PackedBatch, Pooling, Ticket,
};

use crate::attention::{self, Attention, Heads};
use crate::contacts;
use crate::gate;
use crate::gather;
use crate::geometry::CpuGeometry;
use crate::isa::Isa;
use crate::linear::{self, Linear};
use crate::norm;
use crate::pool;
use crate::softmax;
use crate::taps;
use crate::team::Team;
use crate::weight::CpuWeight;
use staging::Staging;
use workspace::Workspace;

/// A lane of a [`CpuDevice`](crate::CpuDevice): one workspace, and one thread or several that work
/// on the same operation.
pub struct CpuLane {
    isa: Isa,
    workspace: Workspace,
    team: Team,
    staging: Staging,
    /// Queries and keys of one head in f32.
    widened: Vec<f32>,
    /// One value per row of a contact map.
    margins: Vec<f32>,
    /// The first thing that went wrong since the last wait. Operations do nothing while it is set.
    fault: Option<DeviceError>,
}

impl CpuLane {
    pub(crate) fn new(geometry: CpuGeometry, spec: &LaneSpec) -> Result<Self, DeviceError> {
        Ok(CpuLane {
            isa: geometry.isa(),
            team: Team::new(spec.threads)?,
            workspace: Workspace::new(geometry, spec.arena_bytes)?,
            staging: Staging::default(),
            widened: Vec::new(),
            margins: Vec::new(),
            fault: None,
        })
    }

    fn fail(&mut self, message: impl Into<String>) {
        let error = DeviceError::new(DeviceErrorKind::Misuse, message);
        self.fault.get_or_insert(error);
    }

    /// Makes every thread's scratch large enough. It grows in the first pass and stays.
    fn reserve(&mut self, floats: usize) -> bool {
        match self.team.reserve(floats) {
            Ok(()) => true,
            Err(error) => {
                self.fault.get_or_insert(error);
                false
            }
        }
    }

    /// Notes a fault and says no when an index is not below `limit`: it came with a user's data.
    fn check(&mut self, indices: Buf, limit: usize, what: &str) -> bool {
        let worst = self.workspace.indices(indices).iter().copied().max();
        match worst {
            Some(worst) if worst as usize >= limit => {
                self.fail(format!(
                    "{what} {worst} is outside of the {limit} there are"
                ));
                false
            }
            _ => self.fault.is_none(),
        }
    }
}

impl Lane for CpuLane {
    type Weight = CpuWeight;

    fn give_up_when(&mut self, given_up: Option<GivenUp>) {
        self.team.give_up_when(given_up);
    }

    fn buffer(&mut self, rows: usize, cols: usize, format: Format) -> Result<Buf, DeviceError> {
        self.workspace.buffer(rows, cols, format)
    }

    fn mark(&self) -> Mark {
        self.workspace.mark()
    }

    fn release(&mut self, mark: Mark) {
        self.workspace.release(mark);
    }

    fn upload(&mut self, batch: &PackedBatch) -> Result<BatchBuf, DeviceError> {
        let mark = self.mark();
        let tokens = self.upload_indices(batch.tokens())?;
        let offsets = self
            .upload_indices(batch.offsets())
            .inspect_err(|_| self.workspace.release(mark))?;
        Ok(BatchBuf {
            tokens,
            offsets,
            sequences: batch.len(),
            longest: batch.longest(),
            squared_lengths: batch.squared_lengths(),
        })
    }

    fn upload_values(&mut self, values: &[f32]) -> Result<Buf, DeviceError> {
        let buf = self.buffer(values.len(), 1, Format::F32)?;
        self.workspace.fill(buf, values);
        Ok(buf)
    }

    fn upload_indices(&mut self, indices: &[u32]) -> Result<Buf, DeviceError> {
        let buf = self.buffer(indices.len(), 1, Format::Index)?;
        self.workspace.fill(buf, indices);
        Ok(buf)
    }

    fn gather(&mut self, ids: Buf, table: &CpuWeight, scale: Option<Buf>, out: Buf) {
        if !self.check(ids, table.rows(), "token") {
            return;
        }
        let (out, inputs) = self.workspace.open(out, [ids, scale.unwrap_or(ids)]);
        let scale = scale.map(|_| inputs.rows(1));
        let ids = inputs.indices(0);
        match table.bf16_table() {
            Some(table) => gather::gather_bf16(&mut self.team, table, ids, scale, out),
            None => gather::gather(&mut self.team, table.table(), ids, scale, out),
        }
    }

    fn gather_rows(&mut self, x: Buf, rows: Buf, out: Buf) {
        if !self.check(rows, x.rows(), "row") {
            return;
        }
        let (out, inputs) = self.workspace.open(out, [x, rows]);
        gather::gather(&mut self.team, inputs.rows(0), inputs.indices(1), None, out);
    }

    fn norm(&mut self, x: Buf, norm: Norm<'_, CpuWeight>, out: Buf) {
        if self.fault.is_some() {
            return;
        }
        let norm = norm::Norm::new(norm);
        if out.format() == bf16::OPERAND {
            self.norm_to_operand(x, norm, out);
        } else if out.format() == bf16::HEADS {
            self.norm_to_heads(x, norm, out);
        } else if x == out {
            let out = self.workspace.write(out);
            norm::norm(self.isa, &mut self.team, None, norm, out);
        } else {
            let (out, inputs) = self.workspace.open(out, [x]);
            norm::norm(self.isa, &mut self.team, Some(inputs.rows(0)), norm, out);
        }
    }

    fn convert(&mut self, x: Buf, out: Buf) {
        if self.fault.is_some() {
            return;
        }
        if out.format() == bf16::OPERAND {
            return self.convert_to_operand(x, out);
        }
        if out.format() == bf16::HEADS {
            return self.convert_to_heads(x, out);
        }
        let (out, inputs) = self.workspace.open(out, [x]);
        gather::copy(&mut self.team, inputs.rows(0), out);
    }

    fn linear(
        &mut self,
        x: Buf,
        weight: &CpuWeight,
        bias: Option<&CpuWeight>,
        epilogue: Epilogue,
        out: Buf,
    ) {
        if self.fault.is_some() {
            return;
        }
        if x.format() == bf16::OPERAND {
            return self.linear_bf16(x, weight, bias, epilogue, out);
        }
        let weight = weight.panels();
        if !self.reserve(linear::scratch_floats(weight)) {
            return;
        }
        let (out, inputs) = self.workspace.open(out, [x]);
        let product = Linear {
            x: inputs.rows(0),
            weight,
            bias: bias.map(CpuWeight::values),
            epilogue,
            out,
        };
        linear::linear(self.isa, &mut self.team, &product);
    }

    fn attention(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, CpuWeight>,
        out: Buf,
    ) {
        let spec = Attention::new(spec);
        let scratch = attention::scratch_floats(self.isa, spec.head_dim);
        if !self.fits(batch, &spec) || !self.reserve(scratch) {
            return;
        }
        if input.q.format() == bf16::HEADS {
            return self.attention_bf16(input, batch, &spec, out);
        }
        let AttentionInput { q, k, v } = input;
        let (out, inputs) = self.workspace.open(out, [q, k, v, batch.offsets]);
        let heads = Heads {
            q: inputs.rows(0),
            k: inputs.rows(1),
            v: inputs.rows(2),
        };
        attention::attention(
            self.isa,
            &mut self.team,
            heads,
            inputs.indices(3),
            &spec,
            out,
        );
    }

    fn attention_map(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        sequence: usize,
        head: usize,
        spec: &AttentionSpec<'_, CpuWeight>,
        out: Buf,
    ) {
        let spec = Attention::new(spec);
        let scratch = attention::scratch_floats(self.isa, spec.head_dim);
        if !self.fits(batch, &spec) || !self.reserve(scratch) {
            return;
        }
        let rows = self.sequence(batch, sequence);
        if input.q.format() == bf16::HEADS {
            return self.attention_map_bf16(input, rows, head, &spec, out);
        }
        let AttentionInput { q, k, v } = input;
        let (out, inputs) = self.workspace.open(out, [q, k, v]);
        let heads = Heads {
            q: inputs.rows(0),
            k: inputs.rows(1),
            v: inputs.rows(2),
        };
        attention::attention_map(self.isa, &mut self.team, heads, rows, head, &spec, out);
    }

    fn add_contacts(&mut self, map: Buf, factor: &CpuWeight, column: usize, sum: Buf) {
        if self.fault.is_some() {
            return;
        }
        // Scratch that grows in the first pass and stays, as the threads' does.
        self.margins.resize(sum.rows(), 0.0);
        let (sum, inputs) = self.workspace.open(sum, [map]);
        let factor = factor.values()[column];
        contacts::add_contacts(self.isa, inputs.rows(0), factor, &mut self.margins, sum);
    }

    fn sigmoid(&mut self, x: Buf, shift: &CpuWeight) {
        if self.fault.is_none() {
            contacts::sigmoid(self.isa, self.workspace.write(x), shift.values()[0]);
        }
    }

    fn gate(&mut self, x: Buf, activation: Activation, out: Buf) {
        assert!(x.rows() == out.rows() && x.cols() == 2 * out.cols());
        if self.fault.is_none() {
            let (out, inputs) = self.workspace.open(out, [x]);
            gate::gate(self.isa, &mut self.team, inputs.rows(0), activation, out);
        }
    }

    fn add(&mut self, x: Buf, out: Buf) {
        if self.fault.is_none() {
            let (out, inputs) = self.workspace.open(out, [x]);
            gather::add(&mut self.team, inputs.rows(0), out);
        }
    }

    fn zero(&mut self, x: Buf) {
        if self.fault.is_none() {
            gather::zero(&mut self.team, self.workspace.write(x));
        }
    }

    fn pool(&mut self, x: Buf, batch: &BatchBuf, pooling: Pooling, out: Buf) {
        if self.fault.is_some() {
            return;
        }
        let (out, inputs) = self.workspace.open(out, [x, batch.offsets]);
        let (x, offsets) = (inputs.rows(0), inputs.indices(1));
        pool::pool(self.isa, &mut self.team, x, offsets, pooling, out);
    }

    fn add_taps(
        &mut self,
        x: Buf,
        batch: &BatchBuf,
        bias: &CpuWeight,
        rectified: bool,
        hidden: usize,
        out: Buf,
    ) {
        if self.fault.is_some() {
            return;
        }
        let (out, inputs) = self.workspace.open(out, [x, batch.offsets]);
        let sum = taps::Taps {
            x: inputs.rows(0),
            bias: bias.values(),
            rectified,
            hidden,
        };
        taps::add_taps(&mut self.team, &sum, inputs.indices(1), out);
    }

    fn log_softmax_at(&mut self, x: Buf, columns: Buf, out: Buf) {
        if !self.check(columns, x.cols(), "column") {
            return;
        }
        let (out, inputs) = self.workspace.open(out, [x, columns]);
        let (x, columns) = (inputs.rows(0), inputs.indices(1));
        softmax::log_softmax_at(self.isa, &mut self.team, x, columns, out);
    }

    fn read(&mut self, x: Buf) -> Ticket {
        self.staging.read(&mut self.team, self.workspace.read(x))
    }

    fn wait(&mut self, ticket: Ticket, into: &mut Vec<f32>) -> Result<(), DeviceError> {
        let is_given_up = self
            .team
            .has_given_up()
            .then(|| DeviceError::new(DeviceErrorKind::GivenUp, "nobody waits for this any more"));
        if let Some(fault) = is_given_up.or(self.fault.take()) {
            self.fault = None;
            self.staging.forget();
            return Err(fault);
        }
        self.staging.take(ticket, into)
    }
}

impl CpuLane {
    /// Whether every position of the batch has rotary angles; notes a fault when not.
    fn fits(&mut self, batch: &BatchBuf, spec: &Attention<'_>) -> bool {
        let offsets = self.workspace.indices(batch.offsets);
        let longest = offsets.windows(2).map(|pair| pair[1] - pair[0]).max();
        let longest = longest.unwrap_or(0) as usize;
        if longest > spec.positions() {
            let positions = spec.positions();
            self.fail(format!(
                "a sequence of {longest} tokens over {positions} positions"
            ));
        }
        self.fault.is_none()
    }

    /// The rows of one sequence.
    fn sequence(&self, batch: &BatchBuf, index: usize) -> Range<usize> {
        let offsets = self.workspace.indices(batch.offsets);
        offsets[index] as usize..offsets[index + 1] as usize
    }
}
