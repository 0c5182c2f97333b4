//! The classifier on a device: weights packed once, batches of any size through a lane.

use sessile_device::arena::ALIGNMENT;
use sessile_device::{
    Buf, DType, Device, DeviceError, Epilogue, Format, HostTensor, Lane, RowSource, WeightLayout,
};

use super::{CLASSES, MlpClassifier};

/// How the products of the hidden layer are computed. Scores of both agree to about 1e-6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arithmetic {
    /// In f32.
    F32,
    /// In bf16, each number as the sum of two: `(x + x′)(w + w′) ≈ xw + x′w + xw′`. Three products
    /// in bf16 on matrix tiles take a fraction of the time of one in f32; what is left out is 2⁻¹⁶
    /// of a product (Henry, Tang and Heinecke, 2019, arXiv:1904.06376).
    SplitBf16,
}

/// A classifier whose weights lie on a device, batch norm folded into the hidden layer.
pub struct ResidentClassifier<D: Device> {
    hidden: Hidden<D::Weight>,
    hidden_bias: D::Weight,
    output: HostTensor,
    output_bias: Vec<f32>,
    width: usize,
    units: usize,
}

enum Hidden<W> {
    F32(W),
    Split { high: W, low: W },
}

impl<D: Device> ResidentClassifier<D> {
    /// Packs the weights onto `device`.
    ///
    /// # Errors
    ///
    /// Whatever the device reports.
    pub fn load(
        device: &D,
        classifier: &MlpClassifier,
        arithmetic: Arithmetic,
    ) -> Result<Self, DeviceError> {
        let (weight, bias) = classifier.folded();
        let pack = |tensor: &HostTensor, layout, dtype| {
            let part: &dyn RowSource = tensor;
            device.pack(&[part], layout, dtype)
        };
        let hidden = match arithmetic {
            Arithmetic::F32 => Hidden::F32(pack(&weight, WeightLayout::Linear, DType::F32)?),
            Arithmetic::SplitBf16 => {
                let mut low = weight.clone();
                low.data
                    .iter_mut()
                    .for_each(|value| *value = remainder(*value));
                Hidden::Split {
                    high: pack(&weight, WeightLayout::Linear, DType::Bf16)?,
                    low: pack(&low, WeightLayout::Linear, DType::Bf16)?,
                }
            }
        };
        let bias = HostTensor::new(vec![bias.len()], bias);
        Ok(ResidentClassifier {
            hidden,
            hidden_bias: pack(&bias, WeightLayout::Vector, DType::F32)?,
            output: classifier.output_weight.clone(),
            output_bias: classifier.output_bias.clone(),
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
        let (dtype, operands) = match self.hidden {
            Hidden::F32(_) => (DType::F32, 1),
            Hidden::Split { .. } => (DType::Bf16, 2),
        };
        let aligned = |bytes: usize| bytes.next_multiple_of(ALIGNMENT);
        let uploaded = aligned(geometry.buffer_bytes(rows * self.width, 1, Format::F32));
        let operand = aligned(geometry.buffer_bytes(rows, self.width, Format::Operand(dtype)));
        operands * (uploaded + operand)
            + aligned(geometry.buffer_bytes(rows, self.units, Format::F32))
            + aligned(geometry.linear_scratch_bytes(
                rows,
                self.units,
                self.width,
                Epilogue::Store,
                dtype,
            ))
    }

    /// The logits of the rows in `features`, appended to `logits` a pair for each.
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
        scratch: &mut Vec<f32>,
        logits: &mut Vec<[f32; CLASSES.len()]>,
    ) -> Result<(), DeviceError> {
        assert!(features.len().is_multiple_of(self.width), "whole rows");
        let rows = features.len() / self.width;
        let mark = lane.mark();
        let result = self.hidden(lane, features, rows, scratch);
        lane.release(mark);
        result?;
        logits.extend(scratch.chunks_exact(self.units).map(|row| self.output(row)));
        Ok(())
    }

    /// Puts the hidden layer, before ReLU, into `scratch`.
    fn hidden(
        &self,
        lane: &mut D::Lane,
        features: &[f32],
        rows: usize,
        scratch: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let bias = Some(&self.hidden_bias);
        let out = lane.buffer(rows, self.units, Format::F32)?;
        match &self.hidden {
            Hidden::F32(weight) => {
                let x = self.operand(lane, features, rows, DType::F32)?;
                lane.linear(x, weight, bias, Epilogue::Store, out);
            }
            Hidden::Split { high, low } => {
                scratch.clear();
                scratch.extend(features.iter().map(|&value| remainder(value)));
                let x_high = self.operand(lane, features, rows, DType::Bf16)?;
                let x_low = self.operand(lane, scratch, rows, DType::Bf16)?;
                lane.linear(x_high, high, bias, Epilogue::Store, out);
                lane.linear(x_low, high, None, Epilogue::Residual, out);
                lane.linear(x_high, low, None, Epilogue::Residual, out);
            }
        }
        let ticket = lane.read(out);
        lane.wait(ticket, scratch)
    }

    fn operand(
        &self,
        lane: &mut D::Lane,
        values: &[f32],
        rows: usize,
        dtype: DType,
    ) -> Result<Buf, DeviceError> {
        let uploaded = lane.upload_values(values)?;
        // The same values, seen as a matrix.
        let matrix = Buf::at(uploaded.offset(), rows, self.width, Format::F32);
        let operand = lane.buffer(rows, self.width, Format::Operand(dtype))?;
        lane.convert(matrix, operand);
        Ok(operand)
    }

    /// ReLU and the output layer: too small to be worth a device.
    fn output(&self, hidden: &[f32]) -> [f32; CLASSES.len()] {
        const LANES: usize = 16;
        std::array::from_fn(|class| {
            let weight = &self.output.data[class * self.units..(class + 1) * self.units];
            let mut sums = [0.0_f32; LANES];
            for (hidden, weight) in hidden.chunks(LANES).zip(weight.chunks(LANES)) {
                for ((sum, &hidden), &weight) in sums.iter_mut().zip(hidden).zip(weight) {
                    *sum += hidden.max(0.0) * weight;
                }
            }
            sums.iter().sum::<f32>() + self.output_bias[class]
        })
    }
}

/// What is left of a number when its nearest bf16 is taken away.
fn remainder(value: f32) -> f32 {
    let bits = value.to_bits();
    // To nearest, ties to even: the eighth bit of the mantissa is the last that stays.
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    value - f32::from_bits(rounded)
}

#[cfg(test)]
mod tests {
    use super::remainder;

    #[test]
    fn the_remainder_is_what_rounding_takes_away() {
        for value in [
            0.0,
            1.0,
            -1.0,
            0.1,
            3.142_857,
            -1e-20,
            65_535.0,
            1.003_906_2,
        ] {
            let nearest = half::bf16::from_f32(value).to_f32();
            assert_eq!(remainder(value), value - nearest, "{value}");
        }
    }
}
