//! Checkpoints as programs and people write them, against what the reference makes of them.

use crate::golden::run::{BUDGET, Place, answers, values};
use crate::golden::{Expected, path};
use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::three_di::StateSequence;
use sessile_models::{Model, OpenOptions};

/// Names and residues of a FASTA file beside the checkpoints.
fn proteins(file: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path(&format!("checkpoints/{file}"))).unwrap();
    let records = text.split('>').skip(1);
    records
        .map(|record| {
            let (name, residues) = record.split_once('\n').unwrap();
            (name.to_owned(), residues.split_whitespace().collect())
        })
        .collect()
}

/// Runs a checkpoint over proteins and compares every tensor of `kinds` with the expected one.
fn matches(checkpoint: &str, expected: &str, file: &str, kinds: &[(&str, OutputKind)]) {
    let files = Model::open(&path(&format!("checkpoints/{checkpoint}"))).unwrap();
    agrees(&files, expected, file, kinds);
}

fn agrees(files: &Model, expected: &str, file: &str, kinds: &[(&str, OutputKind)]) {
    let expected = Expected::open(&format!("checkpoints/{expected}.expected.safetensors"));
    let outputs: OutputSet = kinds.iter().map(|(_, kind)| *kind).collect();
    let proteins = proteins(file);
    let requests: Vec<_> = proteins
        .iter()
        .map(|(_, residues)| {
            let tokens = files.tokenizer().encode(residues.as_bytes()).tokens;
            (tokens, outputs)
        })
        .collect();
    let place = Place::Cpu(Isa::detect().unwrap());
    let answers = answers(&place, files, DType::F32, BUDGET, &requests);
    for ((name, _), output) in proteins.iter().zip(&answers) {
        for (what, kind) in kinds {
            expected.assert_close(&format!("{what}/{name}"), values(output, *kind));
        }
    }
}

const ESM: [(&str, OutputKind); 4] = [
    ("mean", OutputKind::Mean),
    ("cls", OutputKind::Cls),
    ("logits", OutputKind::Logits),
    ("contacts", OutputKind::Contacts),
];

#[test]
fn an_esm_without_a_kind_of_positions_has_a_table_of_them() {
    matches("esm_no_position_key", "esm_no_position_key", "esm.fa", &ESM);
}

#[test]
fn the_base_of_an_esms_angles_is_applied() {
    matches("esm_rope_theta", "esm_rope_theta", "esm.fa", &ESM);
}

#[test]
fn an_adapter_beside_the_weights_is_added_to_them() {
    matches("esm_peft_beside", "esm_peft_beside", "esm.fa", &ESM);
}

#[test]
fn an_adapter_of_another_folder_is_added_where_it_is_named() {
    let place = tempfile::tempdir().unwrap();
    let [base, adapter] = ["base", "adapter"].map(|name| place.path().join(name));
    for folder in [&base, &adapter] {
        std::fs::create_dir(folder).unwrap();
    }
    for entry in std::fs::read_dir(path("checkpoints/esm_peft_beside")).unwrap() {
        let entry = entry.unwrap();
        let is_of_adapter = entry.file_name().to_string_lossy().starts_with("adapter_");
        let folder = if is_of_adapter { &adapter } else { &base };
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let with = |adapter: &std::path::Path| {
        let options = OpenOptions {
            adapter: Some(adapter.to_owned()),
            ..OpenOptions::default()
        };
        Model::open_with(&base, &options)
    };
    let files = with(&adapter).unwrap();
    agrees(&files, "esm_peft_beside", "esm.fa", &ESM);
    let alone = Model::open(&base).unwrap();
    assert_ne!(files.content_hash().unwrap(), alone.content_hash().unwrap());
    let is_of_adapter = |file: &std::path::PathBuf| file.starts_with(&adapter);
    assert!(files.files().iter().any(is_of_adapter));
    let error = with(&base).err().unwrap();
    assert!(error.to_string().contains("adapter_config.json"), "{error}");
}

#[test]
fn a_lightning_checkpoint_is_read() {
    matches("esm_lightning", "esm_lightning", "esm.fa", &ESM);
}

#[test]
fn a_fair_esm_1b_has_a_table_of_positions() {
    let file = "fair_esm1b/esm1b_t3_tiny_UR50S.pt";
    matches(file, "fair_esm1b", "esm.fa", &ESM);
}

#[test]
fn linear_scaling_of_modern_bert_is_applied() {
    let name = "modernbert_rope_linear";
    let kinds = [
        ("mean", OutputKind::Mean),
        ("per_residue", OutputKind::PerResidue),
    ];
    matches(name, name, "esm.fa", &kinds);
}

#[test]
fn the_step_down_head_of_the_first_modernprost_is_read() {
    let name = "modernprost_step_down";
    let kinds = [
        ("mean", OutputKind::Mean),
        ("three_di", OutputKind::ThreeDi),
    ];
    matches(name, name, "legacy.faa", &kinds);
}

#[test]
fn the_first_modernprost_writes_its_states() {
    let files = Model::open(&path("checkpoints/modernprost_legacy_swiglu")).unwrap();
    let proteins = proteins("legacy.faa");
    let outputs: OutputSet = [OutputKind::ThreeDi].into_iter().collect();
    let requests: Vec<_> = proteins
        .iter()
        .map(|(_, residues)| {
            let tokens = files.tokenizer().encode(residues.as_bytes()).tokens;
            (tokens, outputs)
        })
        .collect();
    let place = Place::Cpu(Isa::detect().unwrap());
    let answers = answers(&place, &files, DType::F32, BUDGET, &requests);
    let expected = std::fs::read_to_string(path("checkpoints/legacy.expected")).unwrap();
    for ((name, _), output) in proteins.iter().zip(&answers) {
        let found = StateSequence::three_di(output.get(OutputKind::ThreeDi).unwrap());
        let line = format!("{name} {}", found.states);
        assert!(expected.lines().any(|expected| expected == line), "{line}");
    }
}
