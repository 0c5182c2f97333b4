//! Where the golden files lie, and reading them.
//!
//! Public records are no part of the project: tests that want them find them in the folder that
//! `SESSILE_REFERENCE` names or in `shared/reference` beside the checkout, and skip without.

#![allow(
    clippy::print_stderr,
    dead_code,
    reason = "a skipped test says so, and not every test file uses everything"
)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder of the project's own golden files.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

/// A folder of public records, or a word on standard error that the test skips it.
pub(crate) fn reference(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SESSILE_REFERENCE") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"),
    };
    let folder = root.join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no reference data at {}", folder.display());
    None
}

/// The bytes of a file, decompressed when its content says so.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    let file = fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut plain, _) = sessile_seq::compression::decompress(file).unwrap();
    let mut bytes = Vec::new();
    plain.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A JSON file, compressed or not.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}
