//! BERT's pooler: a dense layer and a hyperbolic tangent over the vector of the first token.

use sessile_device::{
    BatchBuf, Buf, DType, DeviceError, Epilogue, Format, HostTensor, Lane, Output, OutputKind,
    Pooling,
};

use super::outputs::wanted;
use super::{Pass, Scratch};
use crate::weights::{Dense, DenseLane};

/// Hands out the pooler's vectors, where somebody wants them.
#[allow(clippy::too_many_arguments, reason = "what a pass works with")]
pub(crate) fn run<L: Lane>(
    pooler: &Dense<L::Weight>,
    dtype: DType,
    lane: &mut L,
    pass: &Pass,
    batch: &BatchBuf,
    x: Buf,
    scratch: &mut Scratch,
    outputs: &mut [Output],
) -> Result<(), DeviceError> {
    if !wanted(pass, OutputKind::Pooler) {
        return Ok(());
    }
    let (rows, hidden) = (batch.sequences, x.cols());
    let first = lane.buffer(rows, hidden, Format::F32)?;
    let operand = lane.buffer(rows, hidden, Format::Operand(dtype))?;
    let vectors = lane.buffer(rows, hidden, Format::F32)?;
    lane.pool(x, batch, Pooling::First, first);
    lane.convert(first, operand);
    lane.dense(operand, pooler, Epilogue::Store, vectors);
    let ticket = lane.read(vectors);
    lane.wait(ticket, &mut scratch.values)?;
    let vectors = scratch.values.chunks_exact(hidden);
    for ((job, output), vector) in pass.jobs.iter().zip(outputs).zip(vectors) {
        if job.outputs.contains(OutputKind::Pooler) {
            // One row for each sequence: not worth an operation of the device.
            let values = vector.iter().map(|value| value.tanh()).collect();
            output.push(OutputKind::Pooler, HostTensor::new(vec![hidden], values));
        }
    }
    Ok(())
}
