//! ESM-2 with random weights in bf16, as a fraction of the measured peak.
//!
//! `cargo bench -p sessile-cpu --bench esm2 [-- 8M|35M|150M|650M] [mixed|uniform] [LANES] [ops] [tokens=N]`
//!
//! Every lane is one thread with its own batch; all share the weights. Rates count real tokens and
//! the operations of products and attention.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use sessile_cpu::{CpuDevice, CpuLane, CpuOptions, CpuWeight, peak};
use sessile_device::{
    AttentionInput, AttentionSpec, Bias, DType, Device, DeviceError, Epilogue, Format, Lane,
    LaneSpec, Norm, PackedBatch, PlanDevice, Rotary, RowSource, WeightLayout,
};

const DTYPE: DType = DType::Bf16;
const HEADS: usize = 20;
const POSITIONS: usize = 1026;

struct Size {
    name: &'static str,
    hidden: usize,
    layers: usize,
}

const SIZES: [Size; 4] = [
    Size {
        name: "8M",
        hidden: 320,
        layers: 6,
    },
    Size {
        name: "35M",
        hidden: 480,
        layers: 12,
    },
    Size {
        name: "150M",
        hidden: 640,
        layers: 30,
    },
    Size {
        name: "650M",
        hidden: 1280,
        layers: 33,
    },
];

/// Random rows, made when they are read.
struct Rows {
    rows: usize,
    cols: usize,
    scale: f32,
}

impl RowSource for Rows {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        let mut state = (first as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for value in out {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *value = ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * self.scale;
        }
        Ok(())
    }
}

struct Layer<W> {
    qkv: (W, W),
    out: (W, W),
    up: (W, W),
    down: (W, W),
    norms: [(W, W); 2],
}

struct Model<W> {
    hidden: usize,
    table: W,
    rotary: W,
    layers: Vec<Layer<W>>,
    last: (W, W),
}

impl<W> Model<W> {
    fn new<D: Device<Weight = W>>(device: &D, size: &Size) -> Result<Self, DeviceError> {
        let pack = |rows: usize, cols: usize, layout| {
            let scale = 1.0 / (cols as f32).sqrt();
            let source = Rows { rows, cols, scale };
            device.pack(&[&source as &dyn RowSource], layout, DTYPE)
        };
        let hidden = size.hidden;
        let linear = |n: usize, k: usize| -> Result<(W, W), DeviceError> {
            Ok((
                pack(n, k, WeightLayout::Linear)?,
                pack(1, n, WeightLayout::Vector)?,
            ))
        };
        let norm = || -> Result<(W, W), DeviceError> {
            Ok((
                pack(1, hidden, WeightLayout::Vector)?,
                pack(1, hidden, WeightLayout::Vector)?,
            ))
        };
        let layer = |_| {
            Ok(Layer {
                qkv: linear(3 * hidden, hidden)?,
                out: linear(hidden, hidden)?,
                up: linear(4 * hidden, hidden)?,
                down: linear(hidden, 4 * hidden)?,
                norms: [norm()?, norm()?],
            })
        };
        Ok(Model {
            hidden,
            table: pack(33, hidden, WeightLayout::Table)?,
            rotary: pack(POSITIONS, hidden / HEADS, WeightLayout::TableF32)?,
            layers: (0..size.layers)
                .map(layer)
                .collect::<Result<_, DeviceError>>()?,
            last: norm()?,
        })
    }

    /// One pass. `clock` is told the name of every operation that is done.
    fn run<L: Lane<Weight = W>>(
        &self,
        lane: &mut L,
        batch: &PackedBatch,
        mut clock: impl FnMut(&'static str),
    ) -> Result<(), DeviceError> {
        let hidden = self.hidden;
        let start = lane.mark();
        let batch = lane.upload(batch)?;
        let rows = batch.len();
        let x = lane.buffer(rows, hidden, Format::F32)?;
        lane.gather(batch.tokens, &self.table, None, x);
        clock("gather");
        let spec = AttentionSpec {
            heads: HEADS,
            head_dim: hidden / HEADS,
            scale: 1.0 / ((hidden / HEADS) as f32).sqrt(),
            rotary: Some(Rotary {
                table: &self.rotary,
            }),
            bias: Bias::None,
            window: None,
        };
        let layer_norm = |(gain, shift)| Norm::Layer {
            gain,
            shift: Some(shift),
            epsilon: 1e-5,
        };
        for layer in &self.layers {
            let mark = lane.mark();
            let operand = lane.buffer(rows, hidden, Format::Operand(DTYPE))?;
            lane.norm(
                x,
                layer_norm((&layer.norms[0].0, &layer.norms[0].1)),
                operand,
            );
            clock("norm");
            let qkv = lane.buffer(rows, 3 * hidden, Format::Heads(DTYPE))?;
            let (weight, bias) = &layer.qkv;
            lane.linear(operand, weight, Some(bias), Epilogue::Store, qkv);
            clock("qkv");
            let input = AttentionInput {
                q: qkv.columns(0..hidden),
                k: qkv.columns(hidden..2 * hidden),
                v: qkv.columns(2 * hidden..3 * hidden),
            };
            lane.attention(input, &batch, &spec, operand);
            clock("attention");
            let (weight, bias) = &layer.out;
            lane.linear(operand, weight, Some(bias), Epilogue::Residual, x);
            clock("out");
            lane.release(mark);
            let operand = lane.buffer(rows, hidden, Format::Operand(DTYPE))?;
            lane.norm(
                x,
                layer_norm((&layer.norms[1].0, &layer.norms[1].1)),
                operand,
            );
            clock("norm");
            let inner = lane.buffer(rows, 4 * hidden, Format::Operand(DTYPE))?;
            let (weight, bias) = &layer.up;
            lane.linear(operand, weight, Some(bias), Epilogue::Gelu, inner);
            clock("up");
            let (weight, bias) = &layer.down;
            lane.linear(inner, weight, Some(bias), Epilogue::Residual, x);
            clock("down");
            lane.release(mark);
        }
        lane.norm(x, layer_norm((&self.last.0, &self.last.1)), x);
        clock("norm");
        lane.release(start);
        Ok(())
    }
}

/// About `tokens` tokens in sequences of 512, or of lengths spread as those of proteins are.
fn batch(mixed: bool, tokens: usize, seed: usize) -> PackedBatch {
    let mut batch = PackedBatch::default();
    let mut left = tokens;
    let mut state = seed as u64 * 7919 + 12345;
    while left > 0 {
        let len = if mixed {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Sums of four uniform values are nearly normal; the exponential spreads them from
            // about 30 to 1000 around 250.
            let unit = |shift: u32| ((state >> shift) & 0xff) as f32 / 255.0;
            let normal = unit(24) + unit(32) + unit(40) + unit(48) - 2.0;
            ((250.0_f32).ln() + 1.2 * normal).exp() as usize
        } else {
            512
        };
        let len = len.clamp(8, 1024).min(left);
        let ids: Vec<u32> = (0..len)
            .map(|i| ((i * 7 + len + seed) % 33) as u32)
            .collect();
        batch.push(&ids);
        left -= len;
    }
    batch
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |what: &str| arguments.iter().any(|argument| argument == what);
    let lanes = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(2);
    let tokens = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("tokens=")?.parse().ok())
        .unwrap_or(2048);
    let any_size = SIZES.iter().any(|size| has(size.name));
    let device = CpuDevice::new(CpuOptions::default()).expect("a device");
    for size in SIZES.iter().filter(|size| !any_size || has(size.name)) {
        let model = Model::new(&device, size).expect("weights");
        for mixed in [false, true] {
            if has("mixed") && !mixed || has("uniform") && mixed {
                continue;
            }
            measure(&device, &model, size, mixed, lanes, tokens, has("ops"));
        }
    }
}

#[allow(clippy::print_stdout)] // What a benchmark is for.
fn measure(
    device: &CpuDevice,
    model: &Model<CpuWeight>,
    size: &Size,
    mixed: bool,
    lanes: usize,
    tokens: usize,
    ops: bool,
) {
    let batches: Vec<PackedBatch> = (0..lanes).map(|i| batch(mixed, tokens, i)).collect();
    let plan = |batch: &PackedBatch| {
        let device = PlanDevice::new(std::sync::Arc::new(sessile_cpu::CpuGeometry::new(
            device.isa(),
        )));
        let model = Model::new(&device, size).expect("a plan");
        let spec = LaneSpec {
            arena_bytes: usize::MAX / 2,
            threads: 1,
        };
        let mut lane = device.lane(&spec).expect("a lane");
        model.run(&mut lane, batch, |_| {}).expect("a pass");
        lane.report()
    };
    let reports: Vec<_> = batches.iter().map(&plan).collect();
    let flops: u64 = reports.iter().map(|report| report.flops).sum();
    let mut workers: Vec<CpuLane> = reports
        .iter()
        .map(|report| {
            let spec = LaneSpec {
                arena_bytes: report.arena_bytes,
                threads: 1,
            };
            device.lane(&spec).expect("a lane")
        })
        .collect();
    let own_peak = || peak::bf16_flops(lanes, Duration::from_millis(60)).unwrap_or(f64::NAN);
    let (mut rates, mut peaks) = (Vec::new(), vec![own_peak()]);
    let rounds = 8;
    let mut seconds: Vec<(&'static str, f64)> = Vec::new();
    for round in 0..rounds {
        let barrier = Barrier::new(lanes);
        // As many passes as take about a quarter of a second.
        let passes = (3e11 * lanes as f64 / flops as f64).ceil() as usize;
        let times: Vec<(f64, Vec<(&'static str, f64)>)> = std::thread::scope(|scope| {
            let handles: Vec<_> = workers
                .iter_mut()
                .zip(&batches)
                .map(|(lane, batch)| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        let mut spent: Vec<(&'static str, f64)> = Vec::new();
                        barrier.wait();
                        let start = Instant::now();
                        for _ in 0..passes {
                            let mut last = Instant::now();
                            let clock = |name| {
                                let now = Instant::now();
                                let took = (now - last).as_secs_f64();
                                last = now;
                                match spent.iter_mut().find(|(known, _)| *known == name) {
                                    Some((_, total)) => *total += took,
                                    None => spent.push((name, took)),
                                }
                            };
                            model.run(lane, batch, clock).expect("a pass");
                        }
                        (start.elapsed().as_secs_f64() / passes as f64, spent)
                    })
                })
                .collect();
            let join =
                |handle: std::thread::ScopedJoinHandle<'_, _>| handle.join().expect("a lane");
            handles.into_iter().map(join).collect()
        });
        let rate: f64 = times
            .iter()
            .zip(&reports)
            .map(|((time, _), report)| report.flops as f64 / time)
            .sum();
        if round > 0 {
            rates.push(rate);
            for (name, took) in times.iter().flat_map(|(_, spent)| spent) {
                match seconds.iter_mut().find(|(known, _)| known == name) {
                    Some((_, total)) => *total += took,
                    None => seconds.push((name, *took)),
                }
            }
        }
        peaks.push(own_peak());
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (rate, top) = (median(&mut rates), median(&mut peaks));
    let all_tokens: usize = batches.iter().map(|batch| batch.tokens().len()).sum();
    println!(
        "{:>5} {} {lanes} lanes × {tokens}: {:.0} GFLOP/s, peak {:.0} ({:.0}–{:.0}), fraction {:.3}, best {:.3}, {:.0} tokens/s",
        size.name,
        if mixed { "mixed  " } else { "uniform" },
        rate / 1e9,
        top / 1e9,
        peaks[0] / 1e9,
        peaks[peaks.len() - 1] / 1e9,
        rate / top,
        rates[rates.len() - 1] / top,
        rate / flops as f64 * all_tokens as f64,
    );
    if ops {
        let total: f64 = seconds.iter().map(|(_, took)| took).sum();
        for (name, took) in &seconds {
            println!("        {name:<10} {:5.1} %", 100.0 * took / total);
        }
    }
}
