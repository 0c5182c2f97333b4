//! `sessile entropy orf`, `translate`, `fasta-to-protein` and `entropy`: the stages one by one.

use std::process::ExitCode;

use sessile_pipelines::entropy::OrfRule;
use sessile_pipelines::entropy::stages::{self, MeasureOptions, OrfForm, StageCounts, StageFiles};
use sessile_pipelines::{Interrupt, PipelineError};

use crate::arguments::entropy::{
    MeasureArguments, OrfArguments, OrfFormat, StageArguments, TranslateArguments,
};
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, several};

/// The shortest ORF that is kept when no length is named.
const SHORTEST: OrfRule = OrfRule::Residues(30);

pub(super) fn orf(arguments: OrfArguments) -> Result<ExitCode, Failure> {
    let form = match (arguments.format, arguments.min_length, arguments.min_aa) {
        (OrfFormat::GetOrfs, _, Some(_)) => {
            return Err(
                Failure::usage("get_orfs counts the stop, --min-aa does not")
                    .with_hint(Some("use --min-length with --format get-orfs")),
            );
        }
        (OrfFormat::GetOrfs, Some(longer_than), None) => OrfForm::GetOrfs { longer_than },
        (OrfFormat::GetOrfs, None, None) => OrfForm::GET_ORFS,
        (OrfFormat::Json, Some(length), _) => OrfForm::Records(OrfRule::LongerThan(length)),
        (OrfFormat::Json, None, Some(residues)) => OrfForm::Records(OrfRule::Residues(residues)),
        (OrfFormat::Json, None, None) => OrfForm::Records(SHORTEST),
    };
    let table = arguments.table;
    run(
        arguments.files,
        "found the ORFs of",
        |files, told, interrupt| stages::find_orfs(files, table, form, told, interrupt),
    )
}

pub(super) fn translate(arguments: TranslateArguments) -> Result<ExitCode, Failure> {
    let table = arguments.table;
    run(arguments.files, "translated", |files, told, interrupt| {
        stages::translate(files, table, told, interrupt)
    })
}

pub(super) fn fasta_to_protein(arguments: StageArguments) -> Result<ExitCode, Failure> {
    run(arguments, "made proteins of", stages::fasta_to_protein)
}

pub(super) fn measure(arguments: MeasureArguments) -> Result<ExitCode, Failure> {
    let options = MeasureOptions {
        states: arguments.states,
        normalize: arguments.normalize,
    };
    run(arguments.files, "measured", |files, told, interrupt| {
        stages::measure(files, &options, told, interrupt)
    })
}

fn run(
    arguments: StageArguments,
    what: &str,
    stage: impl FnOnce(
        &StageFiles,
        &mut dyn sessile_pipelines::Observer,
        &Interrupt,
    ) -> Result<StageCounts, PipelineError>,
) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let files = StageFiles {
        inputs: arguments.input,
        output: arguments.output,
        force: arguments.overwrite.force,
    };
    let result = stage(&files, &mut terminal, &interrupt);
    terminal.clear();
    let counts = result.map_err(|error| Failure::ended(error, &interrupt))?;
    // On standard output the result speaks for itself, as the programs before this one did.
    if files.output.as_os_str() != "-" || counts.failed > 0 {
        let failed = several(counts.failed, "failed");
        terminal.summary(&format!("{what} {} records{failed}", count(counts.written)));
    }
    Ok(finished(counts.failed))
}
