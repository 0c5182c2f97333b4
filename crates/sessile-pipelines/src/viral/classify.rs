//! From features to result files.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use sessile_models::classifier::MlpClassifier;
use sessile_models::{ModelError, ModelErrorKind};
use sessile_runtime::{Classifier, ClassifierLane, RuntimeError};
use sessile_seq::parallel::map_in_order;

use super::features::{FeatureRows, FeatureSource, Features, write_merged};
use super::identify::all_cores;
use super::results::{
    FrameScore, ListedFailures, ResultCounts, Results, check_folder, check_tables,
};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::output::{Format, Sources, WholeFile, check_absent};
use crate::progress::{Observer, Progress, Summary};

/// Rows of a block: work for some tens of milliseconds, 14 MB of the published features.
const BLOCK_ROWS: usize = 1024;

/// What to classify and where to put it.
#[derive(Clone, Debug, Default)]
pub struct ClassifyOptions {
    /// Feature files, in the order of the results.
    pub features: Vec<FeatureSource>,
    /// The classifier's file.
    pub classifier: PathBuf,
    /// Bases of the chunks, when the user says it.
    pub chunk: Option<usize>,
    /// Numbers in the embedding of the nucleotides, when the user says it.
    pub nucleotide: Option<usize>,
    /// Numbers in the embedding of the protein, when the user says it.
    pub protein: Option<usize>,
    /// The folder of the results.
    pub output: PathBuf,
    /// Format of the tables.
    pub tables: Format,
    /// Also write the joined features as `output_N_merged.pt`.
    pub save_merged: bool,
    /// Threads; `None`: one per core.
    pub threads: Option<NonZeroUsize>,
    /// Write over results that exist.
    pub force: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Classified {
    /// How the verdicts fell.
    pub counts: ResultCounts,
    /// Frames read, failures, time.
    pub summary: Summary,
}

/// Classifies every frame of the features.
///
/// # Errors
///
/// What ends the job as a whole: a classifier that does not fit, a file that can not be read.
/// Frames with numbers that are not finite, or with one half only, fail alone.
pub fn run(
    options: &ClassifyOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Classified, PipelineError> {
    let begun = Instant::now();
    let mut sources = Sources::default().with("the classifier", &options.classifier);
    for path in options.features.iter().flat_map(FeatureSource::paths) {
        sources.add("a feature file", path);
    }
    check_tables(&options.output, options.tables)?;
    check_folder(&options.output, options.force, &sources)?;
    if options.save_merged {
        let merged: Vec<PathBuf> = (1..=options.features.len())
            .map(|number| merged_path(options, number))
            .collect();
        for path in &merged {
            sources.refuse(path)?;
            check_absent(path, options.force)?;
        }
    }
    let classifier = MlpClassifier::open(&options.classifier)?;
    if let Some(chunk) = options.chunk {
        classifier.binding.check_chunk(chunk)?;
    }
    let sizes = (options.nucleotide, options.protein);
    classifier.binding.check_sizes(sizes.0, sizes.1)?;
    // Every file is looked at before anything is computed: a mismatch in the last one must not
    // cost the hours before it.
    for source in &options.features {
        check(&Features::open(source)?, &classifier, options)?;
    }
    let resident = Classifier::load(&classifier)?;
    let load = begun.elapsed();
    let mut results = Results::create(&options.output, options.tables, options.force)?;
    let mut failures = ListedFailures::create(&options.output)?;
    let threads = options.threads.unwrap_or_else(all_cores);
    let mut progress = Progress::default();
    for (number, source) in options.features.iter().enumerate() {
        let features = Features::open(source)?;
        check(&features, &classifier, options)?;
        for id in features.incomplete() {
            progress.records += 1;
            progress.failed += 1;
            let reason = "it is in one of the two feature files only";
            observer.failure(id, &format!("{}: {id}", features.name()), reason);
            failures.push(id, reason)?;
        }
        if options.save_merged {
            save_merged(&features, options, number + 1)?;
        }
        map_in_order(
            blocks(features.ids().len()),
            threads,
            || worker(&resident, &features),
            |scored: Result<Scored, PipelineError>| {
                if interrupt.signal().is_some() {
                    return Err(PipelineError::new(
                        PipelineErrorKind::Interrupted,
                        format!(
                            "stopped after {} frames; no file was written",
                            progress.records
                        ),
                    ));
                }
                let scored = scored?;
                let mut next = scored.probabilities.iter();
                for (place, is_finite) in scored.finite.iter().enumerate() {
                    let id = &features.ids()[scored.first + place];
                    progress.records += 1;
                    let scores = next.next().copied().unwrap_or_default();
                    if *is_finite {
                        results.write(FrameScore {
                            id,
                            scores,
                            place: None,
                        })?;
                    } else {
                        progress.failed += 1;
                        let reason = "its features hold numbers that are not finite";
                        observer.failure(id, &format!("{}: {id}", features.name()), reason);
                        failures.push(id, reason)?;
                    }
                }
                progress.elapsed = begun.elapsed();
                observer.progress(&progress);
                Ok(())
            },
        )?;
    }
    failures.finish()?;
    let counts = results.finish()?;
    Ok(Classified {
        counts,
        summary: Summary {
            records: progress.records,
            failed: progress.failed,
            load,
            run: begun.elapsed(),
            model_loads: 1,
            ..Summary::default()
        },
    })
}

fn check(
    features: &Features,
    classifier: &MlpClassifier,
    options: &ClassifyOptions,
) -> Result<(), PipelineError> {
    let named = |error: ModelError| {
        let hint = error.hint().map(str::to_owned);
        let error = ModelError::new(error.kind(), format!("{}: {error}", features.name()));
        PipelineError::from(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    };
    if let Some(chunk) = features.chunk() {
        classifier.binding.check_chunk(chunk).map_err(named)?;
        if options.chunk.is_some_and(|asked| asked != chunk) {
            return Err(named(ModelError::new(
                ModelErrorKind::Mismatch,
                format!("the features are of chunks of {chunk} bases, not of --chunk"),
            )));
        }
    }
    classifier
        .binding
        .check_sizes(features.nucleotide(), features.protein())
        .map_err(named)?;
    if features.width() != classifier.width() {
        return Err(named(
            ModelError::new(
                ModelErrorKind::Mismatch,
                format!(
                    "its vectors have {} numbers, the classifier takes {}",
                    features.width(),
                    classifier.width()
                ),
            )
            .with_hint("the classifier was trained with other embeddings"),
        ));
    }
    Ok(())
}

/// The rows of every block.
fn blocks(rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> + Send {
    (0..rows)
        .step_by(BLOCK_ROWS)
        .map(move |first| first..rows.min(first + BLOCK_ROWS))
}

struct Scored {
    first: usize,
    finite: Vec<bool>,
    /// A pair for every row; those of rows that are not finite mean nothing.
    probabilities: Vec<[f32; 2]>,
}

/// Reads and scores blocks on one thread.
fn worker(
    resident: &Classifier,
    features: &Features,
) -> impl FnMut(std::ops::Range<usize>) -> Result<Scored, PipelineError> {
    let mut lane: Result<ClassifierLane, Option<RuntimeError>> = resident.lane().map_err(Some);
    let mut block = Vec::new();
    move |rows| {
        let lane = match &mut lane {
            Ok(lane) => lane,
            Err(error) => {
                return Err(error.take().map_or_else(
                    || PipelineError::new(PipelineErrorKind::Device, "a lane could not be made"),
                    PipelineError::from,
                ));
            }
        };
        let mut finite = Vec::with_capacity(rows.len());
        let mut probabilities = Vec::with_capacity(rows.len());
        // Piece by piece, so that a row is still in the cache when it is looked at again.
        for first in rows.clone().step_by(ClassifierLane::ROWS) {
            let count = ClassifierLane::ROWS.min(rows.end - first);
            block.resize(count * features.width(), 0.0);
            features.read(first, &mut block)?;
            finite.extend(block.chunks_exact(features.width()).map(is_finite));
            lane.probabilities(&block, &mut probabilities)?;
        }
        Ok(Scored {
            first: rows.start,
            finite,
            probabilities,
        })
    }
}

/// Whether all numbers are finite; without an early end, so that it runs on vectors.
fn is_finite(row: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let largest = row.iter().map(|value| value.to_bits() & EXPONENT);
    largest.fold(0, u32::max) < EXPONENT
}

/// Where the joined vectors of the so-manieth file go.
fn merged_path(options: &ClassifyOptions, number: usize) -> PathBuf {
    options.output.join(format!("output_{number}_merged.pt"))
}

/// Writes the joined vectors of one file as the original does.
fn save_merged(
    features: &Features,
    options: &ClassifyOptions,
    number: usize,
) -> Result<(), PipelineError> {
    let path = merged_path(options, number);
    let name = format!("output_{number}_merged");
    let mut data = vec![0.0; features.ids().len() * features.width()];
    features.read(0, &mut data)?;
    let rows = FeatureRows {
        ids: features.ids(),
        data: &data,
        width: features.width(),
    };
    WholeFile::create(&path)
        .and_then(|file| write_merged(file, &name, rows, features.is_virus()))
        .and_then(WholeFile::finish)
        .map_err(|error| PipelineError::output(&path.display().to_string(), error))
}
