//! Tensors as lists of lists.

use std::io;
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, ListArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use sessile_device::HostTensor;

/// What Parquet calls the member of a list.
pub(super) const ELEMENT: &str = "element";

/// A member of a list of whole numbers.
pub(super) fn integer() -> Arc<Field> {
    Arc::new(Field::new(ELEMENT, DataType::Int64, false))
}

/// Lists of a fixed size where the dimension is known, of any size where not.
pub(super) fn data_type(shape: &[Option<usize>]) -> DataType {
    let Some((outer, inner)) = shape.split_first() else {
        return DataType::Float32;
    };
    let element = Arc::new(Field::new(ELEMENT, data_type(inner), false));
    match outer {
        // A dimension of a model, far below the limit.
        Some(length) => DataType::FixedSizeList(element, *length as i32),
        None => DataType::List(element),
    }
}

pub(super) fn array(shape: &[Option<usize>], tensors: &[&HostTensor]) -> io::Result<ArrayRef> {
    let values: Vec<f32> = tensors
        .iter()
        .flat_map(|tensor| tensor.data.iter().copied())
        .collect();
    let mut array: ArrayRef = Arc::new(Float32Array::from(values));
    for (dimension, length) in shape.iter().enumerate().rev() {
        let element = Arc::new(Field::new(ELEMENT, array.data_type().clone(), false));
        array = match length {
            Some(length) => Arc::new(
                FixedSizeListArray::try_new(element, *length as i32, array, None)
                    .map_err(io::Error::other)?,
            ),
            None => {
                let offsets = offsets(dimension, tensors)?;
                Arc::new(
                    ListArray::try_new(element, offsets, array, None).map_err(io::Error::other)?,
                )
            }
        };
    }
    Ok(array)
}

/// Where each list of this dimension begins.
fn offsets(dimension: usize, tensors: &[&HostTensor]) -> io::Result<OffsetBuffer<i32>> {
    let mut offsets = vec![0_i32];
    let mut end = 0_usize;
    for tensor in tensors {
        let lists: usize = tensor.shape[..dimension].iter().product();
        for _ in 0..lists {
            end += tensor.shape[dimension];
            offsets.push(i32::try_from(end).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a value of more than 2,147,483,647 numbers does not fit Parquet's lists",
                )
            })?);
        }
    }
    Ok(OffsetBuffer::new(offsets.into()))
}
