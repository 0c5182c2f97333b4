//! Tiny models as several versions of transformers save them, in the forms that people have, against
//! what each version makes of its own. `xtask/check-matrix.sh make` makes them.

use std::path::Path;

use sessile_cpu::Isa;
use sessile_device::{DType, OutputKind, OutputSet};
use sessile_models::Model;

use crate::golden::run::{BUDGET, Place, answers, values};
use crate::golden::{Expected, path};

/// What the version calls each output.
const KINDS: [(&str, OutputKind); 3] = [
    ("mean", OutputKind::Mean),
    ("logits", OutputKind::Logits),
    ("classes", OutputKind::Classes),
];

/// The folders in a folder, in the order of their names.
fn folders(of: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(of).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

fn check(model: &str) {
    let files = match Model::open(&path(model)) {
        Ok(files) => files,
        Err(error) => panic!("{model}: {error}"),
    };
    let expected = Expected::open(&format!("{model}/expected.safetensors"));
    let cases: Vec<_> = (0..)
        .take_while(|number| expected.has(&format!("{number}.ids")))
        .map(|number| {
            let ids = expected.values(&format!("{number}.ids"));
            let tokens: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
            let has = |what: &str| expected.has(&format!("{number}.{what}"));
            let kinds = KINDS.iter().filter(|(what, _)| has(what));
            let outputs: OutputSet = kinds.map(|(_, kind)| *kind).collect();
            (tokens, outputs)
        })
        .collect();
    assert_eq!(cases.len(), 2, "{model}");
    let place = Place::Cpu(Isa::detect().unwrap());
    let answers = answers(&place, &files, DType::F32, BUDGET, &cases);
    for (number, (output, (_, wanted))) in answers.iter().zip(&cases).enumerate() {
        for (what, kind) in KINDS.iter().filter(|(_, kind)| wanted.contains(*kind)) {
            let name = format!("{number}.{what}");
            let (expected, found) = (expected.values(&name), values(output, *kind));
            crate::golden::assert_close(&format!("{model}: {name}"), &expected, found);
        }
    }
}

#[test]
fn checkpoints_of_every_version_give_its_own_answers() {
    let versions = folders(&path("matrix"));
    assert!(versions.len() >= 3, "{versions:?}");
    let mut models = 0;
    for version in versions {
        for model in folders(&path(&format!("matrix/{version}"))) {
            check(&format!("matrix/{version}/{model}"));
            models += 1;
        }
    }
    println!("{models} checkpoints");
}
