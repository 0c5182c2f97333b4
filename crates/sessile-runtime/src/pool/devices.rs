//! Models on their way onto devices: all devices at once.

use crate::backend::FoundDevice;
use crate::error::{RuntimeError, RuntimeErrorKind};
use crate::loading::Loaded;
use crate::machine;
use crate::metrics::Metrics;
use crate::options::{DeviceChoice, PoolOptions};
use crate::plan::MemoryPlan;
use crate::resident::Resident;

/// Loads the models onto every planned device, all devices at once. Where the program chose the
/// devices itself, one that does not work is left aside as long as another one does.
pub(super) fn load(
    models: &[Resident<'_>],
    options: &PoolOptions,
    planned: Vec<(FoundDevice, MemoryPlan)>,
    metrics: &Metrics,
) -> Result<Vec<Loaded>, RuntimeError> {
    let is_choice_ours = options.devices == DeviceChoice::Auto;
    // All load at once and share the cores.
    let threads = options.threads.unwrap_or_else(machine::cores);
    let threads = threads.div_ceil(planned.len().max(1));
    let results: Vec<Result<Loaded, RuntimeError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = planned
            .into_iter()
            .map(|(device, plan)| {
                std::thread::Builder::new().spawn_scoped(scope, move || {
                    plan.check()?;
                    let hardware = device.hardware.as_ref().ok_or_else(|| {
                        let message = format!("device {} is not there", device.id);
                        RuntimeError::new(RuntimeErrorKind::Device, message)
                    })?;
                    let opened = hardware.open(threads)?;
                    opened.load(models, options, plan, metrics)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let thread = thread.map_err(RuntimeError::no_thread)?;
                thread.join().unwrap_or_else(|_| {
                    Err(RuntimeError::new(
                        RuntimeErrorKind::Device,
                        "a fault in the program stopped the loading",
                    ))
                })
            })
            .collect()
    });
    let some_work = results.iter().any(Result::is_ok);
    let mut loaded = Vec::new();
    for result in results {
        match result {
            Ok(device) => loaded.push(device),
            Err(error) if is_choice_ours && some_work => {
                tracing::warn!(%error, "a device is left aside");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(loaded)
}
