//! Hashes of checkpoints that were computed before, kept in the user's cache folder.
//!
//! A hash is believed when the system says that the very same files lie there, unchanged: device,
//! number, size and both times of the last change to the nanosecond. Times have a grain, so a file
//! that changed less than two seconds before it was hashed is not remembered. Where there is no such
//! folder, or no such identity, everything is hashed each time.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Checkpoint;
use super::file::FileIdentity;
use super::hash;
use crate::error::ModelError;

/// Begins every entry and is part of its name.
const FORM: &str = "sessile checkpoint hash 1";

/// Smaller checkpoints are hashed in a few milliseconds.
const LEAST_BYTES: u64 = 64 << 20;

/// How long a file must have rested before it is hashed.
const REST: Duration = Duration::from_secs(2);

/// An entry is longer than this only if it is none.
const MAX_ENTRY_BYTES: u64 = 1 << 20;

/// The hash of a checkpoint, from the cache where that knows these files.
pub(super) fn content_hash(checkpoint: &Checkpoint) -> Result<String, ModelError> {
    let bytes: u64 = checkpoint.files.iter().map(|file| file.len()).sum();
    match folder() {
        Some(folder) if bytes >= LEAST_BYTES => content_hash_in(checkpoint, &folder),
        _ => checkpoint.content_hash(),
    }
}

/// `$XDG_CACHE_HOME/sessile/hashes`, in `~/.cache` where that is not set.
fn folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
    let base = named("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(named("HOME")?).join(".cache")))?;
    Some(base.join("sessile").join("hashes"))
}

fn content_hash_in(checkpoint: &Checkpoint, folder: &Path) -> Result<String, ModelError> {
    let Some(before) = identities(checkpoint) else {
        return checkpoint.content_hash();
    };
    let begun = SystemTime::now();
    let rested = before.iter().all(|file| file.has_rested(begun, REST));
    let key = key(checkpoint, &before);
    let name = &blake3::hash(key.as_bytes()).to_hex()[..32];
    let entry = folder.join(name);
    if rested && let Some(hash) = read(&entry, &key, &before) {
        return Ok(hash);
    }
    let hash = checkpoint.content_hash()?;
    if rested && identities(checkpoint).as_ref() == Some(&before) {
        // What can not be remembered is hashed again.
        let _ = write(&entry, &key, begun, &hash);
    }
    Ok(hash)
}

fn identities(checkpoint: &Checkpoint) -> Option<Vec<FileIdentity>> {
    checkpoint
        .files
        .iter()
        .map(|file| file.identity())
        .collect()
}

/// All that the hash follows from: how names are read, and the files.
fn key(checkpoint: &Checkpoint, files: &[FileIdentity]) -> String {
    let layout = hash::layout(&checkpoint.tensors);
    let mut key = format!("{} {layout}", env!("CARGO_PKG_VERSION"));
    for file in files {
        key.push_str(&format!("; {file}"));
    }
    key
}

/// The hash in an entry, if it is this key's and was computed when the files had rested.
fn read(entry: &Path, key: &str, files: &[FileIdentity]) -> Option<String> {
    if std::fs::metadata(entry).ok()?.len() > MAX_ENTRY_BYTES {
        return None;
    }
    let text = std::fs::read_to_string(entry).ok()?;
    let mut lines = text.lines();
    if lines.next()? != FORM || lines.next()? != key {
        return None;
    }
    let nanos = lines.next()?.parse().ok()?;
    let computed = UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))?;
    let hash = lines.next()?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_settled = files.iter().all(|file| file.has_rested(computed, REST));
    (is_hash && is_settled && text.ends_with('\n')).then(|| hash.to_owned())
}

/// Whole or not at all: another process may read it meanwhile.
fn write(entry: &Path, key: &str, computed: SystemTime, hash: &str) -> std::io::Result<()> {
    let nanos = computed
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    let folder = entry.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let temporary = entry.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, format!("{FORM}\n{key}\n{nanos}\n{hash}\n"))?;
    std::fs::rename(&temporary, entry).inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, File, FileTimes};

    use super::*;

    const GOLDEN: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/esm2/tiny_a"
    );

    /// A checkpoint of its own, in a folder with room for a cache.
    fn copy() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(Path::new(GOLDEN).join(file), model.join(file)).unwrap();
        }
        (folder, model)
    }

    fn open(model: &Path) -> Checkpoint {
        Checkpoint::open(model).unwrap()
    }

    fn entries(cache: &Path) -> Vec<PathBuf> {
        fs::read_dir(cache).map_or_else(
            |_| Vec::new(),
            |files| files.map(|file| file.unwrap().path()).collect(),
        )
    }

    /// The file's last change is as long ago as the rule wants.
    fn let_rest() {
        std::thread::sleep(REST + Duration::from_millis(100));
    }

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let (folder, model) = copy();
        let cache = folder.path().join("cache");
        let truth = open(&model).content_hash().unwrap();
        let hash = || content_hash_in(&open(&model), &cache).unwrap();

        // It was written just now: another change may have the same time.
        assert_eq!(hash(), truth);
        assert!(entries(&cache).is_empty());

        let_rest();
        assert_eq!(hash(), truth);
        let [entry] = &entries(&cache)[..] else {
            panic!("one entry");
        };
        // What stands there is believed.
        let text = fs::read_to_string(entry).unwrap();
        let other = "0".repeat(64);
        fs::write(entry, text.replace(&truth, &other)).unwrap();
        assert_eq!(hash(), other);

        // A change in place that leaves size and time of modification as they were.
        let weights = model.join("model.safetensors");
        let times = fs::metadata(&weights).unwrap();
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();
        let times = FileTimes::new().set_modified(times.modified().unwrap());
        File::options()
            .write(true)
            .open(&weights)
            .unwrap()
            .set_times(times)
            .unwrap();
        let changed = open(&model).content_hash().unwrap();
        assert_ne!(changed, truth);
        assert_eq!(hash(), changed);
        let_rest();
        assert_eq!(hash(), changed);
    }

    #[test]
    fn what_is_no_entry_is_not_believed() {
        let (folder, model) = copy();
        let cache = folder.path().join("cache");
        let truth = open(&model).content_hash().unwrap();
        let_rest();
        let hash = || content_hash_in(&open(&model), &cache).unwrap();
        assert_eq!(hash(), truth);
        let entry = entries(&cache).remove(0);
        let text = fs::read_to_string(&entry).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let lie = "0".repeat(64);
        for wrong in [
            String::new(),
            text[..text.len() - 1].replace(&truth, &lie),
            text.replace(&truth, "0"),
            text.replace(&truth, &lie).replace(FORM, "another form"),
            text.replace(&truth, &lie).replace(lines[1], "another key"),
            // Computed in the moment of the last change.
            text.replace(&truth, &lie).replace(lines[2], "0"),
        ] {
            fs::write(&entry, &wrong).unwrap();
            assert_eq!(hash(), truth, "{wrong}");
            assert_eq!(
                fs::read_to_string(&entry).unwrap().lines().last(),
                Some(&*truth)
            );
        }
    }

    #[test]
    fn a_folder_that_can_not_be_written_costs_time_alone() {
        let (folder, model) = copy();
        let cache = folder.path().join("file");
        fs::write(&cache, "").unwrap();
        let_rest();
        let hash = content_hash_in(&open(&model), &cache).unwrap();
        assert_eq!(hash, open(&model).content_hash().unwrap());
    }
}
