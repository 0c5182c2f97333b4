//! What the classifier reads of the answers of both models.

use std::rc::Rc;

use sessile_device::{HostTensor, Output, OutputKind};

use super::Predictor;

/// What the halves of a frame are called.
pub(super) const HALVES: [&str; 2] = ["nucleotides", "protein"];

/// Both vectors of a frame, one behind the other.
pub(super) fn vectors(predictor: &Predictor, answers: &[Rc<Output>]) -> Result<Vec<f32>, String> {
    let mut vectors = Vec::new();
    let kinds = [OutputKind::MeanAll, predictor.protein_output];
    for (half, (name, kind)) in HALVES.into_iter().zip(kinds).enumerate() {
        let before = vectors.len();
        match answers.get(half).and_then(|answer| answer.get(kind)) {
            Some(states) if kind == OutputKind::HiddenStates => {
                let layer = predictor.options.esm_layer.unwrap_or_default();
                vectors.extend(mean_of_layer(states, layer));
            }
            Some(vector) => vectors.extend_from_slice(&vector.data),
            None => {}
        }
        if vectors.len() - before != predictor.sizes[half] {
            return Err(format!("{name}: the model gave no vector"));
        }
    }
    match vectors.iter().all(|value| value.is_finite()) {
        true => Ok(vectors),
        false => Err("an embedding holds numbers that are not finite".to_owned()),
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
