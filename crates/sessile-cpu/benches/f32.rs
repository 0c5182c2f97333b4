//! Products and attention in f32, as fractions of the measured peak.
//!
//! `cargo bench -p sessile-cpu --bench f32 [-- THREADS]`

use std::time::{Duration, Instant};

use sessile_cpu::{CpuDevice, CpuLane, CpuOptions, CpuWeight, peak};
use sessile_device::{
    AttentionInput, AttentionSpec, Bias, Buf, DType, Device, Epilogue, Format, HostTensor, Lane,
    LaneSpec, PackedBatch, Rotary, RowSource, WeightLayout,
};

fn values(len: usize) -> Vec<f32> {
    let mut state = 88_172_645_463_325_252u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn pack(device: &CpuDevice, rows: usize, cols: usize, layout: WeightLayout) -> CpuWeight {
    let tensor = HostTensor::new(vec![rows, cols], values(rows * cols));
    device
        .pack(&[&tensor as &dyn RowSource], layout, DType::F32)
        .unwrap()
}

/// A buffer of random values.
fn random(lane: &mut CpuLane, device: &CpuDevice, rows: usize, cols: usize, format: Format) -> Buf {
    let table = pack(device, 997, cols, WeightLayout::Table);
    let to = lane.buffer(rows, cols, format).unwrap();
    let mark = lane.mark();
    let ids: Vec<u32> = (0..rows as u32).map(|row| row % 997).collect();
    let ids = lane.upload_indices(&ids).unwrap();
    let from = lane.buffer(rows, cols, Format::F32).unwrap();
    lane.gather(ids, &table, None, from);
    lane.convert(from, to);
    lane.release(mark);
    to
}

/// Seconds of the median of some runs.
fn time(mut run: impl FnMut()) -> f64 {
    run();
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 3 || start.elapsed() < Duration::from_millis(600) {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let threads = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(1);
    let device = CpuDevice::new(CpuOptions::default()).unwrap();
    let peak = || peak::f32_flops(threads, Duration::from_millis(200));
    let spec = LaneSpec {
        arena_bytes: 1 << 30,
        threads,
    };
    let mut lane = device.lane(&spec).unwrap();
    let report = |name: String, flops: f64, before: f64, seconds: f64| {
        let rate = flops / seconds;
        let peak = (before + peak()) / 2.0;
        println!(
            "{name:44} {:8.1} GFLOP/s of {:6.1}: {:.3}",
            rate / 1e9,
            peak / 1e9,
            rate / peak
        );
    };

    for (n, k, epilogue) in [
        (3840, 1280, Epilogue::Store),
        (1280, 1280, Epilogue::Residual),
        (5120, 1280, Epilogue::Gelu),
        (1280, 5120, Epilogue::Residual),
        (960, 320, Epilogue::Store),
    ] {
        let weight = pack(&device, n, k, WeightLayout::Linear);
        for m in [16, 500, 2000] {
            let base = lane.mark();
            let x = random(&mut lane, &device, m, k, Format::Operand(DType::F32));
            let out = lane.buffer(m, n, Format::F32).unwrap();
            lane.zero(out);
            let before = peak();
            let seconds = time(|| lane.linear(x, &weight, None, epilogue, out));
            let name = format!("linear {n}×{k} {epilogue:?}, {m} rows");
            report(name, 2.0 * (m * n * k) as f64, before, seconds);
            lane.release(base);
        }
    }

    if std::env::args().any(|arg| arg == "linear") {
        return;
    }
    for (heads, dim, lengths) in [
        (20, 64, vec![512; 4]),
        (20, 64, vec![2048]),
        (20, 64, vec![60; 30]),
        (20, 16, vec![512; 4]),
        (20, 24, vec![512; 4]),
    ] {
        let width = heads * dim;
        let table = pack(&device, 4096, dim, WeightLayout::TableF32);
        let mut batch = PackedBatch::default();
        lengths.iter().for_each(|&len| batch.push(&vec![0; len]));
        let base = lane.mark();
        let batch = lane.upload(&batch).unwrap();
        let heads_format = Format::Heads(DType::F32);
        let qkv = random(&mut lane, &device, batch.len(), 3 * width, heads_format);
        let out = lane
            .buffer(batch.len(), width, Format::Operand(DType::F32))
            .unwrap();
        let input = AttentionInput {
            q: qkv.columns(0..width),
            k: qkv.columns(width..2 * width),
            v: qkv.columns(2 * width..3 * width),
        };
        let spec = AttentionSpec {
            heads,
            head_dim: dim,
            scale: 0.1,
            rotary: Some(Rotary { table: &table }),
            bias: Bias::None,
            window: None,
        };
        let before = peak();
        let seconds = time(|| lane.attention(input, &batch, &spec, out));
        let name = format!(
            "attention {heads} × {dim}, {} × {}",
            lengths.len(),
            lengths[0]
        );
        report(
            name,
            (4 * batch.squared_lengths * width as u64) as f64,
            before,
            seconds,
        );
        lane.release(base);
    }
}
