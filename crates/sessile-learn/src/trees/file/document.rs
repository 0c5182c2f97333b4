//! The document of a model file as serde reads it, and the model that it becomes.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, Visitor};

use super::super::{BoostedTrees, Node, NodeKind, Tree};
use sessile_models::{ModelError, ModelErrorKind};

/// The one objective whose probabilities these trees give.
pub(super) const OBJECTIVE: &str = "binary:logistic";

#[derive(Deserialize)]
pub(super) struct Document {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: LearnerParam,
    objective: Objective,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    /// Boosters of other kinds have other things here, or nothing.
    #[serde(default)]
    model: Model,
}

#[derive(Default, Deserialize)]
struct Model {
    #[serde(default)]
    gbtree_model_param: BTreeMap<String, String>,
    #[serde(default)]
    cats: Categories,
    #[serde(default)]
    trees: Vec<TreeDocument>,
}

#[derive(Default, Deserialize)]
struct Categories {
    #[serde(default)]
    enc: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct LearnerParam {
    base_score: String,
    num_feature: String,
    #[serde(default)]
    num_class: Option<String>,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
    #[serde(default)]
    reg_loss_param: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TreeDocument {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<Flag>,
    #[serde(default)]
    categories: Vec<i64>,
    #[serde(default)]
    base_weights: Vec<f32>,
    #[serde(default)]
    loss_changes: Vec<f32>,
    #[serde(default)]
    sum_hessian: Vec<f32>,
    #[serde(default)]
    tree_param: BTreeMap<String, String>,
}

/// Yes or no: a number in newer files, a boolean in older ones.
#[derive(Clone, Copy)]
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0, 1, false or true")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}

impl Document {
    pub(super) fn model(self) -> Result<BoostedTrees, ModelError> {
        let learner = self.learner;
        let booster = learner.gradient_booster;
        if booster.name != "gbtree" {
            return Err(unsupported(format!(
                "the booster is {:?}; gbtree is the one that is read",
                booster.name
            )));
        }
        if learner.objective.name != OBJECTIVE {
            return Err(unsupported(format!(
                "the objective is {:?}; {OBJECTIVE} is the one that is read",
                learner.objective.name
            )));
        }
        let param = learner.learner_model_param;
        let classes = optional_count("num_class", param.num_class.as_deref())?;
        let targets = optional_count("num_target", param.num_target.as_deref())?;
        if classes.is_some_and(|classes| classes > 2) || targets.is_some_and(|targets| targets > 1)
        {
            return Err(unsupported(
                "it tells more than two classes apart or has several outputs".to_owned(),
            ));
        }
        if !booster.model.cats.enc.is_empty()
            || (learner.feature_types.iter()).any(|kind| kind == "c" || kind == "categorical")
        {
            return Err(unsupported("it has categorical features".to_owned()));
        }
        let features = count("num_feature", &param.num_feature)?;
        for (what, names) in [
            ("feature_names", &learner.feature_names),
            ("feature_types", &learner.feature_types),
        ] {
            if !names.is_empty() && names.len() != features {
                return Err(malformed(format!(
                    "{what} has {} entries for {features} features",
                    names.len()
                )));
            }
        }
        let tree_param = &booster.model.gbtree_model_param;
        let parallel = optional_count(
            "num_parallel_tree",
            tree_param.get("num_parallel_tree").map(String::as_str),
        )?;
        let said = optional_count("num_trees", tree_param.get("num_trees").map(String::as_str))?;
        if said.is_some_and(|said| said != booster.model.trees.len()) {
            return Err(malformed(format!(
                "num_trees is {}, but there are {} trees",
                said.unwrap_or_default(),
                booster.model.trees.len()
            )));
        }
        let trees = (booster.model.trees.iter().enumerate())
            .map(|(place, tree)| {
                (tree.tree(features)).map_err(|error| {
                    ModelError::new(error.kind(), format!("tree {place}: {error}"))
                })
            })
            .collect::<Result<_, _>>()?;
        let weight = learner.objective.reg_loss_param.get("scale_pos_weight");
        Ok(BoostedTrees {
            trees,
            base_score: base_score(&param.base_score)?,
            features,
            feature_names: learner.feature_names,
            feature_types: learner.feature_types,
            parallel_trees: parallel.unwrap_or(1).max(1),
            positive_weight: weight.and_then(|weight| weight.parse().ok()).unwrap_or(1.0),
            attributes: learner.attributes,
        })
    }
}

impl TreeDocument {
    fn tree(&self, features: usize) -> Result<Tree, ModelError> {
        let size = self.left_children.len();
        // Equal lengths; what only describes how the tree grew may be absent.
        for (what, length, may_lack) in [
            ("right_children", self.right_children.len(), false),
            ("split_indices", self.split_indices.len(), false),
            ("split_conditions", self.split_conditions.len(), false),
            ("default_left", self.default_left.len(), false),
            ("split_type", self.split_type.len(), true),
            ("base_weights", self.base_weights.len(), true),
            ("loss_changes", self.loss_changes.len(), true),
            ("sum_hessian", self.sum_hessian.len(), true),
        ] {
            if length != size && !(may_lack && length == 0) {
                return Err(malformed(format!(
                    "left_children has {size} entries, {what} has {length}"
                )));
            }
        }
        let leaf_size = self.tree_param.get("size_leaf_vector").map(String::as_str);
        if optional_count("size_leaf_vector", leaf_size)?.is_some_and(|size| size > 1) {
            return Err(unsupported("its leaves hold several numbers".to_owned()));
        }
        if !self.categories.is_empty() || self.split_type.iter().any(|kind| kind.0) {
            return Err(unsupported("it splits by categories".to_owned()));
        }
        let noted = |numbers: &[f32], place: usize| numbers.get(place).copied().unwrap_or(0.0);
        let nodes = (0..size).map(|place| {
            let kind = match (self.left_children[place], self.right_children[place]) {
                (-1, -1) => NodeKind::Leaf {
                    value: self.split_conditions[place],
                },
                (left, right) => NodeKind::Split {
                    feature: self.split_indices[place],
                    threshold: self.split_conditions[place],
                    default_left: self.default_left[place].0,
                    left: child(place, left)?,
                    right: child(place, right)?,
                },
            };
            Ok(Node {
                kind,
                gain: noted(&self.loss_changes, place),
                cover: noted(&self.sum_hessian, place),
                weight: noted(&self.base_weights, place),
            })
        });
        Tree::new(&nodes.collect::<Result<Vec<_>, ModelError>>()?, features)
    }
}

fn child(place: usize, child: i32) -> Result<u32, ModelError> {
    u32::try_from(child).map_err(|_| malformed(format!("node {place} leads to node {child}")))
}

/// `5E-1`, or `[5E-1]` since XGBoost 3.1.
fn base_score(text: &str) -> Result<f32, ModelError> {
    let inner = text.trim();
    let inner = inner
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(inner);
    (inner.trim().parse().ok())
        .filter(|score| (0.0..=1.0).contains(score) && *score > 0.0 && *score < 1.0)
        .ok_or_else(|| malformed(format!("base_score {text:?} is no number between 0 and 1")))
}

fn count(what: &str, text: &str) -> Result<usize, ModelError> {
    text.parse()
        .map_err(|_| malformed(format!("{what} {text:?} is no count")))
}

fn optional_count(what: &str, text: Option<&str>) -> Result<Option<usize>, ModelError> {
    text.map(|text| count(what, text)).transpose()
}

fn malformed(message: String) -> ModelError {
    ModelError::new(ModelErrorKind::Malformed, message)
}

fn unsupported(message: String) -> ModelError {
    ModelError::new(ModelErrorKind::Unsupported, message)
        .with_hint("train with sessile entropy ml train, or XGBoost's gbtree and binary:logistic")
}
