//! `sessile entropy ml predict`

use std::process::ExitCode;

use sessile_learn::orfs::{PredictOptions, Predicted, PredictionColumns, predict};

use crate::arguments::entropy::Compat;
use crate::arguments::entropy::ml::PredictArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration, place};

pub(super) fn run(arguments: PredictArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let options = PredictOptions {
        inputs: arguments.input,
        model: arguments.model,
        best: arguments.best_iteration,
        output: arguments.output,
        columns: match arguments.compat {
            Some(Compat::GenomeEntropy01) => PredictionColumns::GenomeEntropy01,
            Some(Compat::GenomeEntropy03) | None => PredictionColumns::WithRecord,
        },
        force: arguments.overwrite.force,
    };
    let result = predict(&options, &mut terminal, &interrupt);
    terminal.clear();
    let predicted = result.map_err(|error| Failure::ended(error, &interrupt))?;
    terminal.summary(&describe(&predicted, &place(&options.output)));
    Ok(finished(predicted.summary.failed))
}

fn describe(predicted: &Predicted, output: &str) -> String {
    let summary = &predicted.summary;
    let failed = match summary.failed {
        0 => String::new(),
        failed => format!(", {} ORFs or files failed", count(failed)),
    };
    let right = match predicted.labelled {
        0 => String::new(),
        labelled => {
            let share = 100.0 * predicted.right as f64 / labelled as f64;
            format!("; {share:.1} % of {} labels met", count(labelled))
        }
    };
    format!(
        "called {} ORFs in GenBank and {} not{right}, in {}{failed}\nresult: {output}",
        count(predicted.in_genbank),
        count(predicted.others),
        duration(summary.run.as_secs_f64()),
    )
}
