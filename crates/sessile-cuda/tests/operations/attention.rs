//! Attention in all its kinds.

use sessile_cuda::CudaDevice;
use sessile_device::{
    AttentionInput, AttentionSpec, Bias, CellCache, CellTable, DType, DecodingLane, Format, Lane,
    Rotary, WeightLayout,
};

use super::{
    Check, Matrix, Verdict, batch, compare, lane, random, read, read_operand, tolerance, upload_as,
    weight,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    None,
    Distance(usize),
    Alibi,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    dtype: DType,
    heads: usize,
    dim: usize,
    kind: Kind,
    window: Option<usize>,
    rotary: bool,
    /// What the usual scale is multiplied with.
    scale: f32,
}

/// Around the tiles, and far beyond one.
const LENGTHS: [usize; 7] = [1, 37, 64, 65, 3, 200, 128];

/// Queries, keys and values side by side, as a fused product leaves them, and what belongs to them.
struct Problem {
    qkv: Matrix,
    bias: Matrix,
    table: Matrix,
    scale: f32,
}

impl Problem {
    fn new(case: Case) -> Self {
        let tokens: usize = LENGTHS.iter().sum();
        let width = case.heads * case.dim;
        let longest = LENGTHS[5];
        let mut qkv = Matrix::random(1, tokens, 3 * width);
        qkv.data.iter_mut().for_each(|x| *x *= 2.0);
        let bias = match case.kind {
            Kind::Distance(reach) => Matrix::random(2, case.heads, 2 * reach + 1),
            Kind::Alibi => Matrix {
                rows: 1,
                cols: case.heads,
                data: (0..case.heads)
                    .map(|head| 0.05 + 0.1 * head as f32)
                    .collect(),
            },
            Kind::None => Matrix::random(2, 1, 1),
        };
        let half = case.dim / 2;
        let mut table = Matrix::random(3, longest, case.dim);
        for position in 0..longest {
            for i in 0..half {
                let angle = position as f32 * 0.3 / (1.0 + i as f32);
                table.data[position * case.dim + i] = angle.cos();
                table.data[position * case.dim + half + i] = angle.sin();
            }
        }
        Problem {
            qkv: qkv.in_format(case.dtype),
            bias,
            table,
            scale: case.scale * (case.dim as f32).sqrt().recip(),
        }
    }

    /// Element `c` of a head of a row of queries (0) or keys (1), rotated by its position.
    fn rotated(&self, case: Case, which: usize, row: usize, position: usize, c: usize) -> f64 {
        let first = which * case.heads * case.dim;
        let (head, c) = (c / case.dim * case.dim, c % case.dim);
        let x = |c: usize| self.qkv.at(row, first + head + c);
        if !case.rotary {
            return x(c);
        }
        let half = case.dim / 2;
        let (cos, sin) = (
            self.table.at(position, c % half),
            self.table.at(position, half + c % half),
        );
        if c < half {
            x(c) * cos - x(c + half) * sin
        } else {
            x(c) * cos + x(c - half) * sin
        }
    }

    /// The probabilities of one query of one head.
    fn chances(&self, case: Case, start: usize, len: usize, head: usize, query: usize) -> Vec<f64> {
        let scores: Vec<f64> = (0..len)
            .map(|key| {
                let dot: f64 = (0..case.dim)
                    .map(|c| {
                        let c = head * case.dim + c;
                        self.rotated(case, 0, start + query, query, c)
                            * self.rotated(case, 1, start + key, key, c)
                    })
                    .sum();
                let distance = key as i64 - query as i64;
                if case
                    .window
                    .is_some_and(|window| distance.unsigned_abs() as usize > window)
                {
                    return f64::NEG_INFINITY;
                }
                dot * f64::from(self.scale)
                    + match case.kind {
                        Kind::None => 0.0,
                        Kind::Distance(reach) => {
                            let reach = reach as i64;
                            self.bias
                                .at(head, (distance.clamp(-reach, reach) + reach) as usize)
                        }
                        Kind::Alibi => -self.bias.at(0, head) * distance.abs() as f64,
                    }
            })
            .collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - top).exp()).sum();
        scores
            .iter()
            .map(|score| (score - top).exp() / sum)
            .collect()
    }
}

fn run(device: &CudaDevice, case: Case) -> Verdict {
    let problem = Problem::new(case);
    let width = case.heads * case.dim;
    let mut lane = lane(device);
    let qkv = upload_as(&mut lane, &problem.qkv, Format::Heads(case.dtype));
    let input = AttentionInput {
        q: qkv.columns(0..width),
        k: qkv.columns(width..2 * width),
        v: qkv.columns(2 * width..3 * width),
    };
    let bias = weight(device, &problem.bias, WeightLayout::TableF32, case.dtype);
    let slopes = weight(device, &problem.bias, WeightLayout::Vector, case.dtype);
    let table = weight(device, &problem.table, WeightLayout::TableF32, case.dtype);
    let spec = AttentionSpec {
        heads: case.heads,
        head_dim: case.dim,
        scale: problem.scale,
        rotary: case.rotary.then_some(Rotary { table: &table }),
        bias: match case.kind {
            Kind::None => Bias::None,
            Kind::Distance(reach) => Bias::ByDistance {
                table: &bias,
                reach,
            },
            Kind::Alibi => Bias::Alibi { slopes: &slopes },
        },
        window: case.window,
    };
    let packed = lane.upload(&batch(&LENGTHS)).unwrap();
    let out = lane
        .buffer(problem.qkv.rows, width, Format::Operand(case.dtype))
        .unwrap();
    lane.attention(input, &packed, &spec, out);
    let found = read_operand(device, &mut lane, out, case.dtype)?;
    let mut expected = vec![0.0; found.len()];
    let mut start = 0;
    for (sequence, &len) in LENGTHS.iter().enumerate() {
        for head in 0..case.heads {
            let mut maps = Vec::new();
            for query in 0..len {
                let chances = problem.chances(case, start, len, head, query);
                for c in head * case.dim..(head + 1) * case.dim {
                    expected[(start + query) * width + c] = chances
                        .iter()
                        .enumerate()
                        .map(|(key, chance)| chance * problem.qkv.at(start + key, 2 * width + c))
                        .sum();
                }
                maps.extend(chances);
            }
            // The map of a few: the same problem, another kernel.
            if sequence == 1 {
                let map = lane.buffer(len, len, Format::F32).unwrap();
                lane.attention_map(input, &packed, sequence, head, &spec, map);
                let found = read(&mut lane, map)?;
                compare(&format!("map of {case:?}"), &maps, &found, 1e-4)?;
            }
        }
        start += len;
    }
    compare(
        &format!("{case:?}"),
        &expected,
        &found,
        tolerance(case.dtype),
    )
}

const fn case(dtype: DType, dim: usize, kind: Kind, window: Option<usize>, rotary: bool) -> Case {
    Case {
        dtype,
        heads: 2,
        dim,
        kind,
        window,
        rotary,
        scale: 1.0,
    }
}

const fn scaled(case: Case, scale: f32) -> Case {
    Case { scale, ..case }
}

fn each(device: &CudaDevice, cases: &[Case]) -> Verdict {
    cases.iter().try_for_each(|case| run(device, *case))
}

pub(super) fn on_tensor_cores() -> Vec<Check> {
    use DType::{Bf16, F16};
    use Kind::{Alibi, Distance, None as Plain};
    vec![
        ("heads that lie as they are read", |device| {
            each(
                device,
                &[
                    case(Bf16, 64, Plain, None, false),
                    case(Bf16, 32, Distance(40), None, false),
                    case(F16, 128, Alibi, None, false),
                ],
            )
        }),
        ("heads that are packed and rotated", |device| {
            each(
                device,
                &[
                    case(Bf16, 64, Plain, None, true),
                    case(Bf16, 24, Plain, None, true),
                    case(F16, 6, Alibi, None, false),
                    case(Bf16, 80, Distance(5), None, false),
                    case(F16, 36, Plain, None, true),
                ],
            )
        }),
        ("heads of odd columns", |device| {
            each(
                device,
                &[
                    case(Bf16, 33, Plain, None, false),
                    case(F16, 35, Distance(7), None, false),
                    case(Bf16, 63, Alibi, Some(70), false),
                ],
            )
        }),
        ("scales of any sign", |device| {
            each(
                device,
                &[
                    scaled(case(Bf16, 32, Plain, Some(50), false), -1.0),
                    scaled(case(F16, 64, Distance(5), None, false), -0.5),
                    scaled(case(F16, 64, Plain, Some(70), false), 0.0),
                ],
            )
        }),
        ("windows", |device| {
            each(
                device,
                &[
                    case(Bf16, 64, Plain, Some(16), true),
                    case(F16, 32, Plain, Some(64), false),
                    case(Bf16, 12, Alibi, Some(0), false),
                    case(F16, 64, Distance(3), Some(100), false),
                ],
            )
        }),
    ]
}

pub(super) fn in_f32() -> Vec<Check> {
    use DType::F32;
    use Kind::{Alibi, Distance, None as Plain};
    vec![("in f32", |device| {
        each(
            device,
            &[
                case(F32, 64, Plain, None, true),
                case(F32, 6, Alibi, None, false),
                case(F32, 32, Distance(40), Some(31), false),
                case(F32, 50, Plain, Some(5), true),
                case(F32, 128, Distance(2), None, false),
            ],
        )
    })]
}

/// What is around attention: packing, maps, attention over cells.
pub(super) fn around() -> Vec<Check> {
    vec![
        ("packed and rotated", |device| {
            run(device, case(DType::F32, 24, Kind::None, None, true))
        }),
        ("rotated as they lie", |device| {
            run(device, case(DType::Bf16, 64, Kind::None, Some(90), true))
        }),
        ("packed in 16 bits", |device| {
            run(
                device,
                case(DType::F16, 18, Kind::Distance(4), Some(40), true),
            )
        }),
        ("cells in f32", |device| cells(device, DType::F32)),
        ("cells in bf16", |device| cells(device, DType::Bf16)),
        ("cells in f16", |device| cells(device, DType::F16)),
    ]
}

/// Attention over lists of cells, written there row by row.
fn cells(device: &CudaDevice, dtype: DType) -> Verdict {
    const HEADS: usize = 3;
    const DIM: usize = 20;
    const CELLS: usize = 300;
    const REACH: usize = 7;
    let width = HEADS * DIM;
    let mut lane = lane(device);
    let keys = Matrix::random(11, CELLS, width).in_format(dtype);
    let values = Matrix::random(12, CELLS, width).in_format(dtype);
    let queries = Matrix::random(13, 6, width).in_format(dtype);
    let bias = Matrix::random(14, HEADS, 2 * REACH + 1);
    let format = Format::Heads(dtype);
    let cache = CellCache {
        keys: lane.buffer(CELLS, width, format).unwrap(),
        values: lane.buffer(CELLS, width, format).unwrap(),
    };
    // Written in another order than they lie.
    let order: Vec<u32> = (0..CELLS as u32).map(|i| i * 7 % CELLS as u32).collect();
    for (matrix, to) in [(&keys, cache.keys), (&values, cache.values)] {
        let shuffled = Matrix {
            data: order
                .iter()
                .flat_map(|&row| matrix.data[row as usize * width..][..width].to_vec())
                .collect(),
            ..matrix.clone()
        };
        let from = upload_as(&mut lane, &shuffled, format);
        let cells = lane.upload_indices(&order).unwrap();
        lane.scatter_rows(from, cells, to);
    }
    let lists: [Vec<u32>; 4] = [
        vec![5],
        (0..257).map(|i| i * 3 % 300).collect(),
        vec![299, 0, 299, 7, 8],
        (0..40).collect(),
    ];
    let rows = [1_usize, 2, 0, 3];
    let mut table = CellTable::default();
    for (list, rows) in lists.iter().zip(rows) {
        table.push(list.iter().copied(), rows);
    }
    let uploaded = lane.upload_cells(&table).unwrap();
    let q = upload_as(&mut lane, &queries, format);
    let bias_weight = weight(device, &bias, WeightLayout::TableF32, dtype);
    let spec = AttentionSpec {
        heads: HEADS,
        head_dim: DIM,
        scale: 0.3,
        rotary: None,
        bias: Bias::ByDistance {
            table: &bias_weight,
            reach: REACH,
        },
        window: None,
    };
    let out = lane.buffer(6, width, Format::F32).unwrap();
    lane.attention_cells(q, cache, &uploaded, &spec, out);
    let found = read(&mut lane, out)?;
    let mut expected = Vec::new();
    let mut row = 0;
    for (list, rows) in lists.iter().zip(rows) {
        for _ in 0..rows {
            for head in 0..HEADS {
                let columns = head * DIM..(head + 1) * DIM;
                let scores: Vec<f64> = list
                    .iter()
                    .enumerate()
                    .map(|(at, &cell)| {
                        let dot: f64 = columns
                            .clone()
                            .map(|c| queries.at(row, c) * keys.at(cell as usize, c))
                            .sum();
                        let distance = at as i64 - (list.len() as i64 - 1);
                        let reach = REACH as i64;
                        let bias = bias.at(head, (distance.clamp(-reach, reach) + reach) as usize);
                        dot * f64::from(spec.scale) + bias
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - top).exp()).sum();
                for c in columns {
                    let weighed = scores.iter().zip(list).map(|(score, &cell)| {
                        (score - top).exp() / sum * values.at(cell as usize, c)
                    });
                    expected.push(weighed.sum());
                }
            }
            row += 1;
        }
    }
    compare("cells", &expected, &found, 1e-5)?;
    // A cell that is not there is a fault and no wild read.
    let mut table = CellTable::default();
    table.push([0, CELLS as u32], 6);
    let uploaded = lane.upload_cells(&table).unwrap();
    lane.attention_cells(q, cache, &uploaded, &spec, out);
    match read(&mut lane, out) {
        Err(error) if error.contains("cell") => {}
        other => return Err(format!("a cell outside of the cache: {other:?}")),
    }
    // And the lane goes on.
    let sum = Matrix::random(15, 2, 9);
    let x = super::upload(&mut lane, &sum);
    lane.add(x, x);
    let doubled: Vec<f64> = sum.data.iter().map(|x| 2.0 * f64::from(*x)).collect();
    compare("add", &doubled, &read(&mut lane, x)?, 1e-7)?;
    let _ = random(0, 0);
    Ok(())
}
