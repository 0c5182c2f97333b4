//! Which tensors are the heads that score states.
//!
//! A token classifier of transformers has `head.dense`, `head.norm` and `classifier`. How the
//! checkpoint with two heads names them is not known here, so heads are recognised by shape: a
//! matrix outside of the encoder with 20 rows scores 3Di, one with 12 rows the second alphabet,
//! and a square one before them belongs to the classifier whose name it shares most with. What is
//! concluded is told; where shapes leave a choice, nothing is guessed and a [`HeadMap`] must say.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{ModelError, ModelErrorKind};
use crate::three_di::{STATES, TWELVE_STATES};
use crate::weights::WeightSource;

/// The tensors of one head, by their names without `.weight` and `.bias`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadNames {
    /// The dense layer before the classifier, if there is one.
    #[serde(default)]
    pub dense: Option<String>,
    /// The norm between them, if there is one.
    #[serde(default)]
    pub norm: Option<String>,
    /// The layer that scores the states.
    pub classifier: String,
}

/// Which tensors are the heads; as JSON, for example
/// `{"3di": {"dense": "head.dense", "norm": "head.norm", "classifier": "classifier"}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadMap {
    /// The head of 3Di.
    #[serde(default, rename = "3di")]
    pub three_di: Option<HeadNames>,
    /// The head of the second alphabet.
    #[serde(default, rename = "12st")]
    pub twelve_state: Option<HeadNames>,
}

impl HeadMap {
    /// Reads a map from JSON.
    ///
    /// # Errors
    ///
    /// `Malformed` when it is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::modern_bert::HeadMap;
    ///
    /// let map = HeadMap::from_json(r#"{"12st": {"classifier": "heads.1.out"}}"#)?;
    /// assert_eq!(map.twelve_state.unwrap().classifier, "heads.1.out");
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        serde_json::from_str(text).map_err(|error| {
            ModelError::new(ModelErrorKind::Malformed, format!("the head map: {error}")).with_hint(
                "for example {\"3di\": {\"dense\": \"head.dense\", \"norm\": \"head.norm\", \
                 \"classifier\": \"classifier\"}}",
            )
        })
    }

    /// Finds the heads of `source` by shape, outside of the encoder (`model.`). Adds what was
    /// concluded to `assumed`.
    pub(super) fn find(
        source: &dyn WeightSource,
        hidden: usize,
        assumed: &mut Vec<String>,
    ) -> Result<Self, ModelError> {
        let outside: BTreeMap<&str, &[usize]> = source
            .names()
            .into_iter()
            .filter(|name| !name.starts_with("model."))
            .filter_map(|name| {
                let shape = source.shape(name)?;
                Some((name.strip_suffix(".weight")?, shape))
            })
            .collect();
        let shaped = |shape: &[usize]| -> Vec<&str> {
            let same = outside.iter().filter(|(_, have)| **have == shape);
            same.map(|(name, _)| *name).collect()
        };
        let ambiguous = |what: &str, names: &[&str]| {
            ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "{}: {what} may be any of {}",
                    source.describe(),
                    names.join(", ")
                ),
            )
            .with_hint("say which with --head-map")
        };
        let mut classifier =
            |states: usize, alphabet: &str| -> Result<Option<String>, ModelError> {
                match shaped(&[states, hidden]).as_slice() {
                    [] => Ok(None),
                    [name] => {
                        assumed.push(format!("{name}, with {states} rows, scores {alphabet}"));
                        Ok(Some((*name).to_owned()))
                    }
                    names => Err(ambiguous(&format!("the head of {alphabet}"), names)),
                }
            };
        let classifiers = [
            classifier(STATES.len(), "3Di")?,
            classifier(TWELVE_STATES.len(), "the 12 states")?,
        ];
        let dense = shaped(&[hidden, hidden]);
        let norms = shaped(&[hidden]);
        let named = |classifier: Option<String>| -> Result<Option<HeadNames>, ModelError> {
            let Some(classifier) = classifier else {
                return Ok(None);
            };
            let dense = match dense.as_slice() {
                [] => None,
                [only] => Some(*only),
                many => Some(
                    nearest(&classifier, many)
                        .ok_or_else(|| ambiguous(&format!("what is before {classifier}"), many))?,
                ),
            };
            let norm = match norms.as_slice() {
                [] => None,
                [only] => Some(*only),
                many => Some(
                    nearest(dense.unwrap_or(&classifier), many)
                        .ok_or_else(|| ambiguous(&format!("the norm before {classifier}"), many))?,
                ),
            };
            assumed.push(format!(
                "before {classifier}: {} and {}",
                dense.map_or_else(
                    || "no dense layer".to_owned(),
                    |name| format!("{name}, GELU")
                ),
                norm.unwrap_or("no norm")
            ));
            Ok(Some(HeadNames {
                dense: dense.map(str::to_owned),
                norm: norm.map(str::to_owned),
                classifier,
            }))
        };
        let [three_di, twelve_state] = classifiers.map(named);
        Ok(HeadMap {
            three_di: three_di?,
            twelve_state: twelve_state?,
        })
    }
}

/// The name that shares the longest beginning or the most words with `name`, if one is ahead of
/// the others.
fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let words = |name: &str| -> Vec<String> {
        let parts = name.split(['.', '_']);
        parts.map(str::to_ascii_lowercase).collect()
    };
    let own = words(name);
    let score = |candidate: &str| {
        let theirs = words(candidate);
        let shared = own.iter().filter(|word| theirs.contains(word)).count();
        let beginning = own.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        (shared, beginning)
    };
    let best = candidates.iter().map(|candidate| score(candidate)).max()?;
    let mut found = candidates
        .iter()
        .filter(|candidate| score(candidate) == best);
    let first = found.next()?;
    (found.next().is_none() && best.0 > 0).then_some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::RandomWeights;

    fn find(tensors: &[(&str, &[usize])]) -> Result<(HeadMap, Vec<String>), ModelError> {
        let shapes = tensors
            .iter()
            .map(|(name, shape)| (format!("{name}.weight"), shape.to_vec()));
        let source = RandomWeights::new(0, shapes);
        let mut assumed = Vec::new();
        let map = HeadMap::find(&source, 48, &mut assumed)?;
        Ok((map, assumed))
    }

    #[test]
    fn heads_are_found_by_shape() {
        let (map, assumed) = find(&[
            ("model.layers.0.attn.Wo", &[48, 48]),
            ("head.dense", &[48, 48]),
            ("head.norm", &[48]),
            ("classifier", &[20, 48]),
        ])
        .unwrap();
        let head = map.three_di.unwrap();
        assert_eq!(head.classifier, "classifier");
        assert_eq!(head.dense.as_deref(), Some("head.dense"));
        assert_eq!(head.norm.as_deref(), Some("head.norm"));
        assert_eq!(map.twelve_state, None);
        assert_eq!(assumed.len(), 2, "{assumed:?}");
    }

    #[test]
    fn two_heads_are_told_apart_by_their_names() {
        let (map, _) = find(&[
            ("heads.3di.dense", &[48, 48]),
            ("heads.3di.norm", &[48]),
            ("heads.3di.out", &[20, 48]),
            ("heads.12st.dense", &[48, 48]),
            ("heads.12st.norm", &[48]),
            ("heads.12st.out", &[12, 48]),
        ])
        .unwrap();
        assert_eq!(map.three_di.unwrap().dense.unwrap(), "heads.3di.dense");
        assert_eq!(map.twelve_state.unwrap().norm.unwrap(), "heads.12st.norm");
        // One dense layer before both.
        let (map, _) = find(&[
            ("head.dense", &[48, 48]),
            ("classifier_3di", &[20, 48]),
            ("classifier_12st", &[12, 48]),
        ])
        .unwrap();
        let dense = map.twelve_state.unwrap().dense;
        assert_eq!(map.three_di.unwrap().dense, dense);
    }

    #[test]
    fn nothing_is_guessed() {
        let two_classifiers = find(&[("a", &[20, 48]), ("b", &[20, 48])]);
        let two_layers = find(&[
            ("x.first", &[48, 48]),
            ("x.second", &[48, 48]),
            ("out", &[20, 48]),
        ]);
        for result in [two_classifiers, two_layers] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ModelErrorKind::Mismatch, "{error}");
            assert!(error.hint().unwrap().contains("--head-map"));
        }
        let (none, _) = find(&[("model.x", &[20, 48])]).unwrap();
        assert_eq!(none, HeadMap::default());
    }
}
