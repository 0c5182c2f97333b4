//! The numbers of an ORF that trees look at.

use crate::trees::BoostedTrees;

use sessile_pipelines::entropy::stored::StoredOrf;
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// The features by name: twelve of genome_entropy 0.1, and two that later versions add.
pub const FEATURES: [&str; 14] = [
    "dna_entropy",
    "protein_entropy",
    "three_di_entropy",
    "dna_length",
    "protein_length",
    "three_di_length",
    "start",
    "end",
    "strand_plus",
    "frame",
    "has_start_codon",
    "has_stop_codon",
    "twelve_state_entropy",
    "twelve_state_length",
];

/// How many of [`FEATURES`] classifiers are trained on here.
pub const TRAINED_FEATURES: usize = 12;

/// The features of an ORF, in the order of [`FEATURES`]; `NaN` where it has no structure states.
pub fn features(orf: &StoredOrf) -> [f32; FEATURES.len()] {
    let entropy = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32);
    let length = |value: Option<u64>| value.map_or(f32::NAN, |value| value as f32);
    let flag = |value: bool| if value { 1.0 } else { 0.0 };
    [
        orf.dna_entropy as f32,
        orf.protein_entropy as f32,
        entropy(orf.three_di_entropy),
        orf.bases as f32,
        orf.residues as f32,
        length(orf.three_di),
        orf.start as f32,
        orf.end as f32,
        flag(orf.is_plus),
        f32::from(orf.frame),
        flag(orf.has_start),
        flag(orf.has_stop),
        entropy(orf.twelve_state_entropy),
        length(orf.twelve_state),
    ]
}

/// Which of [`FEATURES`] a model's features are: by their names, or by their number where it has
/// none.
pub(super) fn columns(model: &BoostedTrees, name: &str) -> Result<Vec<usize>, PipelineError> {
    let names = model.feature_names();
    let unfit = |what: String| {
        let message = format!("{name}: {what}");
        PipelineError::new(PipelineErrorKind::Model, message).with_hint(
            "give a model that `sessile entropy ml train` or genome_entropy's `ml train` wrote",
        )
    };
    if names.is_empty() {
        return match model.features() {
            TRAINED_FEATURES => Ok((0..TRAINED_FEATURES).collect()),
            all if all == FEATURES.len() => Ok((0..all).collect()),
            other => Err(unfit(format!(
                "it has {other} features; those of ORFs have 12 or 14"
            ))),
        };
    }
    let place = |name: &String| {
        let found = FEATURES.iter().position(|feature| feature == name);
        found.ok_or_else(|| unfit(format!("{name} is no feature of an ORF")))
    };
    names.iter().map(place).collect()
}
