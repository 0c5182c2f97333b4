//! What the control groups of this process leave of the machine's memory, in versions 1 and 2.
//!
//! Groups are nested and every limit on the way up counts: Slurm and systemd limit a group above
//! the process's own, Kubernetes the one of the pod above those of its containers. A group lies
//! where `/proc/self/cgroup` and the mounts say together (cgroups(7), "/proc/[pid]/cgroup"; the
//! kernel's `admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`).

use std::fs;
use std::path::{Path, PathBuf};

/// A group that limits memory, and what it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemoryLimit {
    /// Bytes that all its processes may take.
    pub(super) bytes: u64,
    /// Bytes that they may still take; page cache that can be dropped counts as free.
    pub(super) left: u64,
    /// Its folder.
    pub(super) group: PathBuf,
}

/// The group that leaves least, of all that this process is in. `process` is `/proc/self`; mount
/// points are looked for below `root`.
pub(super) fn tightest(process: &Path, root: &Path) -> Option<MemoryLimit> {
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    let mounts = fs::read_to_string(process.join("mountinfo")).ok()?;
    mounts
        .lines()
        .filter_map(|line| Mount::parse(line, &groups))
        .flat_map(|mount| mount.limits(root))
        .min_by_key(|limit| limit.left)
}

/// Where the groups of one version with a limit on memory are mounted.
struct Mount {
    is_v2: bool,
    point: PathBuf,
    /// The process's group below the mount point.
    group: PathBuf,
}

impl Mount {
    /// Reads a line of `mountinfo`; `None` for mounts of other things.
    fn parse(line: &str, groups: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3).map(unescaped);
        let (mounted, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let (file_system, options) = (kind.next()?, kind.nth(1)?);
        let is_v2 = match file_system {
            "cgroup2" => true,
            "cgroup" if has(options, "memory") => false,
            _ => return None,
        };
        // NUMBER:CONTROLLERS:PATH, without controllers in version 2.
        let path = groups.lines().find_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (controllers, path) = line.split_once(':')?;
            let is_it = match is_v2 {
                true => controllers.is_empty(),
                false => has(controllers, "memory"),
            };
            is_it.then_some(path)
        })?;
        // Another process's namespace has paths that lead nowhere here: its mount point is ours.
        let group = Path::new(path)
            .strip_prefix(&mounted)
            .unwrap_or(Path::new(""));
        let is_plain = group.components().all(|part| part.as_os_str() != "..");
        Some(Mount {
            is_v2,
            point: PathBuf::from(point),
            group: if is_plain {
                group.to_owned()
            } else {
                PathBuf::new()
            },
        })
    }

    /// The limits of the process's group and of all groups above it.
    fn limits(&self, root: &Path) -> Vec<MemoryLimit> {
        let point = root.join(self.point.strip_prefix("/").unwrap_or(&self.point));
        let own = point.join(&self.group);
        own.ancestors()
            .take_while(|group| group.starts_with(&point))
            .filter_map(|group| match self.is_v2 {
                true => limit_v2(group),
                false => limit_v1(group),
            })
            .collect()
    }
}

fn limit_v2(group: &Path) -> Option<MemoryLimit> {
    // Above `memory.high` a group is slowed down until it hardly moves, above `memory.max` killed.
    let limits = [number(group, "memory.max"), number(group, "memory.high")];
    let bytes = limits.into_iter().flatten().min()?;
    let used = number(group, "memory.current")?;
    let cache = statistic(group, "inactive_file").unwrap_or(0);
    Some(limit(group, bytes, used, cache))
}

fn limit_v1(group: &Path) -> Option<MemoryLimit> {
    // The least of the groups above, those included that are not to be seen from a container.
    let inherited = statistic(group, "hierarchical_memory_limit");
    let limits = [number(group, "memory.limit_in_bytes"), inherited];
    let bytes = limits.into_iter().flatten().min()?;
    let used = number(group, "memory.usage_in_bytes")?;
    let cache = statistic(group, "total_inactive_file").unwrap_or(0);
    Some(limit(group, bytes, used, cache))
}

fn limit(group: &Path, bytes: u64, used: u64, cache: u64) -> MemoryLimit {
    MemoryLimit {
        bytes,
        left: bytes.saturating_sub(used.saturating_sub(cache)),
        group: group.to_owned(),
    }
}

/// The number in a file; none where it says `max`.
fn number(group: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join(file)).ok()?;
    text.trim().parse().ok()
}

fn statistic(group: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join("memory.stat")).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

/// Whether a list with commas has this name.
fn has(list: &str, name: &str) -> bool {
    list.split(',').any(|entry| entry == name)
}

/// A path of `mountinfo`: blanks and the like stand there as `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let letter = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match letter {
            Some(letter) => {
                path.push(char::from(letter));
                path.push_str(&part[3..]);
            }
            None => {
                path.push('\\');
                path.push_str(part);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests;
