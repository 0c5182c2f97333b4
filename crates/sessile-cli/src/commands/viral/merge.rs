//! `sessile viral merge`

use std::process::ExitCode;

use sessile_pipelines::viral::predict::merge;

use crate::arguments::viral::MergeArguments;
use crate::exit::{DONE, Failure, SOME_FAILED};
use crate::terminal::count;

pub(crate) fn run(arguments: &MergeArguments) -> Result<ExitCode, Failure> {
    let merged = merge(
        &arguments.parts,
        &arguments.output,
        arguments.tables.into(),
        arguments.overwrite.force,
    )?;
    if merged.failed > 0 {
        say!(
            "failed: {} records or frames, see failed.tsv",
            count(merged.failed)
        );
    }
    if !arguments.messages.quiet {
        say!(
            "merged {} parts: {} of {} chunks are viruses ({} frames in {} contigs)\nresult: {}",
            merged.parts,
            count(merged.counts.virus_chunks),
            count(merged.counts.chunks),
            count(merged.counts.frames),
            count(merged.counts.contigs),
            arguments.output.display()
        );
    }
    Ok(ExitCode::from(if merged.failed > 0 {
        SOME_FAILED
    } else {
        DONE
    }))
}
