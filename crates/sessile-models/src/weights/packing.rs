//! From named tensors to packed weights, for every architecture.

use sessile_device::{Buf, DType, Device, Epilogue, HostTensor, Lane, RowSource, WeightLayout};

use super::WeightSource;
use crate::error::ModelError;

/// A linear map, with its bias where it has one.
pub(crate) struct Dense<W> {
    pub(crate) weight: W,
    pub(crate) bias: Option<W>,
}

/// A lane that knows linear maps with their biases.
pub(crate) trait DenseLane: Lane {
    /// Enqueues the product of `x` with `dense`.
    fn dense(&mut self, x: Buf, dense: &Dense<Self::Weight>, epilogue: Epilogue, out: Buf) {
        self.linear(x, &dense.weight, dense.bias.as_ref(), epilogue, out);
    }
}

impl<L: Lane> DenseLane for L {}

/// Gain of a layer norm, with its shift where it has one.
pub(crate) struct LayerNorm<W> {
    pub(crate) gain: W,
    pub(crate) shift: Option<W>,
}

impl<W> LayerNorm<W> {
    /// The operation's parameters.
    pub(crate) fn with(&self, epsilon: f32) -> sessile_device::Norm<'_, W> {
        sessile_device::Norm::Layer {
            gain: &self.gain,
            shift: self.shift.as_ref(),
            epsilon,
        }
    }
}

/// Packs tensors of a source onto a device.
pub(crate) struct Packing<'a, D: Device> {
    pub(crate) source: &'a dyn WeightSource,
    pub(crate) device: &'a D,
    pub(crate) dtype: DType,
}

impl<'a, D: Device> Packing<'a, D> {
    /// Whether there is such a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.source.shape(name).is_some()
    }

    /// The rows of a tensor.
    pub(crate) fn rows(&self, name: &str) -> Result<Box<dyn RowSource + 'a>, ModelError> {
        self.source.rows(name)
    }

    /// All values of a small tensor.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let rows = self.rows(name)?;
        let mut values = vec![0.0; rows.rows() * rows.cols()];
        rows.read_rows(0, &mut values)?;
        Ok(values)
    }

    /// One weight of several tensors, stacked along their rows.
    pub(crate) fn pack(
        &self,
        names: &[&str],
        layout: WeightLayout,
    ) -> Result<D::Weight, ModelError> {
        let parts = names
            .iter()
            .map(|name| self.rows(name))
            .collect::<Result<Vec<_>, ModelError>>()?;
        if layout == WeightLayout::Vector && parts.len() > 1 {
            // Biases of a fused product lie behind each other in one vector.
            let mut joined = Vec::new();
            for part in &parts {
                let start = joined.len();
                joined.resize(start + part.rows() * part.cols(), 0.0);
                part.read_rows(0, &mut joined[start..])?;
            }
            return self.pack_values(vec![joined.len()], joined, layout);
        }
        let parts: Vec<&dyn RowSource> = parts.iter().map(|part| &**part).collect();
        Ok(self.device.pack(&parts, layout, self.dtype)?)
    }

    /// A weight whose values were computed here.
    pub(crate) fn pack_values(
        &self,
        shape: Vec<usize>,
        values: Vec<f32>,
        layout: WeightLayout,
    ) -> Result<D::Weight, ModelError> {
        let tensor = HostTensor::new(shape, values);
        Ok(self.device.pack(&[&tensor], layout, self.dtype)?)
    }

    /// One linear map of several, with a bias when the first has one.
    pub(crate) fn dense(&self, names: &[&str]) -> Result<Dense<D::Weight>, ModelError> {
        let all = |end: &str| -> Vec<String> {
            names.iter().map(|name| format!("{name}.{end}")).collect()
        };
        let (weights, biases) = (all("weight"), all("bias"));
        let weights: Vec<&str> = weights.iter().map(String::as_str).collect();
        let biases: Vec<&str> = biases.iter().map(String::as_str).collect();
        Ok(Dense {
            weight: self.pack(&weights, WeightLayout::Linear)?,
            bias: biases
                .first()
                .is_some_and(|bias| self.has(bias))
                .then(|| self.pack(&biases, WeightLayout::Vector))
                .transpose()?,
        })
    }

    /// A layer norm, with a shift where the checkpoint has one.
    pub(crate) fn norm(&self, name: &str) -> Result<LayerNorm<D::Weight>, ModelError> {
        let shift = format!("{name}.bias");
        Ok(LayerNorm {
            gain: self.pack(&[&format!("{name}.weight")], WeightLayout::Vector)?,
            shift: self
                .has(&shift)
                .then(|| self.pack(&[&shift], WeightLayout::Vector))
                .transpose()?,
        })
    }
}
