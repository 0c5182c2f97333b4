//! Attention against its definition, and bytes of a sequence in any company.

use proptest::prelude::*;

use super::*;
use crate::scalar;
use crate::tests::{isas, values};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Rotary,
    Learned(usize),
    Slopes,
}

/// Inputs of a few sequences.
struct Case {
    lengths: Vec<usize>,
    heads: usize,
    head_dim: usize,
    kind: Kind,
    window: Option<usize>,
    qkv: Vec<f32>,
    angles: Vec<f32>,
    learned: Vec<f32>,
}

impl Case {
    fn new(
        lengths: &[usize],
        heads: usize,
        head_dim: usize,
        kind: Kind,
        window: Option<usize>,
    ) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut qkv = Vec::new();
        for &len in lengths {
            // What a sequence holds depends on its length alone.
            qkv.extend(values(len as u64, len * 3 * heads * head_dim));
        }
        let angles = (0..longest).flat_map(|position| {
            let angle = move |i: usize| position as f32 * 0.7f32.powi(i as i32);
            let cos = (0..head_dim / 2).map(move |i| angle(i).cos());
            cos.chain((0..head_dim / 2).map(move |i| angle(i).sin()))
        });
        let reach = if let Kind::Learned(reach) = kind {
            reach
        } else {
            0
        };
        Case {
            lengths: lengths.to_vec(),
            heads,
            head_dim,
            kind,
            window,
            qkv,
            angles: angles.collect(),
            learned: values(3, heads * (2 * reach + 1)),
        }
    }

    fn offsets(&self) -> Vec<u32> {
        let mut offsets = vec![0];
        for &len in &self.lengths {
            offsets.push(offsets[offsets.len() - 1] + len as u32);
        }
        offsets
    }

    fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn input(&self) -> Heads<'_> {
        let width = self.width();
        let all = Rows::new(&self.qkv, self.tokens(), 3 * width, 3 * width);
        Heads {
            q: all.columns(0, width),
            k: all.columns(width, width),
            v: all.columns(2 * width, width),
        }
    }

    fn spec(&self) -> Attention<'_> {
        let table = |values, cols| Rows::new(values, values.len() / cols, cols, cols);
        Attention {
            heads: self.heads,
            head_dim: self.head_dim,
            scale: 2.0 / (self.head_dim as f32).sqrt(),
            rotary: match self.kind {
                Kind::Rotary => Some(table(&self.angles, self.head_dim)),
                _ => None,
            },
            bias: match self.kind {
                Kind::Learned(reach) => DistanceBias::Learned {
                    table: table(&self.learned, 2 * reach + 1),
                    reach,
                },
                Kind::Slopes => DistanceBias::Slopes(&self.learned),
                Kind::Plain | Kind::Rotary => DistanceBias::None,
            },
            window: self.window,
        }
    }

    fn team(&self, isa: Isa, threads: usize) -> Team {
        let mut team = Team::new(threads).unwrap();
        team.reserve(scratch_floats(isa, self.head_dim)).unwrap();
        team
    }

    fn computed(&self, isa: Isa, threads: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.tokens() * self.width()];
        let mut team = self.team(isa, threads);
        let to = RowsMut::new(&mut out, self.tokens(), self.width(), self.width());
        attention(
            isa,
            &mut team,
            self.input(),
            &self.offsets(),
            &self.spec(),
            to,
        );
        out
    }

    fn expected(&self) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.tokens() * self.width()];
        let to = RowsMut::new(&mut out, self.tokens(), self.width(), self.width());
        scalar::attention(self.input(), &self.offsets(), &self.spec(), to);
        out
    }

    fn map(&self, sequence: usize, head: usize, isa: Option<Isa>) -> Vec<f32> {
        let (offsets, len) = (self.offsets(), self.lengths[sequence]);
        let rows = offsets[sequence] as usize..offsets[sequence + 1] as usize;
        let mut out = vec![f32::NAN; len * len];
        let to = RowsMut::new(&mut out, len, len, len);
        match isa {
            Some(isa) => {
                let mut team = self.team(isa, 2);
                attention_map(isa, &mut team, self.input(), rows, head, &self.spec(), to);
            }
            None => scalar::attention_map(self.input(), rows, head, &self.spec(), to),
        }
        out
    }
}

/// Weighted means of values below 1: the bound is absolute.
fn close(computed: &[f32], expected: &[f32]) -> bool {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6;
    computed.len() == expected.len() && computed.iter().zip(expected).all(near)
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        Just(Kind::Rotary),
        (0..40usize).prop_map(Kind::Learned),
        Just(Kind::Slopes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn attention_is_that_of_the_twin(
        lengths in prop::collection::vec(prop::sample::select(&[0usize, 1, 2, 13, 14, 15, 16, 17, 31, 33, 70][..]), 1..4),
        heads in 1..4usize,
        head_dim in prop::sample::select(&[1usize, 5, 8, 15, 16, 17, 24, 31, 32, 33, 64, 72][..]),
        kind in kinds(),
        window in prop::option::of(0..40usize),
        threads in 1..3usize,
    ) {
        let kind = if head_dim % 2 == 1 && matches!(kind, Kind::Rotary) { Kind::Plain } else { kind };
        let case = Case::new(&lengths, heads, head_dim, kind, window);
        let expected = case.expected();
        for isa in isas() {
            prop_assert!(close(&case.computed(isa, threads), &expected), "{isa}");
            for (sequence, _) in lengths.iter().enumerate().filter(|(_, len)| **len > 0) {
                let expected = case.map(sequence, heads - 1, None);
                prop_assert!(close(&case.map(sequence, heads - 1, Some(isa)), &expected), "{isa}");
            }
        }
    }
}

#[test]
fn sequences_of_several_blocks() {
    for (kind, window) in [
        (Kind::Plain, None),
        (Kind::Rotary, None),
        (Kind::Learned(128), None),
        (Kind::Slopes, Some(64)),
        (Kind::Rotary, Some(700)),
    ] {
        let case = Case::new(&[1100, 513, 3], 2, 16, kind, window);
        let expected = case.expected();
        for isa in isas() {
            assert!(close(&case.computed(isa, 1), &expected), "{isa} {kind:?}");
            assert!(
                close(&case.map(0, 1, Some(isa)), &case.map(0, 1, None)),
                "{isa} {kind:?}"
            );
        }
    }
}

#[test]
fn sequences_of_several_tasks() {
    // The definition takes its time: two queries on each side of a border say enough.
    let len = QUERY_CHUNK + 20;
    let case = Case::new(&[len], 1, 8, Kind::Rotary, None);
    for isa in isas() {
        let computed = case.computed(isa, 2);
        let map = case.map(0, 0, Some(isa));
        for query in [0, QUERY_CHUNK - 1, QUERY_CHUNK, len - 1] {
            for column in 0..8 {
                let value = |key: usize| f64::from(case.input().v.row(key)[column]);
                let chances = map[query * len..][..len].iter().enumerate();
                let mixed: f64 = chances.map(|(key, &p)| f64::from(p) * value(key)).sum();
                let computed = f64::from(computed[query * 8 + column]);
                assert!(
                    (mixed - computed).abs() < 2e-6,
                    "{isa}: {computed}, not {mixed}"
                );
            }
        }
    }
}

#[test]
fn bytes_of_a_sequence_do_not_depend_on_company_or_threads() {
    for isa in isas() {
        for (kind, window) in [(Kind::Rotary, None), (Kind::Slopes, Some(33))] {
            let case = |lengths: &[usize]| Case::new(lengths, 3, 24, kind, window);
            let alone = case(&[530]).computed(isa, 1);
            let many = case(&[7, 530, 100]);
            let many = [many.computed(isa, 1), many.computed(isa, 3)];
            assert!(many[0] == many[1], "{isa}: threads");
            // The angles of a sequence do not depend on how many there are.
            assert!(alone == many[0][7 * 72..537 * 72], "{isa}: company");
        }
    }
}

#[test]
fn what_is_not_finite_is_not_hidden() {
    for isa in isas() {
        let mut case = Case::new(&[40], 1, 16, Kind::Plain, None);
        case.qkv[5 * 48 + 16] = f32::NAN;
        assert!(case.computed(isa, 1).iter().all(|x| x.is_nan()), "{isa}");
    }
}
