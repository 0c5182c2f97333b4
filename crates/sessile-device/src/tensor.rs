//! Tensors in host memory.

/// A dense f32 tensor in host memory, the last dimension contiguous.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostTensor {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// `shape` elements in row-major order.
    pub data: Vec<f32>,
}

impl HostTensor {
    /// A tensor of this shape over `data`.
    ///
    /// # Panics
    ///
    /// When `data` does not have as many elements as `shape` says: a fault of the program.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "shape {shape:?} over the data"
        );
        HostTensor { shape, data }
    }

    /// Whether every element is a finite number.
    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|value| value.is_finite())
    }
}
