//! Norms, rows, sequences.

use sessile_cuda::CudaDevice;
use sessile_device::{
    Activation, DType, DecodingLane, Epilogue, Format, Lane, Norm, PackedBatch, Pooling,
    WeightLayout,
};

use super::{
    Check, Matrix, Verdict, batch, compare, lane, products::gelu, read, read_operand, tolerance,
    upload, upload_as, weight,
};

const FORMATS: [DType; 3] = [DType::F32, DType::Bf16, DType::F16];

pub(super) fn norms() -> Vec<Check> {
    vec![("layer and RMS norm", norm)]
}

pub(super) fn rows() -> Vec<Check> {
    vec![
        ("tables", gather),
        ("rows and conversions", convert),
        ("products' activations", |device| {
            // By the library: its products are finished by these kernels.
            super::checks("linear.cu")[1].1(device)
        }),
        ("activations to the last digit", activations),
        ("sigmoid and zero", sigmoid),
        ("gated units", gate),
    ]
}

pub(super) fn sequences() -> Vec<Check> {
    vec![
        ("pooling", pool),
        ("taps", taps),
        ("softmax", softmax),
        ("contacts", contacts),
    ]
}

fn norm(device: &CudaDevice) -> Verdict {
    // Held in registers up to 2560 columns.
    for (rows, cols) in [
        (3, 1),
        (5, 48),
        (2, 130),
        (4, 1280),
        (1, 2052),
        (1, 2560),
        (1, 2564),
    ] {
        let x = Matrix::random(41, rows, cols);
        let gain = Matrix::random(42, 1, cols);
        let shift = Matrix::random(43, 1, cols);
        let epsilon = 1e-3_f32;
        let gain_weight = weight(device, &gain, WeightLayout::Vector, DType::Bf16);
        let shift_weight = weight(device, &shift, WeightLayout::Vector, DType::F32);
        for kind in 0..3 {
            let (norm, centred, shifted) = match kind {
                0 => (
                    Norm::Layer {
                        gain: &gain_weight,
                        shift: Some(&shift_weight),
                        epsilon,
                    },
                    true,
                    true,
                ),
                1 => (
                    Norm::Layer {
                        gain: &gain_weight,
                        shift: None,
                        epsilon,
                    },
                    true,
                    false,
                ),
                _ => (
                    Norm::Rms {
                        gain: &gain_weight,
                        epsilon,
                    },
                    false,
                    false,
                ),
            };
            let mut expected = Vec::new();
            for row in 0..rows {
                let values: Vec<f64> = (0..cols).map(|c| x.at(row, c)).collect();
                let count = cols as f64;
                let mean = if centred {
                    values.iter().sum::<f64>() / count
                } else {
                    0.0
                };
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
                let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
                for (c, value) in values.iter().enumerate() {
                    let shift = if shifted { shift.at(0, c) } else { 0.0 };
                    expected.push((value - mean) * factor * gain.at(0, c) + shift);
                }
            }
            // Of wide rows in f32 alone: reading an operand is a product.
            let formats = if cols > 1280 { &[][..] } else { &FORMATS[..] };
            for &dtype in formats {
                let mut lane = lane(device);
                let from = upload(&mut lane, &x);
                let out = lane.buffer(rows, cols, Format::Operand(dtype)).unwrap();
                lane.norm(from, norm, out);
                let found = read_operand(device, &mut lane, out, dtype)?;
                let name = format!("norm {kind} of {cols} in {dtype}");
                compare(&name, &expected, &found, tolerance(dtype))?;
            }
            let mut lane = lane(device);
            let in_place = upload(&mut lane, &x);
            lane.norm(in_place, norm, in_place);
            let found = read(&mut lane, in_place)?;
            compare("norm in place", &expected, &found, 1e-5)?;
            // Rows that are not aligned: the same sums in the same order.
            let shifted = Matrix {
                rows,
                cols: cols + 1,
                data: x
                    .data
                    .chunks(cols)
                    .flat_map(|row| std::iter::once(&0.0).chain(row).copied())
                    .collect(),
            };
            let apart = upload(&mut lane, &shifted).columns(1..cols + 1);
            lane.norm(apart, norm, apart);
            if read(&mut lane, apart)? != found {
                return Err(format!("norm {kind} of {cols} depends on where rows lie"));
            }
        }
    }
    Ok(())
}

fn gather(device: &CudaDevice) -> Verdict {
    let (table, cols) = (40, 37);
    let ids: Vec<u32> = vec![39, 0, 7, 7, 12];
    let scale: Vec<f32> = vec![0.5, -1.0, 0.0, 2.0, 1.0];
    for dtype in FORMATS {
        let values = Matrix::random(51, table, cols).in_format(dtype);
        for layout in [WeightLayout::Table, WeightLayout::TableF32] {
            let packed = weight(device, &values, layout, dtype);
            for scaled in [false, true] {
                let mut lane = lane(device);
                let rows = lane.upload_indices(&ids).unwrap();
                let factors = lane.upload_values(&scale).unwrap();
                let out = lane.buffer(ids.len(), cols, Format::F32).unwrap();
                lane.gather(rows, &packed, scaled.then_some(factors), out);
                let expected: Vec<f64> = (0..ids.len() * cols)
                    .map(|i| {
                        let factor = if scaled {
                            f64::from(scale[i / cols])
                        } else {
                            1.0
                        };
                        values.at(ids[i / cols] as usize, i % cols) * factor
                    })
                    .collect();
                compare("gather", &expected, &read(&mut lane, out)?, 1e-7)?;
            }
        }
    }
    // A token that is not there is a fault, once; the lane goes on.
    let packed = weight(
        device,
        &Matrix::random(52, table, cols),
        WeightLayout::Table,
        DType::F32,
    );
    let mut lane = lane(device);
    for (id, is_wrong) in [(40, true), (39, false), (u32::MAX, true)] {
        let mark = lane.mark();
        let ids = lane.upload_indices(&[id]).unwrap();
        let out = lane.buffer(1, cols, Format::F32).unwrap();
        lane.gather(ids, &packed, None, out);
        let found = read(&mut lane, out);
        lane.release(mark);
        if found.is_err() != is_wrong {
            return Err(format!("token {id}: {found:?}"));
        }
    }
    Ok(())
}

fn convert(device: &CudaDevice) -> Verdict {
    let x = Matrix::random(61, 9, 21);
    let wanted: Vec<f64> = x.data.iter().map(|&x| f64::from(x)).collect();
    for dtype in FORMATS {
        let mut lane = lane(device);
        let from = upload(&mut lane, &x);
        let out = lane.buffer(9, 21, Format::Operand(dtype)).unwrap();
        lane.convert(from, out);
        let found = read_operand(device, &mut lane, out, dtype)?;
        compare("convert", &wanted, &found, tolerance(dtype))?;
        let exact = x.clone().in_format(dtype);
        if dtype != DType::F32 && found != exact.data {
            return Err(format!("rounding to {dtype}"));
        }
    }
    let mut lane = lane(device);
    let from = upload(&mut lane, &x);
    let rows = lane.upload_indices(&[8, 0, 8]).unwrap();
    let out = lane.buffer(3, 21, Format::F32).unwrap();
    lane.gather_rows(from, rows, out);
    let picked: Vec<f64> = [8, 0, 8]
        .iter()
        .flat_map(|&row| (0..21).map(move |c| (row, c)))
        .map(|(row, c)| x.at(row, c))
        .collect();
    compare("gather_rows", &picked, &read(&mut lane, out)?, 1e-7)?;
    // Some columns of a buffer.
    let part = from.columns(3..8);
    let found = read(&mut lane, part)?;
    let columns: Vec<f64> = (0..45).map(|i| x.at(i / 5, 3 + i % 5)).collect();
    compare("columns", &columns, &found, 1e-7)
}

/// Products that are exact, so that every value is compared on its own scale.
fn activations(device: &CudaDevice) -> Verdict {
    let columns = 139;
    let x = [1.0, -1.0, 0.5];
    let w: Vec<f32> = (0..columns).map(|c| (c as f32 - 69.0) / 16.0).collect();
    let bias: Vec<f32> = (0..columns).map(|c| (c * 7 % 32) as f32 / 16.0).collect();
    let matrix = |rows, cols, data: &[f32]| Matrix {
        rows,
        cols,
        data: data.to_vec(),
    };
    for (dtype, places) in [(DType::F32, 18), (DType::Bf16, 8), (DType::F16, 11)] {
        let weights = matrix(columns, 1, &w);
        let packed = weight(device, &weights, WeightLayout::Linear, dtype);
        // In another format than the product: the library does not add it.
        let other = if dtype == DType::F16 {
            DType::Bf16
        } else {
            DType::F16
        };
        let added = matrix(1, columns, &bias);
        let packed_bias = weight(device, &added, WeightLayout::Vector, other);
        for epilogue in [Epilogue::Store, Epilogue::Gelu, Epilogue::Relu] {
            for with_bias in [false, true] {
                let mut lane = lane(device);
                let format = Format::Operand(dtype);
                let operand = upload_as(&mut lane, &matrix(3, 1, &x), format);
                let out = lane.buffer(3, columns, format).unwrap();
                let bias_weight = with_bias.then_some(&packed_bias);
                lane.linear(operand, &packed, bias_weight, epilogue, out);
                let found = read_operand(device, &mut lane, out, dtype)?;
                for (at, found) in found.iter().enumerate() {
                    let (row, c) = (at / columns, at % columns);
                    let add = if with_bias { bias[c] } else { 0.0 };
                    let sum = f64::from(x[row] * w[c] + add);
                    let expected = match epilogue {
                        Epilogue::Gelu => gelu(sum),
                        Epilogue::Relu => sum.max(0.0),
                        _ => sum,
                    };
                    let bound = expected.abs() * 1.01 * 2_f64.powi(-places) + 1e-6;
                    let difference = (f64::from(*found) - expected).abs();
                    if difference.is_nan() || difference > bound {
                        return Err(format!(
                            "{epilogue:?} of {sum} in {dtype}, bias {with_bias}: {found}"
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

fn sigmoid(device: &CudaDevice) -> Verdict {
    let x = Matrix::random(71, 4, 130);
    let shift = Matrix::random(72, 1, 1);
    let packed = weight(device, &shift, WeightLayout::Vector, DType::F32);
    let mut lane = lane(device);
    let buf = upload(&mut lane, &x);
    lane.sigmoid(buf, &packed);
    let expected: Vec<f64> = x
        .data
        .iter()
        .map(|&x| 1.0 / (1.0 + (-(f64::from(x) + shift.at(0, 0))).exp()))
        .collect();
    compare("sigmoid", &expected, &read(&mut lane, buf)?, 1e-6)?;
    lane.zero(buf);
    compare("zero", &vec![0.0; 520], &read(&mut lane, buf)?, 0.0)
}

fn gate(device: &CudaDevice) -> Verdict {
    let x = Matrix::random(73, 4, 2 * 130);
    let mut lane = lane(device);
    let buf = upload(&mut lane, &x);
    let out = lane.buffer(4, 130, Format::F32).unwrap();
    let silu = |gate: f64| gate / (1.0 + (-gate).exp());
    let gelu = |gate: f64| {
        let bent = (2.0 / std::f64::consts::PI).sqrt() * (gate + 0.044_715 * gate.powi(3));
        gate / 2.0 * (1.0 + bent.tanh())
    };
    for activation in [Activation::Silu, Activation::GeluTanh] {
        lane.gate(buf, activation, out);
        let unit = |row: usize, column: usize| {
            let gate = x.at(row, 130 + column);
            x.at(row, column)
                * match activation {
                    Activation::Silu => silu(gate),
                    Activation::GeluTanh => gelu(gate),
                }
        };
        let expected: Vec<f64> = (0..4)
            .flat_map(|row| (0..130).map(move |column| (row, column)))
            .map(|(row, column)| unit(row, column))
            .collect();
        compare("gate", &expected, &read(&mut lane, out)?, 1e-6)?;
    }
    Ok(())
}

fn pool(device: &CudaDevice) -> Verdict {
    let lengths = [1, 2, 3, 40];
    let x = Matrix::random(81, lengths.iter().sum(), 200);
    let poolings = [
        Pooling::First,
        Pooling::Mean {
            skip_first: 0,
            skip_last: 0,
        },
        Pooling::Mean {
            skip_first: 1,
            skip_last: 1,
        },
    ];
    for pooling in poolings {
        let mut lane = lane(device);
        let from = upload(&mut lane, &x);
        let packed = lane.upload(&batch(&lengths)).unwrap();
        let out = lane.buffer(lengths.len(), 200, Format::F32).unwrap();
        lane.pool(from, &packed, pooling, out);
        let mut expected = Vec::new();
        let mut start = 0;
        for len in lengths {
            let rows: Vec<usize> = match pooling {
                Pooling::First => vec![start],
                Pooling::Mean {
                    skip_first,
                    skip_last,
                } => (start + skip_first..(start + len).saturating_sub(skip_last)).collect(),
            };
            for c in 0..200 {
                let sum: f64 = rows.iter().map(|&row| x.at(row, c)).sum();
                expected.push(sum / rows.len().max(1) as f64);
            }
            start += len;
        }
        compare(
            &format!("{pooling:?}"),
            &expected,
            &read(&mut lane, out)?,
            1e-6,
        )?;
    }
    Ok(())
}

fn taps(device: &CudaDevice) -> Verdict {
    let lengths = [1_usize, 2, 9, 30];
    for (taps, cols, rectified, hidden) in [(7, 20, true, 1), (3, 5, false, 0), (5, 140, false, 40)]
    {
        let x = Matrix::random(91, lengths.iter().sum(), taps * cols);
        let bias = Matrix::random(92, 1, cols);
        let packed_bias = weight(device, &bias, WeightLayout::Vector, DType::Bf16);
        let mut lane = lane(device);
        let from = upload(&mut lane, &x);
        let packed = lane.upload(&batch(&lengths)).unwrap();
        let out = lane.buffer(x.rows, cols, Format::F32).unwrap();
        lane.add_taps(from, &packed, &packed_bias, rectified, hidden, out);
        let mut expected = Vec::new();
        let mut start = 0_i64;
        for len in lengths {
            let end = start + len as i64;
            for row in start..end {
                for c in 0..cols {
                    let mut sum = bias.at(0, c);
                    for tap in 0..taps {
                        let from = row + tap as i64 - taps as i64 / 2;
                        if from >= start && from < end - hidden as i64 {
                            sum += x.at(from as usize, tap * cols + c);
                        }
                    }
                    expected.push(if rectified { sum.max(0.0) } else { sum });
                }
            }
            start = end;
        }
        compare("taps", &expected, &read(&mut lane, out)?, 1e-5)?;
    }
    Ok(())
}

fn softmax(device: &CudaDevice) -> Verdict {
    for cols in [1, 33, 500] {
        let mut x = Matrix::random(101, 7, cols);
        x.data.iter_mut().for_each(|x| *x *= 20.0);
        let columns: Vec<u32> = (0..7).map(|row| row * 5 % cols as u32).collect();
        let mut lane = lane(device);
        let from = upload(&mut lane, &x);
        let at = lane.upload_indices(&columns).unwrap();
        let out = lane.buffer(7, 1, Format::F32).unwrap();
        let sums = lane.buffer(7, 1, Format::F32).unwrap();
        lane.log_softmax_at(from, at, out);
        lane.log_sum_exp(from, sums);
        let log_sum: Vec<f64> = (0..7)
            .map(|row| {
                let top = (0..cols).map(|c| x.at(row, c)).fold(f64::MIN, f64::max);
                top + (0..cols)
                    .map(|c| (x.at(row, c) - top).exp())
                    .sum::<f64>()
                    .ln()
            })
            .collect();
        let expected: Vec<f64> = (0..7)
            .map(|row| x.at(row, columns[row] as usize) - log_sum[row])
            .collect();
        compare("log_softmax_at", &expected, &read(&mut lane, out)?, 1e-5)?;
        compare("log_sum_exp", &log_sum, &read(&mut lane, sums)?, 1e-5)?;
    }
    Ok(())
}

fn contacts(device: &CudaDevice) -> Verdict {
    for len in [1, 5, 140] {
        let mut map = Matrix::random(111, len + 2, len + 2);
        map.data.iter_mut().for_each(|x| *x = x.abs());
        let factors = Matrix::random(112, 1, 6);
        let before = Matrix::random(113, len, len);
        let packed = weight(device, &factors, WeightLayout::Vector, DType::F32);
        let mut lane = lane(device);
        let from = upload(&mut lane, &map);
        let sum = upload(&mut lane, &before);
        lane.add_contacts(from, &packed, 4, sum);
        let symmetric = |i: usize, j: usize| map.at(i + 1, j + 1) + map.at(j + 1, i + 1);
        let rows: Vec<f64> = (0..len)
            .map(|i| (0..len).map(|j| symmetric(i, j)).sum())
            .collect();
        let total: f64 = rows.iter().sum();
        let expected: Vec<f64> = (0..len * len)
            .map(|at| {
                let (i, j) = (at / len, at % len);
                let corrected = symmetric(i, j) - rows[i] * rows[j] / total;
                before.at(i, j) + factors.at(0, 4) * corrected
            })
            .collect();
        compare("contacts", &expected, &read(&mut lane, sum)?, 1e-5)?;
    }
    let _ = PackedBatch::default();
    Ok(())
}
