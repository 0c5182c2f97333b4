//! Functions of one value.

/// The error function to about one unit in the last place of f32.
pub(crate) fn erf(x: f32) -> f32 {
    let (t, s) = (x.abs(), x * x);
    if t > 0.927_734_4 {
        let mut r = (-1.728_534_7e-5f32).mul_add(t, 3.831_972_6e-4);
        let u = (-3.883_964_4e-3f32).mul_add(t, 2.425_462_2e-2);
        r = r.mul_add(s, u);
        r = r.mul_add(t, -1.067_777_8e-1);
        r = r.mul_add(t, -6.348_469e-1);
        r = r.mul_add(t, -1.287_175_1e-1);
        r = r.mul_add(t, -t);
        (1.0 - r.exp()).copysign(x)
    } else {
        let mut r = -5.967_617e-4f32;
        for c in [
            4.991_194e-3,
            -2.676_813_5e-2,
            1.128_199_25e-1,
            -3.761_253_4e-1,
            1.283_791_7e-1,
        ] {
            r = r.mul_add(s, c);
        }
        r.mul_add(x, x)
    }
}

/// The exact GELU: `x · Φ(x)`.
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `1 / (1 + exp(−x))`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
