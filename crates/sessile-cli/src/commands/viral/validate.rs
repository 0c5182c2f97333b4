//! `sessile viral validate`

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_pipelines::viral::validate;

use crate::arguments::viral::ValidateArguments;
use crate::exit::{BAD_INPUT, DONE, Failure};
use crate::signals;
use crate::terminal::{Terminal, count};

pub(crate) fn run(arguments: &ValidateArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let result = validate::run(&arguments.sequences.all()?, &mut terminal, &interrupt);
    terminal.clear();
    let found = result.map_err(|error| Failure::ended(error, &interrupt))?;
    let mut out = stdout().lock();
    if arguments.json {
        let json = serde_json::json!({
            "records": found.records,
            "failed": found.failed,
            "bases": found.bases,
            "shortest": found.shortest,
            "longest": found.longest,
            "ambiguous": found.ambiguous,
            "duplicates": found.duplicates,
            "too_short": found.too_short,
        });
        writeln!(out, "{json:#}")?;
    } else if !arguments.messages.quiet {
        let good = found.records - found.failed;
        writeln!(
            out,
            "records:    {} ({} would fail)",
            count(found.records),
            count(found.failed)
        )?;
        if let (Some(shortest), Some(longest)) = (found.shortest, found.longest) {
            let mean = found.bases as f64 / good.max(1) as f64;
            writeln!(
                out,
                "lengths:    {} to {} bases, {mean:.1} on average",
                count(shortest),
                count(longest)
            )?;
        }
        writeln!(out, "ambiguous:  {} records", count(found.ambiguous))?;
        writeln!(out, "duplicates: {} identifiers", count(found.duplicates))?;
        writeln!(
            out,
            "too short:  {} records without a codon",
            count(found.too_short)
        )?;
    }
    if found.failed > 0 {
        let message = format!("{} records would fail", count(found.failed));
        return Err(Failure::new(BAD_INPUT, message));
    }
    Ok(ExitCode::from(DONE))
}
