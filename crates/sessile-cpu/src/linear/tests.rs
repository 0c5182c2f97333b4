//! Products against their scalar twin, by bytes where the machine rounds a multiply-add once.

use proptest::prelude::*;
use sessile_device::{Epilogue, HostTensor, RowSource};

use super::*;
use crate::scalar;
use crate::tests::{isas, values};
use crate::weight::Stacked;

/// Sizes around those of vectors, tiles and panels.
const SIZES: [usize; 14] = [1, 2, 5, 6, 7, 13, 14, 15, 16, 17, 31, 33, 64, 95];

/// The same for depth, and where it is cut and goes on.
const DEPTHS: [usize; 10] = [1, 2, 15, 16, 17, 95, 191, 192, 193, 400];

const EPILOGUES: [Epilogue; 5] = [
    Epilogue::Store,
    Epilogue::Gelu,
    Epilogue::Relu,
    Epilogue::GeluGated,
    Epilogue::Residual,
];

struct Case {
    rows: usize,
    outputs: usize,
    depth: usize,
    epilogue: Epilogue,
    bias: bool,
    threads: usize,
}

impl Case {
    fn x(&self) -> Vec<f32> {
        values(self.rows as u64, self.rows * self.depth)
    }

    fn weight(&self) -> HostTensor {
        let gated = self.epilogue == Epilogue::GeluGated;
        let rows = self.outputs * (1 + usize::from(gated));
        HostTensor::new(vec![rows, self.depth], values(7, rows * self.depth))
    }

    fn bias(&self) -> Option<Vec<f32>> {
        (self.bias && self.epilogue != Epilogue::GeluGated).then(|| values(9, self.outputs))
    }

    fn panels(&self, isa: Isa) -> Panels {
        let tensor = self.weight();
        let parts: [&dyn RowSource; 1] = [&tensor];
        let source = Stacked::new(&parts).unwrap();
        let gated = self.epilogue == Epilogue::GeluGated;
        Panels::pack(&source, isa, gated, self.threads).unwrap()
    }

    fn computed(&self, isa: Isa) -> Vec<f32> {
        let (x, weight, bias) = (self.x(), self.panels(isa), self.bias());
        let mut out = values(11, self.rows * self.outputs);
        let mut team = Team::new(self.threads).unwrap();
        team.reserve(scratch_floats(&weight)).unwrap();
        let product = Linear {
            x: Rows::new(&x, self.rows, self.depth, self.depth),
            weight: &weight,
            bias: bias.as_deref(),
            epilogue: self.epilogue,
            out: RowsMut::new(&mut out, self.rows, self.outputs, self.outputs),
        };
        linear(isa, &mut team, &product);
        out
    }

    fn expected(&self) -> Vec<f32> {
        let (x, weight, bias) = (self.x(), self.weight(), self.bias());
        let mut out = values(11, self.rows * self.outputs);
        scalar::linear(
            Rows::new(&x, self.rows, self.depth, self.depth),
            Rows::new(&weight.data, weight.shape[0], self.depth, self.depth),
            bias.as_deref(),
            self.epilogue,
            RowsMut::new(&mut out, self.rows, self.outputs, self.outputs),
        );
        out
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_are_those_of_the_twin(
        rows in prop::sample::select(&SIZES[..]),
        outputs in prop::sample::select(&SIZES[..]),
        depth in prop::sample::select(&DEPTHS[..]),
        epilogue in prop::sample::select(&EPILOGUES[..]),
        bias: bool,
        threads in 1..4usize,
    ) {
        let case = Case { rows, outputs, depth, epilogue, bias, threads };
        let expected = case.expected();
        for isa in isas() {
            let computed = case.computed(isa);
            let fused = isa != Isa::Portable;
            for (a, b) in computed.iter().zip(&expected) {
                match epilogue {
                    Epilogue::Store | Epilogue::Relu | Epilogue::Residual if fused =>
                        prop_assert_eq!(a.to_bits(), b.to_bits(), "{} {} {}", isa, a, b),
                    // A gated unit multiplies two sums of products below 1.
                    _ => prop_assert!((a - b).abs() <= 2e-6 * depth as f32 * (1.0 + b.abs()), "{} {} {}", isa, a, b),
                }
            }
        }
    }
}

#[test]
fn bytes_of_a_row_do_not_depend_on_company_or_threads() {
    for isa in isas() {
        for (outputs, depth) in [(33, 70), (96, 1300), (50, 9000)] {
            let case = |rows, threads| Case {
                rows,
                outputs,
                depth,
                epilogue: Epilogue::Gelu,
                bias: true,
                threads,
            };
            // The same rows of x, alone, among others and at other places.
            let many = case(61, 1);
            let (x, weight, bias) = (many.x(), many.panels(isa), many.bias());
            let product = |first: usize, rows: usize, threads| {
                let mut out = vec![0.0; rows * outputs];
                let mut team = Team::new(threads).unwrap();
                team.reserve(scratch_floats(&weight)).unwrap();
                let product = Linear {
                    x: Rows::new(&x, 61, depth, depth).range(first, rows),
                    weight: &weight,
                    bias: bias.as_deref(),
                    epilogue: Epilogue::Gelu,
                    out: RowsMut::new(&mut out, rows, outputs, outputs),
                };
                linear(isa, &mut team, &product);
                out
            };
            let whole = product(0, 61, 1);
            assert_eq!(whole, product(0, 61, 3), "{isa}: threads");
            for (first, rows) in [(0, 1), (17, 1), (60, 1), (3, 15), (20, 41)] {
                assert_eq!(
                    product(first, rows, 1),
                    whole[first * outputs..(first + rows) * outputs],
                    "{isa}: rows {first}+{rows}"
                );
            }
        }
    }
}

#[test]
fn parts_stack_along_their_rows() {
    let parts: Vec<HostTensor> = [3, 40, 1]
        .map(|rows| HostTensor::new(vec![rows, 20], values(rows as u64, rows * 20)))
        .into();
    let whole = parts.iter().flat_map(|part| part.data.clone()).collect();
    let whole = HostTensor::new(vec![44, 20], whole);
    let parts: Vec<&dyn RowSource> = parts.iter().map(|part| part as &dyn RowSource).collect();
    for isa in isas() {
        for gated in [false, true] {
            let pack = |parts: &[&dyn RowSource], threads| {
                let source = Stacked::new(parts).unwrap();
                let panels = Panels::pack(&source, isa, gated, threads).unwrap();
                (0..panels.count())
                    .flat_map(|index| panels.panel(index).to_vec())
                    .collect::<Vec<_>>()
            };
            assert_eq!(pack(&parts, 3), pack(&[&whole], 1));
        }
    }
}
