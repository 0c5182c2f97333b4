//! Vectors of other layers than the last, made of the states of all.

use std::fmt;
use std::str::FromStr;

use sessile_device::{HostTensor, Output, OutputKind, OutputSet};

use super::outputs::{deviations, greatest};
use super::{Ends, ModelInfo};

/// Which layer's output vectors are made of. Layer 0 are the embeddings; the last one is normalised
/// where the network ends with a norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerChoice {
    /// The last.
    #[default]
    Last,
    /// One, counted from the end where it is negative: −1 is the last.
    One(i32),
    /// Each of them: a vector becomes as many as there are layers, and one more.
    All,
    /// The mean of the last few.
    MeanOfLast(u16),
}

impl fmt::Display for LayerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerChoice::Last => f.write_str("-1"),
            LayerChoice::One(layer) => write!(f, "{layer}"),
            LayerChoice::All => f.write_str("all"),
            LayerChoice::MeanOfLast(count) => write!(f, "last{count}-mean"),
        }
    }
}

impl FromStr for LayerChoice {
    type Err = String;

    /// # Examples
    ///
    /// ```
    /// use sessile_models::LayerChoice;
    ///
    /// assert_eq!("-1".parse(), Ok(LayerChoice::Last));
    /// assert_eq!("last4-mean".parse(), Ok(LayerChoice::MeanOfLast(4)));
    /// assert!("first".parse::<LayerChoice>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, String> {
        let mean = text.strip_prefix("last");
        let mean = mean.and_then(|rest| rest.strip_suffix("-mean"));
        let parsed = match (text, mean) {
            ("-1", _) => Some(LayerChoice::Last),
            ("all", _) => Some(LayerChoice::All),
            (_, Some(count)) => count.parse().ok().map(LayerChoice::MeanOfLast),
            _ => text.parse().ok().map(LayerChoice::One),
        };
        parsed.ok_or_else(|| {
            format!("`{text}` is no layer (a number such as 12 or -2, all, or last4-mean)")
        })
    }
}

/// The layers of a model that vectors are made of.
#[derive(Clone, Debug)]
pub struct ReadLayers {
    choice: LayerChoice,
    ends: Ends,
    layers: usize,
}

impl ReadLayers {
    /// The outputs that can be made of any layer.
    pub const KINDS: [OutputKind; 7] = [
        OutputKind::Mean,
        OutputKind::MeanAll,
        OutputKind::Cls,
        OutputKind::Eos,
        OutputKind::Max,
        OutputKind::Std,
        OutputKind::PerResidue,
    ];

    /// What is to be done for a choice; nothing for the last layer.
    ///
    /// # Errors
    ///
    /// When the model does not have so many layers.
    pub fn of(choice: LayerChoice, model: &ModelInfo) -> Result<Option<Self>, String> {
        let layers = model.layers;
        let is_there = match choice {
            LayerChoice::Last | LayerChoice::All => true,
            LayerChoice::One(layer) => {
                (layer.unsigned_abs() as usize) <= layers + usize::from(layer < 0)
            }
            LayerChoice::MeanOfLast(count) => (1..=layers + 1).contains(&usize::from(count)),
        };
        if !is_there {
            return Err(format!(
                "the model has {layers} layers and its embeddings (0); layer {choice} is none"
            ));
        }
        let is_last = choice == LayerChoice::Last
            || choice == LayerChoice::One(i32::try_from(layers).unwrap_or(i32::MAX))
            || choice == LayerChoice::MeanOfLast(1);
        Ok((!is_last).then(|| ReadLayers {
            choice,
            ends: model.ends(),
            layers,
        }))
    }

    /// What is asked of the model for these outputs.
    pub fn outputs(&self, wanted: OutputSet) -> OutputSet {
        let of = |kind| match Self::KINDS.contains(&kind) {
            true => OutputKind::HiddenStates,
            false => kind,
        };
        wanted.iter().map(of).collect()
    }

    /// How many vectors one becomes, if it becomes several.
    pub fn several(&self) -> Option<usize> {
        (self.choice == LayerChoice::All).then_some(self.layers + 1)
    }

    /// The outputs that were wanted, from the answer to [`outputs`](Self::outputs). `None` when the
    /// states are missing.
    pub fn read(&self, wanted: OutputSet, answer: &Output) -> Option<Output> {
        let mut made = Output::default();
        let states = answer.get(OutputKind::HiddenStates)?;
        let &[count, tokens, hidden] = &states.shape[..] else {
            return None;
        };
        let layers: Vec<&[f32]> = states.data.chunks_exact((tokens * hidden).max(1)).collect();
        let chosen: Vec<Vec<f32>> = match self.choice {
            LayerChoice::Last => vec![layers.last()?.to_vec()],
            LayerChoice::One(layer) => {
                let back = layer.unsigned_abs() as usize;
                let index = if layer < 0 {
                    count.checked_sub(back)?
                } else {
                    back
                };
                vec![layers.get(index)?.to_vec()]
            }
            LayerChoice::All => layers.iter().map(|layer| layer.to_vec()).collect(),
            LayerChoice::MeanOfLast(last) => {
                vec![mean(layers.get(count.checked_sub(usize::from(last))?..)?)]
            }
        };
        let inner = self.ends.leading * hidden..(tokens - self.ends.trailing) * hidden;
        for kind in wanted.iter() {
            if !Self::KINDS.contains(&kind) {
                made.push(kind, answer.get(kind)?.clone());
                continue;
            }
            let mut data = Vec::new();
            for rows in &chosen {
                let residues = rows.get(inner.clone())?;
                data.extend(match kind {
                    OutputKind::Mean => column_means(residues, hidden),
                    OutputKind::MeanAll => column_means(rows, hidden),
                    OutputKind::Cls => rows.get(..hidden)?.to_vec(),
                    OutputKind::Eos => rows.get(rows.len() - hidden..)?.to_vec(),
                    OutputKind::Max => greatest(residues, hidden),
                    OutputKind::Std => deviations(residues, hidden),
                    _ => residues.to_vec(),
                });
            }
            let mut shape = match self.several() {
                Some(layers) => vec![layers],
                None => Vec::new(),
            };
            if kind == OutputKind::PerResidue {
                shape.push(inner.len() / hidden.max(1));
            }
            shape.push(hidden);
            made.push(kind, HostTensor::new(shape, data));
        }
        Some(made)
    }
}

/// The mean of layers, value by value.
fn mean(layers: &[&[f32]]) -> Vec<f32> {
    let count = layers.len() as f64;
    let mean = |at: usize| {
        let sum: f64 = layers.iter().map(|layer| f64::from(layer[at])).sum();
        (sum / count) as f32
    };
    (0..layers.first().map_or(0, |layer| layer.len()))
        .map(mean)
        .collect()
}

fn column_means(rows: &[f32], columns: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = rows.chunks_exact(columns.max(1)).collect();
    mean(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_made_of_the_layers_that_are_chosen() {
        let model = crate::Model::demo();
        let (info, _) = model.check().unwrap();
        // Three tokens of two columns in five layers: `10 × layer + token` and its negative.
        let value = |layer: usize, token: usize| (10 * layer + token) as f32;
        let data = (0..5)
            .flat_map(|layer| {
                (0..3).flat_map(move |token| [value(layer, token), -value(layer, token)])
            })
            .collect();
        let mut answer = Output::default();
        answer.push(
            OutputKind::HiddenStates,
            HostTensor::new(vec![5, 3, 2], data),
        );
        let cases: [(&str, OutputKind, &[f32]); 7] = [
            ("2", OutputKind::Mean, &[21.0, -21.0]),
            ("-2", OutputKind::Cls, &[30.0, -30.0]),
            ("0", OutputKind::Eos, &[2.0, -2.0]),
            ("last2-mean", OutputKind::MeanAll, &[36.0, -36.0]),
            ("3", OutputKind::Max, &[31.0, -31.0]),
            ("3", OutputKind::Std, &[0.0, 0.0]),
            (
                "all",
                OutputKind::PerResidue,
                &[
                    1.0, -1.0, 11.0, -11.0, 21.0, -21.0, 31.0, -31.0, 41.0, -41.0,
                ],
            ),
        ];
        for (layer, kind, expected) in cases {
            let layers = ReadLayers::of(layer.parse().unwrap(), &info)
                .unwrap()
                .unwrap();
            let wanted = OutputSet::default().with(kind);
            let asked = OutputSet::default().with(OutputKind::HiddenStates);
            assert_eq!(layers.outputs(wanted), asked);
            let made = layers.read(wanted, &answer).unwrap();
            assert_eq!(made.get(kind).unwrap().data, expected, "{layer} {kind:?}");
        }
        for layer in ["5", "-6", "last6-mean", "last0-mean"] {
            assert!(
                ReadLayers::of(layer.parse().unwrap(), &info).is_err(),
                "{layer}"
            );
        }
        for layer in ["-1", "4", "last1-mean"] {
            let last = ReadLayers::of(layer.parse().unwrap(), &info).unwrap();
            assert!(last.is_none(), "{layer}");
        }
    }
}
