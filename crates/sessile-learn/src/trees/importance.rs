//! Which features a model asks for.

use super::{BoostedTrees, NodeKind};

/// What a feature does in a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Importance {
    /// Splits that ask for it: XGBoost's `weight`.
    pub splits: u64,
    /// What these splits lowered the objective by, on average: XGBoost's `gain`.
    pub gain: f64,
    /// The sum of second derivatives of the rows they split, on average: XGBoost's `cover`.
    pub cover: f64,
}

impl BoostedTrees {
    /// The importance of every feature, in their order.
    pub fn importance(&self) -> Vec<Importance> {
        let mut importance = vec![Importance::default(); self.features];
        for node in self.trees.iter().flat_map(|tree| tree.nodes()) {
            if let NodeKind::Split { feature, .. } = node.kind {
                let feature = &mut importance[feature as usize];
                feature.splits += 1;
                feature.gain += f64::from(node.gain);
                feature.cover += f64::from(node.cover);
            }
        }
        for feature in &mut importance {
            let splits = feature.splits.max(1) as f64;
            feature.gain /= splits;
            feature.cover /= splits;
        }
        importance
    }
}
