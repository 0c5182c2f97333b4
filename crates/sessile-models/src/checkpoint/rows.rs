//! Reading a tensor as rows of f32, which is what a device packs from.

use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use sessile_device::{DeviceError, DeviceErrorKind, HostTensor, RowSource};

use super::file::WeightFile;
use super::tensor::{TensorDType, TensorInfo};

/// Bytes staged at a time when the stored format is not f32.
const STAGING_BYTES: usize = 256 * 1024;

/// The largest magnitude up to which f32 holds every integer.
const EXACT_INTEGER: i64 = 1 << 24;

/// A tensor of a checkpoint as a matrix of f32 rows, read from its file when asked.
///
/// The first dimension counts the rows and the others together the columns; a vector or a single
/// number is one row. Any number of threads may read at once.
#[derive(Clone, Copy)]
pub struct TensorRows<'a> {
    pub(crate) name: &'a str,
    pub(crate) info: &'a TensorInfo,
    pub(crate) file: &'a WeightFile,
}

impl TensorRows<'_> {
    /// Dimensions of the tensor, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.info.shape
    }

    /// The number format in the file.
    pub fn dtype(&self) -> TensorDType {
        self.info.dtype
    }

    /// The whole tensor in memory. For small ones: weights are better packed row by row.
    ///
    /// # Errors
    ///
    /// `Source` when the file can not be read.
    pub fn to_host(&self) -> Result<HostTensor, DeviceError> {
        let mut data = vec![0.0; self.info.elements()];
        self.read_elements(0, &mut data)?;
        Ok(HostTensor {
            shape: self.info.shape.clone(),
            data,
        })
    }

    /// Reads elements in row-major order from `first` on.
    fn read_elements(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        if self.info.dtype == TensorDType::F32 {
            self.read_bytes(first, bytemuck::cast_slice_mut(out))?;
            if cfg!(target_endian = "big") {
                for value in out {
                    *value = f32::from_bits(value.to_bits().swap_bytes());
                }
            }
            return Ok(());
        }
        let size = self.info.dtype.size();
        let per_step = STAGING_BYTES / size;
        let mut staging = vec![0; per_step.min(out.len()) * size];
        for (step, out) in out.chunks_mut(per_step).enumerate() {
            let bytes = &mut staging[..out.len() * size];
            self.read_bytes(first + step * per_step, bytes)?;
            self.convert(bytes, out)?;
        }
        Ok(())
    }

    fn read_bytes(&self, first: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let size = self.info.dtype.size();
        self.info
            .place
            .read(self.file, &self.info.shape, size, first, bytes)
            .map_err(|error| {
                let message = match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => "the file was cut short".to_owned(),
                    _ => error.to_string(),
                };
                self.error(DeviceErrorKind::Source, message)
                    .with_source(error)
            })
    }

    fn convert(&self, bytes: &[u8], out: &mut [f32]) -> Result<(), DeviceError> {
        match self.info.dtype {
            TensorDType::F16 => half_floats::<f16>(bytes, out),
            TensorDType::Bf16 => half_floats::<bf16>(bytes, out),
            TensorDType::F64 => each(bytes, out, |b| Some(f64::from_le_bytes(b) as f32)),
            TensorDType::I64 => each(bytes, out, |b| exact(i64::from_le_bytes(b))),
            TensorDType::I32 => each(bytes, out, |b| exact(i32::from_le_bytes(b).into())),
            TensorDType::I16 => each(bytes, out, |b| Some(i16::from_le_bytes(b).into())),
            TensorDType::I8 => each(bytes, out, |b| Some(i8::from_le_bytes(b).into())),
            TensorDType::U64 => each(bytes, out, |b| {
                i64::try_from(u64::from_le_bytes(b)).ok().and_then(exact)
            }),
            TensorDType::U32 => each(bytes, out, |b| exact(u32::from_le_bytes(b).into())),
            TensorDType::U16 => each(bytes, out, |b| Some(u16::from_le_bytes(b).into())),
            TensorDType::U8 | TensorDType::Bool => {
                each(bytes, out, |b| Some(u8::from_le_bytes(b).into()))
            }
            // `Checkpoint::rows` lets no other format come this far.
            other => return Err(self.error(DeviceErrorKind::Unsupported, unreadable_as(other))),
        }
        .ok_or_else(|| {
            self.error(
                DeviceErrorKind::Source,
                "an integer is too large for f32".to_owned(),
            )
        })
    }

    fn error(&self, kind: DeviceErrorKind, what: String) -> DeviceError {
        let place = self.file.path().display();
        DeviceError::new(kind, format!("{place}: tensor `{}`: {what}", self.name))
    }
}

impl RowSource for TensorRows<'_> {
    fn rows(&self) -> usize {
        match self.info.shape.as_slice() {
            [] | [_] => 1,
            [rows, ..] => *rows,
        }
    }

    fn cols(&self) -> usize {
        match self.info.shape.as_slice() {
            [] => 1,
            [cols] => *cols,
            [_, inner @ ..] => inner.iter().product(),
        }
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        let start = first.checked_mul(self.cols());
        let end = start.and_then(|start| start.checked_add(out.len()));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.info.elements() => {
                self.read_elements(start, out)
            }
            _ => Err(self.error(
                DeviceErrorKind::Misuse,
                format!(
                    "asked for {} numbers from row {first} on, shape is {:?}",
                    out.len(),
                    self.info.shape
                ),
            )),
        }
    }
}

impl fmt::Debug for TensorRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorRows")
            .field("name", &self.name)
            .field("shape", &self.info.shape)
            .field("dtype", &self.info.dtype)
            .finish_non_exhaustive()
    }
}

/// Whether the elements can be turned into f32.
pub(crate) fn readable_as_f32(dtype: TensorDType) -> bool {
    !matches!(
        dtype,
        TensorDType::F8E4M3 | TensorDType::F8E5M2 | TensorDType::C64
    )
}

pub(crate) fn unreadable_as(dtype: TensorDType) -> String {
    format!("its number format {dtype} can not be read as weights")
}

fn exact(value: i64) -> Option<f32> {
    (value.unsigned_abs() <= EXACT_INTEGER as u64).then_some(value as f32)
}

fn each<const SIZE: usize>(
    bytes: &[u8],
    out: &mut [f32],
    value: impl Fn([u8; SIZE]) -> Option<f32>,
) -> Option<()> {
    let (elements, _) = bytes.as_chunks::<SIZE>();
    for (out, &element) in out.iter_mut().zip(elements) {
        *out = value(element)?;
    }
    Some(())
}

/// Sixteen-bit floats, a small block at a time so that the conversion runs on vectors.
fn half_floats<T: FromLe>(bytes: &[u8], out: &mut [f32]) -> Option<()>
where
    [T]: HalfFloatSliceExt,
{
    const BLOCK: usize = 256;
    let mut block = [T::ZERO; BLOCK];
    let (elements, _) = bytes.as_chunks::<2>();
    for (elements, out) in elements.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let block = &mut block[..elements.len()];
        for (value, &element) in block.iter_mut().zip(elements) {
            *value = T::from_le(element);
        }
        block.convert_to_f32_slice(out);
    }
    Some(())
}

trait FromLe: Copy {
    const ZERO: Self;
    fn from_le(bytes: [u8; 2]) -> Self;
}

impl FromLe for f16 {
    const ZERO: Self = f16::ZERO;
    fn from_le(bytes: [u8; 2]) -> Self {
        f16::from_le_bytes(bytes)
    }
}

impl FromLe for bf16 {
    const ZERO: Self = bf16::ZERO;
    fn from_le(bytes: [u8; 2]) -> Self {
        bf16::from_le_bytes(bytes)
    }
}
