//! Ctrl-C, SIGTERM and SIGHUP: the first asks the job to stop, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sessile_pipelines::Interrupt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::SIGNAL_BASE;

/// Listens for signals from now on.
pub(crate) fn listen() -> std::io::Result<Interrupt> {
    listen_beside(None)
}

/// The same; where there is a flag for it, SIGHUP sets that and asks nothing to stop.
pub(crate) fn listen_beside(hangup: Option<Arc<AtomicBool>>) -> std::io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let mut wanted = vec![SIGINT, SIGTERM];
    // `nohup` has SIGHUP ignored, and means it.
    if hangup.is_some() || !is_hangup_ignored() {
        wanted.push(SIGHUP);
    }
    let mut signals = Signals::new(wanted)?;
    let flag = interrupt.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if let (SIGHUP, Some(hangup)) = (signal, &hangup) {
                    hangup.store(true, Ordering::Relaxed);
                    continue;
                }
                if flag.signal().is_some() {
                    std::process::exit(i32::from(SIGNAL_BASE) + signal);
                }
                flag.set(signal);
            }
        })?;
    Ok(interrupt)
}

/// Whether the program was started with SIGHUP ignored, where the system tells.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    ignored.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}
