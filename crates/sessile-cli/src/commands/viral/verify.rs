//! `sessile viral verify`

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_pipelines::viral::predict::PredictOptions;
use sessile_pipelines::viral::predict::Shard;
use sessile_pipelines::viral::verify::{self, Verified, VerifyOptions};

use super::super::open_model;
use crate::arguments::viral::VerifyArguments;
use crate::exit::{BAD_INPUT, DONE, Failure};
use crate::signals;
use crate::terminal::{Terminal, count};

pub(crate) fn run(arguments: &VerifyArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let models = &arguments.models;
    let open =
        || -> Result<_, Failure> { Ok((open_model(&models.dnabert)?, open_model(&models.esm)?)) };
    let options = VerifyOptions {
        inputs: arguments.sequences.all()?,
        frames: arguments.sample,
        predict: PredictOptions {
            chunk: models.chunk,
            classifier: models.classifier.clone(),
            esm_layer: models.esm_layer,
            shard: Shard::WHOLE,
            save_features: false,
            tables: Default::default(),
            force: false,
            journal: false,
            resume: Default::default(),
            pool: arguments.pool.options(),
        },
    };
    verify::check(&options)?;
    let (exact, reduced) = (open()?, open()?);
    let found = verify::run(exact, reduced, &options, &mut terminal, &interrupt)
        .map_err(|error| Failure::ended(error, &interrupt))?;
    let is_good = found.frames > 0
        && found.nucleotide.smallest >= arguments.min_cosine
        && found.protein.smallest >= arguments.min_cosine
        && found.agreement >= arguments.min_agreement;
    if arguments.json || !arguments.messages.quiet {
        print(&found, is_good, arguments.json)?;
    }
    Ok(ExitCode::from(if is_good { DONE } else { BAD_INPUT }))
}

fn print(found: &Verified, is_good: bool, json: bool) -> std::io::Result<()> {
    let mut out = stdout().lock();
    if json {
        let value = serde_json::json!({
            "dtype": found.dtype,
            "frames": found.frames,
            "dnabert_cosine": { "smallest": found.nucleotide.smallest, "mean": found.nucleotide.mean },
            "esm_cosine": { "smallest": found.protein.smallest, "mean": found.protein.mean },
            "label_agreement": found.agreement,
            "largest_score_difference": found.score_difference,
            "good": is_good,
        });
        return writeln!(out, "{value:#}");
    }
    writeln!(
        out,
        "{} beside f32, {} frames:",
        found.dtype,
        count(found.frames as u64)
    )?;
    for (name, cosine) in [("DNABERT", &found.nucleotide), ("ESM", &found.protein)] {
        writeln!(
            out,
            "  {name:8} cosine {:.6} at least, {:.6} on average",
            cosine.smallest, cosine.mean
        )?;
    }
    writeln!(
        out,
        "  labels   {:.2} % the same, scores differ by {:.2e} at most",
        100.0 * found.agreement,
        found.score_difference
    )?;
    writeln!(out, "{}", if is_good { "good" } else { "not good enough" })
}
