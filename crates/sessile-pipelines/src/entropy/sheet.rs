//! Many samples in one run: which of them an earlier run has finished stands in a journal of its own
//! in their folder.

use std::path::{Path, PathBuf};

use sessile_seq::inputs::Input;

use super::sample::Sample;
use super::{Analysis, EntropyOptions, EntropySummary, run};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::job;
use crate::journal::{BESIDE, Entry, InputHash, Journal, Lock, Outcome, beside};
use crate::progress::Observer;
use crate::shard::Shard;

/// Computes the samples of a sheet that are of this part, one after the other.
pub(super) fn run(
    analysis: &Analysis,
    samples: &[Sample],
    folder: &Path,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<EntropySummary, PipelineError> {
    let options = &analysis.options;
    let shard = options.shard;
    let samples: Vec<&Sample> = (0..)
        .zip(samples)
        .filter(|(number, _)| shard.has(*number))
        .map(|(_, sample)| sample)
        .collect();
    std::fs::create_dir_all(folder)
        .map_err(|error| PipelineError::output(&folder.display().to_string(), error))?;
    let mut journal = match options.journal {
        false => None,
        true => {
            let lock = Lock::acquire(&folder.join(journal_name(shard)), interrupt)?;
            let journal = Journal::open(lock, &analysis.fingerprint, options.resume)?;
            Some(journal)
        }
    };
    if let Some(journal) = &journal {
        job::tell_resumed(journal, "samples", observer);
    }
    let finished = journal.as_ref().map_or(0, Journal::remaining);
    let behind = usize::try_from(finished).unwrap_or(usize::MAX);
    let left = samples.iter().skip(behind).copied();
    check_samples(options, left, &analysis.model_files)?;
    let mut whole = EntropySummary::default();
    for sample in samples {
        let input = input(sample);
        let earlier = match &mut journal {
            Some(journal) => journal.take(&sample.name, input)?,
            None => None,
        };
        let is_new = earlier.is_none();
        let outcome = match earlier {
            Some(outcome) => outcome,
            None => match analysis.run_part(sample, Shard::WHOLE, observer, interrupt) {
                Ok(summary) => {
                    let counts = serde_json::to_vec(&summary);
                    Outcome::Done(counts.unwrap_or_default())
                }
                // What is wrong with its inputs costs this sample and no other.
                Err(error) if error.kind() == PipelineErrorKind::Input => {
                    Outcome::Failed(error.to_string())
                }
                Err(error) => {
                    if let Some(journal) = &mut journal {
                        journal.commit()?;
                    }
                    return Err(error);
                }
            },
        };
        if let Some(journal) = journal.as_mut().filter(|_| is_new) {
            journal.append(&Entry {
                id: sample.name.clone(),
                input,
                outcome: outcome.clone(),
            })?;
            journal.commit()?;
        }
        whole.samples += 1;
        match outcome {
            Outcome::Done(counts) => {
                let summary: EntropySummary = serde_json::from_slice(&counts).unwrap_or_default();
                whole.add(&summary);
            }
            Outcome::Failed(reason) => {
                whole.failed += 1;
                whole.failed_samples += 1;
                observer.failure(&sample.name, &sample.name, &reason);
            }
        }
    }
    if let Some(mut journal) = journal {
        journal.check_taken()?;
        journal.finishing()?;
        journal.remove()?;
    }
    if whole.samples > 0 && whole.failed_samples == whole.samples {
        return Err(PipelineError::new(
            PipelineErrorKind::Input,
            "no sample could be read",
        ));
    }
    Ok(whole)
}

fn journal_name(shard: Shard) -> String {
    let whole = Path::new("samples");
    shard.path(whole).to_string_lossy().into_owned()
}

/// Refuses what would be refused later, as far as no earlier run has finished it.
pub(super) fn check(
    options: &EntropyOptions,
    samples: &[Sample],
    folder: Option<&Path>,
) -> Result<(), PipelineError> {
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)
            .map_err(|error| PipelineError::output(&folder.display().to_string(), error))?;
    }
    // The outputs of samples that are finished are there: the journal knows which they are.
    let has_journal = options.journal
        && folder.is_some_and(|folder| {
            let output = folder.join(journal_name(options.shard));
            BESIDE.iter().any(|suffix| beside(&output, suffix).exists())
        });
    if has_journal {
        return Ok(());
    }
    let of_part = (0..).zip(samples);
    let of_part = of_part.filter(|(number, _)| options.shard.has(*number));
    check_samples(options, of_part.map(|(_, sample)| sample), &[])
}

fn check_samples<'s>(
    options: &EntropyOptions,
    samples: impl Iterator<Item = &'s Sample>,
    model: &[PathBuf],
) -> Result<(), PipelineError> {
    for sample in samples {
        match run::prepare(options, sample, Shard::WHOLE, model.to_vec()) {
            // What is wrong with its inputs costs this sample and no other.
            Err(error) if error.kind() == PipelineErrorKind::Input => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// The files of a sample with their sizes: a sheet that was changed is noticed.
fn input(sample: &Sample) -> InputHash {
    let mut text = String::new();
    for path in sample.fasta.iter().chain(&sample.genbank) {
        let input = Input::File(path.clone());
        let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        text.push_str(&format!("{}\t{bytes}\n", input.name()));
    }
    InputHash::of(text.as_bytes())
}
