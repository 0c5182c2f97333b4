//! Every operation of a lane against its definition in f64.
//!
//! A check returns what is wrong with a device, so that the same checks can show that a planted
//! fault is found.

#![allow(dead_code, reason = "each test file uses its own part of this")]

mod attention;
mod products;
mod rows;

use sessile_cuda::{CudaDevice, CudaLane, CudaWeight};
use sessile_device::{
    Buf, DType, Device, Epilogue, Format, HostTensor, Lane, LaneSpec, PackedBatch, WeightLayout,
};

/// What a check found wrong.
pub type Verdict = Result<(), String>;

/// A check and its name.
pub type Check = (&'static str, fn(&CudaDevice) -> Verdict);

/// All checks, by the source that they are about.
pub fn checks(source: &str) -> Vec<Check> {
    match source {
        "attention.cu" => attention::on_tensor_cores(),
        "attention_f32.cu" => attention::in_f32(),
        "heads.cu" => attention::around(),
        "linear.cu" => products::all(),
        "norm.cu" => rows::norms(),
        "rows.cu" => rows::rows(),
        "sequences.cu" => rows::sequences(),
        other => panic!("{other}"),
    }
}

pub const SOURCES: [&str; 7] = [
    "attention.cu",
    "attention_f32.cu",
    "heads.cu",
    "linear.cu",
    "norm.cu",
    "rows.cu",
    "sequences.cu",
];

/// Numbers between −1 and 1 that follow from `seed`.
pub fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// `x` as it is in a number format.
pub fn rounded(x: f32, dtype: DType) -> f32 {
    // Places behind the leading one, by cutting and adding: enough for the numbers of tests.
    let places = match dtype {
        DType::F32 => return x,
        DType::Bf16 => 8,
        DType::F16 => 11,
    };
    if x == 0.0 {
        return x;
    }
    let exponent = x.abs().log2().floor() as i32 + 1 - places;
    let unit = 2_f64.powi(exponent.max(if dtype == DType::F16 { -24 } else { -133 }));
    ((f64::from(x) / unit).round_ties_even() * unit) as f32
}

/// A matrix on the host.
#[derive(Clone)]
pub struct Matrix {
    pub rows: usize,
    pub cols: usize,
    pub data: Vec<f32>,
}

impl Matrix {
    pub fn random(seed: u64, rows: usize, cols: usize) -> Self {
        Matrix {
            rows,
            cols,
            data: random(seed, rows * cols),
        }
    }

    pub fn in_format(mut self, dtype: DType) -> Self {
        self.data.iter_mut().for_each(|x| *x = rounded(*x, dtype));
        self
    }

    pub fn at(&self, row: usize, col: usize) -> f64 {
        f64::from(self.data[row * self.cols + col])
    }

    pub fn tensor(&self) -> HostTensor {
        HostTensor::new(vec![self.rows, self.cols], self.data.clone())
    }
}

pub fn lane(device: &CudaDevice) -> CudaLane {
    let spec = LaneSpec {
        arena_bytes: 24 << 20,
        threads: 1,
    };
    device.lane(&spec).unwrap()
}

pub fn weight(
    device: &CudaDevice,
    matrix: &Matrix,
    layout: WeightLayout,
    dtype: DType,
) -> CudaWeight {
    device.pack(&[&matrix.tensor()], layout, dtype).unwrap()
}

/// A matrix in the arena, in f32.
pub fn upload(lane: &mut CudaLane, matrix: &Matrix) -> Buf {
    let values = lane.upload_values(&matrix.data).unwrap();
    Buf::at(values.offset(), matrix.rows, matrix.cols, Format::F32)
}

/// A matrix in the arena, in another format.
pub fn upload_as(lane: &mut CudaLane, matrix: &Matrix, format: Format) -> Buf {
    let values = upload(lane, matrix);
    let buf = lane.buffer(matrix.rows, matrix.cols, format).unwrap();
    lane.convert(values, buf);
    buf
}

pub fn batch(lengths: &[usize]) -> PackedBatch {
    let mut batch = PackedBatch::default();
    for &length in lengths {
        batch.push(&vec![0; length]);
    }
    batch
}

pub fn read(lane: &mut CudaLane, buf: Buf) -> Result<Vec<f32>, String> {
    let ticket = lane.read(buf);
    let mut values = Vec::new();
    lane.wait(ticket, &mut values)
        .map_err(|error| error.to_string())?;
    Ok(values)
}

/// The values of an operand: its product with the unit matrix, which is exact.
pub fn read_operand(
    device: &CudaDevice,
    lane: &mut CudaLane,
    buf: Buf,
    dtype: DType,
) -> Result<Vec<f32>, String> {
    let n = buf.cols();
    let mut unit = Matrix {
        rows: n,
        cols: n,
        data: vec![0.0; n * n],
    };
    (0..n).for_each(|i| unit.data[i * n + i] = 1.0);
    let unit = weight(device, &unit, WeightLayout::Linear, dtype);
    let out = lane.buffer(buf.rows(), n, Format::F32).unwrap();
    lane.linear(buf, &unit, None, Epilogue::Store, out);
    read(lane, out)
}

/// Compares with a tolerance relative to the largest expected value.
pub fn compare(name: &str, expected: &[f64], found: &[f32], tolerance: f64) -> Verdict {
    if expected.len() != found.len() {
        return Err(format!(
            "{name}: {} values for {}",
            found.len(),
            expected.len()
        ));
    }
    let largest = expected.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        let difference = (expected - f64::from(*found)).abs();
        // A NaN is not within any tolerance.
        if difference.is_nan() || difference > tolerance * largest {
            return Err(format!("{name}: value {index} is {found}, not {expected}"));
        }
    }
    Ok(())
}

/// What one rounding to a number format may change, and a little more.
pub fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e-5,
        DType::F16 => 1.5e-3,
        DType::Bf16 => 1e-2,
    }
}
