//! From a model's answers to rows.

use std::ops::Range;
use std::rc::Rc;

use sessile_device::{HostTensor, Output, OutputKind};
use sessile_models::encoder::{deviations, greatest};
use sessile_models::{ModelInfo, ReadLayers};

use super::long::Long;
use super::records::Sequence;
use crate::output::{Cell, Column, ColumnKind, OutputName, Row, Schema};

/// The columns of embeddings: `description` if it is wanted, `length`, `truncated`, `windows` if there
/// may be several, then the outputs in the order of `names`.
pub(super) fn schema(
    names: &[OutputName],
    model: &ModelInfo,
    long: Long,
    with_description: bool,
    layers: Option<usize>,
) -> Schema {
    let mut columns = Vec::new();
    if with_description {
        columns.push(Column::new("description", ColumnKind::Text));
    }
    columns.push(Column::new("length", ColumnKind::Integer));
    columns.push(Column::new("truncated", ColumnKind::Flag));
    if long == Long::Windows {
        columns.push(Column::new("windows", ColumnKind::Integer));
    }
    for &name in names {
        let kind = match name {
            OutputName::Mean
            | OutputName::MeanAll
            | OutputName::Cls
            | OutputName::Max
            | OutputName::Std
            | OutputName::Eos => ColumnKind::Tensor(vec![Some(model.hidden)]),
            OutputName::Classes if model.labels_residues => {
                ColumnKind::Tensor(vec![None, Some(model.labels.len())])
            }
            OutputName::Classes => ColumnKind::Numbers(model.labels.clone()),
            OutputName::PerResidue => ColumnKind::Tensor(vec![None, Some(model.hidden)]),
            OutputName::Logits => ColumnKind::Tensor(vec![None, Some(model.vocabulary)]),
            OutputName::Contacts => ColumnKind::Tensor(vec![None, None]),
            OutputName::Likelihood => ColumnKind::Numbers(
                ["masked_mean", "unmasked_mean", "pseudo_perplexity"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
        };
        let kind = match (kind, layers) {
            (ColumnKind::Tensor(shape), Some(layers))
                if name
                    .kinds()
                    .iter()
                    .all(|kind| ReadLayers::KINDS.contains(kind)) =>
            {
                ColumnKind::Tensor([vec![Some(layers)], shape].concat())
            }
            (kind, _) => kind,
        };
        columns.push(Column::new(name.name(), kind));
    }
    Schema::new(columns)
}

/// The row of a record from its answers, one for each window or one for all.
pub(super) fn row(
    id: &str,
    sequence: &Sequence,
    names: &[OutputName],
    long: Long,
    with_description: bool,
    answers: &[Rc<Output>],
) -> Result<Row, String> {
    let answers = with_windows(sequence, answers);
    let mut cells = Vec::new();
    if with_description {
        cells.push(Cell::Text(sequence.description.clone()));
    }
    cells.push(Cell::Integer(sequence.length as i64));
    cells.push(Cell::Flag(sequence.is_truncated));
    if long == Long::Windows {
        cells.push(Cell::Integer(sequence.windows.len().max(1) as i64));
    }
    for &name in names {
        let cell = match name {
            OutputName::Likelihood => likelihood(&answers).map(Cell::Numbers),
            OutputName::Classes => classes(&answers),
            _ => tensor(name, &answers).map(Cell::Tensor),
        };
        cells.push(cell.ok_or_else(|| format!("the model gave no `{name}`"))?);
    }
    Ok(Row {
        id: id.to_owned(),
        cells,
    })
}

type Answers = [(Rc<Output>, Option<Range<usize>>)];

/// Each answer with what is kept of it, where it is that of a window.
pub(super) fn with_windows(
    sequence: &Sequence,
    answers: &[Rc<Output>],
) -> Vec<(Rc<Output>, Option<Range<usize>>)> {
    let kept = sequence.windows.iter().cloned().map(Some);
    match sequence.windows.is_empty() {
        true => (answers.iter())
            .map(|answer| (Rc::clone(answer), None))
            .collect(),
        false => answers.iter().cloned().zip(kept).collect(),
    }
}

/// A tensor of the whole sequence.
pub(super) fn tensor(name: OutputName, answers: &Answers) -> Option<HostTensor> {
    if let [(answer, None)] = answers {
        return answer.get(name.kinds()[0]).cloned();
    }
    match name {
        OutputName::Mean => mean_of_rows(&rows(OutputKind::PerResidue, answers)?),
        OutputName::PerResidue => rows(OutputKind::PerResidue, answers),
        OutputName::MeanAll => mean_of_windows(OutputKind::MeanAll, answers),
        OutputName::Cls => mean_of_windows(OutputKind::Cls, answers),
        OutputName::Logits => logits(answers),
        OutputName::Max => of_rows(greatest, answers),
        OutputName::Std => of_rows(deviations, answers),
        OutputName::Eos => mean_of_windows(OutputKind::Eos, answers),
        OutputName::Contacts | OutputName::Likelihood | OutputName::Classes => None,
    }
}

/// The rows that are kept of each window.
fn rows(kind: OutputKind, answers: &Answers) -> Option<HostTensor> {
    let mut data = Vec::new();
    let mut width = 0;
    for (answer, kept) in answers {
        let tensor = answer.get(kind)?;
        width = *tensor.shape.get(1)?;
        let kept = kept.clone()?;
        data.extend_from_slice(tensor.data.get(kept.start * width..kept.end * width)?);
    }
    Some(HostTensor::new(
        vec![data.len() / width.max(1), width],
        data,
    ))
}

/// What is made of every column of the residues.
fn of_rows(make: fn(&[f32], usize) -> Vec<f32>, answers: &Answers) -> Option<HostTensor> {
    let rows = rows(OutputKind::PerResidue, answers)?;
    let width = *rows.shape.get(1)?;
    Some(HostTensor::new(vec![width], make(&rows.data, width)))
}

/// Scores of a sequence by class, of windows their mean; or those of every residue.
fn classes(answers: &Answers) -> Option<Cell> {
    let (first, kept) = answers.first()?;
    let scores = first.get(OutputKind::Classes)?;
    if scores.shape.len() == 2 {
        return match kept {
            Some(_) => rows(OutputKind::Classes, answers).map(Cell::Tensor),
            None => Some(Cell::Tensor(scores.clone())),
        };
    }
    let scores = match kept {
        Some(_) => mean_of_windows(OutputKind::Classes, answers)?,
        None => scores.clone(),
    };
    let scores = scores.data.iter().map(|&score| f64::from(score));
    Some(Cell::Numbers(scores.collect()))
}

fn mean_of_rows(rows: &HostTensor) -> Option<HostTensor> {
    let &[count, width] = &rows.shape[..] else {
        return None;
    };
    let mut sums = vec![0.0_f64; width];
    for row in rows.data.chunks_exact(width.max(1)) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    let mean = |sum: f64| (sum / count as f64) as f32;
    let data = sums.into_iter().map(mean).collect();
    Some(HostTensor::new(vec![width], data))
}

/// The mean of the windows' vectors, each counted for the residues that are kept of it.
fn mean_of_windows(kind: OutputKind, answers: &Answers) -> Option<HostTensor> {
    let mut sums: Vec<f64> = Vec::new();
    let mut residues = 0;
    for (answer, kept) in answers {
        let tensor = answer.get(kind)?;
        let kept = kept.clone()?.len();
        sums.resize(tensor.data.len(), 0.0);
        for (sum, &value) in sums.iter_mut().zip(&tensor.data) {
            *sum += f64::from(value) * kept as f64;
        }
        residues += kept;
    }
    let mean = |sum: &f64| (sum / residues as f64) as f32;
    let data: Vec<f32> = sums.iter().map(mean).collect();
    Some(HostTensor::new(vec![data.len()], data))
}

/// The scores of the first special token, of the residues that are kept, and of the last special
/// token.
fn logits(answers: &Answers) -> Option<HostTensor> {
    let mut data = Vec::new();
    let mut width = 0;
    for (number, (answer, kept)) in answers.iter().enumerate() {
        let tensor = answer.get(OutputKind::Logits)?;
        let &[tokens, columns] = &tensor.shape[..] else {
            return None;
        };
        width = columns;
        let kept = kept.clone()?;
        // The tokens of residues stand one behind the residues' own numbers.
        let first = if number == 0 { 0 } else { kept.start + 1 };
        let end = if number + 1 == answers.len() {
            tokens
        } else {
            kept.end + 1
        };
        data.extend_from_slice(tensor.data.get(first * width..end * width)?);
    }
    Some(HostTensor::new(
        vec![data.len() / width.max(1), width],
        data,
    ))
}

/// Mean log-probability of each residue with that residue masked, and with nothing masked, natural
/// logarithms over the whole vocabulary; `exp(−masked mean)` (Salazar et al., 2020,
/// arXiv:1910.14659).
fn likelihood(answers: &Answers) -> Option<Vec<f64>> {
    let mean = |kind| {
        let mut sum = 0.0;
        let mut count = 0;
        for (answer, kept) in answers {
            let values = &answer.get(kind)?.data[..];
            let values = match kept {
                Some(kept) => values.get(kept.clone())?,
                None => values,
            };
            sum += values.iter().map(|&value| f64::from(value)).sum::<f64>();
            count += values.len();
        }
        Some(sum / f64::from(u32::try_from(count).ok()?))
    };
    let masked = mean(OutputKind::MaskedLogprob)?;
    let unmasked = mean(OutputKind::UnmaskedLogprob)?;
    Some(vec![masked, unmasked, (-masked).exp()])
}
