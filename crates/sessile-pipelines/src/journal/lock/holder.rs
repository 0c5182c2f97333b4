//! Who holds a lock, and whether that process still runs.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// The machine's name, for people.
    pub(super) host: String,
    /// What tells apart all sets of processes that can see each other: a boot of a machine, and
    /// the container in it.
    pub(super) world: String,
    /// The process in its world.
    pub(super) process: u32,
    /// When the process was started, in the ticks of its world: numbers of processes come again.
    pub(super) started: Option<u64>,
    /// Of this lock alone.
    pub(super) token: String,
}

#[derive(Serialize, Deserialize)]
struct Text {
    #[serde(flatten)]
    holder: Holder,
    /// Of a fixed width, so that every renewal has the same length.
    renewals: String,
}

/// Locks that this process has taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);

impl Holder {
    pub(super) fn this_process() -> Self {
        let process = std::process::id();
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        // Keyed afresh by the operating system, so no two processes draw the same.
        let token = RandomState::new().hash_one((process, taken));
        Holder {
            host: host(),
            world: world(),
            process,
            started: started(process),
            token: format!("{token:016x}"),
        }
    }

    pub(super) fn text(&self, renewals: u64) -> String {
        let text = Text {
            holder: self.clone(),
            renewals: format!("{renewals:012}"),
        };
        let mut text = serde_json::to_string(&text).unwrap_or_default();
        text.push('\n');
        text
    }

    pub(super) fn parse(text: &str) -> Option<(Self, String)> {
        let text: Text = serde_json::from_str(text.trim_end()).ok()?;
        Some((text.holder, text.renewals))
    }

    /// Whether the process runs; `None` when that can not be told from here.
    pub(super) fn is_running(&self) -> Option<bool> {
        if self.world.is_empty() || self.world != world() {
            return None;
        }
        let process = i32::try_from(self.process)
            .ok()
            .and_then(rustix::process::Pid::from_raw)?;
        // Permission denied also means that it runs.
        if rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
            return Some(false);
        }
        Some(self.started.is_none() || started(self.process) == self.started)
    }
}

/// What a file on its way to a name has behind that name, where no lock protects it: which process
/// writes it, and where that runs.
pub(crate) fn temporary_suffix() -> String {
    format!(".{}.{:08x}.tmp", std::process::id(), world_number())
}

/// Whether such a file was left by a process of this world that does not run any more.
pub(super) fn is_abandoned(suffix: &str) -> bool {
    let parts = suffix
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".tmp"))
        .and_then(|rest| rest.split_once('.'));
    let Some((process, world)) = parts else {
        return false;
    };
    let process = process
        .parse()
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    u32::from_str_radix(world, 16) == Ok(world_number())
        && world_number() != 0
        && process.is_some_and(|process| {
            rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH)
        })
}

/// A number for the world of this process; 0 where there is none.
fn world_number() -> u32 {
    match world().as_str() {
        "" => 0,
        world => crc32fast::hash(world.as_bytes()),
    }
}

fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Empty where the operating system does not say.
fn world() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let processes = fs::read_link("/proc/self/ns/pid");
    match (boot, processes) {
        (Ok(boot), Ok(processes)) => format!("{} {}", boot.trim(), processes.display()),
        _ => String::new(),
    }
}

/// Field 22 of `/proc/PID/stat`, counted behind the name, which may hold anything (proc(5)).
fn started(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}
