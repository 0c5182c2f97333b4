//! The classifier on a device: weights packed once, batches of any size through a lane.

use sessile_device::arena::ALIGNMENT;
use sessile_device::{
    Buf, DType, Device, DeviceError, Epilogue, Format, HostTensor, Lane, RowSource, WeightLayout,
};

use super::{CLASSES, MlpClassifier};

/// A classifier whose weights lie on a device, batch norm folded into the hidden layer.
///
/// Products are in f32, so scores agree with the reference to its rounding.
pub struct ResidentClassifier<D: Device> {
    hidden: D::Weight,
    hidden_bias: D::Weight,
    output: D::Weight,
    output_bias: D::Weight,
    width: usize,
    units: usize,
}

impl<D: Device> ResidentClassifier<D> {
    /// Packs the weights onto `device`.
    ///
    /// # Errors
    ///
    /// Whatever the device reports.
    pub fn load(device: &D, classifier: &MlpClassifier) -> Result<Self, DeviceError> {
        let (weight, bias) = classifier.folded();
        let pack = |tensor: &HostTensor, layout| {
            let part: &dyn RowSource = tensor;
            device.pack(&[part], layout, DType::F32)
        };
        let vector = |values: &[f32]| HostTensor::new(vec![values.len()], values.to_vec());
        Ok(ResidentClassifier {
            hidden: pack(&weight, WeightLayout::Linear)?,
            hidden_bias: pack(&vector(&bias), WeightLayout::Vector)?,
            output: pack(&classifier.output_weight, WeightLayout::Linear)?,
            output_bias: pack(&vector(&classifier.output_bias), WeightLayout::Vector)?,
            width: classifier.width(),
            units: classifier.hidden(),
        })
    }

    /// Numbers in a feature vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes of arena that a batch of `rows` needs on a lane of `device`.
    pub fn arena_bytes(&self, device: &D, rows: usize) -> usize {
        let geometry = device.geometry();
        let operand = Format::Operand(DType::F32);
        let parts = [
            geometry.buffer_bytes(rows * self.width, 1, Format::F32),
            geometry.buffer_bytes(rows, self.width, operand),
            geometry.buffer_bytes(rows, self.units, operand),
            geometry.buffer_bytes(rows, CLASSES.len(), Format::F32),
            geometry.linear_scratch_bytes(rows, self.units, self.width, DType::F32),
            geometry.linear_scratch_bytes(rows, CLASSES.len(), self.units, DType::F32),
        ];
        parts
            .iter()
            .map(|bytes| bytes.next_multiple_of(ALIGNMENT))
            .sum()
    }

    /// The logits of the rows in `features`, a pair for each, put into `logits`.
    ///
    /// # Errors
    ///
    /// Whatever the lane reports: `OutOfMemory` when the batch is larger than it was made for.
    ///
    /// # Panics
    ///
    /// When `features` is not a whole number of rows.
    pub fn logits(
        &self,
        lane: &mut D::Lane,
        features: &[f32],
        logits: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        assert!(features.len().is_multiple_of(self.width), "whole rows");
        let rows = features.len() / self.width;
        let mark = lane.mark();
        let result = self.run(lane, features, rows, logits);
        lane.release(mark);
        result
    }

    fn run(
        &self,
        lane: &mut D::Lane,
        features: &[f32],
        rows: usize,
        logits: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let operand = Format::Operand(DType::F32);
        let uploaded = lane.upload_values(features)?;
        // The same values, seen as a matrix.
        let features = Buf::at(uploaded.offset(), rows, self.width, Format::F32);
        let x = lane.buffer(rows, self.width, operand)?;
        let hidden = lane.buffer(rows, self.units, operand)?;
        let out = lane.buffer(rows, CLASSES.len(), Format::F32)?;
        lane.convert(features, x);
        lane.linear(
            x,
            &self.hidden,
            Some(&self.hidden_bias),
            Epilogue::Relu,
            hidden,
        );
        lane.linear(
            hidden,
            &self.output,
            Some(&self.output_bias),
            Epilogue::Store,
            out,
        );
        let ticket = lane.read(out);
        lane.wait(ticket, logits)
    }
}
