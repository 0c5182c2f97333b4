//! Products and attention in f32, as fractions of the measured peak.
//!
//! `cargo bench -p sessile-cpu --bench f32 [-- linear|attention] [THREADS]`

#![allow(clippy::print_stdout)] // Printing is what it is for.

use std::time::{Duration, Instant};

use sessile_cpu::{CpuDevice, CpuLane, CpuOptions, CpuWeight, peak};
use sessile_device::{
    AttentionInput, AttentionSpec, Bias, Buf, DType, Device, Epilogue, Format, HostTensor, Lane,
    LaneSpec, PackedBatch, Rotary, RowSource, WeightLayout,
};

struct Bench {
    device: CpuDevice,
    lane: CpuLane,
    threads: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let wants = |what: &str| {
        let other = if what == "linear" {
            "attention"
        } else {
            "linear"
        };
        !arguments.iter().any(|argument| argument == other)
    };
    let threads = arguments.iter().find_map(|argument| argument.parse().ok());
    let mut bench = Bench::new(threads.unwrap_or(1));
    if wants("linear") {
        bench.packing();
        bench.linear();
    }
    if wants("attention") {
        bench.attention();
    }
}

impl Bench {
    fn new(threads: usize) -> Self {
        let device = CpuDevice::new(CpuOptions::default()).unwrap();
        let spec = LaneSpec {
            arena_bytes: 1 << 30,
            threads,
        };
        let lane = device.lane(&spec).unwrap();
        Bench {
            device,
            lane,
            threads,
        }
    }

    /// How fast weights are packed that already lie in memory.
    fn packing(&self) {
        let tensor = HostTensor::new(vec![5120, 5120], values(5120 * 5120));
        let start = Instant::now();
        let weight = self
            .device
            .pack(
                &[&tensor as &dyn RowSource],
                WeightLayout::Linear,
                DType::F32,
            )
            .unwrap();
        let gigabytes = (weight.rows() * weight.cols() * 4) as f64 / 1e9;
        println!(
            "packing {:.2} GB/s",
            gigabytes / start.elapsed().as_secs_f64()
        );
    }

    fn linear(&mut self) {
        for (n, k, epilogue) in [
            (3840, 1280, Epilogue::Store),
            (1280, 1280, Epilogue::Residual),
            (5120, 1280, Epilogue::Gelu),
            (1280, 5120, Epilogue::Residual),
            (960, 320, Epilogue::Store),
        ] {
            let weight = self.pack(n, k, WeightLayout::Linear);
            for m in [16, 500, 1000, 4000] {
                let base = self.lane.mark();
                let x = self.random(m, k, Format::Operand(DType::F32));
                let out = self.random(m, n, Format::F32);
                let name = format!("linear {n}×{k} {epilogue:?}, {m} rows");
                self.report(&name, 2.0 * (m * n * k) as f64, |lane| {
                    lane.linear(x, &weight, None, epilogue, out);
                });
                self.lane.release(base);
            }
        }
    }

    fn attention(&mut self) {
        for (heads, dim, count, len) in [
            (20, 64, 4, 512),
            (20, 64, 1, 2048),
            (20, 64, 30, 60),
            (20, 16, 4, 512),
            (20, 24, 4, 512),
            (12, 128, 4, 512),
        ] {
            let width = heads * dim;
            let table = self.pack(4096, dim, WeightLayout::TableF32);
            let mut batch = PackedBatch::default();
            (0..count).for_each(|_| batch.push(&vec![0; len]));
            let base = self.lane.mark();
            let batch = self.lane.upload(&batch).unwrap();
            let qkv = self.random(batch.len(), 3 * width, Format::Heads(DType::F32));
            let out = self.random(batch.len(), width, Format::Operand(DType::F32));
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
            let name = format!("attention {heads} × {dim}, {count} × {len}");
            let flops = 4 * batch.squared_lengths * width as u64;
            self.report(&name, flops as f64, |lane| {
                lane.attention(input, &batch, &spec, out);
            });
            self.lane.release(base);
        }
    }

    /// Times something in turn with the peak, because the machine's speed drifts.
    fn report(&mut self, name: &str, flops: f64, mut run: impl FnMut(&mut CpuLane)) {
        let peak = || peak::f32_flops(self.threads, Duration::from_millis(20));
        run(&mut self.lane);
        let (mut rates, mut fractions) = (Vec::new(), Vec::new());
        let (start, mut before) = (Instant::now(), peak());
        while fractions.len() < 5 || start.elapsed() < Duration::from_millis(700) {
            let (start, mut runs) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_millis(40) {
                run(&mut self.lane);
                runs += 1;
            }
            let rate = flops * f64::from(runs) / start.elapsed().as_secs_f64();
            let after = peak();
            rates.push(rate);
            fractions.push(rate / ((before + after) / 2.0));
            before = after;
        }
        println!(
            "{name:40} {:7.1} GFLOP/s, {:.3} of the peak",
            median(&mut rates) / 1e9,
            median(&mut fractions)
        );
    }

    fn pack(&self, rows: usize, cols: usize, layout: WeightLayout) -> CpuWeight {
        let tensor = HostTensor::new(vec![rows, cols], values(rows * cols));
        self.device
            .pack(&[&tensor as &dyn RowSource], layout, DType::F32)
            .unwrap()
    }

    /// A buffer of random values: zeros would be faster than anything real.
    fn random(&mut self, rows: usize, cols: usize, format: Format) -> Buf {
        let table = self.pack(997, cols, WeightLayout::Table);
        let lane = &mut self.lane;
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
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Uniform in −1..1.
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
