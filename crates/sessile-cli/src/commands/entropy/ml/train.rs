//! `sessile entropy ml train`

use std::io::{Write, stdout};
use std::process::ExitCode;

use sessile_learn::metrics::Metrics;
use sessile_learn::orfs::{ClassifierReport, Split, TrainJob, TrainedClassifier, train};
use sessile_learn::trees::train::Round;

use crate::arguments::entropy::ml::TrainArguments;
use crate::exit::{Failure, finished};
use crate::signals;
use crate::terminal::{Terminal, count, duration};

/// Rounds between two lines.
const STRIDE: usize = 10;

pub(super) fn run(arguments: TrainArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let mut terminal = Terminal::new(arguments.messages.quiet);
    let kept_back = arguments.kept_back;
    let (inputs, split) = match arguments.split_dir {
        Some(folder) => (vec![folder], Split::Files),
        None => (arguments.input, kept_back.split.into()),
    };
    let job = TrainJob {
        inputs,
        split,
        test_share: kept_back.test_split.unwrap_or(match split {
            Split::Orfs | Split::Records => 0.1,
            Split::Files => 0.2,
        }),
        validation_share: kept_back.validation_split,
        seed: kept_back.seed,
        weight: arguments.training.class_weight,
        options: arguments.training.options(),
        threads: arguments.threads,
        output: arguments.output,
        report: arguments.report,
        force: arguments.overwrite.force,
    };
    let quiet = arguments.messages.quiet;
    let mut on_round = |round: &Round| {
        if !quiet && round.number.is_multiple_of(STRIDE) {
            say!("{}", describe_round(round));
        }
    };
    let result = train(&job, &mut terminal, &mut on_round, &interrupt);
    terminal.clear();
    let (classifier, summary) = result.map_err(|error| Failure::ended(error, &interrupt))?;
    if arguments.json {
        writeln!(stdout().lock(), "{:#}", json(&classifier))?;
    }
    if !quiet {
        let seconds = duration(summary.run.as_secs_f64());
        say!(
            "{}\n{} trees in {seconds}{}\nresult: {}",
            describe(&classifier.report),
            count(classifier.trained.model.trees().len() as u64),
            match summary.failed {
                0 => String::new(),
                failed => format!(", {} ORFs or files failed", count(failed)),
            },
            job.output.display()
        );
    }
    Ok(finished(summary.failed))
}

fn describe_round(round: &Round) -> String {
    let validation = (round.validation_loss)
        .map_or_else(String::new, |loss| format!(", of validation {loss:.4}"));
    format!(
        "round {}: loss {:.4}{validation}",
        round.number, round.train_loss
    )
}

fn describe(report: &ClassifierReport) -> String {
    let mut text = format!(
        "trained on {} ORFs, {} of them in GenBank\n",
        count(report.training.total()),
        count(report.training.in_genbank)
    );
    match &report.test_metrics {
        None => text.push_str("no ORF was kept back to judge by\n"),
        Some(metrics) => text.push_str(&format!(
            "kept back {} ORFs, {} in GenBank: accuracy {:.4}, precision {:.4}, recall {:.4}, F1 \
             {:.4}, AUC {}\n",
            count(report.test.total()),
            count(report.test.in_genbank),
            metrics.accuracy,
            metrics.precision,
            metrics.recall,
            metrics.f1,
            metrics
                .auc
                .map_or_else(|| "unknown".to_owned(), |auc| format!("{auc:.4}")),
        )),
    }
    let mut shares: Vec<_> = report.importance.iter().zip(&report.gain_shares).collect();
    shares.sort_by(|a, b| b.1.total_cmp(a.1));
    let shares: Vec<String> = (shares.into_iter().take(5))
        .map(|((name, _), share)| format!("{name} {share:.3}"))
        .collect();
    format!("{text}importance by gain: {}", shares.join(", "))
}

fn json(classifier: &TrainedClassifier) -> serde_json::Value {
    let TrainedClassifier { trained, report } = classifier;
    let importance: serde_json::Map<_, _> = (report.importance.iter())
        .map(|(name, importance)| {
            let value = serde_json::json!({"gain": importance.gain, "weight": importance.splits});
            ((*name).to_owned(), value)
        })
        .collect();
    serde_json::json!({
        "trees": trained.model.trees().len(),
        "stopped_early": trained.stopped_early,
        "trained_on": report.training.total(),
        "validation": trained.validation.as_ref().map(metrics),
        "test": report.test_metrics.as_ref().map(metrics),
        "importance": importance,
    })
}

fn metrics(metrics: &Metrics) -> serde_json::Value {
    serde_json::json!({
        "loss": metrics.loss,
        "accuracy": metrics.accuracy,
        "precision": metrics.precision,
        "recall": metrics.recall,
        "f1": metrics.f1,
        "auc": metrics.auc,
    })
}
