use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const VERSIONS: [&str; 2] = ["2.1.4", "3.2.0"];

fn golden(name: &str) -> PathBuf {
    (PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/xgboost")).join(name)
}

/// Written by `xtask/check-trees/fixture.py`.
fn expected(version: &str) -> Value {
    let text = std::fs::read(golden(&format!("xgboost-{version}.expected.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    let number = |value: &Value| value.as_f64().map_or(f32::NAN, |number| number as f32);
    value.as_array().unwrap().iter().map(number).collect()
}

#[test]
fn files_of_xgboost_give_its_probabilities() {
    for version in VERSIONS {
        let expected = expected(version);
        let margins = numbers(&expected["margins"]);
        let probabilities = numbers(&expected["probabilities"]);
        for ending in ["json", "ubj"] {
            let model = BoostedTrees::open(&golden(&format!("xgboost-{version}.{ending}")));
            let model = model.unwrap();
            for (place, row) in expected["rows"].as_array().unwrap().iter().enumerate() {
                let row = numbers(row);
                let case = format!("{version} {ending} row {place}");
                assert_eq!(model.margin(&row), margins[place], "{case}");
                let away = (model.probability(&row) - probabilities[place]).abs();
                assert!(away <= 1e-6, "{case}: {away}");
            }
            assert_eq!((model.features(), model.trees().len()), (4, 8));
            assert_eq!(model.best_iteration(), Some(7));
            for (feature, importance) in model.importance().iter().enumerate() {
                let name = format!("f{feature}");
                let said = |kind: &str| expected[kind][&name].as_f64().unwrap();
                assert_eq!(importance.splits as f64, said("weight"));
                for (ours, theirs) in [(importance.gain, "gain"), (importance.cover, "cover")] {
                    let theirs = said(theirs);
                    assert!((ours - theirs).abs() <= 1e-5 * theirs, "{ours} {theirs}");
                }
            }
        }
    }
}

#[test]
fn both_formats_hold_the_same_model() {
    for version in VERSIONS {
        let open = |ending: &str| {
            BoostedTrees::open(&golden(&format!("xgboost-{version}.{ending}"))).unwrap()
        };
        let (json, ubj) = (open("json"), open("ubj"));
        assert_eq!(json, ubj, "{version}");
        assert_eq!(BoostedTrees::read(&json.to_json()).unwrap(), json);
        assert_eq!(BoostedTrees::read(&json.to_ubj()).unwrap(), json);
    }
}

#[test]
fn the_best_round_cuts_the_trees() {
    let model = BoostedTrees::open(&golden("xgboost-3.2.0.ubj")).unwrap();
    let mut stopped = model.clone();
    stopped
        .attributes
        .insert(BEST_ITERATION.to_owned(), "2".to_owned());
    assert_eq!(stopped.best().trees, model.trees[..3]);
    let mut unsaid = model.clone();
    unsaid.attributes.clear();
    assert_eq!(unsaid.clone().best(), unsaid);
}

#[test]
fn names_are_noted_where_xgboost_does_not_check_them() {
    let mut model = BoostedTrees::open(&golden("xgboost-3.2.0.ubj")).unwrap();
    assert!(model.feature_names().is_empty());
    model.note_feature_names(&["a", "b", "c", "d"]);
    let again = BoostedTrees::read(&model.to_ubj()).unwrap();
    assert_eq!(again.feature_names(), ["a", "b", "c", "d"]);
    assert!(again.feature_names.is_empty());
}

fn document() -> Value {
    serde_json::from_slice(&std::fs::read(golden("xgboost-3.2.0.json")).unwrap()).unwrap()
}

/// What is wrong with a file, and a word of what is said about it.
#[test]
fn files_that_are_no_such_model_are_refused() {
    use ModelErrorKind::{Malformed, Unsupported};
    const TREE: &str = "/learner/gradient_booster/model/trees/0";
    let cases: &[(&str, Value, ModelErrorKind, &str)] = &[
        (
            "/learner/gradient_booster/name",
            json!("dart"),
            Unsupported,
            "dart",
        ),
        (
            "/learner/gradient_booster/name",
            json!("gblinear"),
            Unsupported,
            "gblinear",
        ),
        (
            "/learner/objective/name",
            json!("multi:softprob"),
            Unsupported,
            "softprob",
        ),
        (
            "/learner/objective/name",
            json!("reg:squarederror"),
            Unsupported,
            "squarederror",
        ),
        (
            "/learner/learner_model_param/num_class",
            json!("3"),
            Unsupported,
            "two classes",
        ),
        (
            "/learner/learner_model_param/num_target",
            json!("2"),
            Unsupported,
            "outputs",
        ),
        (
            "/learner/learner_model_param/num_feature",
            json!("x"),
            Malformed,
            "num_feature",
        ),
        (
            "/learner/learner_model_param/num_feature",
            json!("2"),
            Malformed,
            "feature",
        ),
        (
            "/learner/learner_model_param/base_score",
            json!("[5E-1,5E-1]"),
            Malformed,
            "base_score",
        ),
        (
            "/learner/learner_model_param/base_score",
            json!("1"),
            Malformed,
            "base_score",
        ),
        (
            "/learner/learner_model_param/base_score",
            json!("nan"),
            Malformed,
            "base_score",
        ),
        (
            "/learner/feature_types",
            json!(["c", "float", "float", "float"]),
            Unsupported,
            "categ",
        ),
        (
            "/learner/feature_names",
            json!(["one"]),
            Malformed,
            "feature_names",
        ),
        (
            "/learner/gradient_booster/model/cats/enc",
            json!([{"x": 1}]),
            Unsupported,
            "categorical",
        ),
        (
            "/learner/gradient_booster/model/trees",
            json!([]),
            Malformed,
            "num_trees",
        ),
        ("/tree/left_children/0", json!(0), Malformed, "two ways"),
        ("/tree/left_children/0", json!(99), Malformed, "node 99"),
        ("/tree/left_children/0", json!(-1), Malformed, "node -1"),
        ("/tree/right_children/0", json!(1), Malformed, "two ways"),
        (
            "/tree/right_children/0",
            json!(2_147_483_647),
            Malformed,
            "leads to node",
        ),
        ("/tree/split_indices/0", json!(4), Malformed, "feature 4"),
        ("/tree/split_indices/0", json!(-4), Malformed, "JSON"),
        ("/tree/split_type/0", json!(1), Unsupported, "categories"),
        (
            "/tree/split_conditions",
            json!([1.0]),
            Malformed,
            "split_conditions",
        ),
        ("/tree/default_left", json!([]), Malformed, "default_left"),
        (
            "/tree/tree_param/size_leaf_vector",
            json!("3"),
            Unsupported,
            "leaves",
        ),
        ("/learner", json!(3), Malformed, "JSON"),
        ("/learner/gradient_booster", json!({}), Malformed, "name"),
    ];
    for (place, value, kind, word) in cases {
        let mut document = document();
        let place = place
            .replace("/tree", TREE)
            .replace(&format!("{TREE}s"), "/trees");
        let place = place.replace(&format!("{TREE}_param"), "/tree_param");
        *document
            .pointer_mut(&place)
            .unwrap_or_else(|| panic!("{place}")) = value.clone();
        let error = BoostedTrees::read(document.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.kind(), *kind, "{place} {value}: {error}");
        assert!(error.to_string().contains(word), "{place} {value}: {error}");
    }
    for bytes in [
        &b""[..],
        b"{",
        b"[]",
        b"\x00",
        b"binf\x00\x00",
        b"{\"learner\":",
        b"{}",
        b"{L",
    ] {
        let error = BoostedTrees::read(bytes).unwrap_err();
        assert_eq!(error.kind(), Malformed, "{bytes:?}");
    }
    let missing = BoostedTrees::open(&golden("none.ubj")).unwrap_err();
    assert_eq!(missing.kind(), ModelErrorKind::NotFound);
}

#[test]
fn a_cycle_below_the_root_is_found() {
    let mut document = document();
    let tree = document
        .pointer_mut("/learner/gradient_booster/model/trees/0")
        .unwrap();
    tree["left_children"] = json!([1, 3, -1, 5, -1, 1, -1]);
    tree["right_children"] = json!([2, 4, -1, 6, -1, 2, -1]);
    for key in ["split_indices", "default_left", "split_type"] {
        tree[key] = json!([0, 0, 0, 0, 0, 0, 0]);
    }
    for key in [
        "split_conditions",
        "base_weights",
        "loss_changes",
        "sum_hessian",
    ] {
        tree[key] = json!([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
    let error = BoostedTrees::read(document.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("two ways"), "{error}");
}

/// Nodes that were pruned stay in the arrays; nothing leads to them.
#[test]
fn nodes_that_nothing_leads_to_are_left_out() {
    let leaf = |value| Node {
        kind: NodeKind::Leaf { value },
        gain: 0.0,
        cover: 1.0,
        weight: value,
    };
    let split = |left, right| Node {
        kind: NodeKind::Split {
            feature: 0,
            threshold: 0.5,
            default_left: true,
            left,
            right,
        },
        ..leaf(0.0)
    };
    let tree = Tree::new(&[split(3, 1), leaf(2.0), leaf(f32::NAN), leaf(1.0)], 1).unwrap();
    assert_eq!(tree.len(), 3);
    assert_eq!(
        [0.0, 0.5, f32::NAN].map(|value| tree.leaf(&[value])),
        [1.0, 2.0, 1.0]
    );
    // A child before its parent is put behind it.
    let turned = Tree::new(
        &[split(2, 3), leaf(5.0), split(1, 4), leaf(6.0), leaf(7.0)],
        1,
    );
    let turned = turned.unwrap();
    assert_eq!(turned.leaf(&[0.0]), 5.0);
    assert_eq!(turned.leaf(&[1.0]), 6.0);
}

/// A damaged file is an error or another model, never a panic and never much memory.
#[test]
fn damaged_files_do_no_harm() {
    let bytes = std::fs::read(golden("xgboost-3.2.0.ubj")).unwrap();
    for end in (0..bytes.len()).step_by(7) {
        assert!(BoostedTrees::read(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut damaged = bytes.clone();
    for place in 0..bytes.len() {
        for value in [0, 0x7f, 0xff, b'[', b'L', bytes[place] ^ 1] {
            damaged[place] = value;
            if let Ok(model) = BoostedTrees::read(&damaged) {
                let probability = model.probability(&[0.0, f32::NAN]);
                assert!((0.0..=1.0).contains(&probability) || probability.is_nan());
            }
        }
        damaged[place] = bytes[place];
    }
    // A list that says it has more items than there are bytes; lists within lists.
    let mut long = b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner[$d#L".to_vec();
    long.extend(i64::MAX.to_be_bytes());
    let deep = [&b"{i\x01a"[..], &[b'['; 100_000]].concat();
    for bytes in [long, deep] {
        let error = BoostedTrees::read(&bytes).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Malformed);
    }
}

/// Any tree whose children lie behind their parents.
fn any_tree(features: u32) -> impl Strategy<Value = Tree> {
    let number = || -1e30_f32..1e30;
    let inner = (0..features, number(), any::<bool>(), number(), 0.0_f32..1e6);
    (
        proptest::collection::vec(inner, 0..12),
        proptest::collection::vec(number(), 13),
        any::<u64>(),
    )
        .prop_map(move |(inner, leaves, mut choice)| {
            let leaf = |value: f32| Node {
                kind: NodeKind::Leaf { value },
                gain: 0.0,
                cover: 0.25,
                weight: value,
            };
            let mut nodes = vec![leaf(leaves[12])];
            let mut open = vec![0];
            for (place, (feature, threshold, default_left, weight, gain)) in
                inner.into_iter().enumerate()
            {
                let chosen = open.swap_remove(choice as usize % open.len());
                choice = choice.rotate_right(5);
                let left = nodes.len() as u32;
                nodes[chosen] = Node {
                    kind: NodeKind::Split {
                        feature,
                        threshold,
                        default_left,
                        left,
                        right: left + 1,
                    },
                    gain,
                    cover: gain,
                    weight,
                };
                open.extend([nodes.len(), nodes.len() + 1]);
                nodes.extend([leaf(leaves[place]), leaf(-leaves[place])]);
            }
            Tree::new(&nodes, features as usize).unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_to_the_last_bit(
        trees in proptest::collection::vec(any_tree(5), 0..5),
        base_score in 1e-6_f32..0.999_999,
        positive_weight in 1e-3_f32..1e3,
        note in "\\PC{0,12}",
    ) {
        let model = BoostedTrees {
            trees,
            base_score,
            features: 5,
            feature_names: ["a", "\"", "é\n", "d", ""].map(str::to_owned).to_vec(),
            feature_types: Vec::new(),
            parallel_trees: 1,
            positive_weight,
            attributes: [("note".to_owned(), note)].into(),
        };
        prop_assert_eq!(&BoostedTrees::read(&model.to_json()).unwrap(), &model);
        prop_assert_eq!(&BoostedTrees::read(&model.to_ubj()).unwrap(), &model);
    }
}
