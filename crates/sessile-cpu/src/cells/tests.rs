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

const SHAPES: [&[(usize, usize)]; 5] = [
    &[(1, 1)],
    &[(31, 1), (32, 1), (33, 1), (2, 1)],
    &[(100, 4), (17, 3)],
    &[(0, 1), (5, 0), (64, 2)],
    &[(150, 5), (15, 2)],
];

#[test]
fn cells_are_attended_as_the_twin_does() {
    for (heads, dim) in [
        (1, 1),
        (3, 12),
        (2, 16),
        (2, 17),
        (1, 64),
        (3, 24),
        (2, 33),
        (1, 128),
    ] {
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
                    // Weights of bf16 are off by 2⁻⁹, the values below 1.
                    let bound = if isa == Isa::Amx { 4e-3 } else { 2e-6 };
                    let both = [(f32s, exact, 2e-6), (bf16s, rounded, bound)];
                    for (computed, [q, k, v], bound) in both {
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
                                    assert!(
                                        error < bound,
                                        "{isa} {shape:?}: {got}, not {expected}"
                                    );
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
    let halves = |x: &[f32]| x.iter().map(|&x| to_bf16(x)).collect::<Vec<u16>>();
    let (q, k, v) = (halves(&case.q), halves(&case.keys), halves(&case.values));
    for isa in isas() {
        company(isa, &case, [&case.q, &case.keys, &case.values]);
        company(isa, &case, [&q, &k, &v]);
    }
}

fn company<T: Element>(isa: Isa, case: &Case, data: [&[T]; 3]) {
    let width = case.heads * case.dim;
    let crowd = run(isa, case, data, &[(100, 5)], true);
    let alone = run(isa, case, data, &[(100, 1)], true);
    let apart = run(isa, case, data, &[(100, 1); 5], true);
    assert_eq!(crowd[..width], alone[..]);
    assert_eq!(crowd, apart);
}

#[test]
fn a_key_or_value_that_is_no_number_shows_in_every_row() {
    for odd in 1..3 {
        let mut case = Case::new(2, 40);
        let place = 40 * 2 * (3 * 37 + 100) as usize % (CELLS * 80);
        [&mut case.q, &mut case.keys, &mut case.values][odd][place] = f32::NAN;
        let halves = |x: &[f32]| x.iter().map(|&x| to_bf16(x)).collect::<Vec<u16>>();
        let (q, k, v) = (halves(&case.q), halves(&case.keys), halves(&case.values));
        for isa in isas() {
            let f32s = run(
                isa,
                &case,
                [&case.q, &case.keys, &case.values],
                &[(100, 4)],
                false,
            );
            let bf16s = run(isa, &case, [&q, &k, &v], &[(100, 4)], false);
            for rows in [f32s, bf16s] {
                assert!(rows.chunks(80).all(|row| row[0].is_nan()), "{isa}");
            }
        }
    }
}
