//! Training a classifier from labelled files.

mod report;

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::metrics::{Judged, Metrics};
use crate::trees::train::{self as trees, Round, Samples, TrainOptions, Trained};
use crate::trees::{Importance, TreesFormat};
use sessile_seq::inputs::{self, Format, Input};

use super::features::{FEATURES, TRAINED_FEATURES, features};
use super::rows::Rows;
use sessile_pipelines::Interrupt;
use sessile_pipelines::output::{Sources, WholeFile, check_outputs};
use sessile_pipelines::viral::identify::all_cores;
use sessile_pipelines::{Observer, Summary};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// Which ORFs are kept back to judge the classifier by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Any: rows of one genome are on both sides.
    Orfs,
    /// All ORFs of some records, for files that hold many genomes.
    Records,
    /// All ORFs of some files, so that it is judged by genomes it has not seen.
    Files,
}

/// How often annotated ORFs count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClassWeight {
    /// As often as others.
    Equal,
    /// So often that both classes weigh the same.
    Balanced,
    /// So many times as often.
    Times(f32),
}

/// What to train on and how.
#[derive(Clone, Debug)]
pub struct TrainJob {
    /// Labelled files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// Which ORFs are kept back.
    pub split: Split,
    /// Their share: of ORFs, of records, or of files.
    pub test_share: f64,
    /// The share of the others that is kept back to watch training.
    pub validation_share: f64,
    /// What decides who is kept back.
    pub seed: u64,
    /// The weight of annotated ORFs.
    pub weight: ClassWeight,
    /// How to grow trees; the weight and the threads are filled in.
    pub options: TrainOptions,
    /// Threads; `None`: one per core.
    pub threads: Option<NonZeroUsize>,
    /// The model file: `.ubj` or `.json`.
    pub output: PathBuf,
    /// A JSON report to write too.
    pub report: Option<PathBuf>,
    /// Write over files that exist.
    pub force: bool,
}

/// A number of ORFs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// Annotated ones.
    pub in_genbank: u64,
    /// Others.
    pub others: u64,
}

impl Classes {
    fn of(samples: &Samples) -> Self {
        let in_genbank = samples.positives() as u64;
        Classes {
            in_genbank,
            others: samples.len() as u64 - in_genbank,
        }
    }

    /// Both together.
    pub fn total(self) -> u64 {
        self.in_genbank + self.others
    }
}

/// What is known of a classifier after training.
#[derive(Clone, Debug)]
pub struct ClassifierReport {
    /// Files whose ORFs were trained on.
    pub training_files: Vec<String>,
    /// Files kept back, of a split by files.
    pub test_files: Vec<String>,
    /// ORFs trained on, those that watched training included.
    pub training: Classes,
    /// ORFs that watched training.
    pub validation: Classes,
    /// ORFs kept back.
    pub test: Classes,
    /// How well they are told apart; `None` when none was kept back.
    pub test_metrics: Option<Metrics>,
    /// The importance of each feature.
    pub importance: Vec<(&'static str, Importance)>,
    /// The share of each feature in the sum of gains.
    pub gain_shares: Vec<f64>,
}

/// A classifier that has been written.
#[derive(Clone, Debug)]
pub struct TrainedClassifier {
    /// The model and how training went.
    pub trained: Trained,
    /// What it was trained on and how well it does.
    pub report: ClassifierReport,
}

/// Trains a classifier and writes it. `on_round` is told of every round.
///
/// # Errors
///
/// What ends the job: no ORF of one class, an output that can not be written. Files and ORFs that
/// can not be read are told to the observer and counted.
pub fn train(
    job: &TrainJob,
    observer: &mut dyn Observer,
    on_round: &mut dyn FnMut(&Round),
    interrupt: &Interrupt,
) -> Result<(TrainedClassifier, Summary), PipelineError> {
    let begun = Instant::now();
    let (format, files) = check(job)?;
    let (training_files, test_files) = divide(job, files)?;
    let both: Vec<Input> = training_files.iter().chain(&test_files).cloned().collect();
    let mut rows = Rows::new(&both, observer, interrupt);
    let (samples, records) = collect(&training_files, &mut rows)?;
    check_classes(&samples, &mut rows)?;
    let (rest, test) = match job.split {
        Split::Orfs => samples.split(job.test_share, job.seed),
        Split::Records => split_records(job, samples, &records)?,
        Split::Files => (samples, Samples::new(TRAINED_FEATURES)),
    };
    let training = Classes::of(&rest);
    // Another seed, so that the second draw is not the first one over again.
    let (learning, watching) = rest.split(job.validation_share, job.seed.wrapping_add(1));
    let mut options = job.options.clone();
    options.threads = job.threads.unwrap_or_else(all_cores).get();
    options.positive_weight = match job.weight {
        ClassWeight::Equal => 1.0,
        ClassWeight::Balanced => {
            let classes = Classes::of(&learning);
            classes.others as f32 / classes.in_genbank.max(1) as f32
        }
        ClassWeight::Times(times) => times,
    };
    let mut trained = trees::train(&learning, Some(&watching), &options, |round| {
        on_round(round);
        interrupt.signal().is_none()
    })?;
    if let Some(signal) = interrupt.signal() {
        let message = format!("stopped by signal {signal}; no file was written");
        return Err(PipelineError::new(PipelineErrorKind::Interrupted, message));
    }
    (trained.model).note_feature_names(&FEATURES[..TRAINED_FEATURES]);
    let (test_classes, test_metrics) = match job.split {
        Split::Orfs | Split::Records => (
            Classes::of(&test),
            (!test.is_empty()).then(|| trees::judge(&trained.model, &test)),
        ),
        Split::Files => judge_files(&trained, &test_files, &mut rows)?,
    };
    let importance = trained.model.importance();
    let gains: f64 = importance.iter().map(|feature| feature.gain).sum();
    let share = |feature: &Importance| match gains > 0.0 {
        true => feature.gain / gains,
        false => 0.0,
    };
    let names = |files: &[Input]| files.iter().map(file_name).collect();
    let report = ClassifierReport {
        training_files: names(&training_files),
        test_files: names(&test_files),
        training,
        validation: Classes::of(&watching),
        test: test_classes,
        test_metrics,
        gain_shares: importance.iter().map(share).collect(),
        importance: FEATURES.into_iter().zip(importance).collect(),
    };
    let classifier = TrainedClassifier { trained, report };
    let summary = Summary {
        records: rows.progress.records,
        failed: rows.progress.failed,
        ..Summary::default()
    };
    if let Some(path) = &job.report {
        report::write(path, job, &classifier, &test_files, interrupt)?;
    }
    write(&classifier.trained, &job.output, format)
        .map_err(|error| PipelineError::output(&job.output.display().to_string(), error))?;
    let run = begun.elapsed();
    Ok((classifier, Summary { run, ..summary }))
}

/// Everything that can be wrong with the job itself, before anything is read.
fn check(job: &TrainJob) -> Result<(TreesFormat, Vec<Input>), PipelineError> {
    let usage = |message: String, hint: &str| {
        Err(PipelineError::new(PipelineErrorKind::Usage, message).with_hint(hint))
    };
    let Some(format) = TreesFormat::of_name(&job.output) else {
        let message = format!("{} has no known ending", job.output.display());
        return usage(message, "name the model .ubj or .json; XGBoost loads both");
    };
    for (share, flag) in [
        (job.test_share, "--test-split"),
        (job.validation_share, "--validation-split"),
    ] {
        if !(0.0..1.0).contains(&share) {
            let message = format!("{flag} {share} is no share");
            return usage(message, "give a number from 0 up to but not 1, such as 0.2");
        }
    }
    if job.options.patience.is_some() && job.validation_share == 0.0 {
        let message = "--early-stopping has nothing to watch".to_owned();
        return usage(message, "give --validation-split, such as 0.2");
    }
    let files = inputs::expand(&job.inputs, Format::Json)?;
    let sources = Sources::default().with_inputs(&files);
    let outputs = std::iter::once(&job.output).chain(&job.report);
    check_outputs(outputs, job.force, &sources)?;
    Ok((format, files))
}

/// The files to train on and those kept back, each in their order.
fn divide(job: &TrainJob, files: Vec<Input>) -> Result<(Vec<Input>, Vec<Input>), PipelineError> {
    if job.split != Split::Files {
        return Ok((files, Vec::new()));
    }
    let usage = |message: String, hint: &str| {
        Err(PipelineError::new(PipelineErrorKind::Usage, message).with_hint(hint))
    };
    if files.contains(&Input::Stdin) {
        let message = "standard input can not be split by files".to_owned();
        return usage(message, "name files or a folder, or leave --split orfs");
    }
    if files.len() < 2 {
        let message = format!("there is {} file to split by files", files.len());
        return usage(message, "give two files at least, or --split records");
    }
    let kept_back = both_sides(files.len(), job.test_share);
    let drawn = trees::draw(files.len(), kept_back, job.seed);
    let (mut training, mut test) = (Vec::new(), Vec::new());
    for (place, file) in files.into_iter().enumerate() {
        let side = if drawn.contains(&place) {
            &mut test
        } else {
            &mut training
        };
        side.push(file);
    }
    Ok((training, test))
}

/// The ORFs of files, and where each record's begin.
fn collect(files: &[Input], rows: &mut Rows<'_>) -> Result<(Samples, Vec<usize>), PipelineError> {
    let mut samples = Samples::new(TRAINED_FEATURES);
    let mut records = Vec::new();
    for file in files {
        let mut before = None;
        let begin = samples.len();
        let is_marked = rows.read(file, &mut |orf| {
            let Some(in_genbank) = orf.in_genbank else {
                return Ok(Err("metadata.in_genbank is missing".to_owned()));
            };
            if before.as_ref() != Some(&orf.record) {
                records.push(samples.len());
                before = Some(orf.record.clone());
            }
            samples.push(&features(orf)[..TRAINED_FEATURES], in_genbank);
            Ok(Ok(()))
        })?;
        let count = samples.len() - begin;
        if !is_marked && count > 0 {
            rows.observer.note(&format!(
                "{}: none of its {count} ORFs is marked as in GenBank; all count as not in GenBank, \
                 also if the genome had no annotation",
                file.name()
            ));
        }
    }
    Ok((samples, records))
}

/// Keeps all ORFs of some records back.
fn split_records(
    job: &TrainJob,
    samples: Samples,
    records: &[usize],
) -> Result<(Samples, Samples), PipelineError> {
    if records.len() < 2 {
        let message = format!(
            "there is {} record with ORFs to split by records",
            records.len()
        );
        return Err(PipelineError::new(PipelineErrorKind::Input, message)
            .with_hint("give two records at least, or --split orfs"));
    }
    let drawn = trees::draw(
        records.len(),
        both_sides(records.len(), job.test_share),
        job.seed,
    );
    let mut is_drawn = vec![false; records.len()];
    for record in drawn {
        is_drawn[record] = true;
    }
    // The record that a row is of is the last one to begin at it or before.
    Ok(samples.part(|row| is_drawn[records.partition_point(|&begin| begin <= row) - 1]))
}

/// How many of `total` things, two at least, are kept back so that both sides get one.
fn both_sides(total: usize, share: f64) -> usize {
    ((total as f64 * share).round() as usize).clamp(1, total - 1)
}

fn check_classes(samples: &Samples, rows: &mut Rows<'_>) -> Result<(), PipelineError> {
    let Classes { in_genbank, others } = Classes::of(samples);
    let (message, hint) = match (in_genbank, others) {
        (0, 0) => {
            if let Some(problem) = rows.problem() {
                return Err(problem);
            }
            (
                "there is no ORF to train on".to_owned(),
                "write labelled files with `sessile entropy run --genbank`, with entropies",
            )
        }
        (0, others) => (
            format!("none of the {others} ORFs to train on is in GenBank"),
            "label ORFs by giving `sessile entropy run` the annotation with --genbank",
        ),
        (in_genbank, 0) => (
            format!("all of the {in_genbank} ORFs to train on are in GenBank"),
            "give files that hold other ORFs too; a lower --min-aa finds more",
        ),
        _ => return Ok(()),
    };
    Err(PipelineError::new(PipelineErrorKind::Input, message).with_hint(hint))
}

fn judge_files(
    trained: &Trained,
    files: &[Input],
    rows: &mut Rows<'_>,
) -> Result<(Classes, Option<Metrics>), PipelineError> {
    let mut classes = Classes::default();
    let (mut judged, mut loss) = (Vec::new(), 0.0);
    for file in files {
        rows.read(file, &mut |orf| {
            let Some(is_positive) = orf.in_genbank else {
                return Ok(Err("metadata.in_genbank is missing".to_owned()));
            };
            let score = trained
                .model
                .probability(&features(orf)[..TRAINED_FEATURES]);
            let right = if is_positive { score } else { 1.0 - score };
            loss -= f64::from(right.max(f32::MIN_POSITIVE)).ln();
            judged.push(Judged {
                score,
                is_positive,
                called_positive: score > 0.5,
            });
            match is_positive {
                true => classes.in_genbank += 1,
                false => classes.others += 1,
            }
            Ok(Ok(()))
        })?;
    }
    let loss = loss / judged.len().max(1) as f64;
    let metrics = (!judged.is_empty()).then(|| Metrics::of(&mut judged, loss));
    Ok((classes, metrics))
}

fn file_name(input: &Input) -> String {
    match input {
        Input::Stdin => input.name(),
        Input::File(path) => match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => input.name(),
        },
    }
}

fn write(trained: &Trained, path: &Path, format: TreesFormat) -> std::io::Result<()> {
    let bytes = match format {
        TreesFormat::Json => trained.model.to_json(),
        TreesFormat::Ubj => trained.model.to_ubj(),
    };
    let mut file = WholeFile::create(path)?;
    file.write_all(&bytes)?;
    file.finish()
}
