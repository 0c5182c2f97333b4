//! `sessile entropy merge`

use std::process::ExitCode;

use sessile_pipelines::entropy::merge;

use crate::arguments::entropy::MergeRecordsArguments;
use crate::exit::{DONE, Failure};
use crate::terminal::count;

pub(super) fn run(arguments: &MergeRecordsArguments) -> Result<ExitCode, Failure> {
    let merged = merge(
        &arguments.parts,
        &arguments.output,
        arguments.overwrite.force,
    )?;
    if !arguments.messages.quiet {
        say!(
            "merged {} records of {} parts\nresult: {}",
            count(merged.records),
            merged.parts,
            arguments.output.display()
        );
    }
    Ok(ExitCode::from(DONE))
}
