//! Comparing a number format with f32 on a sample of the frames.

use std::path::PathBuf;

use sessile_device::DType;
use sessile_models::Model;
use sessile_runtime::{DTypeChoice, PoolOptions};

use super::predict::{PredictOptions, Predictor, SampledFrame};
use super::results::leans_to_virus;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::progress::{Observer, note_devices};

/// What to compare.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// FASTA files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// The first so many frames.
    pub frames: usize,
    /// Models and the format to be compared with f32.
    pub predict: PredictOptions,
}

/// How like each other the vectors of both formats are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosines {
    /// Of the pair that differs most.
    pub smallest: f64,
    /// On average.
    pub mean: f64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The format that was compared with f32.
    pub dtype: String,
    /// Frames compared.
    pub frames: usize,
    /// Of the nucleotides' vectors.
    pub nucleotide: Cosines,
    /// Of the proteins' vectors.
    pub protein: Cosines,
    /// Share of the frames that get the same label.
    pub agreement: f64,
    /// Largest difference of a score.
    pub score_difference: f64,
}

/// Computes the same frames in f32 and in the format of the options, one after the other, so that
/// one copy of the models is in memory at a time.
///
/// # Errors
///
/// What keeps the models from being loaded or the inputs from being read; `Input` when there is no
/// frame to compare.
pub fn run(
    (exact_dna, exact_protein): (Model, Model),
    (dna, protein): (Model, Model),
    options: &VerifyOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Verified, PipelineError> {
    let exact_options = PredictOptions {
        pool: PoolOptions {
            dtype: DTypeChoice::Only(DType::F32),
            ..options.predict.pool.clone()
        },
        ..options.predict.clone()
    };
    let predictor = Predictor::load(exact_dna, exact_protein, exact_options)?;
    let exact = predictor.sample(&options.inputs, options.frames, observer, interrupt)?;
    let [size, _] = predictor.sizes();
    drop(predictor);
    let predictor = Predictor::load(dna, protein, options.predict.clone())?;
    note_devices(observer, &options.predict.pool.devices, predictor.pool());
    let dtypes: Vec<String> = (predictor.pool().plans().iter())
        .map(|plan| plan.dtype.to_string())
        .collect();
    let other = predictor.sample(&options.inputs, options.frames, &mut (), interrupt)?;
    compare(&exact, &other, size, dtypes.join("+"))
}

/// Refuses what is wrong with the classifier or the inputs, before a model is fetched.
///
/// # Errors
///
/// As [`run`].
pub fn check(options: &VerifyOptions) -> Result<(), PipelineError> {
    sessile_seq::inputs::expand(&options.inputs, sessile_seq::inputs::Format::Fasta)?;
    super::predict::check(&options.predict, &[])
}

fn compare(
    exact: &[SampledFrame],
    other: &[SampledFrame],
    size: usize,
    dtype: String,
) -> Result<Verified, PipelineError> {
    let pairs: Vec<_> = exact
        .iter()
        .zip(other)
        .filter_map(|(a, b)| Some((a.result.as_ref()?, b.result.as_ref()?)))
        .collect();
    if pairs.is_empty() {
        let message = "the inputs have no frame to compare";
        return Err(PipelineError::new(PipelineErrorKind::Input, message));
    }
    let cosines = |part: &dyn Fn(&[f32]) -> Vec<f32>| {
        let all: Vec<f64> = pairs
            .iter()
            .map(|((a, _), (b, _))| cosine(&part(a), &part(b)))
            .collect();
        Cosines {
            smallest: all.iter().copied().fold(f64::INFINITY, f64::min),
            mean: all.iter().sum::<f64>() / all.len() as f64,
        }
    };
    let same = pairs
        .iter()
        .filter(|((_, a), (_, b))| leans_to_virus(a[0], a[1]) == leans_to_virus(b[0], b[1]))
        .count();
    let differences = pairs
        .iter()
        .map(|((_, a), (_, b))| f64::from((a[1] - b[1]).abs()));
    Ok(Verified {
        dtype,
        frames: pairs.len(),
        nucleotide: cosines(&|vectors| vectors[..size].to_vec()),
        protein: cosines(&|vectors| vectors[size..].to_vec()),
        agreement: same as f64 / pairs.len() as f64,
        score_difference: differences.fold(0.0, f64::max),
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        (a.iter().zip(b))
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
