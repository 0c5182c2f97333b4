//! ESM-2 with random weights, as a fraction of the measured peak of its number format.
//!
//! `cargo bench -p sessile-cpu --bench esm2 [-- 8M|35M|150M|650M] [mixed|uniform] [LANES] [ops] [tokens=N]
//! [CONTESTANT...]`
//!
//! A contestant is an instruction set and a number format, as in `avx512bf16:bf16`. They take turns
//! in every round, so that what the machine does beside them happens to all; the ratio to the first
//! one is the median over the rounds.
//!
//! Times are those that the processor gave to a lane's thread, so that other programs show as little as
//! they can. The peaks are measured by the clock on the wall and need a quiet machine.
//!
//! Every lane is one thread with its own batch; all share the weights. Rates count real tokens and
//! the operations of products and attention.

mod clock;

use std::sync::Barrier;
use std::time::Duration;

use clock::processor_time;
use sessile_cpu::{CpuDevice, CpuLane, CpuOptions, CpuWeight, Isa, peak};
use sessile_device::{
    AttentionInput, AttentionSpec, Bias, DType, Device, DeviceError, Epilogue, Format, Lane,
    LaneSpec, Norm, PackedBatch, PlanDevice, Rotary, RowSource, WeightLayout,
};

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
    dtype: DType,
    table: W,
    rotary: W,
    layers: Vec<Layer<W>>,
    last: (W, W),
}

impl<W> Model<W> {
    fn new<D: Device<Weight = W>>(
        device: &D,
        size: &Size,
        dtype: DType,
    ) -> Result<Self, DeviceError> {
        let pack = |rows: usize, cols: usize, layout| {
            let scale = 1.0 / (cols as f32).sqrt();
            let source = Rows { rows, cols, scale };
            device.pack(&[&source as &dyn RowSource], layout, dtype)
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
            dtype,
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
        let (hidden, dtype) = (self.hidden, self.dtype);
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
            let operand = lane.buffer(rows, hidden, Format::Operand(dtype))?;
            lane.norm(
                x,
                layer_norm((&layer.norms[0].0, &layer.norms[0].1)),
                operand,
            );
            clock("norm");
            let qkv = lane.buffer(rows, 3 * hidden, Format::Heads(dtype))?;
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
            let operand = lane.buffer(rows, hidden, Format::Operand(dtype))?;
            lane.norm(
                x,
                layer_norm((&layer.norms[1].0, &layer.norms[1].1)),
                operand,
            );
            clock("norm");
            let inner = lane.buffer(rows, 4 * hidden, Format::Operand(dtype))?;
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

/// An instruction set and a number format with the model on it.
struct Contestant {
    name: String,
    dtype: DType,
    device: CpuDevice,
    model: Model<CpuWeight>,
    lanes: Vec<CpuLane>,
    flops: Vec<u64>,
    /// Operations per second of every round, and the peaks before and after.
    rates: Vec<f64>,
    peaks: Vec<f64>,
    seconds: Vec<(&'static str, f64)>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |what: &str| arguments.iter().any(|argument| argument == what);
    let lanes = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(2);
    let number = |name: &str| {
        let named = |argument: &String| argument.strip_prefix(name)?.parse().ok();
        arguments.iter().find_map(named)
    };
    let tokens = number("tokens=").unwrap_or(2048);
    let rounds = number("rounds=").unwrap_or(8);
    let best = Isa::detect().expect("an instruction set");
    let mut contestants: Vec<(Isa, DType)> = arguments
        .iter()
        .filter_map(|argument| argument.split_once(':'))
        .map(|(isa, dtype)| {
            let dtype = match dtype {
                "f32" => DType::F32,
                "bf16" => DType::Bf16,
                other => panic!("{other} is neither f32 nor bf16"),
            };
            (isa.parse().expect("an instruction set"), dtype)
        })
        .collect();
    if contestants.is_empty() {
        contestants.push((best, DType::Bf16));
    }
    let any_size = SIZES.iter().any(|size| has(size.name));
    for size in SIZES.iter().filter(|size| !any_size || has(size.name)) {
        for mixed in [false, true] {
            if has("mixed") && !mixed || has("uniform") && mixed {
                continue;
            }
            let batches: Vec<PackedBatch> = (0..lanes).map(|i| batch(mixed, tokens, i)).collect();
            let mut all: Vec<Contestant> = contestants
                .iter()
                .map(|&(isa, dtype)| Contestant::new(isa, dtype, size, &batches))
                .collect();
            for round in 0..=rounds {
                for contestant in &mut all {
                    contestant.measure(&batches, round == 0);
                }
            }
            report(&all, size, mixed, &batches, has("ops"));
        }
    }
}

impl Contestant {
    fn new(isa: Isa, dtype: DType, size: &Size, batches: &[PackedBatch]) -> Self {
        let options = CpuOptions {
            isa: Some(isa),
            threads: 0,
        };
        let device = CpuDevice::new(options).expect("a device");
        let model = Model::new(&device, size, dtype).expect("weights");
        let geometry = std::sync::Arc::new(sessile_cpu::CpuGeometry::new(isa));
        let plan = PlanDevice::new(geometry);
        let planned = Model::new(&plan, size, dtype).expect("a plan");
        let (mut lanes, mut flops) = (Vec::new(), Vec::new());
        for batch in batches {
            let spec = LaneSpec {
                arena_bytes: usize::MAX / 2,
                threads: 1,
            };
            let mut lane = plan.lane(&spec).expect("a lane");
            planned.run(&mut lane, batch, |_| {}).expect("a pass");
            let report = lane.report();
            let spec = LaneSpec {
                arena_bytes: report.arena_bytes,
                threads: 1,
            };
            lanes.push(device.lane(&spec).expect("a lane"));
            flops.push(report.flops);
        }
        Contestant {
            name: format!("{isa}:{dtype}"),
            dtype,
            device,
            model,
            lanes,
            flops,
            rates: Vec::new(),
            peaks: Vec::new(),
            seconds: Vec::new(),
        }
    }

    /// One round: about a quarter of a second at a good rate. The first only warms up.
    fn measure(&mut self, batches: &[PackedBatch], warm_up: bool) {
        let lanes = self.lanes.len();
        let own_peak = || match self.dtype {
            DType::F32 => peak::f32_flops(lanes, Duration::from_millis(30)),
            _ => peak::bf16_flops(lanes, Duration::from_millis(30)).unwrap_or(f64::NAN),
        };
        let before = own_peak();
        let model = &self.model;
        let flops: u64 = self.flops.iter().sum();
        let budget = if self.dtype == DType::Bf16 && self.device.isa() == Isa::Amx {
            3e11
        } else {
            1e10
        };
        let passes = (budget * lanes as f64 / flops as f64).ceil() as usize;
        let barrier = Barrier::new(lanes);
        let times: Vec<(f64, Vec<(&'static str, f64)>)> = std::thread::scope(|scope| {
            let handles: Vec<_> = self
                .lanes
                .iter_mut()
                .zip(batches)
                .map(|(lane, batch)| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        let mut spent: Vec<(&'static str, f64)> = Vec::new();
                        barrier.wait();
                        let start = processor_time();
                        for _ in 0..passes {
                            let mut last = processor_time();
                            let clock = |name| {
                                let now = processor_time();
                                add_time(&mut spent, name, now - last);
                                last = now;
                            };
                            model.run(lane, batch, clock).expect("a pass");
                        }
                        ((processor_time() - start) / passes as f64, spent)
                    })
                })
                .collect();
            let join =
                |handle: std::thread::ScopedJoinHandle<'_, _>| handle.join().expect("a lane");
            handles.into_iter().map(join).collect()
        });
        let after = own_peak();
        if warm_up {
            return;
        }
        let rates = times.iter().zip(&self.flops);
        let rates = rates.map(|((time, _), &flops)| flops as f64 / time);
        self.rates.push(rates.sum());
        self.peaks.push((before + after) / 2.0);
        for (name, took) in times.iter().flat_map(|(_, spent)| spent) {
            add_time(&mut self.seconds, name, *took);
        }
    }
}

fn add_time(seconds: &mut Vec<(&'static str, f64)>, name: &'static str, took: f64) {
    match seconds.iter_mut().find(|(known, _)| *known == name) {
        Some((_, total)) => *total += took,
        None => seconds.push((name, took)),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[allow(clippy::print_stdout)] // What a benchmark is for.
fn report(all: &[Contestant], size: &Size, mixed: bool, batches: &[PackedBatch], ops: bool) {
    let tokens: usize = batches.iter().map(|batch| batch.tokens().len()).sum();
    for contestant in all {
        let flops: u64 = contestant.flops.iter().sum();
        let rate = median(contestant.rates.iter().copied());
        let top = median(contestant.peaks.iter().copied());
        let pairs = |others: &[f64]| {
            let pairs = contestant.rates.iter().zip(others);
            median(pairs.map(|(own, other)| own / other))
        };
        println!(
            "{:>5} {} {} lanes × {}: {:<16} {:5.0} GFLOP/s, peak {:5.0}, fraction {:.3}, \
             {:6.0} tokens/s, {:.3} of the first",
            size.name,
            if mixed { "mixed  " } else { "uniform" },
            batches.len(),
            batches[0].tokens().len(),
            contestant.name,
            rate / 1e9,
            top / 1e9,
            pairs(&contestant.peaks),
            rate / flops as f64 * tokens as f64,
            pairs(&all[0].rates),
        );
        if ops {
            let total: f64 = contestant.seconds.iter().map(|(_, took)| took).sum();
            let per_token = total / contestant.rates.len() as f64;
            for (name, took) in &contestant.seconds {
                println!(
                    "        {name:<10} {:5.1} %  {:8.3} s",
                    100.0 * took / total,
                    took / total * per_token
                );
            }
        }
    }
}
