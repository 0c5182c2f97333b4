//! XGBoost's model files. JSON and UBJ hold the same document; serde reads both, and one tree of
//! fields is written as either. The document is described at
//! <https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html>.

mod document;
mod field;
mod ubj;

use self::document::Document;
use self::field::Field;
use super::{BoostedTrees, NodeKind, Tree};
use sessile_models::{ModelError, ModelErrorKind};

/// The version that written files name. What later versions added says nothing about these models,
/// and they all read it.
const VERSION: [i64; 3] = [2, 0, 0];

/// The parent of a root.
const NO_PARENT: i32 = i32::MAX;

pub(super) fn read(bytes: &[u8]) -> Result<BoostedTrees, ModelError> {
    // Text has a quote or a blank behind its first brace, UBJ the type of a length.
    let is_text = match bytes {
        [b'{', next, ..] => matches!(next, b'"' | b'}' | b' ' | b'\n' | b'\r' | b'\t'),
        _ => {
            let message = "it is neither the JSON nor the UBJ that XGBoost writes";
            return Err(ModelError::new(ModelErrorKind::Malformed, message)
                .with_hint("save the booster again with save_model(\"model.ubj\")"));
        }
    };
    let document: Document = if is_text {
        serde_json::from_slice(bytes).map_err(|error| {
            ModelError::new(ModelErrorKind::Malformed, format!("bad JSON: {error}"))
        })?
    } else {
        ubj::from_slice(bytes).map_err(|error| {
            ModelError::new(ModelErrorKind::Malformed, format!("bad UBJ: {error}"))
        })?
    };
    document.model()
}

pub(super) fn to_json(model: &BoostedTrees) -> Vec<u8> {
    let mut out = Vec::new();
    document(model).json(&mut out);
    out
}

pub(super) fn to_ubj(model: &BoostedTrees) -> Vec<u8> {
    let mut out = Vec::new();
    document(model).ubj(&mut out);
    out
}

/// The document, its keys in XGBoost's order, which is that of the alphabet.
fn document(model: &BoostedTrees) -> Field<'_> {
    let text = |value: String| Field::Text(value.into());
    let texts = |values: &[String]| -> Field<'static> {
        Field::List((values.iter()).map(|value| text(value.clone())).collect())
    };
    let attributes = (model.attributes.iter())
        .map(|(key, value)| (key.as_str(), Field::Text(value.as_str().into())))
        .collect();
    let rounds = model.trees.len().div_ceil(model.parallel_trees);
    let starts = (0..=rounds).map(|round| (round * model.parallel_trees).min(model.trees.len()));
    let booster = Field::Object(vec![
        (
            "model",
            Field::Object(vec![
                (
                    "gbtree_model_param",
                    Field::Object(vec![
                        ("num_parallel_tree", text(model.parallel_trees.to_string())),
                        ("num_trees", text(model.trees.len().to_string())),
                    ]),
                ),
                (
                    "iteration_indptr",
                    Field::List(starts.map(|start| Field::Int(start as i64)).collect()),
                ),
                (
                    "tree_info",
                    Field::List(model.trees.iter().map(|_| Field::Int(0)).collect()),
                ),
                (
                    "trees",
                    Field::List(
                        (model.trees.iter().enumerate())
                            .map(|(id, tree)| tree_fields(id, tree, model.features))
                            .collect(),
                    ),
                ),
            ]),
        ),
        ("name", text("gbtree".to_owned())),
    ]);
    let learner = Field::Object(vec![
        ("attributes", Field::Object(attributes)),
        ("feature_names", texts(&model.feature_names)),
        ("feature_types", texts(&model.feature_types)),
        ("gradient_booster", booster),
        (
            "learner_model_param",
            Field::Object(vec![
                ("base_score", text(format!("{:E}", model.base_score))),
                ("boost_from_average", text("1".to_owned())),
                ("num_class", text("0".to_owned())),
                ("num_feature", text(model.features.to_string())),
                ("num_target", text("1".to_owned())),
            ]),
        ),
        (
            "objective",
            Field::Object(vec![
                ("name", text(document::OBJECTIVE.to_owned())),
                (
                    "reg_loss_param",
                    Field::Object(vec![(
                        "scale_pos_weight",
                        text(model.positive_weight.to_string()),
                    )]),
                ),
            ]),
        ),
    ]);
    let version = VERSION.map(Field::Int).into_iter().collect();
    Field::Object(vec![
        ("learner", learner),
        ("version", Field::List(version)),
    ])
}

fn tree_fields(id: usize, tree: &Tree, features: usize) -> Field<'static> {
    let nodes = tree.nodes();
    let mut parents = vec![NO_PARENT; nodes.len()];
    for (place, node) in nodes.iter().enumerate() {
        if let NodeKind::Split { left, right, .. } = node.kind {
            parents[left as usize] = place as i32;
            parents[right as usize] = place as i32;
        }
    }
    let mut children = [Vec::new(), Vec::new()];
    let (mut indices, mut conditions, mut defaults) = (Vec::new(), Vec::new(), Vec::new());
    for node in nodes {
        let (feature, number, default_left, [left, right]) = match node.kind {
            NodeKind::Leaf { value } => (0, value, false, [-1, -1]),
            NodeKind::Split {
                feature,
                threshold,
                default_left,
                left,
                right,
            } => (
                feature as i32,
                threshold,
                default_left,
                [left as i32, right as i32],
            ),
        };
        indices.push(feature);
        conditions.push(number);
        defaults.push(u8::from(default_left));
        children[0].push(left);
        children[1].push(right);
    }
    let [left_children, right_children] = children;
    let text = |value: usize| Field::Text(value.to_string().into());
    let numbers = |number: fn(&super::Node) -> f32| Field::F32s(nodes.iter().map(number).collect());
    Field::Object(vec![
        ("base_weights", numbers(|node| node.weight)),
        ("categories", Field::I32s(Vec::new())),
        ("categories_nodes", Field::I32s(Vec::new())),
        ("categories_segments", Field::I64s(Vec::new())),
        ("categories_sizes", Field::I64s(Vec::new())),
        ("default_left", Field::U8s(defaults)),
        ("id", Field::Int(id as i64)),
        ("left_children", Field::I32s(left_children)),
        ("loss_changes", numbers(|node| node.gain)),
        ("parents", Field::I32s(parents)),
        ("right_children", Field::I32s(right_children)),
        ("split_conditions", Field::F32s(conditions)),
        ("split_indices", Field::I32s(indices)),
        ("split_type", Field::U8s(vec![0; nodes.len()])),
        ("sum_hessian", numbers(|node| node.cover)),
        (
            "tree_param",
            Field::Object(vec![
                ("num_deleted", text(0)),
                ("num_feature", text(features)),
                ("num_nodes", text(nodes.len())),
                ("size_leaf_vector", text(1)),
            ]),
        ),
    ])
}
