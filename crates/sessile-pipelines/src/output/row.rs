//! One row of results.

use sessile_device::{HostTensor, Output, OutputKind};

use super::OutputName;

/// How likely a model finds a sequence. Natural logarithms, over the whole vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// Mean log-probability of each residue with that residue masked.
    pub masked_mean: f64,
    /// Mean log-probability of each residue, nothing masked.
    pub unmasked_mean: f64,
    /// `exp(−masked_mean)` (Salazar et al., 2020, arXiv:1910.14659).
    pub pseudo_perplexity: f64,
}

/// The results of one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The record's identifier.
    pub id: String,
    /// Residues of the record.
    pub length: u64,
    /// Whether residues were left out.
    pub truncated: bool,
    /// The tensors, by name.
    pub tensors: Vec<(OutputName, HostTensor)>,
    /// The likelihood, if it was asked for.
    pub likelihood: Option<Likelihood>,
}

impl Row {
    /// A row from a model's output, with the outputs in the order of `names`.
    pub fn new(id: String, length: u64, output: Output, names: &[OutputName]) -> Self {
        let mut tensors = Vec::new();
        let mut likelihood = None;
        for &name in names {
            if name == OutputName::Likelihood {
                likelihood = likelihood_of(&output);
            } else if let Some(tensor) = output.get(name.kinds()[0]) {
                tensors.push((name, tensor.clone()));
            }
        }
        Row {
            id,
            length,
            truncated: false,
            tensors,
            likelihood,
        }
    }
}

fn likelihood_of(output: &Output) -> Option<Likelihood> {
    let mean = |kind| {
        let values = &output.get(kind)?.data;
        let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
        Some(sum / values.len() as f64)
    };
    let masked_mean = mean(OutputKind::MaskedLogprob)?;
    Some(Likelihood {
        masked_mean,
        unmasked_mean: mean(OutputKind::UnmaskedLogprob)?,
        pseudo_perplexity: (-masked_mean).exp(),
    })
}
