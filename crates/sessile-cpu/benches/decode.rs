//! The operations of a decoding step, beside the measured rate of memory.
//!
//! `cargo bench -p sessile-cpu --bench decode [-- [t5] [f32] ROWS...]`, in bf16 unless `f32` is said
//!
//! On one core (`taskset -c 0`) the times are those that the processor gave to the thread, so that other
//! programs show only in what they take of the memory's rate.
//!
//! Sizes are those of BART-large with four beams to a source of 400 tokens, or of ProstT5 with
//! proteins of 100 residues. Weights and caches are as many as in a model, which no cache holds.

#![allow(clippy::print_stdout)] // Printing is what it is for.

mod clock;

use std::time::{Duration, Instant};

use clock::processor_time;
use sessile_cpu::{CpuDevice, CpuLane, CpuOptions, CpuWeight, peak};
use sessile_device::{
    AttentionSpec, Bias, Buf, CellCache, CellTable, DType, DecodingLane, Device, DeviceError,
    Epilogue, Format, Lane, LaneSpec, RowSource, WeightLayout,
};

/// Layers whose caches are made.
const LAYERS: usize = 12;
/// Bytes of weights of one shape: as many as a model's, so that no cache holds them.
const WEIGHT_BYTES: usize = 400 << 20;
const WIDEST: usize = 16384;

/// What a model asks for.
struct Model {
    hidden: usize,
    heads: usize,
    head_dim: usize,
    feed_forward: usize,
    activation: Epilogue,
    beams: usize,
    /// Tokens of a source.
    source: usize,
    /// Tokens of a hypothesis, and how many of them the beams of a source share.
    written: usize,
    shared: usize,
}

const BART: Model = Model {
    hidden: 1024,
    heads: 16,
    head_dim: 64,
    feed_forward: 4096,
    activation: Epilogue::Gelu,
    beams: 4,
    source: 400,
    written: 80,
    shared: 70,
};

const PROST_T5: Model = Model {
    hidden: 1024,
    heads: 32,
    head_dim: 128,
    feed_forward: 16384,
    activation: Epilogue::Relu,
    beams: 1,
    source: 102,
    written: 50,
    shared: 0,
};

impl Model {
    fn inner(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// Random rows, made when they are read.
struct Rows(usize, usize);

impl RowSource for Rows {
    fn rows(&self) -> usize {
        self.0
    }

    fn cols(&self) -> usize {
        self.1
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        let mut state = (first as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for value in out {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *value = (state >> 40) as f32 / (1_u64 << 28) as f32 - 0.03;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rows: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    if rows.is_empty() {
        rows = vec![4, 32, 128];
    }
    let model = if std::env::args().any(|argument| argument == "t5") {
        PROST_T5
    } else {
        BART
    };
    let threads = std::thread::available_parallelism()?.get();
    let device = CpuDevice::new(CpuOptions { isa: None, threads })?;
    let dtype = if std::env::args().any(|argument| argument == "f32") {
        DType::F32
    } else {
        DType::Bf16
    };
    let values = Values::new(device, model.inner(), dtype)?;
    for rows in rows {
        let bandwidth = peak::memory_bytes(threads, Duration::from_millis(300));
        println!(
            "{rows} rows, {threads} threads, memory {:.1} GB/s",
            bandwidth / 1e9
        );
        let mut lane = values.device.lane(&LaneSpec {
            arena_bytes: 2 << 30,
            threads,
        })?;
        let (hidden, inner) = (model.hidden, model.inner());
        for (n, k, epilogue) in [
            (3 * inner, hidden, Epilogue::Store),
            (hidden, inner, Epilogue::Residual),
            (model.feed_forward, hidden, model.activation),
            (hidden, model.feed_forward, Epilogue::Residual),
        ] {
            linear(&values, &mut lane, [rows, n, k], epilogue, bandwidth)?;
        }
        for name in ["source", "own"] {
            attention(&values, &mut lane, &model, name, rows, bandwidth)?;
        }
    }
    Ok(())
}

/// The best of some rounds over all layers, in seconds.
fn best(mut round: impl FnMut() -> Result<(), DeviceError>) -> Result<f64, DeviceError> {
    round()?;
    let is_alone = std::thread::available_parallelism().is_ok_and(|threads| threads.get() == 1);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (start, own) = (Instant::now(), processor_time());
        round()?;
        best = best.min(if is_alone {
            processor_time() - own
        } else {
            start.elapsed().as_secs_f64()
        });
    }
    Ok(best)
}

fn linear(
    values: &Values,
    lane: &mut CpuLane,
    [rows, n, k]: [usize; 3],
    epilogue: Epilogue,
    bandwidth: f64,
) -> Result<(), DeviceError> {
    let dtype = values.dtype;
    let pack = |layout, rows, cols| {
        values
            .device
            .pack(&[&Rows(rows, cols) as &dyn RowSource], layout, dtype)
    };
    let layers = WEIGHT_BYTES.div_ceil(n * k * dtype.size());
    let weights: Vec<(CpuWeight, CpuWeight)> = (0..layers)
        .map(|_| {
            Ok((
                pack(WeightLayout::Linear, n, k)?,
                pack(WeightLayout::Vector, 1, n)?,
            ))
        })
        .collect::<Result<_, DeviceError>>()?;
    let mark = lane.mark();
    let x = values.rows(lane, rows, k)?;
    let operand = lane.buffer(rows, k, Format::Operand(dtype))?;
    lane.convert(x, operand);
    let out = match epilogue {
        Epilogue::Store => lane.buffer(rows, n, Format::Heads(dtype))?,
        Epilogue::Gelu => lane.buffer(rows, n, Format::Operand(dtype))?,
        _ => values.rows(lane, rows, n)?,
    };
    let ticket = values.rows(lane, 1, 1)?;
    let mut host = Vec::new();
    let seconds = best(|| {
        for (weight, bias) in &weights {
            lane.linear(operand, weight, Some(bias), epilogue, out);
        }
        let ticket = lane.read(ticket);
        lane.wait(ticket, &mut host)
    })?;
    lane.release(mark);
    let (bytes, flops) = (
        (layers * n * k * dtype.size()) as f64,
        (layers * 2 * rows * n * k) as f64,
    );
    println!(
        "  linear {k:5} to {n:5}: {:6.1} us a call, {:5.1} GB/s ({:.2} of memory), {:.2} TFLOP/s",
        seconds / layers as f64 * 1e6,
        bytes / seconds / 1e9,
        bytes / seconds / bandwidth,
        flops / seconds / 1e12
    );
    Ok(())
}

/// Lists of cells for `rows`, on caches of several layers.
fn attention(
    values: &Values,
    lane: &mut CpuLane,
    model: &Model,
    name: &str,
    rows: usize,
    bandwidth: f64,
) -> Result<(), DeviceError> {
    let mark = lane.mark();
    let mut table = CellTable::default();
    let mut cells = 0;
    let mut take = |count: usize| -> Vec<u32> {
        cells += count;
        (cells - count..cells).map(|cell| cell as u32).collect()
    };
    for first in (0..rows).step_by(model.beams) {
        let beams = model.beams.min(rows - first);
        if name == "source" {
            table.push(take(model.source), beams);
            continue;
        }
        // Beams share the greater part of what they have written.
        let shared = take(model.shared);
        for _ in 0..beams {
            let own = take(model.written - model.shared);
            table.push(shared.iter().copied().chain(own), 1);
        }
    }
    let mut caches = Vec::new();
    for _ in 0..LAYERS {
        let [keys, values] = [0, 1].map(|_| values.heads(lane, cells));
        caches.push(CellCache {
            keys: keys?,
            values: values?,
        });
    }
    let q = values.heads(lane, rows)?;
    let out = lane.buffer(rows, model.inner(), Format::F32)?;
    let lists = lane.upload_cells(&table)?;
    let spec = AttentionSpec {
        heads: model.heads,
        head_dim: model.head_dim,
        scale: 0.125,
        rotary: None,
        bias: Bias::None,
        window: None,
    };
    let ticket = values.rows(lane, 1, 1)?;
    let mut host = Vec::new();
    let seconds = best(|| {
        for &cache in &caches {
            lane.attention_cells(q, cache, &lists, &spec, out);
        }
        let ticket = lane.read(ticket);
        lane.wait(ticket, &mut host)
    })?;
    lane.release(mark);
    let bytes = (LAYERS * cells * 2 * model.inner() * values.dtype.size()) as f64;
    println!(
        "  attention {name:6}:   {:6.1} us a call, {:5.1} GB/s ({:.2} of memory)",
        seconds / LAYERS as f64 * 1e6,
        bytes / seconds / 1e9,
        bytes / seconds / bandwidth,
    );
    Ok(())
}

/// What random values are made of.
struct Values {
    dtype: DType,
    device: CpuDevice,
    table: CpuWeight,
    widening: CpuWeight,
    inner: usize,
}

impl Values {
    fn new(device: CpuDevice, inner: usize, dtype: DType) -> Result<Self, DeviceError> {
        let pack =
            |layout, rows, cols| device.pack(&[&Rows(rows, cols) as &dyn RowSource], layout, dtype);
        Ok(Values {
            dtype,
            table: pack(WeightLayout::TableF32, 256, WIDEST)?,
            widening: pack(WeightLayout::Linear, inner, 32)?,
            device,
            inner,
        })
    }

    /// Random values.
    fn rows(&self, lane: &mut CpuLane, rows: usize, cols: usize) -> Result<Buf, DeviceError> {
        let to = lane.buffer(rows, WIDEST, Format::F32)?;
        let ids: Vec<u32> = (0..rows).map(|row| row as u32 * 37 % 256).collect();
        let ids = lane.upload_indices(&ids)?;
        lane.gather(ids, &self.table, None, to);
        Ok(to.columns(0..cols))
    }

    /// Random values as a cache holds them.
    fn heads(&self, lane: &mut CpuLane, rows: usize) -> Result<Buf, DeviceError> {
        let dtype = self.dtype;
        let to = lane.buffer(rows, self.inner, Format::Heads(dtype))?;
        let mark = lane.mark();
        let x = self.rows(lane, rows, 32)?;
        let operand = lane.buffer(rows, 32, Format::Operand(dtype))?;
        lane.convert(x, operand);
        lane.linear(operand, &self.widening, None, Epilogue::Store, to);
        lane.release(mark);
        Ok(to)
    }
}
