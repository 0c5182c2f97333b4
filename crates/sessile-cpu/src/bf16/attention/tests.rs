//! Every kernel against the definition in f64, and bytes of a sequence in any company.

use proptest::prelude::*;

use super::*;
use crate::attention::DistanceBias;
use crate::bf16::testing::{Guarded, Random, kernels};
use crate::bf16::{from_bf16, to_bf16};
use crate::scalar::bf16::{rotated, weight};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Rotary,
    Learned(usize),
    Slopes,
}

#[derive(Clone, Debug)]
struct Case {
    lengths: Vec<usize>,
    heads: usize,
    dim: usize,
    kind: Kind,
    window: Option<usize>,
    scale: f32,
}

struct Data {
    qkv: Vec<u16>,
    angles: Vec<f32>,
    learned: Vec<f32>,
}

impl Case {
    fn width(&self) -> usize {
        self.heads * self.dim
    }

    fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// What a sequence holds depends on its length alone.
    fn data(&self) -> Data {
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let qkv = self.lengths.iter().flat_map(|&len| {
            let values = Random(len as u64).values(len * 3 * self.width());
            values.into_iter().map(to_bf16)
        });
        let angles = (0..longest).flat_map(|position| {
            let angle = move |i: usize| position as f32 * 0.7_f32.powi(i as i32);
            let cosines = (0..self.dim / 2).map(move |i| angle(i).cos());
            cosines.chain((0..self.dim / 2).map(move |i| angle(i).sin()))
        });
        let reach = match self.kind {
            Kind::Learned(reach) => reach,
            _ => 0,
        };
        Data {
            qkv: qkv.collect(),
            angles: angles.collect(),
            learned: Random(3).values(self.heads * (2 * reach + 1)),
        }
    }

    fn spec<'a>(&self, data: &'a Data) -> Attention<'a> {
        let table = |values: &'a [f32], cols| Rows::new(values, values.len() / cols, cols, cols);
        Attention {
            heads: self.heads,
            head_dim: self.dim,
            scale: self.scale,
            rotary: match self.kind {
                Kind::Rotary => Some(table(&data.angles, self.dim)),
                _ => None,
            },
            bias: match self.kind {
                Kind::Learned(reach) => DistanceBias::Learned {
                    table: table(&data.learned, 2 * reach + 1),
                    reach,
                },
                Kind::Slopes => DistanceBias::Slopes(&data.learned),
                Kind::Plain | Kind::Rotary => DistanceBias::None,
            },
            window: self.window,
        }
    }

    /// Calls `each` with every head of every sequence; the results go to `out`.
    fn each_head(&self, data: &Data, out: *mut u16, mut each: impl FnMut(Head<'_>)) {
        let width = self.width();
        let all = Rows::new(&data.qkv[..], self.tokens(), 3 * width, 3 * width);
        let input = Heads {
            q: all.columns(0, width),
            k: all.columns(width, width),
            v: all.columns(2 * width, width),
        };
        let mut start = 0;
        for &len in &self.lengths {
            for head in 0..self.heads {
                each(Head::new(
                    input,
                    self.spec(data),
                    start..start + len,
                    head,
                    out,
                ));
            }
            start += len;
        }
    }

    /// The results as rows.
    fn run(&self, kernel: Kernel, data: &Data) -> Vec<f32> {
        let mut out = Guarded::new(vec![0x7fc0; operand::len(self.tokens(), self.width())]);
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let floats = scratch_floats(kernel, longest, self.dim);
        let mut scratch = Guarded::new(vec![f32::NAN; floats]);
        let place = scratch.start();
        self.each_head(data, out.start(), |head| {
            // SAFETY: the machine has the kernel; the scratch and the operand are large enough
            // and nobody else uses them.
            unsafe { run(kernel, &head, std::slice::from_raw_parts_mut(place, floats)) };
        });
        let out = out.check();
        let steps = operand::steps(self.width());
        (0..self.tokens() * self.width())
            .map(|i| out[operand::index(i / self.width(), i % self.width(), steps)])
            .map(from_bf16)
            .collect()
    }

    /// The definition, over queries and keys rounded to bf16 after their rotation.
    fn exact(&self, data: &Data) -> Vec<f64> {
        let mut out = vec![0.0; self.tokens() * self.width()];
        self.each_head(data, std::ptr::null_mut(), |head| {
            let rows = |x: Rows<'_, u16>| -> Vec<Vec<f32>> {
                let one = |at| {
                    let mut row = vec![0.0; self.dim];
                    rotated(&head, x.row(at), at, &mut row);
                    row
                };
                (0..head.len()).map(one).collect()
            };
            let (queries, keys) = (rows(head.q), rows(head.k));
            for (at, query) in queries.iter().enumerate() {
                let scores: Vec<f64> = head
                    .visible(at)
                    .map(|key| {
                        let products = query.iter().zip(&keys[key]);
                        let dot: f64 = products.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                        let distance = key as isize - at as isize;
                        let bias = head.spec.bias.at(head.index, distance);
                        dot * f64::from(self.scale) + f64::from(bias)
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
                let row = &mut out[(head.first_row + at) * self.width() + head.out_column()..];
                for (key, score) in head.visible(at).zip(&scores) {
                    for (to, &value) in row.iter_mut().zip(head.v.row(key)) {
                        *to += (score - top).exp() / total * f64::from(from_bf16(value));
                    }
                }
            }
        });
        out
    }
}

/// Values are below 1, so a result is off by at most twice the error of a weight, the rounding of
/// the result (2⁻⁹), and what queries and keys do whose rotation fell to the other side of a tie.
const BOUND: f64 = 2.0 * WEIGHT_ERROR + 0.002 + 0.003;

fn cases() -> impl Strategy<Value = Case> {
    let length = prop_oneof![
        proptest::sample::select(vec![1_usize, 15, 16, 17, 31, 32, 33, 63, 65, 129]),
        1_usize..150,
    ];
    let kind = prop_oneof![
        Just(Kind::Plain),
        Just(Kind::Rotary),
        (0..40_usize).prop_map(Kind::Learned),
        Just(Kind::Slopes),
    ];
    (
        prop::collection::vec(length, 1..4),
        1_usize..4,
        proptest::sample::select(vec![2_usize, 8, 16, 24, 32, 40, 48, 64, 72, 80, 128]),
        kind,
        prop_oneof![Just(None), (0_usize..100).prop_map(Some)],
        // Scores of some units, or of some hundreds, which only the exact way can hold.
        proptest::sample::select(vec![0.1_f32, 1.0, 40.0]),
    )
        .prop_map(|(lengths, heads, dim, kind, window, scale)| Case {
            lengths,
            heads,
            dim,
            kind,
            window,
            scale,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_kernel_stays_within_its_bound(case in cases()) {
        let data = case.data();
        // A rotated element on the other side of a tie moves scores of hundreds too far.
        prop_assume!(case.scale < 2.0 || !matches!(case.kind, Kind::Rotary));
        let exact = case.exact(&data);
        for kernel in kernels() {
            for (at, (got, want)) in case.run(kernel, &data).iter().zip(&exact).enumerate() {
                prop_assert!(
                    (f64::from(*got) - want).abs() <= BOUND,
                    "{kernel:?} at {at}: {got}, exact {want}"
                );
            }
        }
    }

    #[test]
    fn a_sequence_keeps_its_bytes_in_any_company(case in cases()) {
        let data = case.data();
        for kernel in kernels() {
            let together = case.run(kernel, &data);
            let mut start = 0;
            for &len in &case.lengths {
                let alone = Case { lengths: vec![len], ..case.clone() };
                let end = start + len * case.width();
                prop_assert_eq!(&together[start..end], &alone.run(kernel, &alone.data())[..]);
                start = end;
            }
        }
    }
}

fn plain(len: usize, dim: usize) -> Case {
    Case {
        lengths: vec![len],
        heads: 1,
        dim,
        kind: Kind::Plain,
        window: None,
        scale: 1.0,
    }
}

#[test]
fn a_nan_or_infinite_key_shows_in_every_row() {
    let case = plain(70, 16);
    for odd in [f32::NAN, f32::INFINITY] {
        let mut data = case.data();
        data.qkv[20 * 48 + 16] = to_bf16(odd);
        for kernel in kernels() {
            let got = case.run(kernel, &data);
            let shows = got.chunks(16).filter(|row| row.iter().all(|x| x.is_nan()));
            // An infinite key is minus infinity, and so nothing, to about half of the queries.
            let least = if odd.is_nan() { 70 } else { 20 };
            assert!(shows.count() >= least, "{kernel:?} {odd}");
        }
    }
}

#[test]
fn enormous_scores_choose_one_key() {
    let case = Case {
        scale: 1e20,
        ..plain(33, 16)
    };
    let data = case.data();
    let exact = case.exact(&data);
    for kernel in kernels() {
        for (got, want) in case.run(kernel, &data).iter().zip(&exact) {
            assert!((f64::from(*got) - want).abs() <= BOUND, "{kernel:?}");
        }
    }
}

#[test]
fn weights_are_within_their_bound() {
    for i in -80_000..80_000 {
        let s = f64::from(i) / 1000.0;
        let got = f64::from(from_bf16(weight((s * 128.0) as f32 + ONE_BITS)));
        assert!((got / s.exp2() - 1.0).abs() <= WEIGHT_ERROR, "{s}: {got}");
    }
    assert_eq!(weight(-1e30), 0);
    assert_eq!(from_bf16(weight(1e30)), f32::INFINITY);
}
