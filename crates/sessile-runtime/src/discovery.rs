//! Which devices this process can use, and why.

use sessile_device::DeviceId;

use crate::backend::{BACKENDS, FoundDevice, Survey, UnusedDevice};
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::options::DeviceChoice;

/// Looks for devices and says of each that is not used why.
///
/// # Errors
///
/// `Option` when a variable of the environment has a value that means nothing: see [`variables`].
pub fn survey() -> Result<Survey, RuntimeError> {
    let mut all = Survey::default();
    for backend in BACKENDS {
        let found = backend.discover()?;
        all.devices.extend(found.devices);
        all.unused.extend(found.unused);
    }
    Ok(all)
}

/// Every variable that says something about devices and is no flag.
pub fn variables() -> impl Iterator<Item = &'static str> {
    let all = BACKENDS.iter().flat_map(|backend| backend.variables());
    all.copied()
}

/// Finds the devices of this machine. What a GPU has left is not asked yet: that takes a part of
/// its memory; see [`FoundDevice::measure`].
///
/// # Errors
///
/// As [`survey`].
pub fn discover() -> Result<Vec<FoundDevice>, RuntimeError> {
    Ok(survey()?.devices)
}

/// Refuses a choice of devices that are not all there, without waking any.
///
/// # Errors
///
/// `Device` when one that was asked for is not there.
pub fn check(choice: &DeviceChoice) -> Result<(), RuntimeError> {
    match choice {
        DeviceChoice::Only(wanted) if wanted.iter().any(|id| *id != DeviceId::Cpu) => {
            let found = survey()?;
            wanted.iter().try_for_each(|id| found.get(*id).map(|_| ()))
        }
        _ => Ok(()),
    }
}

/// The devices that `choice` means, with what they have left. By itself the program uses the GPUs
/// where there are any, else the processor: beside a GPU its lanes add little, and their bytes are
/// not those of the GPU.
///
/// # Errors
///
/// `Device` when one that was asked for is not there or does not answer, or none does.
pub fn choose(choice: &DeviceChoice) -> Result<Vec<FoundDevice>, RuntimeError> {
    let DeviceChoice::Only(wanted) = choice else {
        let mut found = discover()?;
        if let Some(best) = found.last().map(|device| device.backend.name()) {
            found.retain(|device| device.backend.name() == best);
        }
        // Waking a GPU takes a second or two: all at once.
        let measured: Vec<Result<(), RuntimeError>> = match found.as_mut_slice() {
            [only] => vec![only.measure()],
            several => std::thread::scope(|scope| {
                let waking: Vec<_> = several
                    .iter_mut()
                    .map(|device| {
                        std::thread::Builder::new().spawn_scoped(scope, || device.measure())
                    })
                    .collect();
                waking
                    .into_iter()
                    .map(|thread| {
                        let thread = thread.map_err(RuntimeError::no_thread)?;
                        thread.join().unwrap_or_else(|_| Err(no_answer()))
                    })
                    .collect()
            }),
        };
        let mut failure = None;
        let mut measured = measured.into_iter();
        found.retain(|device| match measured.next() {
            Some(Err(error)) => {
                tracing::warn!(device = %device.id, %error, "a GPU is left aside");
                failure = Some(error);
                false
            }
            _ => true,
        });
        return match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        };
    };
    // No GPU is asked for: none is looked for.
    if wanted.iter().all(|id| *id == DeviceId::Cpu) {
        return Ok(BACKENDS[0].discover()?.devices);
    }
    let found = survey()?;
    wanted
        .iter()
        .map(|id| {
            let mut device = found.get(*id)?.clone();
            device.measure()?;
            Ok(device)
        })
        .collect()
}

fn no_answer() -> RuntimeError {
    RuntimeError::new(
        RuntimeErrorKind::Device,
        "a fault in the program: a GPU was not measured",
    )
}

impl Survey {
    /// A device that was asked for.
    fn get(&self, id: DeviceId) -> Result<&FoundDevice, RuntimeError> {
        let mut devices = self.devices.iter();
        (devices.find(|device| device.id == id)).ok_or_else(|| missing(id, self))
    }
}

/// Why a device that was asked for is not there.
fn missing(id: DeviceId, found: &Survey) -> RuntimeError {
    let name = id.to_string();
    let kind = name.split(':').next();
    let is_it = |unused: &&UnusedDevice| unused.name == name || kind == Some(&*unused.name);
    match found.unused.iter().find(is_it) {
        Some(unused) => {
            let error = RuntimeError::new(
                RuntimeErrorKind::Device,
                format!("device {id} can not be used: {}", unused.reason),
            );
            match &unused.hint {
                Some(hint) => error.with_hint(hint.clone()),
                None => error.with_hint("`sessile devices` lists what was found"),
            }
        }
        None => RuntimeError::new(
            RuntimeErrorKind::Device,
            format!("device {id} is not there or can not be used"),
        )
        .with_hint("`sessile devices` lists what was found"),
    }
}
