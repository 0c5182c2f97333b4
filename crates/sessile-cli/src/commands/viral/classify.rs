//! `sessile viral classify`

use std::process::ExitCode;

use sessile_pipelines::viral::classify::{self, ClassifyOptions};
use sessile_pipelines::viral::features::FeatureSource;

use crate::arguments::viral::ClassifyArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration, several};

pub(crate) fn run(arguments: ClassifyArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let (nucleotides, proteins) = (arguments.nucleotide_features, arguments.protein_features);
    if nucleotides.len() != proteins.len() {
        return Err(Failure::usage(format!(
            "{} files of --nucleotide-features and {} of --protein-features do not pair up",
            nucleotides.len(),
            proteins.len()
        )));
    }
    let halves = nucleotides.into_iter().zip(proteins);
    let features = arguments
        .features
        .into_iter()
        .map(FeatureSource::Merged)
        .chain(halves.map(|(nucleotide, protein)| FeatureSource::Halves {
            nucleotide,
            protein,
        }))
        .collect();
    let options = ClassifyOptions {
        features,
        classifier: arguments.classifier,
        chunk: arguments.chunk.map(usize::from),
        nucleotide: arguments.nucleotide_size,
        protein: arguments.protein_size,
        output: arguments.output,
        tables: arguments.tables.tables,
        save_merged: arguments.save_merged,
        threads: arguments.threads,
        force: arguments.overwrite.force,
    };
    let result = classify::run(&options, &mut terminal, &interrupt);
    terminal.clear();
    let done = result.map_err(|error| Failure::ended(error, &interrupt))?;
    if !arguments.messages.quiet {
        say!(
            "{} of {} chunks are viruses ({} frames in {} contigs) in {}{}\nresult: {}",
            count(done.counts.virus_chunks),
            count(done.counts.chunks),
            count(done.counts.frames),
            count(done.counts.contigs),
            duration(done.summary.run.as_secs_f64()),
            several(done.summary.failed, "failed"),
            options.output.display()
        );
    }
    Ok(finished(done.summary.failed))
}
