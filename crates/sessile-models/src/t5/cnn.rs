//! The head that predicts 3Di from ProstT5's vectors: two convolutions over 7 residues with a
//! rectifier between them.
//!
//! A convolution is one product for all taps at once and a sum over shifted rows. As where the
//! head was trained, the sequence is followed by one row of zeros in the place of `</s>`: the
//! first convolution has an answer there, which the second one sees from the last residues.

use sessile_device::{
    Buf, DType, Device, DeviceError, Epilogue, Format, HostTensor, Lane, Output, OutputKind,
    PackedBatch, WeightLayout,
};

use crate::encoder::outputs::wanted;
use crate::encoder::{Ends, Pass, Scratch};
use crate::error::{ModelError, ModelErrorKind};
use crate::three_di::STATES;
use crate::weights::{Naming, Packing, View, WeightSource};

/// The names of the head, wherever a wrapper has put it.
const NAMING: Naming<'_> = Naming {
    anchor: "classifier.0.weight",
    base: "",
    roots: &["classifier."],
};

const KNOWN: [&str; 4] = [
    "classifier.0.weight",
    "classifier.0.bias",
    "classifier.3.weight",
    "classifier.3.bias",
];

/// A convolution along the sequence.
struct Convolution<W> {
    /// `[taps × outputs, inputs]`.
    weight: W,
    bias: W,
    /// Taps times outputs.
    products: usize,
    outputs: usize,
}

/// The head.
pub(super) struct ConvolutionHead<W> {
    first: Convolution<W>,
    second: Convolution<W>,
    dtype: DType,
}

impl<W> ConvolutionHead<W> {
    /// Packs the head of `source` for a model with `hidden` columns.
    pub(super) fn load<D: Device<Weight = W>>(
        device: &D,
        source: &dyn WeightSource,
        hidden: usize,
        dtype: DType,
    ) -> Result<Self, ModelError> {
        let view = View::of(source, &NAMING)?;
        if let Some(other) = view
            .names()
            .into_iter()
            .find(|name| name.starts_with("classifier.") && !KNOWN.contains(name))
        {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: tensor `{other}` has no place in the 3Di head of ProstT5",
                    source.describe()
                ),
            )
            .with_hint("the head has two convolutions, classifier.0 and classifier.3"));
        }
        let tensors = Packing {
            source: &view,
            device,
            dtype,
        };
        let first = convolution(&tensors, "classifier.0")?;
        let second = convolution(&tensors, "classifier.3")?;
        let mismatch = |what: String| {
            ModelError::new(
                ModelErrorKind::Mismatch,
                format!("{}: {what}", source.describe()),
            )
            .with_hint("the head belongs to another model")
        };
        if first.inputs != hidden {
            return Err(mismatch(format!(
                "the 3Di head takes {} columns, the model has {hidden}",
                first.inputs
            )));
        }
        if second.inputs != first.packed.outputs || second.packed.outputs != STATES.len() {
            return Err(mismatch(format!(
                "the 3Di head makes {} of {} channels, not {} of {}",
                second.packed.outputs,
                second.inputs,
                STATES.len(),
                first.packed.outputs
            )));
        }
        Ok(ConvolutionHead {
            first: first.packed,
            second: second.packed,
            dtype,
        })
    }

    /// Scores of the states, for the sequences that want them.
    pub(super) fn scores<L: Lane<Weight = W>>(
        &self,
        lane: &mut L,
        pass: &Pass,
        ends: Ends,
        x: Buf,
        scratch: &mut Scratch,
        outputs: &mut [Output],
    ) -> Result<(), DeviceError> {
        if !wanted(pass, OutputKind::ThreeDi) {
            return Ok(());
        }
        // Rows of x instead of tokens: the residues of a sequence, and once more the last one in
        // the place of the row of zeros.
        let mut rows = PackedBatch::default();
        for (sequence, job) in pass.jobs.iter().enumerate() {
            if job.outputs.contains(OutputKind::ThreeDi) {
                let first = pass.batch.offsets()[sequence] + ends.leading as u32;
                let last = pass.batch.offsets()[sequence + 1] - ends.trailing as u32;
                scratch.rows.clear();
                scratch.rows.extend((first..last).chain([last - 1]));
                rows.push(&scratch.rows);
            }
        }
        let mark = lane.mark();
        let batch = lane.upload(&rows)?;
        let count = batch.len();
        let logits = lane.buffer(count, self.second.outputs, Format::F32)?;
        let between = lane.buffer(count, self.first.outputs, Format::F32)?;
        {
            let inner = lane.mark();
            let picked = lane.buffer(count, x.cols(), Format::F32)?;
            let operand = lane.buffer(count, x.cols(), Format::Operand(self.dtype))?;
            let products = lane.buffer(count, self.first.products, Format::F32)?;
            lane.gather_rows(x, batch.tokens, picked);
            lane.convert(picked, operand);
            lane.linear(operand, &self.first.weight, None, Epilogue::Store, products);
            lane.add_taps(products, &batch, &self.first.bias, true, 1, between);
            lane.release(inner);
        }
        let operand = lane.buffer(count, self.first.outputs, Format::Operand(self.dtype))?;
        let products = lane.buffer(count, self.second.products, Format::F32)?;
        lane.convert(between, operand);
        lane.linear(
            operand,
            &self.second.weight,
            None,
            Epilogue::Store,
            products,
        );
        lane.add_taps(products, &batch, &self.second.bias, false, 0, logits);
        let ticket = lane.read(logits);
        lane.release(mark);
        lane.wait(ticket, &mut scratch.values)?;
        let states = self.second.outputs;
        let mut answers = rows.offsets().windows(2);
        for (job, output) in pass.jobs.iter().zip(outputs) {
            if job.outputs.contains(OutputKind::ThreeDi)
                && let Some(&[first, end]) = answers.next()
            {
                let residues = (end - first) as usize - 1;
                let values =
                    scratch.values[first as usize * states..][..residues * states].to_vec();
                let tensor = HostTensor::new(vec![residues, states], values);
                output.push(OutputKind::ThreeDi, tensor);
            }
        }
        Ok(())
    }
}

struct Loaded<W> {
    packed: Convolution<W>,
    inputs: usize,
}

/// Reads `[outputs, inputs, taps, 1]` and packs it as `[taps × outputs, inputs]`.
fn convolution<D: Device>(
    tensors: &Packing<'_, D>,
    name: &str,
) -> Result<Loaded<D::Weight>, ModelError> {
    let weight = format!("{name}.weight");
    let bias = format!("{name}.bias");
    let source = tensors.source;
    let shape = source.shape(&weight).unwrap_or_default();
    let (outputs, inputs, taps) = match *shape {
        [outputs, inputs, taps, 1] | [outputs, inputs, taps] if taps % 2 == 1 => {
            (outputs, inputs, taps)
        }
        [] => {
            return Err(ModelError::new(
                ModelErrorKind::MissingTensor,
                format!("{}: there is no tensor `{weight}`", source.describe()),
            )
            .with_hint("the 3Di head of ProstT5 has classifier.0 and classifier.3"));
        }
        _ => {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: tensor `{weight}` has the shape {shape:?}, which is no convolution along \
                     the sequence",
                    source.describe()
                ),
            ));
        }
    };
    if source.shape(&bias) != Some(&[outputs]) {
        return Err(ModelError::new(
            ModelErrorKind::Mismatch,
            format!(
                "{}: tensor `{bias}` does not have {outputs} values",
                source.describe()
            ),
        ));
    }
    let read = tensors.values(&weight)?;
    let mut turned = Vec::with_capacity(read.len());
    for tap in 0..taps {
        for output in 0..outputs {
            let at = |input: usize| (output * inputs + input) * taps + tap;
            turned.extend((0..inputs).map(|input| read[at(input)]));
        }
    }
    Ok(Loaded {
        packed: Convolution {
            weight: tensors.pack_values(
                vec![taps * outputs, inputs],
                turned,
                WeightLayout::Linear,
            )?,
            bias: tensors.pack(&[&bias], WeightLayout::Vector)?,
            products: taps * outputs,
            outputs,
        },
        inputs,
    })
}
