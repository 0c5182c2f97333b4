//! What the system says of this process, under the names that every exporter of Prometheus uses. Read from
//! `/proc`; elsewhere there is nothing.

use std::fs;

/// Ticks of processor time in a second, as Linux shows them to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Values by name.
pub(super) fn gauges() -> Vec<(&'static str, f64)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = fs::read_dir("/proc/self/fd").map(|files| files.count() as f64);
    [
        (
            "process_resident_memory_bytes",
            kibibytes(&status, "VmRSS:"),
        ),
        (
            "process_virtual_memory_bytes",
            kibibytes(&status, "VmSize:"),
        ),
        ("process_threads", first(&status, "Threads:")),
        // Reading the folder opens it.
        ("process_open_fds", files.ok().map(|files| files - 1.0)),
        ("process_max_fds", first(&limits, "Max open files")),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// Seconds of processor time.
pub(super) fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may have anything in it.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn first(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

fn kibibytes(text: &str, label: &str) -> Option<f64> {
    first(text, label).map(|kibibytes| kibibytes * 1024.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_files_and_time() {
        let found = gauges();
        let value = |name| found.iter().find(|(known, _)| *known == name).unwrap().1;
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_open_fds") < value("process_max_fds"));
        let begun = cpu_seconds().unwrap();
        let mut sum = 0_u64;
        while cpu_seconds().unwrap() - begun < 0.02 {
            sum = (0..100_000).fold(sum, |sum: u64, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert_ne!(sum, 1);
    }
}
