//! `sessile viral train`

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use sessile_learn::perceptron::{Epoch, Trained};
use sessile_learn::viruses::{self as train, TrainJob};
use sessile_models::classifier::Binding;
use sessile_pipelines::viral::features::FeatureSource;

use crate::arguments::viral::TrainArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration, several};

pub(crate) fn run(arguments: TrainArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let sources = |paths: Vec<PathBuf>| paths.into_iter().map(FeatureSource::Merged).collect();
    let job = TrainJob {
        virus: sources(arguments.virus),
        others: sources(arguments.others),
        labelled: sources(arguments.features),
        binding: Binding {
            chunk: arguments.chunk.map(usize::from),
            nucleotide: arguments.nucleotide_size,
            protein: arguments.protein_size,
        },
        output: arguments.output,
        force: arguments.overwrite.force,
        options: arguments.training.options(),
    };
    let quiet = arguments.messages.quiet;
    let mut on_epoch = |epoch: &Epoch| {
        if !quiet {
            say!("{}", describe(epoch));
        }
    };
    let result = train::run(&job, &mut terminal, &mut on_epoch, &interrupt);
    terminal.clear();
    let (trained, summary) = result.map_err(|error| Failure::ended(error, &interrupt))?;
    if arguments.json {
        writeln!(stdout().lock(), "{:#}", json(&trained))?;
    }
    if !quiet {
        say!(
            "trained on {} frames, judged on {}, best epoch {}{} in {}{}\nresult: {}",
            count(trained.trained_on as u64),
            count(trained.held_out as u64),
            trained.best.number,
            if trained.stopped_early {
                " (the loss fell no more)"
            } else {
                ""
            },
            duration(summary.run.as_secs_f64()),
            several(summary.failed, "failed"),
            job.output.display()
        );
    }
    Ok(finished(summary.failed))
}

fn describe(epoch: &Epoch) -> String {
    let metrics = &epoch.held_out;
    format!(
        "epoch {}: loss {:.4}; held out: loss {:.4}, accuracy {:.4}, precision {:.4}, recall \
         {:.4}, F1 {:.4}, AUC {}{}",
        epoch.number,
        epoch.train_loss,
        metrics.loss,
        metrics.accuracy,
        metrics.precision,
        metrics.recall,
        metrics.f1,
        metrics
            .auc
            .map_or_else(|| "unknown".to_owned(), |auc| format!("{auc:.4}")),
        if epoch.is_best { ", best" } else { "" }
    )
}

fn json(trained: &Trained) -> serde_json::Value {
    let metrics = &trained.best.held_out;
    serde_json::json!({
        "best_epoch": trained.best.number,
        "stopped_early": trained.stopped_early,
        "trained_on": trained.trained_on,
        "held_out": trained.held_out,
        "train_loss": trained.best.train_loss,
        "loss": metrics.loss,
        "accuracy": metrics.accuracy,
        "precision": metrics.precision,
        "recall": metrics.recall,
        "f1": metrics.f1,
        "auc": metrics.auc,
    })
}
