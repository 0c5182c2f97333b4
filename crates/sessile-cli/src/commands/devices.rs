//! `sessile devices`

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_runtime::discovery;

use crate::arguments::DevicesArguments;
use crate::exit::{DONE, Failure};
use crate::terminal::bytes;

pub(crate) fn run(arguments: &DevicesArguments) -> Result<ExitCode, Failure> {
    let devices = discovery::discover()?;
    let mut out = stdout().lock();
    if arguments.json {
        let list: Vec<_> = devices
            .iter()
            .map(|device| {
                serde_json::json!({
                    "device": device.id.to_string(),
                    "description": device.description,
                    "dtypes": device.dtypes.iter().map(|dtype| dtype.name()).collect::<Vec<_>>(),
                    "available_bytes": device.available_bytes,
                    "cores": device.cores,
                    "notes": device.notes,
                })
            })
            .collect();
        writeln!(out, "{:#}", serde_json::Value::from(list))?;
        return Ok(ExitCode::from(DONE));
    }
    for device in devices {
        let dtypes: Vec<&str> = device.dtypes.iter().map(|dtype| dtype.name()).collect();
        writeln!(out, "{}: {}", device.id, device.description)?;
        writeln!(
            out,
            "  number formats: {} (auto: {})",
            dtypes.join(", "),
            dtypes[0]
        )?;
        if let Some(available) = device.available_bytes {
            writeln!(out, "  memory left: {}", bytes(available))?;
        }
        for note in &device.notes {
            writeln!(out, "  note: {note}")?;
        }
    }
    Ok(ExitCode::from(DONE))
}
