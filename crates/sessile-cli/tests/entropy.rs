//! `sessile entropy run` and its stages as scripts see them: files, parts, samples, exit codes.

mod faults;
mod records;
mod stages;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::running::{Numbers, run, stderr};
use serde_json::Value;

fn golden(relative: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    root.join(relative).canonicalize().unwrap()
}

/// Public records, which are no part of the project.
fn reference() -> Option<PathBuf> {
    let root = match std::env::var_os("SESSILE_REFERENCE") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"),
    };
    Some(root.join("genome_entropy")).filter(|folder| folder.is_dir())
}

fn bytes(path: &Path) -> Vec<u8> {
    let raw = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !raw.starts_with(&[0x1f, 0x8b]) {
        return raw;
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&raw[..])
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

/// `sessile entropy …`
fn entropy(directory: &Path, arguments: &[&str]) -> Output {
    run(directory, &[&["entropy"], arguments].concat())
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
}

/// FASTA of random records.
fn genomes(seed: u64, lengths: &[usize]) -> String {
    let mut numbers = Numbers::new(seed);
    let mut text = String::new();
    for (record, &length) in lengths.iter().enumerate() {
        text.push_str(&format!(">contig-{record}\n"));
        for _ in 0..length {
            text.push(char::from(b"ACGT"[numbers.below(4)]));
        }
        text.push('\n');
    }
    text
}
