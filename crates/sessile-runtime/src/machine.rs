//! What the machine lends to this process: cores and memory, limits of its control group included.

mod control_group;

use std::fs;
use std::path::Path;

/// Cores this process may run on, by its affinity and its control group.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Memory that this process may still take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvailableMemory {
    /// Bytes: the least of what the machine has left and what the control groups leave.
    pub bytes: u64,
    /// What limits it, where that is a control group, for people.
    pub limit: Option<String>,
}

/// Memory that this process may still take, as far as the system says.
pub fn available_memory() -> Option<AvailableMemory> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| field_kib(&text, "MemAvailable:"));
    let group = control_group::tightest(Path::new("/proc/self"), Path::new("/"));
    match (machine, group) {
        (machine, Some(group)) if machine.is_none_or(|bytes| group.left < bytes) => {
            let limit = format!(
                "memory is limited to {} MiB by the control group {}",
                group.bytes >> 20,
                group.group.display()
            );
            Some(AvailableMemory {
                bytes: group.left,
                limit: Some(limit),
            })
        }
        (machine, _) => machine.map(|bytes| AvailableMemory { bytes, limit: None }),
    }
}

/// The largest resident set this process has had, in bytes.
pub fn peak_resident_bytes() -> Option<u64> {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| field_kib(&text, "VmHWM:"))
}

/// A field of the kind `Name:   123 kB`, in bytes.
fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_bytes() {
        let text = "MemTotal:       100 kB\nMemAvailable:   42 kB\n";
        assert_eq!(field_kib(text, "MemAvailable:"), Some(42 * 1024));
        assert_eq!(field_kib(text, "Nothing:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_machine_has_something_to_lend() {
        assert!(cores() > 0);
        assert!(available_memory().is_some_and(|memory| memory.bytes > 0));
        assert!(peak_resident_bytes().is_some_and(|bytes| bytes > 0));
    }
}
