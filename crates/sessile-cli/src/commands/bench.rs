//! `sessile bench`

mod generation;

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use sessile_pipelines::bench::{
    self, BenchOptions, BenchReport, BenchSet, OperationClass, OperationTime,
};

use super::open_model;
use crate::arguments::BenchArguments;
use crate::exit::{BAD_INPUT, DONE, Failure};
use crate::signals;
use crate::terminal::{bytes, count};

pub(crate) fn run(arguments: &BenchArguments) -> Result<ExitCode, Failure> {
    let interrupt = signals::listen()?;
    let duration = Duration::try_from_secs_f64(arguments.duration)
        .map_err(|_| Failure::usage("--duration must be a number of seconds"))?;
    if let BenchSet::File(path) = &arguments.set
        && !path.exists()
    {
        let message = format!("{}: no such file", path.display());
        return Err(Failure::new(BAD_INPUT, message));
    }
    if arguments.generate {
        generation::run(arguments, duration, &interrupt, &mut stdout().lock())?;
        return Ok(ExitCode::from(DONE));
    }
    let model = open_model(&arguments.model)?;
    let options = BenchOptions {
        set: arguments.set.clone(),
        duration,
        per_op: arguments.per_op,
        pool: arguments.pool.options(),
    };
    let report = match bench::run(model, &options, &interrupt) {
        Ok(report) => report,
        Err(error) => {
            return Err(match interrupt.signal() {
                Some(signal) => Failure::interrupted(signal, error.to_string()),
                None => error.into(),
            });
        }
    };
    let mut out = stdout().lock();
    if arguments.json {
        writeln!(out, "{}", json(&report))?;
    } else {
        print(&report, &mut out)?;
    }
    Ok(ExitCode::from(DONE))
}

fn json(report: &BenchReport) -> serde_json::Value {
    let mut value = serde_json::json!({
        "model": report.model,
        "set": report.set,
        "dtype": report.dtype.name(),
        "kernel_family": report.kernel_family,
        "lanes": report.lanes,
        "token_budget": report.token_budget,
        "load_seconds": report.load_seconds,
        "first_seconds": report.first_seconds,
        "tokens_per_second": report.tokens_per_second,
        "rounds_tokens_per_second": report.rounds,
        "sequences_per_second": report.sequences_per_second,
        "flops_per_token": report.flops_per_token,
        "peak_flops": report.peak_flops,
        "peaks": report.peaks,
        "fraction_of_peak": report.fraction_of_peak,
        "peak_rss_bytes": report.peak_rss_bytes,
        "planned_bytes": report.planned_bytes,
    });
    if !report.operations.is_empty() {
        value["operations"] = operations(&report.operations);
    }
    value
}

fn operations(operations: &[(OperationClass, OperationTime)]) -> serde_json::Value {
    let one = |(class, time): &(OperationClass, OperationTime)| {
        serde_json::json!({
            "operation": class.to_string(),
            "calls": time.calls,
            "rows": time.rows,
            "seconds": time.time.as_secs_f64(),
            "flops": time.flops,
        })
    };
    operations.iter().map(one).collect()
}

fn print(report: &BenchReport, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{} on {}, {} ({}), {} lanes, batches of {} tokens",
        report.model,
        report.set,
        report.dtype,
        report.kernel_family,
        report.lanes,
        count(report.token_budget as u64)
    )?;
    writeln!(
        out,
        "  load:      {:.2} s, first sequence {:.3} s",
        report.load_seconds, report.first_seconds
    )?;
    writeln!(
        out,
        "  steady:    {} tokens/s, {:.1} sequences/s",
        count(report.tokens_per_second as u64),
        report.sequences_per_second
    )?;
    if let (Some(peak), Some(fraction)) = (report.peak_flops, report.fraction_of_peak) {
        writeln!(
            out,
            "  peak:      {:.3} TFLOP/s measured, {:.3} of it reached ({:.1} MFLOP per token)",
            peak / 1e12,
            fraction,
            report.flops_per_token / 1e6
        )?;
    }
    writeln!(
        out,
        "  memory:    {} at most, {} planned",
        report
            .peak_rss_bytes
            .map_or_else(|| "unknown".to_owned(), bytes),
        bytes(report.planned_bytes)
    )?;
    print_operations(&report.operations, out)
}

fn print_operations(
    operations: &[(OperationClass, OperationTime)],
    out: &mut impl Write,
) -> std::io::Result<()> {
    let all: f64 = operations
        .iter()
        .map(|(_, time)| time.time.as_secs_f64())
        .sum();
    for (class, time) in operations {
        let seconds = time.time.as_secs_f64();
        writeln!(
            out,
            "  {:5.1} %  {class}, {} calls, {:.1} GFLOP/s per lane",
            100.0 * seconds / all,
            count(time.calls),
            time.flops as f64 / seconds.max(1e-9) / 1e9
        )?;
    }
    Ok(())
}
