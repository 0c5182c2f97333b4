//! `sessile viral plot`

use std::process::ExitCode;

use sessile_reports::viruses::{self as plot, PlotOptions};

use crate::arguments::viral::PlotArguments;
use crate::exit::{DONE, Failure};
use crate::terminal::place;

pub(crate) fn run(arguments: PlotArguments) -> Result<ExitCode, Failure> {
    let options = PlotOptions {
        results: arguments.results,
        contigs: arguments.contig,
        most: arguments.most,
        contigs_fasta: arguments.input,
        chunk: arguments.chunk,
        output: arguments.output,
        force: arguments.overwrite.force,
    };
    let plotted = plot::run(&options)?;
    if arguments.messages.quiet {
        return Ok(ExitCode::from(DONE));
    }
    if plotted.by_number > 0 {
        say!(
            "note: the results do not say where the chunks of {} contigs lie; they are drawn by their \
             number\nhint: give their FASTA with --input, and --chunk",
            plotted.by_number
        );
    }
    let output = place(&options.output);
    say!("drew {} contigs\nresult: {output}", plotted.contigs);
    Ok(ExitCode::from(DONE))
}
