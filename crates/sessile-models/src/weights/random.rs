//! Random weights, made from a seed whenever they are read: for the built-in demonstration model
//! and for checkpoints of real size to measure with.
//!
//! Every value is a function of seed, tensor name and position alone (a counter-based generator),
//! so rows can be read in any order and by several threads.

use std::collections::BTreeMap;

use sessile_device::{DeviceError, RowSource};

use super::WeightSource;
use crate::error::{ModelError, ModelErrorKind};

/// How the values of a tensor are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The mean.
    pub(crate) centre: f32,
    /// The standard deviation (of a uniform distribution).
    pub(crate) deviation: f32,
}

/// A set of random tensors.
pub struct RandomWeights {
    seed: u64,
    tensors: BTreeMap<String, (Vec<usize>, Spread)>,
}

impl RandomWeights {
    /// Tensors of these names and shapes. Norm gains lie around 1, biases are small, matrices
    /// keep the variance of what goes through them.
    pub fn new(seed: u64, shapes: impl IntoIterator<Item = (String, Vec<usize>)>) -> Self {
        let tensors = shapes
            .into_iter()
            .map(|(name, shape)| {
                let spread = spread(&name, &shape);
                (name, (shape, spread))
            })
            .collect();
        RandomWeights { seed, tensors }
    }
}

/// A spread that keeps a deep network's activations in a sane range, like trained weights do.
fn spread(name: &str, shape: &[usize]) -> Spread {
    let is_norm = name.to_ascii_lowercase().contains("norm");
    match shape {
        [_] if is_norm && name.ends_with("weight") => Spread {
            centre: 1.0,
            deviation: 0.1,
        },
        [_] => Spread {
            centre: 0.0,
            deviation: 0.05,
        },
        _ if name.contains("embeddings") => Spread {
            centre: 0.0,
            deviation: 1.0,
        },
        [_, inputs @ ..] => {
            let inputs = inputs.iter().product::<usize>().max(1);
            // T5 does not scale its scores: its queries are small instead.
            let share = if name.ends_with("Attention.q.weight") {
                0.1
            } else {
                1.0
            };
            Spread {
                centre: 0.0,
                deviation: share * (inputs as f32).sqrt().recip(),
            }
        }
        [] => Spread {
            centre: 0.0,
            deviation: 0.05,
        },
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014): a good mix of 64 bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a over the name, so that a tensor's values do not depend on which others exist.
fn name_key(seed: u64, name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash ^ mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

struct RandomRows<'a> {
    key: u64,
    shape: &'a [usize],
    spread: Spread,
}

impl RowSource for RandomRows<'_> {
    fn rows(&self) -> usize {
        if self.shape.len() < 2 {
            1
        } else {
            self.shape[0]
        }
    }

    fn cols(&self) -> usize {
        match self.shape {
            [] => 1,
            [cols] => *cols,
            [_, inner @ ..] => inner.iter().product(),
        }
    }

    fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        let start = (first * self.cols()) as u64;
        // A uniform distribution of width w has the deviation w / sqrt(12).
        let width = self.spread.deviation * 12.0_f32.sqrt();
        for (index, value) in out.iter_mut().enumerate() {
            let counter = (start + index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let bits = mix(self.key.wrapping_add(counter));
            let unit = (bits >> 40) as f32 / (1_u64 << 24) as f32;
            *value = self.spread.centre + (unit - 0.5) * width;
        }
        Ok(())
    }
}

impl WeightSource for RandomWeights {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(shape, _)| shape.as_slice())
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn rows(&self, name: &str) -> Result<Box<dyn RowSource + '_>, ModelError> {
        let (shape, spread) = self.tensors.get(name).ok_or_else(|| {
            ModelError::new(
                ModelErrorKind::MissingTensor,
                format!("the random weights have no tensor `{name}`"),
            )
        })?;
        Ok(Box::new(RandomRows {
            key: name_key(self.seed, name),
            shape,
            spread: *spread,
        }))
    }

    fn describe(&self) -> String {
        format!("random weights (seed {})", self.seed)
    }

    fn content_hash(&self) -> Result<String, ModelError> {
        // The values are a function of the seed, the names and the shapes.
        let mut key = mix(self.seed);
        for (name, (shape, _)) in &self.tensors {
            key = mix(key ^ name_key(self.seed, name));
            for &extent in shape {
                key = mix(key ^ extent as u64);
            }
        }
        Ok(format!("random-{key:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(seed: u64) -> RandomWeights {
        RandomWeights::new(
            seed,
            [
                ("a.weight".to_owned(), vec![8, 50]),
                ("b.LayerNorm.weight".to_owned(), vec![400]),
            ],
        )
    }

    fn read(weights: &RandomWeights, name: &str, first: usize, values: usize) -> Vec<f32> {
        let mut out = vec![0.0; values];
        weights
            .rows(name)
            .unwrap()
            .read_rows(first, &mut out)
            .unwrap();
        out
    }

    #[test]
    fn rows_do_not_depend_on_the_order_of_reading() {
        let weights = weights(1);
        let whole = read(&weights, "a.weight", 0, 400);
        assert_eq!(read(&weights, "a.weight", 3, 100), whole[150..250]);
        assert_ne!(whole[..50], whole[50..100]);
    }

    #[test]
    fn seeds_and_names_give_other_values() {
        assert_ne!(
            read(&weights(1), "a.weight", 0, 50),
            read(&weights(2), "a.weight", 0, 50)
        );
        assert_ne!(
            weights(1).content_hash().unwrap(),
            weights(2).content_hash().unwrap()
        );
    }

    #[test]
    fn gains_lie_around_one() {
        let gains = read(&weights(1), "b.LayerNorm.weight", 0, 400);
        let mean = gains.iter().sum::<f32>() / 400.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
