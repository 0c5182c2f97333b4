//! The viral classifier against the reference's numbers, from every file form, on the real device.

use std::path::{Path, PathBuf};

use sessile_device::HostTensor;
use sessile_models::ModelErrorKind;
use sessile_models::checkpoint::Checkpoint;
use sessile_models::classifier::{Arithmetic, Binding, ClassifierFormat, MlpClassifier};
use sessile_runtime::Classifier;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden/virnucpro/mlp")
        .join(name)
}

fn expected(name: &str) -> Vec<f32> {
    let file = Checkpoint::open(&golden("expected.safetensors")).unwrap();
    file.rows(name).unwrap().to_host().unwrap().data
}

fn probabilities(classifier: &MlpClassifier, features: &[f32]) -> Vec<f32> {
    let mut pairs = Vec::new();
    let classifier = Classifier::load(classifier).unwrap();
    let mut lane = classifier.lane().unwrap();
    lane.probabilities(features, &mut pairs).unwrap();
    pairs.into_iter().flatten().collect()
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, f32::max);
    assert!(worst <= 1e-5, "{what}: off by {worst}");
}

#[test]
fn every_file_form_gives_the_reference_probabilities() {
    let (features, probabilities_expected) = (expected("features"), expected("probabilities"));
    for name in ["model.pth", "model_state_dict.pth", "model.safetensors"] {
        let classifier = MlpClassifier::open(&golden(name)).unwrap();
        let found = probabilities(&classifier, &features);
        assert_close(&found, &probabilities_expected, name);
    }
}

#[test]
fn a_row_gets_the_same_bytes_in_any_company() {
    let classifier = MlpClassifier::open(&golden("model.pth")).unwrap();
    let features = expected("features");
    let repeated: Vec<f32> = features.iter().copied().cycle().take(120 * 1000).collect();
    let together = probabilities(&classifier, &repeated);
    for (row, features) in features.chunks(120).enumerate().step_by(7) {
        let alone = probabilities(&classifier, features);
        assert_eq!(alone, together[2 * row..2 * row + 2], "row {row}");
        let later = 2 * (row + 49 * 10);
        assert_eq!(alone, together[later..later + 2], "row {row} further on");
    }
}

/// Real sizes, so that errors have 3,328 products to gather in.
#[test]
fn split_bf16_agrees_with_f32() {
    let mut state = 1_u64;
    let mut random = |scale: f32| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    let mut classifier = MlpClassifier::open(&golden("model.pth")).unwrap();
    let (width, hidden) = (3328, 64);
    let mut tensor = |shape: Vec<usize>, scale| {
        let data = (0..shape.iter().product()).map(|_| random(scale)).collect();
        HostTensor::new(shape, data)
    };
    classifier.hidden_weight = tensor(vec![hidden, width], 0.05);
    classifier.output_weight = tensor(vec![2, hidden], 0.5);
    let ones = vec![1.0; hidden];
    (classifier.norm_gain, classifier.norm_variance) = (ones.clone(), ones);
    let zeros = vec![0.0; hidden];
    (classifier.norm_shift, classifier.norm_mean) = (zeros.clone(), zeros.clone());
    classifier.hidden_bias = zeros;
    let features = tensor(vec![40, width], 3.0).data;
    let score = |arithmetic| {
        let resident = Classifier::with_arithmetic(&classifier, arithmetic).unwrap();
        let mut pairs = Vec::new();
        let mut lane = resident.lane().unwrap();
        lane.probabilities(&features, &mut pairs).unwrap();
        pairs.into_iter().flatten().collect::<Vec<f32>>()
    };
    let (exact, split) = (score(Arithmetic::F32), score(Arithmetic::SplitBf16));
    let undecided = exact
        .iter()
        .filter(|score| (0.01..0.99).contains(*score))
        .count();
    assert!(undecided > 20, "only {undecided} scores could differ");
    assert_close(&split, &exact, "split");
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut classifier = MlpClassifier::open(&golden("model.pth")).unwrap();
    classifier.binding = Binding {
        chunk: Some(300),
        nucleotide: Some(72),
        protein: Some(48),
    };
    for name in ["model.safetensors", "model.pt", "model.pth"] {
        let path = folder.path().join(name);
        let format = ClassifierFormat::of_name(&path).unwrap();
        let bytes = classifier.write(Vec::new(), "model", format).unwrap();
        std::fs::write(&path, bytes).unwrap();
        if format != ClassifierFormat::Safetensors {
            let sidecar = MlpClassifier::binding_path(&path);
            std::fs::write(sidecar, classifier.binding_text()).unwrap();
        }
        assert_eq!(MlpClassifier::open(&path).unwrap(), classifier, "{name}");
    }
}

#[test]
fn other_networks_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let good = MlpClassifier::open(&golden("model.pth")).unwrap();
    let write = |name: &str, classifier: &MlpClassifier| {
        let path = folder.path().join(name);
        let format = ClassifierFormat::Safetensors;
        let bytes = classifier.write(Vec::new(), "model", format).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut not_finite = good.clone();
    not_finite.hidden_weight.data[7] = f32::NAN;
    let mut negative = good.clone();
    negative.norm_variance[3] = -1.0;
    let mut misbound = good.clone();
    misbound.binding.nucleotide = Some(768);
    misbound.binding.protein = Some(2560);
    let esm = golden("../../esm2/tiny_a/model.safetensors");
    let cases = [
        (
            write("a.safetensors", &not_finite),
            ModelErrorKind::Mismatch,
            "not finite",
        ),
        (
            write("b.safetensors", &negative),
            ModelErrorKind::Mismatch,
            "negative variance",
        ),
        (
            write("c.safetensors", &misbound),
            ModelErrorKind::Mismatch,
            "768 and 2560",
        ),
        (esm, ModelErrorKind::MissingTensor, "hidden_layer.weight"),
        (
            golden("no_such.pth"),
            ModelErrorKind::NotFound,
            "no_such.pth",
        ),
    ];
    for (path, kind, words) in cases {
        let error = MlpClassifier::open(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
