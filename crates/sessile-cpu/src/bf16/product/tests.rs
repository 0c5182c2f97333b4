//! Every kernel against its scalar twin, and the twin against sums in f64.

use proptest::prelude::*;
use sessile_device::{Epilogue, HostTensor};

use super::{Kernel, Out, Product, run};
use crate::bf16::testing::{Guarded, Random, kernels};
use crate::bf16::{from_bf16, operand, panels, to_bf16};
use crate::isa::Isa;
use crate::scalar::bf16::gelu;

/// Where a test's product goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    F32,
    Rows,
    Operand,
}

#[derive(Clone, Debug)]
struct Case {
    rows: usize,
    n: usize,
    k: usize,
    epilogue: Epilogue,
    to: To,
    bias: bool,
    seed: u64,
}

struct Data {
    x: Vec<u16>,
    weight: Vec<f32>,
    packed: Vec<u16>,
    bias: Vec<f32>,
    residual: Vec<f32>,
}

impl Case {
    fn gated(&self) -> bool {
        self.epilogue == Epilogue::GeluGated
    }

    fn columns(&self) -> usize {
        if self.gated() { self.n / 2 } else { self.n }
    }

    fn data(&self) -> Data {
        let mut random = Random(self.seed);
        let mut x = vec![0; operand::len(self.rows, self.k)];
        // Rows beyond the last hold whatever was there.
        x.fill(to_bf16(f32::NAN));
        let steps = operand::steps(self.k);
        for row in 0..self.rows {
            for col in 0..steps * 32 {
                let value = if col < self.k { random.value() } else { 0.0 };
                x[operand::index(row, col, steps)] = to_bf16(value);
            }
        }
        let weight: Vec<f32> = (0..self.n * self.k)
            .map(|_| from_bf16(to_bf16(random.value())))
            .collect();
        let mut packed = vec![0; panels::len(self.n, self.k, self.gated())];
        let tensor = HostTensor::new(vec![self.n, self.k], weight.clone());
        panels::pack(&[&tensor], self.gated(), 2, &mut packed).unwrap();
        Data {
            x,
            weight,
            packed,
            bias: random.values(self.n),
            residual: random.values(self.rows * self.columns()),
        }
    }

    /// The result as f32 rows, computed over `splits` ranges of panels.
    fn run(&self, kernel: Kernel, data: &Data, splits: usize) -> Vec<f32> {
        let (rows, columns) = (self.rows, self.columns());
        let mut floats = Guarded::new(data.residual.clone());
        let mut halves = Guarded::new(vec![0x7fc0; operand::len(rows, columns)]);
        let out = match self.to {
            To::F32 => Out::F32 {
                start: floats.start(),
                stride: columns,
            },
            To::Rows => Out::Rows {
                start: halves.start(),
                stride: columns,
            },
            To::Operand => Out::Operand {
                start: halves.start(),
            },
        };
        let product = Product {
            x: data.x.as_ptr(),
            rows,
            weight: &data.packed,
            n: self.n,
            k: self.k,
            bias: self.bias.then_some(&data.bias[..]),
            epilogue: self.epilogue,
            out,
        };
        let panels = product.panels();
        let mut scratch = vec![f32::NAN; kernel.scratch_floats(self.k)];
        for split in 0..splits {
            let range = panels * split / splits..panels * (split + 1) / splits;
            // SAFETY: the kernel is one that the machine has; the buffers have the right sizes.
            unsafe { run(kernel, &product, range, &mut scratch) };
        }
        let (floats, halves) = (floats.check(), halves.check());
        let steps = operand::steps(columns);
        if self.to == To::Operand {
            for row in 0..rows {
                for col in columns..steps * 32 {
                    assert_eq!(halves[operand::index(row, col, steps)], 0, "padding");
                }
            }
        }
        let value = |row: usize, col: usize| match self.to {
            To::F32 => floats[row * columns + col],
            To::Rows => from_bf16(halves[row * columns + col]),
            To::Operand => from_bf16(halves[operand::index(row, col, steps)]),
        };
        (0..rows * columns)
            .map(|i| value(i / columns, i % columns))
            .collect()
    }

    /// The exact result and how far a kernel may be from it.
    fn exact(&self, data: &Data) -> Vec<(f64, f64)> {
        let (columns, steps) = (self.columns(), operand::steps(self.k));
        let bias = |at: usize| {
            if self.bias {
                f64::from(data.bias[at])
            } else {
                0.0
            }
        };
        let dot = |row: usize, output: usize| {
            let mut sum = bias(output);
            let mut size = sum.abs();
            for col in 0..self.k {
                let term = f64::from(from_bf16(data.x[operand::index(row, col, steps)]))
                    * f64::from(data.weight[output * self.k + col]);
                sum += term;
                size += term.abs();
            }
            // An f32 sum of k + 2 terms, in any order, is off by at most k + 2 half ulps of their
            // absolute sum.
            (sum, size * (self.k + 2) as f64 * 2_f64.powi(-24))
        };
        let each = |row: usize, col: usize| {
            let (sum, off) = dot(row, col);
            // The slope of GELU is below 1.13; `gelu::MAX_ERROR` is 6e-5.
            let smooth = |x: f64| f64::from(gelu(x as f32));
            let (value, off) = match self.epilogue {
                Epilogue::Store => (sum, off),
                Epilogue::Residual => {
                    let old = f64::from(data.residual[row * columns + col]);
                    (
                        old + sum,
                        2.0 * off + 2_f64.powi(-22) * (old.abs() + sum.abs()),
                    )
                }
                Epilogue::Relu => (sum.max(0.0), off),
                Epilogue::Gelu => (smooth(sum), 1.13 * off + 6.1e-5),
                Epilogue::GeluGated => {
                    let (value, more) = dot(row, columns + col);
                    let gate = smooth(sum);
                    let off = (1.13 * off + 6.1e-5) * (value.abs() + more) + gate.abs() * more;
                    (gate * value, off)
                }
            };
            // Rounding to bf16 is off by at most half an ulp, 2⁻⁹ of the value.
            let rounding = if self.to == To::F32 {
                2_f64.powi(-24)
            } else {
                2_f64.powi(-8)
            };
            (value, off + rounding * value.abs() + 1e-30)
        };
        (0..self.rows * columns)
            .map(|i| each(i / columns, i % columns))
            .collect()
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let size = || {
        prop_oneof![
            proptest::sample::select(vec![1_usize, 15, 16, 17, 31, 32, 33, 48, 64, 65]),
            1_usize..100,
        ]
    };
    let kind = proptest::sample::select(vec![
        (Epilogue::Store, To::F32),
        (Epilogue::Store, To::Rows),
        (Epilogue::Store, To::Operand),
        (Epilogue::Gelu, To::F32),
        (Epilogue::Gelu, To::Operand),
        (Epilogue::Relu, To::Operand),
        (Epilogue::Relu, To::F32),
        (Epilogue::GeluGated, To::Operand),
        (Epilogue::GeluGated, To::F32),
        (Epilogue::Residual, To::F32),
    ]);
    (size(), size(), size(), kind, any::<bool>(), any::<u64>()).prop_map(
        |(rows, n, k, (epilogue, to), bias, seed)| Case {
            rows,
            n: if epilogue == Epilogue::GeluGated {
                2 * n
            } else {
                n
            },
            k,
            epilogue,
            to,
            bias,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_kernel_stays_within_its_bound(case in cases()) {
        let data = case.data();
        let exact = case.exact(&data);
        for kernel in kernels() {
            let got = case.run(kernel, &data, 1);
            for (at, (got, (want, off))) in got.iter().zip(&exact).enumerate() {
                prop_assert!(
                    (f64::from(*got) - want).abs() <= *off,
                    "{kernel:?} at {at}: {got}, exact {want} ± {off}"
                );
            }
        }
    }

    #[test]
    fn bytes_do_not_depend_on_splits_or_rows(case in cases(), splits in 1_usize..5) {
        let data = case.data();
        for kernel in kernels() {
            let whole = case.run(kernel, &data, 1);
            prop_assert_eq!(&whole, &case.run(kernel, &data, splits));
            let rows = case.rows.div_ceil(2);
            let fewer = Case { rows, ..case.clone() };
            let got = fewer.run(kernel, &Data { residual: data.residual[..rows * case.columns()].to_vec(), x: data.x.clone(), weight: vec![], packed: data.packed.clone(), bias: data.bias.clone() }, 1);
            prop_assert_eq!(&whole[..got.len()], &got[..]);
        }
    }
}

#[test]
fn long_inner_dimensions() {
    // With few rows and many, and with few that do not fit a cache.
    for (rows, n, k, epilogue, to) in [
        (67, 40, 5120, Epilogue::Residual, To::F32),
        (67, 33, 1344, Epilogue::Residual, To::F32),
        (67, 96, 1280, Epilogue::Gelu, To::Operand),
        (129, 40, 5120, Epilogue::Residual, To::F32),
        (257, 33, 1344, Epilogue::Residual, To::F32),
    ] {
        let case = Case {
            rows,
            n,
            k,
            epilogue,
            to,
            bias: true,
            seed: 5,
        };
        let data = case.data();
        let exact = case.exact(&data);
        for kernel in kernels() {
            for (got, (want, off)) in case.run(kernel, &data, 2).iter().zip(&exact) {
                assert!(
                    (f64::from(*got) - want).abs() <= *off,
                    "{kernel:?} {got} {want} {off}"
                );
            }
        }
    }
}

/// However a widened product is cut, each of its sums is one chain of multiply-adds over all of `k`:
/// that is why its bytes are the same whatever the rows and the cuts.
#[test]
fn widened_sums_are_one_chain_over_every_depth() {
    // The portable vectors round twice.
    let levels = Isa::ALL.into_iter().filter(|isa| isa.available());
    let fused: Vec<Isa> = levels.filter(|isa| *isa != Isa::Portable).collect();
    for (rows, n, k) in [(1, 33, 191), (15, 5, 192), (33, 40, 193), (70, 32, 1000)] {
        let case = Case {
            rows,
            n,
            k,
            epilogue: Epilogue::Store,
            to: To::F32,
            bias: false,
            seed: 7,
        };
        let data = case.data();
        let steps = operand::steps(k);
        let chain = |at: usize| {
            let (row, output) = (at / n, at % n);
            (0..k).fold(0.0_f32, |sum, col| {
                let x = from_bf16(data.x[operand::index(row, col, steps)]);
                x.mul_add(data.weight[output * k + col], sum)
            })
        };
        let want: Vec<u32> = (0..rows * n).map(|at| chain(at).to_bits()).collect();
        for isa in &fused {
            let got = case.run(Kernel::Widened(*isa), &data, 1);
            let got: Vec<u32> = got.iter().map(|value| value.to_bits()).collect();
            assert!(got == want, "{isa} {rows} {n} {k}");
        }
    }
}
