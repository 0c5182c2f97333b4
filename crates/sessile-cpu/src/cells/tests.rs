//! Attention over cells against its definition, and a row's bytes in any company.

use super::*;
use crate::attention::DistanceBias;
use crate::bf16::to_bf16;
use crate::scalar;
use crate::tests::{isas, values};

struct Case {
    heads: usize,
    dim: usize,
    q: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    bias: Vec<f32>,
}

const CELLS: usize = 200;
const ROWS: usize = 7;
const REACH: usize = 5;

impl Case {
    fn new(heads: usize, dim: usize) -> Self {
        let width = heads * dim;
        Case {
            heads,
            dim,
            q: values(1, ROWS * width),
            keys: values(2, CELLS * width),
            values: values(3, CELLS * width),
            bias: values(4, heads * (2 * REACH + 1)),
        }
    }

    fn spec(&self, biased: bool) -> Attention<'_> {
        let bias = Rows::new(&self.bias, self.heads, 2 * REACH + 1, 2 * REACH + 1);
        Attention {
            heads: self.heads,
            head_dim: self.dim,
            scale: 0.3,
            rotary: None,
            bias: if biased {
                DistanceBias::Learned {
                    table: bias,
                    reach: REACH,
                }
            } else {
                DistanceBias::None
            },
            window: None,
        }
    }
}

/// Lists of these lengths, each for so many rows, over scattered cells.
fn lists(shape: &[(usize, usize)]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let (mut cells, mut ends, mut rows) = (Vec::new(), vec![0], vec![0]);
    for &(length, count) in shape {
        cells.extend((0..length).map(|at| (at * 37 + length) as u32 % CELLS as u32));
        ends.push(cells.len() as u32);
        rows.push(rows[rows.len() - 1] + count as u32);
    }
    (cells, ends, rows)
}

fn run<T: Element>(
    isa: Isa,
    case: &Case,
    data: [&[T]; 3],
    shape: &[(usize, usize)],
    biased: bool,
) -> Vec<f32> {
    let width = case.heads * case.dim;
    let (cells, cell_offsets, row_offsets) = lists(shape);
    let lists = Lists {
        cells: &cells,
        cell_offsets: &cell_offsets,
        row_offsets: &row_offsets,
    };
    let rows = row_offsets[shape.len()] as usize;
    let input = Cached {
        q: Rows::new(data[0], rows, width, width),
        keys: Rows::new(data[1], CELLS, width, width),
        values: Rows::new(data[2], CELLS, width, width),
    };
    let mut out = vec![f32::NAN; rows * width];
    let mut team = Team::new(2).unwrap();
    team.reserve(lists.scratch_floats(case.heads, case.dim, 2))
        .unwrap();
    let to = RowsMut::new(&mut out, rows, width, width);
    attention(isa, &mut team, input, lists, &case.spec(biased), to);
    out
}

const SHAPES: [&[(usize, usize)]; 4] = [
    &[(1, 1)],
    &[(31, 1), (32, 1), (33, 1), (2, 1)],
    &[(100, 4), (17, 3)],
    &[(0, 1), (5, 0), (64, 2)],
];

#[test]
fn cells_are_attended_as_the_twin_does() {
    for (heads, dim) in [(1, 1), (3, 12), (2, 16), (2, 17), (1, 64), (3, 24)] {
        let case = Case::new(heads, dim);
        let width = heads * dim;
        let halves = |x: &[f32]| x.iter().map(|&x| to_bf16(x)).collect::<Vec<u16>>();
        let (hq, hk, hv) = (halves(&case.q), halves(&case.keys), halves(&case.values));
        let widened = |x: &[u16]| x.iter().map(|&x| from_bf16(x)).collect::<Vec<f32>>();
        for shape in SHAPES {
            for biased in [false, true] {
                for isa in isas() {
                    let f32s = run(
                        isa,
                        &case,
                        [&case.q, &case.keys, &case.values],
                        shape,
                        biased,
                    );
                    let bf16s = run(isa, &case, [&hq, &hk, &hv], shape, biased);
                    let exact = [case.q.clone(), case.keys.clone(), case.values.clone()];
                    let rounded = [widened(&hq), widened(&hk), widened(&hv)];
                    for (computed, [q, k, v]) in [(f32s, exact), (bf16s, rounded)] {
                        let (cells, cell_offsets, row_offsets) = lists(shape);
                        for list in 0..shape.len() {
                            let of = |x: &'_ [f32]| -> Vec<Vec<f32>> {
                                cells[cell_offsets[list] as usize..cell_offsets[list + 1] as usize]
                                    .iter()
                                    .map(|&cell| x[cell as usize * width..][..width].to_vec())
                                    .collect()
                            };
                            let (keys, values) = (of(&k), of(&v));
                            let keys: Vec<&[f32]> = keys.iter().map(Vec::as_slice).collect();
                            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
                            for row in row_offsets[list]..row_offsets[list + 1] {
                                let query = &q[row as usize * width..][..width];
                                let expected = scalar::attention_cells(
                                    query,
                                    &keys,
                                    &values,
                                    &case.spec(biased),
                                );
                                let got = &computed[row as usize * width..][..width];
                                for (got, expected) in got.iter().zip(expected) {
                                    let error = (f64::from(*got) - expected).abs();
                                    // Relative to values of size 1.
                                    assert!(error < 2e-6, "{isa} {shape:?}: {got}, not {expected}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Sampling is reproducible because of this: a row alone has the bytes that it has in a crowd.
#[test]
fn company_changes_no_byte() {
    let case = Case::new(3, 24);
    let width = 72;
    for isa in isas() {
        let data: [&[f32]; 3] = [&case.q, &case.keys, &case.values];
        let crowd = run(isa, &case, data, &[(100, 4)], true);
        let alone = run(isa, &case, data, &[(100, 1)], true);
        let apart = run(
            isa,
            &case,
            data,
            &[(100, 1), (100, 1), (100, 1), (100, 1)],
            true,
        );
        assert_eq!(crowd[..width], alone[..]);
        assert_eq!(crowd, apart);
    }
}
