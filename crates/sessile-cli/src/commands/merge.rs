//! `sessile merge`

use std::process::ExitCode;

use sessile_pipelines::shard::{MergeOptions, merge};

use crate::arguments::MergeArguments;
use crate::exit::{Failure, finished};
use crate::terminal::{count, place, several};

pub(crate) fn run(arguments: MergeArguments) -> Result<ExitCode, Failure> {
    let options = MergeOptions {
        parts: arguments.parts,
        outputs: arguments.output,
        format: arguments.format,
        compression: arguments.compress,
        failures: arguments.failures,
        force: arguments.overwrite.force,
        allow_mixed: arguments.allow_mixed,
    };
    let (merged, notes) = merge(&options)?;
    if !arguments.messages.quiet {
        notes.iter().for_each(|note| say!("{note}"));
        let places: Vec<String> = options.outputs.iter().map(|path| place(path)).collect();
        say!(
            "merged {} records of {} parts{}\nresult: {}",
            count(merged.records),
            merged.parts,
            several(merged.failed, "failures"),
            places.join(", ")
        );
    }
    Ok(finished(merged.failed))
}
