//! Ctrl-C and SIGTERM: the first asks the job to stop, the second ends the program at once.

use sessile_pipelines::Interrupt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::SIGNAL_BASE;

/// Listens for signals from now on.
pub(crate) fn listen() -> std::io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let flag = interrupt.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if flag.signal().is_some() {
                    std::process::exit(i32::from(SIGNAL_BASE) + signal);
                }
                flag.set(signal);
            }
        })?;
    Ok(interrupt)
}
