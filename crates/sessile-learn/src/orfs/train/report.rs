//! The JSON report of a training, with the keys of genome_entropy's.
//!
//! Predictions for the files kept back are written as these are read once more, so the report may
//! be longer than memory.

use std::io::{self, Write};
use std::path::Path;

use crate::metrics::Metrics;
use serde_json::{Map, Value, json};
use sessile_seq::inputs::Input;

use super::super::features::{FEATURES, TRAINED_FEATURES, features};
use super::super::rows::Rows;
use super::{Classes, Split, TrainJob, TrainedClassifier};
use sessile_pipelines::Interrupt;
use sessile_pipelines::PipelineError;
use sessile_pipelines::output::Destination;

pub(super) fn write(
    path: &Path,
    job: &TrainJob,
    classifier: &TrainedClassifier,
    test_files: &[Input],
    interrupt: &Interrupt,
) -> Result<(), PipelineError> {
    let failed = |error| PipelineError::output(&path.display().to_string(), error);
    let mut out = Destination::open(path).map_err(failed)?;
    let fields = head(job, classifier);
    out.write_all(b"{\n").map_err(failed)?;
    for (key, value) in &fields {
        field(&mut out, key, value).map_err(failed)?;
    }
    if job.split == Split::Files {
        predictions(&mut out, classifier, test_files, interrupt, &failed)?;
    }
    let end = || -> io::Result<()> {
        let mut out = out;
        field(&mut out, "feature_importance", &gains(classifier))?;
        write!(
            out,
            "  \"feature_importance_weight\": {}\n}}\n",
            splits(classifier)
        )?;
        out.finish()
    };
    end().map_err(failed)
}

fn field(out: &mut impl Write, key: &str, value: &Value) -> io::Result<()> {
    writeln!(out, "  {}: {value},", Value::from(key))
}

fn head(job: &TrainJob, classifier: &TrainedClassifier) -> Vec<(&'static str, Value)> {
    let TrainedClassifier { trained, report } = classifier;
    let options = &job.options;
    let counts = |classes: Classes| {
        json!({
            "n_samples": classes.total(),
            "n_in_genbank": classes.in_genbank,
            "n_not_in_genbank": classes.others,
        })
    };
    let mut training_metrics = json!({
        "train_logloss": trained.best.train_loss,
        "train_samples": report.training.total() - report.validation.total(),
        "val_samples": report.validation.total(),
        "rounds": trained.best.number,
        "stopped_early": trained.stopped_early,
    });
    if let Some(metrics) = &trained.validation {
        training_metrics["val_accuracy"] = metrics.accuracy.into();
        training_metrics["val_logloss"] = metrics.loss.into();
        training_metrics["val_auc"] = metrics.auc.into();
    }
    vec![
        ("training_files", report.training_files.clone().into()),
        ("test_files", report.test_files.clone().into()),
        (
            "training_parameters",
            json!({
                "model_type": "xgboost",
                "device": "cpu",
                "split": match job.split {
                    Split::Orfs => "orfs",
                    Split::Records => "records",
                    Split::Files => "files",
                },
                "test_split": job.test_share,
                "validation_split": job.validation_share,
                "random_seed": job.seed,
                "n_estimators": options.rounds,
                "max_depth": options.depth,
                "learning_rate": shortest(options.rate),
                "lambda": shortest(options.lambda),
                "gamma": shortest(options.min_gain),
                "min_child_weight": shortest(options.min_child_weight),
                "max_bin": options.bins,
                "scale_pos_weight": shortest(trained.model.positive_weight()),
                "early_stopping_rounds": options.patience,
                "n_features": TRAINED_FEATURES,
                "feature_names": FEATURES[..TRAINED_FEATURES],
            }),
        ),
        ("training_samples", counts(report.training)),
        ("training_metrics", training_metrics),
        ("test_samples", counts(report.test)),
        (
            "test_metrics",
            report.test_metrics.as_ref().map_or(Value::Null, metrics),
        ),
    ]
}

/// A number as it was given, not with the digits that 64 bits would add.
fn shortest(value: f32) -> Value {
    value
        .to_string()
        .parse::<f64>()
        .map_or(Value::Null, Value::from)
}

fn metrics(metrics: &Metrics) -> Value {
    json!({
        "accuracy": metrics.accuracy,
        "precision": metrics.precision,
        "recall": metrics.recall,
        "f1": metrics.f1,
        "auc": metrics.auc,
        "logloss": metrics.loss,
        "true_positives": metrics.true_positives,
        "true_negatives": metrics.true_negatives,
        "false_positives": metrics.false_positives,
        "false_negatives": metrics.false_negatives,
    })
}

fn predictions(
    out: &mut Destination,
    classifier: &TrainedClassifier,
    test_files: &[Input],
    interrupt: &Interrupt,
    failed: &dyn Fn(io::Error) -> PipelineError,
) -> Result<(), PipelineError> {
    out.write_all(b"  \"test_predictions\": [")
        .map_err(failed)?;
    let mut is_first = true;
    // What could not be read was said when the ORFs were judged.
    let mut nobody = ();
    let mut rows = Rows::new(test_files, &mut nobody, interrupt);
    for file in test_files {
        let name = super::file_name(file);
        rows.read(file, &mut |orf| {
            let Some(actual) = orf.in_genbank else {
                return Ok(Err(String::new()));
            };
            let row = &features(orf)[..TRAINED_FEATURES];
            let probability = classifier.trained.model.probability(row);
            let predicted = probability > 0.5;
            let prediction = json!({
                "orf_id": orf.id,
                "file": name,
                "input_id": orf.record,
                "predicted_label": u8::from(predicted),
                "probability_in_genbank": shortest(probability),
                "probability_not_in_genbank": shortest(1.0 - probability),
                "actual_label": u8::from(actual),
                "correct": predicted == actual,
            });
            let comma = if is_first { "" } else { "," };
            is_first = false;
            write!(out, "{comma}\n    {prediction}").map_err(failed)?;
            Ok(Ok(()))
        })?;
    }
    out.write_all(b"\n  ],\n").map_err(failed)
}

/// Average gains, normalised to a sum of one.
fn gains(classifier: &TrainedClassifier) -> Value {
    let report = &classifier.report;
    let named = report.importance.iter().zip(&report.gain_shares);
    named
        .map(|((name, _), &share)| ((*name).to_owned(), Value::from(share)))
        .collect::<Map<_, _>>()
        .into()
}

/// How many splits ask for each feature.
fn splits(classifier: &TrainedClassifier) -> Value {
    (classifier.report.importance.iter())
        .map(|(name, importance)| ((*name).to_owned(), Value::from(importance.splits)))
        .collect::<Map<_, _>>()
        .into()
}
