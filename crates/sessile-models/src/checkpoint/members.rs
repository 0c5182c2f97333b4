//! Which files belong to a checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

/// What is read beside a weight file that was named itself.
const BESIDE: [&str; 11] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "cnn/model.pt",
];

/// All files of a folder and of the folders in it, where heads lie; of a single file what is read
/// beside it.
pub(super) fn of(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let mut files = Vec::new();
        for entry in entries(path) {
            match entry.is_dir() {
                true => files.extend(entries(&entry).into_iter().filter(|file| !file.is_dir())),
                false => files.push(entry),
            }
        }
        return files;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = BESIDE.iter().map(|name| folder.join(name));
    std::iter::once(path.to_owned()).chain(beside).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
