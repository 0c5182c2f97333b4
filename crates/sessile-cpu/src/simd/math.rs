//! Functions of vectors. The bounds are checked against f64 by the tests of [`simd`](super), on
//! every instruction set that the machine has.

use super::Simd;

/// `2ˣ`: relative error below 2.5e-7 for results of at least 2⁻¹²⁶, below which the result is 0;
/// `x` at most 128. A NaN stays.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(s: S, x: S::V) -> S::V {
    // Below the floor the result is 0 anyway; making a subnormal number first costs hundreds of
    // cycles.
    let floor = s.max(s.splat(-126.0), x);
    let n = s.round(floor);
    power(s, s.sub(floor, n), n, x, -126.0)
}

/// `eˣ`: relative error below 2.5e-7 for results of at least 2⁻¹²⁵, about below which the result
/// is 0, and of at most 2¹²⁷; infinity somewhere above that. A NaN stays.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // ln 2 in two parts: `n × HIGH` is exact, as HIGH has nine bits.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let near = s.max(s.splat(-86.7), s.min(s.splat(88.7), x));
    let n = s.round(s.mul(near, s.splat(std::f32::consts::LOG2_E)));
    let rest = s.fma(n, s.splat(-HIGH), near);
    let rest = s.fma(n, s.splat(-LOW), rest);
    let f = s.mul(rest, s.splat(std::f32::consts::LOG2_E));
    power(s, f, n, x, -86.7)
}

/// `2^(n + f)` for `f` in −½..½ and whole `n`; 0 where `x` is below `floor`.
#[inline(always)]
fn power<S: Simd>(s: S, f: S::V, n: S::V, x: S::V, floor: f32) -> S::V {
    let mut p = s.splat(1.535_336_2e-4);
    for c in [
        1.339_887_4e-3,
        9.618_437e-3,
        5.550_332_6e-2,
        2.402_264_8e-1,
        6.931_472e-1,
        1.0,
    ] {
        p = s.fma(p, f, s.splat(c));
    }
    s.select_gt(s.splat(floor), x, s.splat(0.0), s.ldexp(p, n))
}

/// The error function: absolute error below 1.5e-7. Below 0.93 a polynomial in x, above it
/// `1 − exp(polynomial)`; both are computed and one is chosen.
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    let (t, square) = (s.abs(x), s.mul(x, x));
    let c = |value| s.splat(value);

    let r = s.fma(c(-1.728_534_7e-5), t, c(3.831_972_6e-4));
    let u = s.fma(c(-3.883_964_4e-3), t, c(2.425_462_2e-2));
    let r = s.fma(r, square, u);
    let r = s.fma(r, t, c(-1.067_777_8e-1));
    let r = s.fma(r, t, c(-6.348_469e-1));
    let r = s.fma(r, t, c(-1.287_175_1e-1));
    let r = s.fma(r, t, s.sub(c(0.0), t));
    let outer = s.copysign(
        s.sub(c(1.0), exp2(s, s.mul(r, c(std::f32::consts::LOG2_E)))),
        x,
    );

    let r = s.fma(c(-5.967_617e-4), square, c(4.991_194e-3));
    let r = s.fma(r, square, c(-2.676_813_5e-2));
    let r = s.fma(r, square, c(1.128_199_25e-1));
    let r = s.fma(r, square, c(-3.761_253_4e-1));
    let r = s.fma(r, square, c(1.283_791_7e-1));
    let inner = s.fma(r, x, x);

    s.select_gt(t, c(0.927_734_4), outer, inner)
}

/// The exact GELU, `x · Φ(x)`: absolute error below 1.2e-7 × max(1, |x|).
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    let half = s.mul(x, s.splat(0.5));
    let erf = erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
    s.fma(half, erf, half)
}

/// `1 / (1 + e⁻ˣ)`: relative error below 4e-7 where it is at least 2⁻¹²⁵.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}
