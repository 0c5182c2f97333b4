//! Ctrl-C, SIGTERM and SIGHUP: the first asks the job to stop, the second ends the program at once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sessile_pipelines::Interrupt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::exit::{DEVICE, Failure, MORE_THREADS, SIGNAL_BASE};

/// How long a job may take to stop. It looks at the interrupt far more often; what holds it up
/// longer (a model on a slow disk, a reader of its output that does not read) is cut off, and what
/// is in its journal stays.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a second signal is looked for.
const POLL: Duration = Duration::from_millis(20);

/// What this program listens with.
static INTERRUPT: OnceLock<Interrupt> = OnceLock::new();

/// Listens for signals from now on, for a job: it ends soon after the first.
pub(crate) fn listen() -> Result<Interrupt, Failure> {
    start(Some(PATIENCE), None)
}

/// The same for a service, which answers first what it has accepted. Where there is a flag for it,
/// SIGHUP sets that and asks nothing to stop.
pub(crate) fn listen_for_service(hangup: Option<Arc<AtomicBool>>) -> Result<Interrupt, Failure> {
    start(None, hangup)
}

/// The signal that came, where somebody listens.
pub(crate) fn received() -> Option<i32> {
    INTERRUPT.get().and_then(Interrupt::signal)
}

fn start(
    patience: Option<Duration>,
    hangup: Option<Arc<AtomicBool>>,
) -> Result<Interrupt, Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("can not listen for signals: {error}");
        Failure::new(DEVICE, message).with_hint(Some(MORE_THREADS))
    };
    let interrupt = Interrupt::default();
    let mut wanted = vec![SIGINT, SIGTERM];
    // `nohup` and `setsid` have it ignored, and the job outlives the terminal.
    if hangup.is_some() || !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = Signals::new(wanted).map_err(failed)?;
    let flag = interrupt.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            // What asks to stop; a hangup that only sets its flag does not.
            let asks = |signal: i32| match &hangup {
                Some(hangup) if signal == SIGHUP => {
                    hangup.store(true, Ordering::Relaxed);
                    false
                }
                _ => true,
            };
            let Some(first) = signals.forever().find(|&signal| asks(signal)) else {
                return;
            };
            flag.set(first);
            let begun = Instant::now();
            while patience.is_none_or(|patience| begun.elapsed() < patience) {
                if let Some(second) = signals.pending().find(|&signal| asks(signal)) {
                    end(second);
                }
                std::thread::sleep(POLL);
            }
            end(first);
        })
        .map_err(failed)?;
    let _ = INTERRUPT.set(interrupt.clone());
    Ok(interrupt)
}

/// Ends the program without a look at anything that could hold it up.
fn end(signal: i32) -> ! {
    low_level::exit(i32::from(SIGNAL_BASE) + signal)
}

/// Whether whoever started this program wants it not to hear of a signal. Linux says so; elsewhere
/// nobody does.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
