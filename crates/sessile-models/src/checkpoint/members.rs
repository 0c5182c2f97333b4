//! Which files belong to a checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::FILES;

/// A head that is looked for beside the weights.
const HEAD: &str = "cnn/model.pt";

/// The ends of names of weight files, in any format that a folder of a published model has.
const WEIGHTS: [&str; 9] = [
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "model",
    "h5",
    "msgpack",
    "index.json",
];

/// The weight files of a folder and of the folders in it, where heads lie, and what is read beside
/// them; of a single file what is read beside it. What a job has written there is not among them.
pub(super) fn of(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let mut files = Vec::new();
        for entry in entries(path) {
            match entry.is_dir() {
                true => files.extend(entries(&entry)),
                false => files.push(entry),
            }
        }
        files.retain(|file| is_member(file));
        return files;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = FILES.iter().chain([&HEAD]).map(|name| folder.join(name));
    std::iter::once(path.to_owned()).chain(beside).collect()
}

fn is_member(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_weights = |end: &&str| {
        name.strip_suffix(end)
            .is_some_and(|stem| stem.ends_with('.'))
    };
    !file.is_dir() && (FILES.contains(&&*name) || WEIGHTS.iter().any(is_weights))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
