//! From the residual stream to the outputs that were asked for, the same for every encoder.

use sessile_device::{
    AttentionInput, AttentionSpec, BatchBuf, Buf, DeviceError, Format, HostTensor, Lane, Output,
    OutputKind, Pooling, Ticket,
};

use super::{Ends, Pass, Scratch};

/// Whether any job wants `kind`.
pub(crate) fn wanted(pass: &Pass, kind: OutputKind) -> bool {
    pass.jobs.iter().any(|job| job.outputs.contains(kind))
}

/// The attention probabilities of this layer, for the sequences that want them.
pub(crate) fn read_attention<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    batch: &BatchBuf,
    input: AttentionInput,
    spec: &AttentionSpec<'_, L::Weight>,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    for (sequence, job) in pass.jobs.iter().enumerate() {
        if !job.outputs.contains(OutputKind::Attention) {
            continue;
        }
        let mark = lane.mark();
        let length = pass.batch.sequence(sequence).len();
        let map = lane.buffer(length, length, Format::F32)?;
        let mut values = Vec::with_capacity(spec.heads * length * length);
        for head in 0..spec.heads {
            lane.attention_map(input, batch, sequence, head, spec, map);
            let ticket = lane.read(map);
            lane.wait(ticket, &mut scratch.values)?;
            values.extend_from_slice(&scratch.values);
        }
        let tensor = HostTensor::new(vec![spec.heads, length, length], values);
        outputs[sequence].push(OutputKind::Attention, tensor);
        lane.release(mark);
    }
    Ok(())
}

/// The residual stream after every layer, gathered for the sequences that want it.
pub(crate) struct HiddenStates {
    layers: usize,
    /// Layer after layer of all tokens of the batch; empty when nobody wants them.
    values: Vec<f32>,
    wanted: bool,
}

impl HiddenStates {
    pub(crate) fn new(pass: &Pass, layers: usize) -> Self {
        let wanted = wanted(pass, OutputKind::HiddenStates);
        HiddenStates {
            layers,
            values: Vec::new(),
            wanted,
        }
    }

    pub(crate) fn read<L: Lane>(
        &mut self,
        lane: &mut L,
        x: Buf,
        scratch: &mut Scratch,
    ) -> Result<(), DeviceError> {
        if self.wanted {
            let ticket = lane.read(x);
            lane.wait(ticket, &mut scratch.values)?;
            self.values.extend_from_slice(&scratch.values);
        }
        Ok(())
    }

    pub(crate) fn hand_out(&self, pass: &Pass, hidden: usize, outputs: &mut [Output]) {
        let layer_len = pass.batch.tokens().len() * hidden;
        for (sequence, job) in pass.jobs.iter().enumerate() {
            if !job.outputs.contains(OutputKind::HiddenStates) {
                continue;
            }
            let rows = pass.batch.offsets()[sequence] as usize * hidden
                ..pass.batch.offsets()[sequence + 1] as usize * hidden;
            let values: Vec<f32> = self
                .values
                .chunks(layer_len)
                .flat_map(|layer| layer[rows.clone()].iter().copied())
                .collect();
            let shape = vec![self.layers, rows.len() / hidden, hidden];
            outputs[sequence].push(OutputKind::HiddenStates, HostTensor::new(shape, values));
        }
    }
}

/// Waits for a read that is one part of one output.
pub(crate) fn take<L: Lane>(
    lane: &mut L,
    ticket: Ticket,
    shape: Vec<usize>,
    kind: OutputKind,
    output: &mut Output,
) -> Result<(), DeviceError> {
    let mut values = Vec::new();
    lane.wait(ticket, &mut values)?;
    output.push(kind, HostTensor::new(shape, values));
    Ok(())
}

/// One vector per sequence.
pub(crate) fn pooled<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    ends: Ends,
    batch: &BatchBuf,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    let poolings = [
        (
            OutputKind::Mean,
            Pooling::Mean {
                skip_first: ends.leading,
                skip_last: ends.trailing,
            },
        ),
        (
            OutputKind::MeanAll,
            Pooling::Mean {
                skip_first: 0,
                skip_last: 0,
            },
        ),
        (OutputKind::Cls, Pooling::First),
    ];
    for (kind, pooling) in poolings {
        if !wanted(pass, kind) {
            continue;
        }
        let mark = lane.mark();
        let vectors = lane.buffer(batch.sequences, x.cols(), Format::F32)?;
        lane.pool(x, batch, pooling, vectors);
        let ticket = lane.read(vectors);
        lane.release(mark);
        lane.wait(ticket, &mut scratch.values)?;
        let vectors = scratch.values.chunks_exact(x.cols());
        for ((job, output), vector) in pass.jobs.iter().zip(&mut *outputs).zip(vectors) {
            if job.outputs.contains(kind) {
                output.push(kind, HostTensor::new(vec![x.cols()], vector.to_vec()));
            }
        }
    }
    last_token(lane, pass, x, scratch, outputs)
}

/// The vector of the last token of each sequence.
fn last_token<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    if !wanted(pass, OutputKind::Eos) {
        return Ok(());
    }
    let mark = lane.mark();
    let last: Vec<u32> = pass.batch.offsets()[1..]
        .iter()
        .map(|end| end - 1)
        .collect();
    let rows = lane.upload_indices(&last)?;
    let vectors = lane.buffer(last.len(), x.cols(), Format::F32)?;
    lane.gather_rows(x, rows, vectors);
    let ticket = lane.read(vectors);
    lane.release(mark);
    lane.wait(ticket, &mut scratch.values)?;
    let vectors = scratch.values.chunks_exact(x.cols());
    for ((job, output), vector) in pass.jobs.iter().zip(outputs).zip(vectors) {
        if job.outputs.contains(OutputKind::Eos) {
            let tensor = HostTensor::new(vec![x.cols()], vector.to_vec());
            output.push(OutputKind::Eos, tensor);
        }
    }
    Ok(())
}

/// The greatest value of each column.
pub fn greatest(rows: &[f32], columns: usize) -> Vec<f32> {
    let mut greatest = vec![f32::NEG_INFINITY; columns];
    for row in rows.chunks_exact(columns.max(1)) {
        for (most, &value) in greatest.iter_mut().zip(row) {
            *most = most.max(value);
        }
    }
    greatest
}

/// The standard deviation of each column, divided by the number of rows.
pub fn deviations(rows: &[f32], columns: usize) -> Vec<f32> {
    let count = (rows.len() / columns.max(1)).max(1) as f64;
    let mut means = vec![0.0_f64; columns];
    for row in rows.chunks_exact(columns.max(1)) {
        for (mean, &value) in means.iter_mut().zip(row) {
            *mean += f64::from(value) / count;
        }
    }
    let mut squares = vec![0.0_f64; columns];
    for row in rows.chunks_exact(columns.max(1)) {
        for ((square, mean), &value) in squares.iter_mut().zip(&means).zip(row) {
            *square += (f64::from(value) - mean).powi(2) / count;
        }
    }
    squares.iter().map(|square| square.sqrt() as f32).collect()
}

/// One vector per residue, and what is made of all of them.
pub(crate) fn per_residue<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    ends: Ends,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    const MADE: [OutputKind; 3] = [OutputKind::PerResidue, OutputKind::Max, OutputKind::Std];
    if !MADE.iter().any(|&kind| wanted(pass, kind)) {
        return Ok(());
    }
    let ticket = lane.read(x);
    lane.wait(ticket, &mut scratch.values)?;
    let columns = x.cols();
    for (sequence, job) in pass.jobs.iter().enumerate() {
        let first = pass.batch.offsets()[sequence] as usize + ends.leading;
        let last = pass.batch.offsets()[sequence + 1] as usize - ends.trailing;
        let rows = &scratch.values[first * columns..last * columns];
        for kind in MADE.into_iter().filter(|&kind| job.outputs.contains(kind)) {
            let tensor = match kind {
                OutputKind::PerResidue => {
                    HostTensor::new(vec![last - first, columns], rows.to_vec())
                }
                OutputKind::Max => HostTensor::new(vec![columns], greatest(rows, columns)),
                _ => HostTensor::new(vec![columns], deviations(rows, columns)),
            };
            outputs[sequence].push(kind, tensor);
        }
    }
    Ok(())
}
