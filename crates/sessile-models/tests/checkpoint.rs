//! Every golden checkpoint, whatever its format, gives the same tensors.

use std::path::PathBuf;

use sessile_device::RowSource;
use sessile_models::ModelErrorKind;
use sessile_models::checkpoint::{Checkpoint, CheckpointFormat, TensorDType, TorchFile};

fn golden(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(path)
}

fn open(path: &str) -> Checkpoint {
    Checkpoint::open(&golden(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    checkpoint
        .rows(name)
        .unwrap_or_else(|error| panic!("{error}"))
        .to_host()
        .unwrap()
        .data
}

#[test]
fn rows_are_read_anywhere_and_in_blocks() {
    let checkpoint = open("esm2/tiny_a");
    let rows = checkpoint
        .rows("esm.embeddings.word_embeddings.weight")
        .unwrap();
    assert_eq!((rows.rows(), rows.cols()), (33, 48));
    let whole = rows.to_host().unwrap();
    let mut block = vec![0.0; 5 * 48];
    rows.read_rows(7, &mut block).unwrap();
    assert_eq!(block, whole.data[7 * 48..12 * 48]);
    assert!(rows.read_rows(30, &mut block).is_err());
    assert!(rows.read_rows(usize::MAX, &mut block).is_err());
    let vector = checkpoint.rows("lm_head.bias").unwrap();
    assert_eq!((vector.rows(), vector.cols()), (1, 33));
}

/// A checkpoint, the same one as safetensors, and how its numbers were rounded.
struct Case {
    path: &'static str,
    same_as: &'static str,
    format: CheckpointFormat,
    rounded: fn(f32) -> f32,
    /// Tensors of the reference that this one does not have.
    without: &'static [&'static str],
}

fn exact(value: f32) -> f32 {
    value
}

const UNUSED: &[&str] = &["position_embeddings", "inv_freq"];

const CASES: [Case; 10] = [
    Case {
        path: "esm2/tiny_a/model.safetensors",
        same_as: "esm2/tiny_a",
        format: CheckpointFormat::Safetensors,
        rounded: exact,
        without: &[],
    },
    Case {
        path: "esm2/tiny_a/variant_f16",
        same_as: "esm2/tiny_a",
        format: CheckpointFormat::Safetensors,
        rounded: |value| half::f16::from_f32(value).to_f32(),
        without: UNUSED,
    },
    Case {
        path: "esm2/tiny_a/variant_bf16",
        same_as: "esm2/tiny_a",
        format: CheckpointFormat::Safetensors,
        rounded: |value| half::bf16::from_f32(value).to_f32(),
        without: UNUSED,
    },
    Case {
        path: "esm2/tiny_a/variant_sharded",
        same_as: "esm2/tiny_a",
        format: CheckpointFormat::Safetensors,
        rounded: exact,
        without: UNUSED,
    },
    Case {
        path: "esm2/tiny_a/variant_bin",
        same_as: "esm2/tiny_a",
        format: CheckpointFormat::PyTorch,
        rounded: exact,
        without: UNUSED,
    },
    Case {
        path: "esm2/tiny_a/fair_esm/esm2_t3_tiny.pt",
        same_as: "esm2/tiny_a",
        format: CheckpointFormat::FairEsm,
        rounded: exact,
        without: &["position_embeddings"],
    },
    Case {
        path: "dnabert_s/tiny_b/pytorch_model.bin",
        same_as: "dnabert_s/tiny_b",
        format: CheckpointFormat::PyTorch,
        rounded: exact,
        without: &[],
    },
    Case {
        path: "prostt5/tiny/cnn/model.pt",
        same_as: "prostt5/tiny/cnn/model.safetensors",
        format: CheckpointFormat::PyTorch,
        rounded: exact,
        without: &[],
    },
    Case {
        path: "prostt5/tiny/cnn/finetuned_model.pth",
        same_as: "prostt5/tiny/cnn/model.safetensors",
        format: CheckpointFormat::PyTorch,
        rounded: exact,
        without: &[],
    },
    Case {
        path: "virnucpro/mlp/model_state_dict.pth",
        same_as: "virnucpro/mlp/model.safetensors",
        format: CheckpointFormat::PyTorch,
        rounded: exact,
        without: &[],
    },
];

#[test]
fn every_variant_gives_the_same_tensors() {
    for case in CASES {
        let (checkpoint, reference) = (open(case.path), open(case.same_as));
        assert_eq!(checkpoint.format(), case.format, "{}", case.path);
        for name in reference.names() {
            if case.without.iter().any(|part| name.contains(part)) {
                continue;
            }
            let have = checkpoint
                .tensor(name)
                .unwrap_or_else(|| panic!("{}: {name}", case.path));
            assert_eq!(
                have.shape,
                reference.tensor(name).unwrap().shape,
                "{}: {name}",
                case.path
            );
            let wanted: Vec<f32> = values(&reference, name)
                .into_iter()
                .map(case.rounded)
                .collect();
            assert_eq!(values(&checkpoint, name), wanted, "{}: {name}", case.path);
        }
    }
}

#[test]
fn a_known_module_is_read_as_its_state_dict() {
    let (module, reference) = (
        open("virnucpro/mlp/model.pth"),
        open("virnucpro/mlp/model.safetensors"),
    );
    assert!(module.names().eq(reference.names()));
    for name in module.names() {
        assert_eq!(values(&module, name), values(&reference, name), "{name}");
    }
    assert_eq!(
        module.tensor("bn1.num_batches_tracked").unwrap().dtype,
        TensorDType::I64
    );
}

#[test]
fn fair_esm_brings_its_configuration_and_contact_head() {
    let checkpoint = open("esm2/tiny_a/fair_esm");
    let wanted = open("esm2/tiny_a");
    for key in [
        "architectures",
        "model_type",
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "layer_norm_eps",
        "position_embedding_type",
        "max_position_embeddings",
        "emb_layer_norm_before",
        "token_dropout",
        "vocab_size",
        "pad_token_id",
        "mask_token_id",
    ] {
        assert_eq!(
            checkpoint.config().unwrap()[key],
            wanted.config().unwrap()[key],
            "{key}"
        );
    }
    let vocabulary = std::fs::read_to_string(golden("esm2/tiny_a/vocab.txt")).unwrap();
    let list = checkpoint.config().unwrap()["vocab_list"]
        .as_array()
        .unwrap();
    assert!(
        list.iter()
            .map(|token| token.as_str().unwrap())
            .eq(vocabulary.lines())
    );
    assert_eq!(
        checkpoint
            .tensor("esm.contact_head.regression.weight")
            .unwrap()
            .shape,
        [1, 6]
    );
}

#[test]
fn tied_weights_count_once() {
    let checkpoint = open("esm2/tiny_a/variant_bin");
    let tied = [
        "lm_head.decoder.weight",
        "esm.embeddings.word_embeddings.weight",
    ];
    assert_eq!(values(&checkpoint, tied[0]), values(&checkpoint, tied[1]));
    let all: u64 = checkpoint
        .names()
        .map(|name| checkpoint.tensor(name).unwrap().bytes())
        .sum();
    let table = checkpoint.tensor(tied[1]).unwrap().bytes();
    assert!(
        checkpoint.total_bytes() <= all - table,
        "{} of {all}",
        checkpoint.total_bytes()
    );
}

#[test]
fn the_hash_is_of_the_tensors_and_not_of_the_files() {
    let sharded = open("esm2/tiny_a/variant_sharded");
    let hash = sharded.content_hash().unwrap();
    assert_eq!(
        hash,
        open("esm2/tiny_a/variant_sharded").content_hash().unwrap()
    );
    assert_ne!(hash, open("esm2/tiny_a").content_hash().unwrap());
    assert_ne!(
        hash,
        open("esm2/tiny_a/variant_f16").content_hash().unwrap()
    );
    for (a, b) in [
        (
            "prostt5/tiny/cnn/model.pt",
            "prostt5/tiny/cnn/model.safetensors",
        ),
        ("virnucpro/mlp/model.pth", "virnucpro/mlp/model.safetensors"),
    ] {
        assert_eq!(
            open(a).content_hash().unwrap(),
            open(b).content_hash().unwrap(),
            "{a}"
        );
    }
}

#[test]
fn a_missing_tensor_is_named_with_its_file() {
    let error = open("virnucpro/mlp/model.pth")
        .rows("hidden_layer.gain")
        .unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::MissingTensor);
    assert!(
        error
            .to_string()
            .contains("model.pth: no tensor `hidden_layer.gain`"),
        "{error}"
    );
    assert!(
        error.hint().unwrap().contains("hidden_layer.bias"),
        "{:?}",
        error.hint()
    );
}

#[test]
fn feature_files_are_read_as_values() {
    let esm = TorchFile::open(&golden("virnucpro/e2e300/output_1_ESM.pt")).unwrap();
    let ids = esm
        .value()
        .get("proteins")
        .and_then(|ids| ids.as_list())
        .unwrap();
    let data = esm
        .value()
        .get("data")
        .and_then(|data| data.as_list())
        .unwrap();
    assert_eq!((ids.len(), data.len()), (50, 50));

    let dna = TorchFile::open(&golden("virnucpro/e2e300/output_1_DNABERT_S.pt")).unwrap();
    let dna_ids = dna
        .value()
        .get("nucleotide")
        .and_then(|ids| ids.as_list())
        .unwrap();
    let rows = dna
        .value()
        .get("data")
        .and_then(|data| data.as_list())
        .unwrap();

    let merged = TorchFile::open(&golden("virnucpro/e2e300/output_1_merged.pt")).unwrap();
    let order = merged
        .value()
        .get("ids")
        .and_then(|ids| ids.as_list())
        .unwrap();
    let table = merged
        .read(merged.value().get("data").unwrap().as_tensor().unwrap())
        .unwrap();
    let expected = open("virnucpro/e2e300/expected.safetensors");
    assert_eq!(table.data, values(&expected, "merged"));

    for (row, id) in order.iter().enumerate() {
        let merged = &table.data[row * 120..(row + 1) * 120];
        let at = dna_ids.iter().position(|have| have == id).unwrap();
        let numbers = rows[at]
            .get("mean_representation")
            .and_then(|n| n.as_list())
            .unwrap();
        let numbers = numbers.iter().map(|n| n.as_float().unwrap() as f32);
        assert!(numbers.eq(merged[..72].iter().copied()), "{id:?}");
        let at = ids.iter().position(|have| have == id).unwrap();
        let numbers = esm.read(data[at].as_tensor().unwrap()).unwrap();
        assert_eq!(numbers.data, merged[72..], "{id:?}");
    }
}
