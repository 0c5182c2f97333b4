//! `sessile devices`

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_runtime::discovery;

use crate::arguments::DevicesArguments;
use crate::exit::{DONE, Failure};
use crate::terminal::bytes;

pub(crate) fn run(arguments: &DevicesArguments) -> Result<ExitCode, Failure> {
    let mut found = discovery::survey()?;
    for device in &mut found.devices {
        if let Err(error) = device.measure() {
            device.notes.push(format!("it does not answer: {error}"));
        }
    }
    let mut out = stdout().lock();
    if arguments.json {
        let mut list: Vec<_> = found
            .devices
            .iter()
            .map(|device| {
                serde_json::json!({
                    "device": device.id.to_string(),
                    "description": device.description,
                    "dtypes": device.dtypes.iter().map(|dtype| dtype.name()).collect::<Vec<_>>(),
                    "available_bytes": device.available_bytes,
                    "cores": device.cores,
                    "rates": device.rates.map(|rates| serde_json::json!({
                        "f32": rates.f32,
                        "bf16": rates.bf16,
                    })),
                    "auto": device.dtypes[0].name(),
                    "auto_reason": device.rates.map(|rates| rates.reason()),
                    "notes": device.notes,
                    "used": true,
                })
            })
            .collect();
        list.extend(found.unused.iter().map(|unused| {
            serde_json::json!({
                "device": unused.name,
                "description": unused.description,
                "used": false,
                "reason": unused.reason,
                "hint": unused.hint,
            })
        }));
        writeln!(out, "{:#}", serde_json::Value::from(list))?;
        return Ok(ExitCode::from(DONE));
    }
    for device in found.devices {
        let dtypes: Vec<&str> = device.dtypes.iter().map(|dtype| dtype.name()).collect();
        writeln!(out, "{}: {}", device.id, device.description)?;
        writeln!(
            out,
            "  number formats: {} (auto: {})",
            dtypes.join(", "),
            dtypes[0]
        )?;
        if let Some(rates) = device.rates {
            writeln!(
                out,
                "  measured on one thread: f32 {:.0}, bf16 {:.0} GFLOP/s; {}",
                rates.f32 / 1e9,
                rates.bf16 / 1e9,
                rates.reason()
            )?;
        }
        if let Some(available) = device.available_bytes {
            writeln!(out, "  memory left: {}", bytes(available))?;
        }
        for note in &device.notes {
            writeln!(out, "  note: {note}")?;
        }
    }
    for unused in found.unused {
        writeln!(out, "{}: {}", unused.name, unused.description)?;
        writeln!(out, "  not used: {}", unused.reason)?;
        if let Some(hint) = unused.hint {
            writeln!(out, "  hint: {hint}")?;
        }
    }
    Ok(ExitCode::from(DONE))
}
