//! The head of the first ModernProst models: down to a quarter of the columns, a gated unit with
//! SiLU, and the classifier (`projection.fc1`, `.swiglu.{w,v,proj}`, `.fc2`).

use std::collections::BTreeSet;

use sessile_device::{
    Activation, Buf, DType, Device, DeviceError, Epilogue, Format, Lane, WeightLayout,
};

use crate::error::{ModelError, ModelErrorKind};
use crate::three_di::STATES;
use crate::weights::{Dense, DenseLane, Packing, WeightSource};

const FIRST: &str = "projection.fc1";
const VALUES: &str = "projection.swiglu.w";
const GATES: &str = "projection.swiglu.v";
const BACK: &str = "projection.swiglu.proj";
const LAST: &str = "projection.fc2";

/// The head's weights.
pub(super) struct StepDown<W> {
    first: Dense<W>,
    /// Values and gates.
    unit: Dense<W>,
    back: Dense<W>,
    last: Dense<W>,
    columns: usize,
}

/// Whether a source has this head.
pub(super) fn is_in(source: &dyn WeightSource) -> bool {
    source.shape(&weight(FIRST)).is_some()
}

/// Whether a source has a head of the first ModernProst, this or the plain one.
pub(super) fn is_legacy(source: &dyn WeightSource) -> bool {
    is_in(source) || source.shape("projection.weight").is_some()
}

/// The error for such a head below layers of another kind.
pub(super) fn unnamed(source: &dyn WeightSource) -> ModelError {
    ModelError::new(
        ModelErrorKind::Unsupported,
        format!(
            "{}: `projection` is the head of the first ModernProst, whose layers are no \
             ModernBERT's, and config.json does not name it",
            source.describe()
        ),
    )
    .with_hint("set model_type to modernprost in config.json if it is one")
}

fn weight(module: &str) -> String {
    format!("{module}.weight")
}

impl<W> StepDown<W> {
    /// Packs the head, and says which tensors it is made of.
    pub(super) fn load<D: Device<Weight = W>>(
        tensors: &Packing<'_, D>,
        hidden: usize,
    ) -> Result<(Self, BTreeSet<String>), ModelError> {
        let source = tensors.source;
        let columns = match source.shape(&weight(FIRST)) {
            Some([columns, inputs]) if *inputs == hidden => *columns,
            _ => 0,
        };
        let modules = [
            (FIRST, columns, hidden),
            (VALUES, columns, columns),
            (GATES, columns, columns),
            (BACK, columns, columns),
            (LAST, STATES.len(), columns),
        ];
        let mut names = BTreeSet::new();
        for (module, outputs, inputs) in modules {
            let have = source.shape(&weight(module)).unwrap_or_default();
            if have != [outputs, inputs] || columns == 0 {
                return Err(ModelError::new(
                    ModelErrorKind::Mismatch,
                    format!(
                        "{}: tensor `{module}.weight` of the head has the shape {have:?}, not \
                         {:?}",
                        source.describe(),
                        [outputs, inputs]
                    ),
                ));
            }
            names.insert(weight(module));
            let bias = format!("{module}.bias");
            match source.shape(&bias) {
                Some([have]) if *have == outputs => {
                    names.insert(bias);
                }
                None if module != GATES || !names.contains(&format!("{VALUES}.bias")) => {}
                have => {
                    return Err(ModelError::new(
                        ModelErrorKind::Mismatch,
                        format!(
                            "{}: tensor `{bias}` of the head has the shape {:?}, not [{outputs}]",
                            source.describe(),
                            have.unwrap_or_default()
                        ),
                    ));
                }
            }
        }
        let head = StepDown {
            first: tensors.dense(&[FIRST])?,
            unit: Dense {
                weight: tensors.pack(&[&weight(VALUES), &weight(GATES)], WeightLayout::Linear)?,
                ..tensors.dense(&[VALUES, GATES])?
            },
            back: tensors.dense(&[BACK])?,
            last: tensors.dense(&[LAST])?,
            columns,
        };
        Ok((head, names))
    }

    /// Scores `rows` (f32) into `logits`.
    pub(super) fn score<L: Lane<Weight = W>>(
        &self,
        lane: &mut L,
        dtype: DType,
        rows: Buf,
        logits: Buf,
    ) -> Result<(), DeviceError> {
        let (count, columns) = (rows.rows(), self.columns);
        let operand = lane.buffer(count, rows.cols(), Format::Operand(dtype))?;
        let narrow = lane.buffer(count, columns, Format::F32)?;
        let narrow_operand = lane.buffer(count, columns, Format::Operand(dtype))?;
        let pairs = lane.buffer(count, 2 * columns, Format::F32)?;
        lane.convert(rows, operand);
        lane.dense(operand, &self.first, Epilogue::Store, narrow);
        lane.convert(narrow, narrow_operand);
        lane.dense(narrow_operand, &self.unit, Epilogue::Store, pairs);
        lane.gate(pairs, Activation::Silu, narrow);
        lane.convert(narrow, narrow_operand);
        lane.dense(narrow_operand, &self.back, Epilogue::Store, narrow);
        lane.convert(narrow, narrow_operand);
        lane.dense(narrow_operand, &self.last, Epilogue::Store, logits);
        Ok(())
    }
}
