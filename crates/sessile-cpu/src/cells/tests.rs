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
const ROWS: usize = 18;
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

/// A list of cells, and the rows that attend to it.
type List = (Vec<u32>, usize);

/// Lists of these lengths, each for so many rows, over scattered cells.
fn scattered(shape: &[(usize, usize)]) -> Vec<List> {
    let cell = |at: usize, length: usize| (at * 37 + length) as u32 % CELLS as u32;
    let list = |&(length, rows)| ((0..length).map(|at| cell(at, length)).collect(), rows);
    shape.iter().map(list).collect()
}

/// Lists of `length` cells for a row each, that have the first `shared` ones in common and lie in
/// the cache one after the other.
fn beams(rows: usize, length: usize, shared: usize) -> Vec<List> {
    let list = |row: usize| {
        let place = |at: usize| {
            if at < shared {
                at
            } else {
                at + row * (length - shared)
            }
        };
        (
            (0..length).map(|at| (place(at) % CELLS) as u32).collect(),
            1,
        )
    };
    (0..rows).map(list).collect()
}

fn run<T: Element>(
    isa: Isa,
    case: &Case,
    data: [&[T]; 3],
    lists: &[List],
    biased: bool,
) -> Vec<f32> {
    let width = case.heads * case.dim;
    let (mut cells, mut cell_offsets, mut row_offsets) = (Vec::new(), vec![0], vec![0]);
    for (list, rows) in lists {
        cells.extend(list);
        cell_offsets.push(cells.len() as u32);
        row_offsets.push(row_offsets[row_offsets.len() - 1] + *rows as u32);
    }
    let rows = row_offsets[lists.len()] as usize;
    let lists = Lists {
        cells: &cells,
        cell_offsets: &cell_offsets,
        row_offsets: &row_offsets,
    };
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

/// Of the lists of a test.
fn all_lists() -> Vec<Vec<List>> {
    let mut all: Vec<Vec<List>> = [
        &[(1_usize, 1_usize)] as &[_],
        &[(31, 1), (32, 1), (33, 1), (2, 1)],
        &[(100, 4), (17, 3)],
        &[(0, 1), (5, 0), (64, 2)],
        &[(150, 5), (15, 2)],
        &[(40, 18)],
    ]
    .map(scattered)
    .to_vec();
    // Rows, length, shared.
    all.extend(
        [
            (4, 1, 1),
            (4, 15, 14),
            (4, 16, 15),
            (3, 17, 16),
            (4, 31, 30),
            (2, 32, 1),
            (5, 33, 32),
            (4, 47, 40),
            (18, 65, 64),
            (4, 100, 77),
        ]
        .map(|(rows, length, shared)| beams(rows, length, shared)),
    );
    // Some beams have ended before others, and two have the same end.
    let mut uneven = beams(4, 70, 33);
    uneven[1].0.truncate(50);
    uneven[2].0.truncate(32);
    uneven[3] = uneven[0].clone();
    all.push(uneven);
    all
}

fn halves(x: &[f32]) -> Vec<u16> {
    x.iter().map(|&x| to_bf16(x)).collect()
}

/// The greatest distance from the twin, relative to values of size 1.
fn error(case: &Case, [q, k, v]: [&[f32]; 3], lists: &[List], biased: bool, got: &[f32]) -> f64 {
    let width = case.heads * case.dim;
    let mut rows = q.chunks_exact(width).zip(got.chunks_exact(width));
    let mut most = 0.0_f64;
    for (cells, count) in lists {
        let of = |x: &'_ [f32]| -> Vec<Vec<f32>> {
            let row = |&cell: &u32| x[cell as usize * width..][..width].to_vec();
            cells.iter().map(row).collect()
        };
        let (keys, values) = (of(k), of(v));
        let keys: Vec<&[f32]> = keys.iter().map(Vec::as_slice).collect();
        let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        for (query, got) in rows.by_ref().take(*count) {
            let expected = scalar::attention_cells(query, &keys, &values, &case.spec(biased));
            for (got, expected) in got.iter().zip(expected) {
                let distance = (f64::from(*got) - expected).abs();
                assert!(distance.is_finite(), "{got}, not {expected}");
                most = most.max(distance);
            }
        }
    }
    most
}

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
        (9, 32),
    ] {
        let case = Case::new(heads, dim);
        let exact = [&case.q[..], &case.keys, &case.values];
        let rounded = exact.map(halves);
        let widened = rounded
            .each_ref()
            .map(|x| x.iter().map(|&x| from_bf16(x)).collect::<Vec<f32>>());
        let rounded = rounded.each_ref().map(Vec::as_slice);
        let widened = widened.each_ref().map(Vec::as_slice);
        for lists in all_lists() {
            for biased in [false, true] {
                for isa in isas() {
                    let f32s = run(isa, &case, exact, &lists, biased);
                    let off = error(&case, exact, &lists, biased, &f32s);
                    assert!(off < 2e-6, "{isa}, f32, {heads} × {dim}, {lists:?}: {off}");
                    let bf16s = run(isa, &case, rounded, &lists, biased);
                    let off = error(&case, widened, &lists, biased, &bf16s);
                    // Weights of bf16 are off by 2⁻⁹, the values below 1.
                    let bound = if isa == Isa::Amx { 4e-3 } else { 2e-6 };
                    assert!(
                        off < bound,
                        "{isa}, bf16, {heads} × {dim}, {lists:?}: {off}"
                    );
                }
            }
        }
    }
}

/// Sampling is reproducible because of this: a row alone has the bytes that it has in a crowd,
/// whether the others share its cells or not.
#[test]
fn company_changes_no_byte() {
    for (heads, dim) in [(3, 24), (9, 32), (2, 64)] {
        let case = Case::new(heads, dim);
        let exact = [&case.q[..], &case.keys, &case.values];
        let rounded = exact.map(halves);
        for isa in isas() {
            for lists in all_lists() {
                company(isa, &case, exact, &lists);
                company(isa, &case, rounded.each_ref().map(Vec::as_slice), &lists);
            }
        }
    }
}

fn company<T: Element>(isa: Isa, case: &Case, [q, keys, values]: [&[T]; 3], lists: &[List]) {
    let width = case.heads * case.dim;
    let together = run(isa, case, [q, keys, values], lists, true);
    let mut rows = q.chunks_exact(width).zip(together.chunks_exact(width));
    for (cells, count) in lists {
        for (query, together) in rows.by_ref().take(*count) {
            let alone = [(cells.clone(), 1)];
            let alone = run(isa, case, [query, keys, values], &alone, true);
            assert_eq!(alone, together, "{isa}, {} cells", cells.len());
        }
    }
}

#[test]
fn a_key_or_value_that_is_no_number_shows_in_every_row() {
    let lists = scattered(&[(100, 4)]);
    for odd in 1..3 {
        let mut case = Case::new(2, 40);
        let place = 80 * lists[0].0[3] as usize;
        [&mut case.q, &mut case.keys, &mut case.values][odd][place] = f32::NAN;
        let exact = [&case.q[..], &case.keys, &case.values];
        let rounded = exact.map(halves);
        let rounded = rounded.each_ref().map(Vec::as_slice);
        for isa in isas() {
            let f32s = run(isa, &case, exact, &lists, false);
            let bf16s = run(isa, &case, rounded, &lists, false);
            for rows in [f32s, bf16s] {
                assert!(rows.chunks(80).all(|row| row[0].is_nan()), "{isa}");
            }
        }
    }
}
