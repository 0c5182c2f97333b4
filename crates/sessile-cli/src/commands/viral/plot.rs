//! `sessile viral plot`

use std::process::ExitCode;

use sessile_pipelines::viral::plot::{self, PlotOptions};

use crate::arguments::viral::PlotArguments;
use crate::exit::{DONE, Failure};

pub(crate) fn run(arguments: PlotArguments) -> Result<ExitCode, Failure> {
    let options = PlotOptions {
        results: arguments.results,
        contigs: arguments.contig,
        most: arguments.most,
        chunk: arguments.chunk.get(),
        output: arguments.output,
        force: arguments.force,
    };
    let drawn = plot::run(&options)?;
    say!("drew {drawn} contigs\nresult: {}", options.output.display());
    Ok(ExitCode::from(DONE))
}
