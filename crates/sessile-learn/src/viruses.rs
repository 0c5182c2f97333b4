//! Training a classifier from feature files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::perceptron::{self as train, Epoch, Samples, TrainOptions, Trained};
use sessile_models::classifier::{Binding, ClassifierFormat, MlpClassifier};
use sessile_models::{ModelError, ModelErrorKind};

use sessile_pipelines::Interrupt;
use sessile_pipelines::output::{Sources, WholeFile, check_outputs};
use sessile_pipelines::viral::features::{FeatureSource, Features};
use sessile_pipelines::{Observer, Progress, Summary};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// Rows read at once when features are looked over.
const BLOCK_ROWS: usize = 256;

/// What to train on and how.
#[derive(Clone, Debug)]
pub struct TrainJob {
    /// Features of viruses.
    pub virus: Vec<FeatureSource>,
    /// Features of others.
    pub others: Vec<FeatureSource>,
    /// Features that say themselves what they are.
    pub labelled: Vec<FeatureSource>,
    /// What the classifier will be for; sizes that the features know are filled in.
    pub binding: Binding,
    /// The file to write: `.safetensors`, `.pt` or `.pth`.
    pub output: PathBuf,
    /// Write over a file that exists.
    pub force: bool,
    /// How to train.
    pub options: TrainOptions,
}

/// Trains and writes the classifier. `on_epoch` is told of every epoch.
///
/// # Errors
///
/// What ends the job. Frames with numbers that are not finite are left out and told to the
/// observer.
pub fn run(
    job: &TrainJob,
    observer: &mut dyn Observer,
    on_epoch: &mut dyn FnMut(&Epoch),
    interrupt: &Interrupt,
) -> Result<(Trained, Summary), PipelineError> {
    let begun = Instant::now();
    let Some(format) = ClassifierFormat::of_name(&job.output) else {
        let message = format!("{} has no known ending", job.output.display());
        return Err(PipelineError::new(PipelineErrorKind::Usage, message)
            .with_hint("name the file .safetensors, .pt (state dict) or .pth (whole module)"));
    };
    let mut sources = Sources::default();
    let all = job.virus.iter().chain(&job.others).chain(&job.labelled);
    for path in all.flat_map(FeatureSource::paths) {
        sources.add("a feature file", path);
    }
    let mut outputs = vec![job.output.clone()];
    if format != ClassifierFormat::Safetensors {
        outputs.push(MlpClassifier::binding_path(&job.output));
    }
    check_outputs(&outputs, job.force, &sources)?;
    let set = FeatureSet::open(job, observer, interrupt)?;
    let binding = set.binding(&job.binding)?;
    let mut progress = Progress {
        records: set.rows.len() as u64 + set.failed,
        failed: set.failed,
        ..Progress::default()
    };
    let mut trained = train::train(&set, &job.options, |epoch| {
        on_epoch(epoch);
        progress.elapsed = begun.elapsed();
        observer.progress(&progress);
        interrupt.signal().is_none()
    })?;
    if interrupt.signal().is_some() {
        return Err(PipelineError::new(
            PipelineErrorKind::Interrupted,
            format!(
                "stopped after epoch {}; no file was written",
                trained.best.number
            ),
        ));
    }
    trained.classifier.binding = binding;
    write(&trained, &job.output, format)
        .map_err(|error| PipelineError::output(&job.output.display().to_string(), error))?;
    let summary = Summary {
        records: progress.records,
        failed: progress.failed,
        run: begun.elapsed(),
        ..Summary::default()
    };
    Ok((trained, summary))
}

fn write(trained: &Trained, path: &Path, format: ClassifierFormat) -> std::io::Result<()> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let file = trained
        .classifier
        .write(WholeFile::create(path)?, &name, format)?;
    if format != ClassifierFormat::Safetensors {
        // The sidecar first: a classifier is never there without what it is bound to.
        let sidecar = MlpClassifier::binding_path(path);
        let mut out = WholeFile::create(&sidecar)?;
        std::io::Write::write_all(&mut out, trained.classifier.binding_text().as_bytes())?;
        out.finish()?;
    }
    file.finish()
}

/// The rows of all feature files, each with its label.
struct FeatureSet {
    files: Vec<Features>,
    /// File, row and whether it is a virus.
    rows: Vec<(u32, u32, bool)>,
    width: usize,
    failed: u64,
}

impl FeatureSet {
    fn open(
        job: &TrainJob,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Self, PipelineError> {
        let sources = (job.virus.iter().map(|source| (source, Some(true))))
            .chain(job.others.iter().map(|source| (source, Some(false))))
            .chain(job.labelled.iter().map(|source| (source, None)));
        let mut set = FeatureSet {
            files: Vec::new(),
            rows: Vec::new(),
            width: 0,
            failed: 0,
        };
        for (source, said) in sources {
            let features = Features::open(source)?;
            let is_virus = label(&features, said)?;
            if set.files.is_empty() {
                set.width = features.width();
            } else if features.width() != set.width {
                return Err(mismatch(format!(
                    "{}: its vectors have {} numbers, those before have {}",
                    features.name(),
                    features.width(),
                    set.width
                ))
                .into());
            }
            set.take(features, is_virus, observer, interrupt)?;
        }
        Ok(set)
    }

    /// Takes the rows in whose numbers are finite.
    fn take(
        &mut self,
        features: Features,
        is_virus: bool,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<(), PipelineError> {
        let file = self.files.len() as u32;
        for id in features.incomplete() {
            self.failed += 1;
            let reason = "it is in one of the two feature files only";
            observer.failure(id, &format!("{}: {id}", features.name()), reason);
        }
        let mut block = Vec::new();
        let count = features.ids().len();
        for first in (0..count).step_by(BLOCK_ROWS) {
            if interrupt.signal().is_some() {
                let message = "stopped while the features were read";
                return Err(PipelineError::new(PipelineErrorKind::Interrupted, message));
            }
            block.resize(BLOCK_ROWS.min(count - first) * self.width, 0.0);
            features.read(first, &mut block)?;
            for (place, row) in block.chunks_exact(self.width).enumerate() {
                let row_number = first + place;
                if row.iter().all(|value| value.is_finite()) {
                    self.rows.push((file, row_number as u32, is_virus));
                } else {
                    self.failed += 1;
                    let id = &features.ids()[row_number];
                    let reason = "its features hold numbers that are not finite";
                    observer.failure(id, &format!("{}: {id}", features.name()), reason);
                }
            }
        }
        self.files.push(features);
        Ok(())
    }

    /// What the user says and what the features know, which must agree.
    fn binding(&self, said: &Binding) -> Result<Binding, ModelError> {
        let mut binding = said.clone();
        for features in &self.files {
            let known = [
                (&mut binding.chunk, features.chunk(), "chunks of", "bases"),
                (
                    &mut binding.nucleotide,
                    features.nucleotide(),
                    "nucleotide embeddings of",
                    "numbers",
                ),
                (
                    &mut binding.protein,
                    features.protein(),
                    "protein embeddings of",
                    "numbers",
                ),
            ];
            for (bound, known, what, unit) in known {
                match (*bound, known) {
                    (Some(bound), Some(known)) if bound != known => {
                        return Err(mismatch(format!(
                            "{}: {what} {known} {unit}, not {bound}",
                            features.name()
                        )));
                    }
                    (None, Some(_)) => *bound = known,
                    _ => {}
                }
            }
        }
        let rest = |known: Option<usize>| known.map(|known| self.width.checked_sub(known));
        match (binding.nucleotide, binding.protein) {
            (Some(nucleotide), None) => binding.protein = rest(Some(nucleotide)).flatten(),
            (None, Some(protein)) => binding.nucleotide = rest(Some(protein)).flatten(),
            _ => {}
        }
        match (binding.nucleotide, binding.protein) {
            (Some(nucleotide), Some(protein)) if nucleotide + protein == self.width => {}
            (None, None) => {}
            _ => {
                return Err(mismatch(format!(
                    "the vectors have {} numbers, which are not --nucleotide-size and \
                     --protein-size together",
                    self.width
                )));
            }
        }
        if binding.chunk.is_none() {
            return Err(
                mismatch("the features do not say the length of their chunks".to_owned())
                    .with_hint("say it with --chunk"),
            );
        }
        Ok(binding)
    }
}

/// What the user says of a file goes before what the file says, but the two must not differ.
fn label(features: &Features, said: Option<bool>) -> Result<bool, ModelError> {
    match (said, features.is_virus()) {
        (Some(said), Some(own)) if said != own => Err(mismatch(format!(
            "{}: the file says that its frames are {}viruses",
            features.name(),
            if own { "" } else { "no " }
        ))),
        (Some(label), _) | (None, Some(label)) => Ok(label),
        (None, None) => Err(mismatch(format!(
            "{}: it does not say whether its frames are viruses",
            features.name()
        ))
        .with_hint("give it with --virus or --others")),
    }
}

fn mismatch(message: String) -> ModelError {
    ModelError::new(ModelErrorKind::Mismatch, message)
}

impl Samples for FeatureSet {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn is_virus(&self, index: usize) -> bool {
        self.rows[index].2
    }

    fn read(&self, index: usize, features: &mut [f32]) -> Result<(), ModelError> {
        let (file, row, _) = self.rows[index];
        self.files[file as usize].read(row as usize, features)
    }
}
