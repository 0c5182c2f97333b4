//! What runs that were killed left beside an output: files on their way to become its lock, and
//! the output while it was not whole. Whoever holds the output's lock knows that nobody writes them.

use std::fs;
use std::path::Path;

use super::Holder;
use super::holder::is_abandoned;

/// Digits of the key in the name of an unfinished output.
const KEY_DIGITS: usize = 8;

/// Removes what is left beside `output`, whose lock `ours` holds; without a lock, what a process left
/// that does not run any more. What can not be removed hinders nobody.
pub(crate) fn remove(output: &Path, ours: Option<&Holder>) {
    let Some(name) = output.file_name().map(|name| name.to_string_lossy()) else {
        return;
    };
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return;
    };
    for entry in entries.flatten() {
        let entry_name = entry.file_name();
        let Some(suffix) = entry_name.to_str().and_then(|own| own.strip_prefix(&*name)) else {
            continue;
        };
        let is_locked = |ours| is_left_behind(suffix, &entry.path(), ours);
        if is_abandoned(suffix) || ours.is_some_and(is_locked) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_left_behind(suffix: &str, path: &Path, ours: &Holder) -> bool {
    if let Some(key) = suffix
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".partial"))
    {
        return key.len() == KEY_DIGITS && key.bytes().all(|digit| digit.is_ascii_hexdigit());
    }
    let Some(token) = suffix.strip_prefix(".lock.") else {
        return false;
    };
    if token.starts_with(&ours.token) {
        return false;
    }
    let holder = fs::read_to_string(path).ok();
    let holder = holder.as_deref().and_then(Holder::parse);
    holder.is_some_and(|(holder, _)| holder.is_running() == Some(false))
}
