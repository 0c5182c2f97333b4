//! What the classifier reads of the answers of both models.

use sessile_device::{HostTensor, Output, OutputKind, RequestError, RequestErrorKind};

use super::Predictor;
use crate::error::{PipelineError, PipelineErrorKind};

/// Both vectors of a frame, one behind the other.
pub(super) fn vectors(
    predictor: &Predictor,
    nucleotide: Result<Output, RequestError>,
    protein: Result<Output, RequestError>,
) -> Result<Result<Vec<f32>, String>, PipelineError> {
    let mut vectors = Vec::new();
    let kinds = [OutputKind::MeanAll, predictor.protein_output];
    let names = ["nucleotides", "protein"];
    for ((answer, kind), name) in [nucleotide, protein].into_iter().zip(kinds).zip(names) {
        let output = match answer {
            Ok(output) => output,
            Err(error) if error.kind() == RequestErrorKind::NoDevice => {
                return Err(
                    PipelineError::new(PipelineErrorKind::Device, error.to_string())
                        .with_hint("what was finished is kept; the same command goes on"),
                );
            }
            Err(error) => return Ok(Err(format!("{name}: {error}"))),
        };
        let before = vectors.len();
        match output.get(kind) {
            Some(states) if kind == OutputKind::HiddenStates => {
                let layer = predictor.options.esm_layer.unwrap_or_default();
                vectors.extend(mean_of_layer(states, layer));
            }
            Some(vector) => vectors.extend_from_slice(&vector.data),
            None => {}
        }
        let size = predictor.sizes[usize::from(name == "protein")];
        if vectors.len() - before != size {
            return Ok(Err(format!("{name}: the model gave no vector")));
        }
    }
    if vectors.iter().all(|value| value.is_finite()) {
        Ok(Ok(vectors))
    } else {
        Ok(Err(
            "an embedding holds numbers that are not finite".to_owned()
        ))
    }
}

/// The mean over the residues of one layer's vectors: `[layers + 1, tokens, hidden]`, the first and
/// the last token left out.
fn mean_of_layer(states: &HostTensor, layer: usize) -> Vec<f32> {
    let &[layers, tokens, hidden] = states.shape.as_slice() else {
        return Vec::new();
    };
    if layer >= layers || tokens <= 2 {
        return Vec::new();
    }
    let rows = &states.data[layer * tokens * hidden..(layer + 1) * tokens * hidden];
    let mut mean = vec![0.0; hidden];
    for row in rows.chunks_exact(hidden).skip(1).take(tokens - 2) {
        for (sum, &value) in mean.iter_mut().zip(row) {
            *sum += value;
        }
    }
    mean.iter_mut().for_each(|sum| *sum /= (tokens - 2) as f32);
    mean
}
