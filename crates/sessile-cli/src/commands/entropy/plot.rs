//! `sessile entropy plot`

use std::process::ExitCode;

use sessile_reports::genomes::plot::{PlotOptions, Plotted, plot};
use sessile_reports::genomes::report::{self, ReportOptions};

use crate::arguments::entropy::plot::{FigureName, PlotArguments};
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, place};

pub(super) fn run(arguments: PlotArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let output = place(&arguments.output);
    if report::is_page(&arguments.output) {
        let options = ReportOptions {
            inputs: arguments.input,
            is_annotated: None,
            output: arguments.output,
            force: arguments.overwrite.force,
        };
        let failed = report::write(&options, &mut terminal, &interrupt);
        terminal.clear();
        let failed = failed.map_err(|error| Failure::ended(error, &interrupt))?;
        terminal.summary(&format!("result: {output}"));
        return Ok(finished(failed));
    }
    let options = PlotOptions {
        inputs: arguments.input,
        figure: arguments.figure.into(),
        records: arguments.record,
        most: arguments.most.into(),
        output: arguments.output,
        force: arguments.overwrite.force,
    };
    let plotted = plot(&options, &mut terminal, &interrupt);
    terminal.clear();
    let plotted = plotted.map_err(|error| Failure::ended(error, &interrupt))?;
    let what = describe(&plotted, arguments.figure);
    terminal.summary(&format!("{what}\nresult: {output}"));
    Ok(finished(plotted.failed))
}

fn describe(plotted: &Plotted, figure: FigureName) -> String {
    let Plotted {
        orfs,
        records,
        records_total,
        failed,
    } = *plotted;
    let failed = match failed {
        0 => String::new(),
        failed => format!(", {} ORFs or files failed", count(failed)),
    };
    match figure {
        FigureName::Genome => format!(
            "drew {} of {} records{failed}",
            count(records),
            count(records_total)
        ),
        FigureName::Structure | FigureName::Length => format!("drew {} ORFs{failed}", count(orfs)),
    }
}
