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
    Ok(())
}

/// One vector per residue.
pub(crate) fn per_residue<L: Lane>(
    lane: &mut L,
    pass: &Pass,
    ends: Ends,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    if !wanted(pass, OutputKind::PerResidue) {
        return Ok(());
    }
    let ticket = lane.read(x);
    lane.wait(ticket, &mut scratch.values)?;
    for (sequence, job) in pass.jobs.iter().enumerate() {
        if job.outputs.contains(OutputKind::PerResidue) {
            let first = pass.batch.offsets()[sequence] as usize + ends.leading;
            let last = pass.batch.offsets()[sequence + 1] as usize - ends.trailing;
            let rows = scratch.values[first * x.cols()..last * x.cols()].to_vec();
            let tensor = HostTensor::new(vec![last - first, x.cols()], rows);
            outputs[sequence].push(OutputKind::PerResidue, tensor);
        }
    }
    Ok(())
}
