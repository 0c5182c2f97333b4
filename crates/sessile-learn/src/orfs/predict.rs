//! Probabilities for the ORFs of files, a row each.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::trees::BoostedTrees;
use sessile_seq::inputs::{self, Format};

use super::features::{columns, features};
use super::rows::Rows;
use sessile_pipelines::Interrupt;
use sessile_pipelines::entropy::stored::StoredOrf;
use sessile_pipelines::output::{Destination, Sources, check_ending, check_outputs};
use sessile_pipelines::{Observer, Summary};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// The columns of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PredictionColumns {
    /// With the record that an ORF is of: genome_entropy's newest.
    #[default]
    WithRecord,
    /// Without, as genome_entropy 0.1 writes them.
    GenomeEntropy01,
}

/// What to predict and with what.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Files, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// The model file.
    pub model: PathBuf,
    /// Use the trees up to the file's best round only, as `XGBClassifier` does.
    pub best: bool,
    /// The table, or `-`.
    pub output: PathBuf,
    /// Its columns.
    pub columns: PredictionColumns,
    /// Write over a file that exists.
    pub force: bool,
}

/// What became of the ORFs.
#[derive(Clone, Debug, Default)]
pub struct Predicted {
    /// ORFs that the model takes for annotated ones.
    pub in_genbank: u64,
    /// Others.
    pub others: u64,
    /// Of the ORFs with a label, those that are called so.
    pub right: u64,
    /// ORFs with a label, in files that mark any as annotated.
    pub labelled: u64,
    /// ORFs, failures, time.
    pub summary: Summary,
}

/// Writes a row for every ORF: commas when the output is called `.csv`, else tabs.
///
/// # Errors
///
/// `Model` when the file holds no model for ORFs, `Input` when nothing can be read, `Output` when
/// the table can not be written. ORFs that lack something are told to the observer and counted.
pub fn predict(
    options: &PredictOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Predicted, PipelineError> {
    let begun = Instant::now();
    check_ending(&options.output, &["csv", "tsv", "txt"])?;
    let files = inputs::expand(&options.inputs, Format::Json)?;
    let sources = Sources::default()
        .with("the model", &options.model)
        .with_inputs(&files);
    check_outputs([&options.output], options.force, &sources)?;
    let mut model = BoostedTrees::open(&options.model)?;
    if options.best {
        model = model.best();
    }
    let columns = columns(&model, &options.model.display().to_string())?;
    let failed = |error| PipelineError::output(&options.output.display().to_string(), error);
    let mut out = Destination::open(&options.output).map_err(failed)?;
    let table = Table {
        separator: separator(&options.output),
        columns: options.columns,
    };
    out.write_all(table.header().as_bytes()).map_err(failed)?;
    let mut predicted = Predicted::default();
    let mut row = vec![0.0; columns.len()];
    let mut rows = Rows::new(&files, observer, interrupt);
    for file in &files {
        let (mut labelled, mut right) = (0, 0);
        let is_marked = rows.read(file, &mut |orf| {
            let all = features(orf);
            for (value, &column) in row.iter_mut().zip(&columns) {
                *value = all[column];
            }
            let probability = model.probability(&row);
            let is_positive = probability > 0.5;
            match is_positive {
                true => predicted.in_genbank += 1,
                false => predicted.others += 1,
            }
            if let Some(label) = orf.in_genbank {
                labelled += 1;
                right += u64::from(label == is_positive);
            }
            (out.write_all(table.row(orf, probability).as_bytes())).map_err(failed)?;
            Ok(Ok(()))
        })?;
        if is_marked {
            predicted.labelled += labelled;
            predicted.right += right;
        }
    }
    let done = predicted.in_genbank + predicted.others;
    if done == 0 {
        if let Some(problem) = rows.problem() {
            return Err(problem);
        }
        if rows.progress.failed > 0 {
            let message = format!("none of the {} ORFs has all features", rows.progress.failed);
            return Err(PipelineError::new(PipelineErrorKind::Input, message)
                .with_hint("run `sessile entropy run` without --skip-entropy"));
        }
    }
    out.finish().map_err(failed)?;
    predicted.summary = Summary {
        records: rows.progress.records,
        failed: rows.progress.failed,
        run: begun.elapsed(),
        ..Summary::default()
    };
    Ok(predicted)
}

fn separator(output: &Path) -> char {
    match output.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("csv") => ',',
        _ => '\t',
    }
}

struct Table {
    separator: char,
    columns: PredictionColumns,
}

impl Table {
    fn header(&self) -> String {
        let names = [
            "orf_id",
            "predicted_label",
            "prob_not_in_genbank",
            "prob_in_genbank",
            "in_genbank",
        ];
        let first = match self.columns {
            PredictionColumns::WithRecord => Some("input_id"),
            PredictionColumns::GenomeEntropy01 => None,
        };
        let names: Vec<&str> = first.into_iter().chain(names).collect();
        names.join(&self.separator.to_string()) + "\n"
    }

    fn row(&self, orf: &StoredOrf, probability: f32) -> String {
        let s = self.separator;
        let record = match self.columns {
            PredictionColumns::WithRecord => self.text(&orf.record) + &s.to_string(),
            PredictionColumns::GenomeEntropy01 => String::new(),
        };
        let label = match orf.in_genbank {
            Some(true) => "True",
            Some(false) => "False",
            None => "NA",
        };
        let id = self.text(&orf.id);
        let predicted = u8::from(probability > 0.5);
        let against = 1.0 - probability;
        format!("{record}{id}{s}{predicted}{s}{against:.6}{s}{probability:.6}{s}{label}\n")
    }

    /// A text that neither breaks its row nor its column.
    fn text(&self, text: &str) -> String {
        let is_plain =
            |letter: char| !matches!(letter, '"' | '\n' | '\r') && letter != self.separator;
        match text.chars().all(is_plain) {
            true => text.to_owned(),
            false => format!("\"{}\"", text.replace('"', "\"\"")),
        }
    }
}
