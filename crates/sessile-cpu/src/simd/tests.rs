//! Functions of vectors against f64, over all magnitudes, on every instruction set.

use super::math;
use super::*;
use crate::rows::Rows;
use crate::tests::isas;

/// Applies a function to every value of a slice.
struct Map<'a, F> {
    values: &'a mut [f32],
    function: F,
}

trait Function {
    fn apply<S: Simd>(&self, s: S, x: S::V) -> S::V;
}

impl<F: Function> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut index = 0;
        while index < self.values.len() {
            let result = self.function.apply(s, s.at(self.values, index));
            s.put(self.values, index, result);
            index += S::LANES;
        }
    }
}

macro_rules! function {
    ($name:ident, $f:path) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl Function for $name {
            #[inline(always)]
            fn apply<S: Simd>(&self, s: S, x: S::V) -> S::V {
                $f(s, x)
            }
        }
    };
}

function!(Exp2, math::exp2);
function!(Exp, math::exp);
function!(Erf, math::erf);
function!(Gelu, math::gelu);
function!(Sigmoid, math::sigmoid);

/// Values over `low..high`, dense near zero, and a number of them that is no multiple of a vector.
fn sweep(low: f32, high: f32) -> Vec<f32> {
    let even = (0..200_001).map(|i| low + (high - low) * (i as f32 / 200_000.0));
    let small = (0..20_000).map(|i| (low.max(-1.0)) * (-(i as f32) / 1000.0).exp());
    even.chain(small)
        .filter(|x| (low..=high).contains(x))
        .collect()
}

fn check(
    function: impl Function + Copy,
    xs: &[f32],
    bound: impl Fn(f64, f32, f64) -> bool,
    truth: impl Fn(f64) -> f64,
) {
    for isa in isas() {
        let mut ys = xs.to_vec();
        run(
            isa,
            Map {
                values: &mut ys,
                function,
            },
        );
        for (&x, &y) in xs.iter().zip(&ys) {
            let truth = truth(f64::from(x));
            assert!(
                bound(f64::from(x), y, truth),
                "{isa}: f({x}) = {y}, not {truth}"
            );
        }
    }
}

fn relative(limit: f64) -> impl Fn(f64, f32, f64) -> bool {
    move |_, y, truth| (f64::from(y) / truth - 1.0).abs() < limit
}

#[test]
fn exponentials_keep_their_bounds() {
    check(Exp2, &sweep(-125.99, 127.0), relative(2.5e-7), f64::exp2);
    check(Exp, &sweep(-86.6, 88.0), relative(2.5e-7), f64::exp);
    let below = |x: &[f32]| x.iter().map(|x| -x).collect::<Vec<_>>();
    check(
        Exp2,
        &below(&sweep(126.01, 1e6)),
        |_, y, _| y == 0.0,
        |_| 0.0,
    );
    check(Exp, &below(&sweep(88.0, 1e6)), |_, y, _| y == 0.0, |_| 0.0);
}

#[test]
fn error_function_and_gelu_keep_their_bounds() {
    check(
        Erf,
        &sweep(-12.0, 12.0),
        |_, y, t| (f64::from(y) - t).abs() < 1.5e-7,
        libm::erf,
    );
    let gelu = |x: f64| 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    let bound = |x: f64, y: f32, t: f64| (f64::from(y) - t).abs() < 1.2e-7 * x.abs().max(1.0);
    check(Gelu, &sweep(-30.0, 30.0), bound, gelu);
    check(Gelu, &[1e30, -1e30, 3e5, -3e5], bound, gelu);
}

#[test]
fn sigmoid_keeps_its_bound() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    check(Sigmoid, &sweep(-86.0, 100.0), relative(4e-7), sigmoid);
}

#[test]
fn what_is_not_finite_stays_so() {
    let nan = [f32::NAN; 5];
    check(Exp2, &nan, |_, y, _| y.is_nan(), |x| x);
    check(Exp, &nan, |_, y, _| y.is_nan(), |x| x);
    check(Gelu, &nan, |_, y, _| y.is_nan(), |x| x);
    check(Sigmoid, &nan, |_, y, _| y.is_nan(), |x| x);
    check(Exp2, &[f32::NEG_INFINITY; 3], |_, y, _| y == 0.0, |x| x);
    check(Exp, &[f32::NEG_INFINITY; 3], |_, y, _| y == 0.0, |x| x);
    check(Erf, &[f32::INFINITY; 3], |_, y, _| y == 1.0, |x| x);
}

/// Sums, tops and partial vectors of every length.
struct Lanes;

impl Kernel for Lanes {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for count in 0..S::LANES {
            let values: Vec<f32> = (0..count).map(|i| i as f32 + 1.0).collect();
            let v = s.at(&values, 0);
            assert_eq!(s.sum(v), (count * (count + 1) / 2) as f32);
            assert_eq!(
                s.top(s.first(v, count, s.splat(-1.0))),
                if count == 0 { -1.0 } else { count as f32 }
            );
            let mut out = vec![0.0; count];
            s.put(&mut out, 0, v);
            assert_eq!(out, values);
        }
    }
}

#[test]
fn partial_vectors_touch_nothing_else() {
    for isa in isas() {
        run(isa, Lanes);
    }
}

/// Rows of every number and length.
struct Interleave;

impl Kernel for Interleave {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for group in [1, 4, 6, 14, 16, 32] {
            for rows in 0..=group {
                for depth in [0, 1, 3, 4, 8, 15, 16, 17, 33] {
                    let values: Vec<f32> = (0..rows * depth).map(|i| i as f32).collect();
                    let mut out = vec![-1.0; group * depth];
                    let view = Rows::new(&values, rows, depth, depth);
                    interleave(s, view, group, &mut out);
                    for (index, &x) in out.iter().enumerate() {
                        let (k, r) = (index / group, index % group);
                        let expected = if r < rows {
                            (r * depth + k) as f32
                        } else {
                            -1.0
                        };
                        assert_eq!(x, expected, "{group} {rows} {depth}");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_are_interleaved() {
    for isa in isas() {
        run(isa, Interleave);
    }
}

struct Sums<'a>(&'a [f32]);

impl Kernel for Sums<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut square = [s.splat(0.0); 16];
        let square = &mut square[..S::LANES];
        for (i, v) in square.iter_mut().enumerate() {
            *v = s.at(self.0, i * S::LANES);
        }
        let mut out = vec![0.0; S::LANES];
        s.put(&mut out, 0, s.sums(square));
        out
    }
}

#[test]
fn lanes_are_added_up_vector_by_vector() {
    // Whole numbers, so that any order gives the same sum.
    let values: Vec<f32> = (0..16 * 17).map(|i| (i * i % 97) as f32).collect();
    for isa in isas() {
        let sums = run(isa, Sums(&values));
        let lanes = sums.len();
        for (i, sum) in sums.iter().enumerate() {
            let expected: f32 = values[i * lanes..][..lanes].iter().sum();
            assert_eq!(*sum, expected, "{isa} {i}");
        }
    }
}

struct Halves<'a>(&'a [f32]);

impl Kernel for Halves<'_> {
    type Output = (Vec<u16>, Vec<f32>);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let (mut narrow, mut wide) = (vec![0; self.0.len()], vec![0.0; self.0.len()]);
        halves::narrow(s, self.0, &mut narrow);
        halves::widen(s, &narrow, &mut wide);
        let mut pairs = [vec![0.0; S::LANES], vec![0.0; S::LANES]];
        // SAFETY: the tests give as many values as two vectors have.
        let loaded = unsafe { s.load_pairs(narrow.as_ptr()) };
        for (to, v) in pairs.iter_mut().zip(loaded) {
            s.put(to, 0, v);
        }
        for (i, value) in wide.iter().enumerate().take(2 * S::LANES) {
            assert_eq!(pairs[i % 2][i / 2].to_bits(), value.to_bits());
        }
        (narrow, wide)
    }
}

#[test]
fn halves_are_rounded_as_one_by_one() {
    let odd = [
        0.0,
        -0.0,
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffff_ffff),
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        f32::from_bits(0x0000_8001),
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
    ];
    for len in [32, 33, 47, 100] {
        let values: Vec<f32> = (0..len)
            .map(|i: usize| odd.get(i).copied().unwrap_or((i as f32).sin() * 1e3))
            .collect();
        for isa in isas() {
            let (narrow, wide) = run(isa, Halves(&values));
            for ((&value, &half), &back) in values.iter().zip(&narrow).zip(&wide) {
                assert_eq!(half, to_bf16(value), "{isa} {value}");
                assert_eq!(back.to_bits(), from_bf16(half).to_bits(), "{isa} {value}");
            }
        }
    }
}
