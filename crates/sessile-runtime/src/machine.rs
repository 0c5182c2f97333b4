//! What the machine lends to this process: cores and memory, limits of its control group included.

use std::fs;
use std::path::Path;

/// Cores this process may run on, by its affinity and its control group.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Bytes of memory this process may still take, as far as the system says: the least of what the
/// machine has left and what the control group leaves.
pub fn available_memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| field_kib(&text, "MemAvailable:"));
    let group = control_group_memory(Path::new("/sys/fs/cgroup"));
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
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

/// What a control group of version 2 leaves: its limit less what it uses, page cache not counted.
fn control_group_memory(root: &Path) -> Option<u64> {
    let number = |file: &str| {
        fs::read_to_string(root.join(file))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let limit = number("memory.max")?;
    let used = number("memory.current")?;
    let cache = fs::read_to_string(root.join("memory.stat"))
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("inactive_file "))?;
            line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cache)))
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
        assert!(available_memory().is_some_and(|bytes| bytes > 0));
        assert!(peak_resident_bytes().is_some_and(|bytes| bytes > 0));
    }
}
