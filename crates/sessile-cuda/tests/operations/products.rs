//! Products with every epilogue, over shapes that do not fill their tiles.

use sessile_cuda::CudaDevice;
use sessile_device::{DType, Epilogue, Format, Lane, WeightLayout};

use super::{
    Check, Matrix, Verdict, compare, lane, read, read_operand, tolerance, upload, upload_as, weight,
};

pub(super) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// Rows, N, K.
const SHAPES: [(usize, usize, usize); 6] = [
    (1, 1, 1),
    (5, 33, 48),
    (130, 66, 30),
    (64, 130, 64),
    (17, 24, 161),
    (129, 256, 72),
];

pub(super) fn all() -> Vec<Check> {
    vec![
        ("in f32", |device| every_epilogue(device, DType::F32)),
        ("in bf16", |device| every_epilogue(device, DType::Bf16)),
        ("in f16", |device| every_epilogue(device, DType::F16)),
        ("whatever the number of rows", same_bytes),
        ("of very many rows", many_rows),
    ]
}

fn every_epilogue(device: &CudaDevice, dtype: DType) -> Verdict {
    for (index, (rows, n, k)) in SHAPES.into_iter().enumerate() {
        for with_bias in [false, true] {
            for epilogue in [
                Epilogue::Store,
                Epilogue::Gelu,
                Epilogue::Relu,
                Epilogue::Residual,
            ] {
                run(
                    device,
                    dtype,
                    [rows, n, k],
                    epilogue,
                    with_bias,
                    index as u64,
                )?;
            }
        }
        run(
            device,
            dtype,
            [rows, 2 * n, k],
            Epilogue::GeluGated,
            false,
            9,
        )?;
    }
    Ok(())
}

fn run(
    device: &CudaDevice,
    dtype: DType,
    [rows, n, k]: [usize; 3],
    epilogue: Epilogue,
    with_bias: bool,
    seed: u64,
) -> Verdict {
    let gated = epilogue == Epilogue::GeluGated;
    let columns = if gated { n / 2 } else { n };
    let x = Matrix::random(seed + 21, rows, k).in_format(dtype);
    let w = Matrix::random(seed + 22, n, k).in_format(dtype);
    // Few places: the same in every number format.
    let bias = Matrix::random(seed + 23, 1, n).in_format(DType::Bf16);
    let before = Matrix::random(seed + 24, rows, columns);
    let layout = if gated {
        WeightLayout::Gated
    } else {
        WeightLayout::Linear
    };
    let packed = weight(device, &w, layout, dtype);
    let packed_bias = weight(device, &bias, WeightLayout::Vector, dtype);
    let mut lane = lane(device);
    let operand = upload_as(&mut lane, &x, Format::Operand(dtype));
    let dot = |row: usize, n: usize| -> f64 {
        let sum: f64 = (0..k).map(|c| x.at(row, c) * w.at(n, c)).sum();
        sum + if with_bias { bias.at(0, n) } else { 0.0 }
    };
    let expected: Vec<f64> = (0..rows)
        .flat_map(|row| (0..columns).map(move |c| (row, c)))
        .map(|(row, c)| match epilogue {
            Epilogue::Store => dot(row, c),
            Epilogue::Gelu => gelu(dot(row, c)),
            Epilogue::Relu => dot(row, c).max(0.0),
            Epilogue::GeluGated => gelu(dot(row, c)) * dot(row, n / 2 + c),
            Epilogue::Residual => before.at(row, c) + dot(row, c),
        })
        .collect();
    let name =
        |what| format!("{rows} × {n} × {k} {epilogue:?} in {dtype} {what}, bias {with_bias}");
    let bias = with_bias.then_some(&packed_bias);
    if !gated || dtype == DType::F32 {
        let out = upload(&mut lane, &before);
        lane.linear(operand, &packed, bias, epilogue, out);
        let found = read(&mut lane, out)?;
        compare(&name("to f32"), &expected, &found, 2e-5)?;
    }
    if epilogue != Epilogue::Residual {
        let out = lane.buffer(rows, columns, Format::Operand(dtype)).unwrap();
        lane.linear(operand, &packed, bias, epilogue, out);
        let found = read_operand(device, &mut lane, out, dtype)?;
        compare(
            &name("to an operand"),
            &expected,
            &found,
            2.0 * tolerance(dtype),
        )?;
    }
    Ok(())
}

/// The bytes of a row do not depend on how many others there are, nor on its place among them.
fn same_bytes(device: &CudaDevice) -> Verdict {
    for dtype in [DType::Bf16, DType::F32] {
        let (n, k) = (150, 90);
        let x = Matrix::random(31, 300, k);
        let packed = weight(
            device,
            &Matrix::random(32, n, k),
            WeightLayout::Linear,
            dtype,
        );
        let product = |first: usize, count: usize| {
            let mut lane = lane(device);
            let rows = Matrix {
                rows: count,
                cols: k,
                data: x.data[first * k..(first + count) * k].to_vec(),
            };
            let operand = upload_as(&mut lane, &rows, Format::Operand(dtype));
            let out = lane.buffer(count, n, Format::F32).unwrap();
            lane.linear(operand, &packed, None, Epilogue::Store, out);
            read(&mut lane, out)
        };
        let all = product(0, 300)?;
        for (first, count) in [(0, 1), (7, 64), (131, 129), (299, 1)] {
            let some = product(first, count)?;
            let same = some
                .iter()
                .zip(&all[first * n..])
                .all(|(a, b)| a.to_bits() == b.to_bits());
            if !same {
                return Err(format!("rows {first}.. of {count} differ in {dtype}"));
            }
        }
    }
    Ok(())
}

/// More rows than one call takes: each is what it is among few.
fn many_rows(device: &CudaDevice) -> Verdict {
    let (rows, n, k) = ((1 << 16) + 3, 8, 8);
    let x = Matrix::random(41, rows, k);
    let packed = weight(
        device,
        &Matrix::random(42, n, k),
        WeightLayout::Linear,
        DType::F32,
    );
    let mut lane = lane(device);
    let operand = upload_as(&mut lane, &x, Format::Operand(DType::F32));
    let out = lane.buffer(rows, n, Format::F32).unwrap();
    lane.linear(operand, &packed, None, Epilogue::Store, out);
    let all = read(&mut lane, out)?;
    for first in [0, (1 << 16) - 2, (1 << 16)] {
        let mut lane = self::lane(device);
        let few = Matrix {
            rows: 3,
            cols: k,
            data: x.data[first * k..(first + 3) * k].to_vec(),
        };
        let operand = upload_as(&mut lane, &few, Format::Operand(DType::F32));
        let out = lane.buffer(3, n, Format::F32).unwrap();
        lane.linear(operand, &packed, None, Epilogue::Store, out);
        if read(&mut lane, out)? != all[first * n..(first + 3) * n] {
            return Err(format!("rows from {first} on differ"));
        }
    }
    Ok(())
}
