//! What a GPU's products could do at best, measured now.

use std::time::{Duration, Instant};

use sessile_device::{
    DType, Device, DeviceError, Epilogue, Format, Geometry, HostTensor, Lane, LaneSpec,
    WeightLayout,
};

use crate::device::CudaDevice;
use crate::geometry::CudaGeometry;

/// Rows, and the columns on both sides: enough to fill every multiprocessor many times.
const ROWS: usize = 8192;
const SIDE: usize = 4096;

/// Rows of random values that the operand and the weight are made of, repeated.
const PATTERN_ROWS: usize = 256;

/// Products queued before somebody waits.
const QUEUED: usize = 16;

/// Measures for about `duration`, after one round to warm up.
pub(crate) fn measure(
    device: &CudaDevice,
    dtype: DType,
    duration: Duration,
) -> Result<f64, DeviceError> {
    let pattern = HostTensor::new(vec![PATTERN_ROWS, SIDE], random(PATTERN_ROWS * SIDE));
    let parts: Vec<&dyn sessile_device::RowSource> =
        (0..SIDE / PATTERN_ROWS).map(|_| &pattern as _).collect();
    let weight = device.pack(&parts, WeightLayout::Linear, dtype)?;
    let bytes = |cols: usize, format: Format| CudaGeometry.buffer_bytes(ROWS, cols, format);
    let operand = Format::Operand(dtype);
    let mut lane = device.lane(&LaneSpec {
        arena_bytes: bytes(SIDE, operand)
            + bytes(SIDE, Format::F32)
            + bytes(SIDE, Format::Heads(dtype))
            + (1 << 20),
        threads: 1,
    })?;
    let x = lane.buffer(ROWS, SIDE, operand)?;
    let out = lane.buffer(ROWS, SIDE, Format::Heads(dtype))?;
    let mark = lane.mark();
    // Any values but zeros, which cost less energy: rows of the pattern.
    let ids: Vec<u32> = (0..ROWS as u32)
        .map(|row| row % PATTERN_ROWS as u32)
        .collect();
    let table = device.pack(&[&pattern], WeightLayout::TableF32, dtype)?;
    let values = lane.buffer(ROWS, SIDE, Format::F32)?;
    let ids = lane.upload_indices(&ids)?;
    lane.gather(ids, &table, None, values);
    lane.convert(values, x);
    lane.release(mark);
    let done = lane.buffer(1, 1, Format::F32)?;
    lane.zero(done);
    let mut wait = Vec::new();
    let mut round = |lane: &mut crate::CudaLane| -> Result<(), DeviceError> {
        for _ in 0..QUEUED {
            lane.linear(x, &weight, None, Epilogue::Store, out);
        }
        let ticket = lane.read(done);
        lane.wait(ticket, &mut wait)
    };
    round(&mut lane)?;
    let begun = Instant::now();
    let mut products = 0;
    while begun.elapsed() < duration || products == 0 {
        round(&mut lane)?;
        products += QUEUED;
    }
    let flops = 2.0 * ROWS as f64 * SIDE as f64 * SIDE as f64 * products as f64;
    Ok(flops / begun.elapsed().as_secs_f64())
}

/// Values between −1 and 1, the same every time.
fn random(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}
