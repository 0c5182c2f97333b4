//! `sessile bench --generate`

use std::io::Write;
use std::time::Duration;

use sessile_models::Model;
use sessile_pipelines::Interrupt;
use sessile_pipelines::bench::{GenerationBenchOptions, GenerationBenchReport, run_generation};
use sessile_runtime::PoolOptions;

use super::{operations, print_operations};
use crate::arguments::BenchArguments;
use crate::commands::resolve;
use crate::exit::Failure;
use crate::terminal::{bytes, count};

pub(super) fn run(
    arguments: &BenchArguments,
    duration: Duration,
    interrupt: &Interrupt,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let path = resolve(&arguments.model)?;
    let files = Model::open(&path)?.named(&arguments.model);
    let options = GenerationBenchOptions {
        requests: arguments.requests,
        source_tokens: arguments.source_tokens,
        duration,
        pool: PoolOptions {
            devices: arguments.pool.devices.clone(),
            threads: arguments.pool.threads,
            dtype: arguments.pool.dtype,
            memory_reserve: arguments.pool.memory_reserve,
            ..PoolOptions::default()
        },
    };
    let report = run_generation(&files, &options, interrupt)?;
    if arguments.json {
        writeln!(out, "{}", json(&report))?;
    } else {
        print(&report, out, arguments.per_op)?;
    }
    Ok(())
}

fn json(report: &GenerationBenchReport) -> serde_json::Value {
    serde_json::json!({
        "model": report.model,
        "dtype": report.dtype.name(),
        "kernel_family": report.kernel_family,
        "threads": report.threads,
        "requests": report.requests,
        "source_tokens": report.source_tokens,
        "num_beams": report.settings.num_beams,
        "min_length": report.settings.min_length,
        "max_length": report.settings.max_length,
        "load_seconds": report.load_seconds,
        "seconds": report.seconds(),
        "rounds_seconds": report.rounds,
        "new_tokens": report.new_tokens,
        "new_tokens_per_second": report.tokens_per_second(),
        "steps": report.steps,
        "encode_flops": report.work.encode_flops,
        "decode_flops": report.work.decode_flops,
        "decode_bytes": report.work.decode_bytes,
        "peak_flops": report.peak_flops,
        "peak_bytes_per_second": report.peak_bytes,
        "fraction_of_roof": report.fraction_of_roof,
        "peak_rss_bytes": report.peak_rss_bytes,
        "planned_bytes": report.planned_bytes,
        "weight_bytes": report.weight_bytes,
        "operations": operations(&report.operations),
    })
}

fn print(
    report: &GenerationBenchReport,
    out: &mut impl Write,
    per_op: bool,
) -> std::io::Result<()> {
    writeln!(
        out,
        "{}, {} ({}), {} threads: {} sources of {} tokens, {} beams, {} to {} tokens",
        report.model,
        report.dtype,
        report.kernel_family,
        report.threads,
        report.requests,
        report.source_tokens,
        report.settings.num_beams,
        report.settings.min_length,
        report.settings.max_length,
    )?;
    writeln!(out, "  load:      {:.2} s", report.load_seconds)?;
    writeln!(
        out,
        "  steady:    {:.1} new tokens/s: {} in {:.2} s, {} steps",
        report.tokens_per_second(),
        count(report.new_tokens),
        report.seconds(),
        report.steps,
    )?;
    if let (Some(flops), Some(fraction)) = (report.peak_flops, report.fraction_of_roof) {
        writeln!(
            out,
            "  roofs:     {:.3} TFLOP/s and {:.1} GB/s measured, {fraction:.3} of the lower one \
             reached ({:.1} TFLOP, {} read)",
            flops / 1e12,
            report.peak_bytes / 1e9,
            (report.work.encode_flops + report.work.decode_flops) as f64 / 1e12,
            bytes(report.work.decode_bytes),
        )?;
    }
    writeln!(
        out,
        "  memory:    {} at most, {} planned ({} of weights)",
        report
            .peak_rss_bytes
            .map_or_else(|| "unknown".to_owned(), bytes),
        bytes(report.planned_bytes),
        bytes(report.weight_bytes),
    )?;
    if per_op {
        print_operations(&report.operations, out)?;
    }
    Ok(())
}
