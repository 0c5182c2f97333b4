//! `sessile bench-service`

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sessile_pipelines::bench::BenchSet;
use sessile_pipelines::output::{Sources, WholeFile};
use sessile_server::load::{self, Cell, LoadOptions, short_orfs};

use crate::arguments::serve::BenchServiceArguments;
use crate::exit::{BAD_INPUT, DONE, Failure};
use crate::terminal::Terminal;

/// Made-up sequences that are sent, over and over.
const SEQUENCES: usize = 256;

pub(crate) fn run(arguments: &BenchServiceArguments) -> Result<ExitCode, Failure> {
    let mut sources = Sources::default();
    if let Some(input) = &arguments.input {
        sources.add("an input", input);
    }
    for output in std::iter::once(&arguments.output).chain(&arguments.chart) {
        sources.refuse(output)?;
    }
    let sequences = match &arguments.input {
        None => short_orfs(SEQUENCES),
        Some(path) => BenchSet::File(path.clone())
            .sequences(false, usize::MAX)?
            .into_iter()
            .map(|sequence| String::from_utf8_lossy(&sequence).into_owned())
            .collect(),
    };
    let options = LoadOptions {
        target: arguments.url.clone(),
        batch_sizes: arguments.batch_sizes.clone(),
        concurrency: arguments.concurrency.clone(),
        rate: arguments.rate,
        duration: Duration::try_from_secs_f64(arguments.duration)
            .map_err(|_| Failure::usage("--duration must be a number of seconds"))?,
        sequences,
        api_key: match arguments.api_key.as_deref().map(str::trim) {
            Some("") => {
                return Err(Failure::usage(
                    "--api-key (SESSILE_API_KEY) is set but has no key (leave it out to send none)",
                ));
            }
            key => key.map(str::to_owned),
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let terminal = Terminal::new(false);
    let report = runtime
        .block_on(load::run(&options, |cell| terminal.summary(&line(cell))))
        .map_err(|error| {
            Failure::new(BAD_INPUT, error.to_string())
                .with_hint(Some("is the service running? `sessile serve` starts one"))
        })?;
    let text = format!("{:#}\n", serde_json::json!(report));
    write(&arguments.output, text.as_bytes())?;
    if let Some(chart) = &arguments.chart {
        write(chart, report.chart().as_bytes())?;
    }
    Ok(ExitCode::from(DONE))
}

fn line(cell: &Cell) -> String {
    let errors: u64 = cell.errors.values().sum();
    let milliseconds = |seconds: f64| 1000.0 * seconds;
    format!(
        "{} sequences a request, {} connections: {} requests, {:.0} tokens/s, p50 {:.1} ms, p99 \
         {:.1} ms, {errors} errors",
        cell.batch_size,
        cell.concurrency,
        cell.requests,
        cell.tokens_per_second,
        milliseconds(cell.latency.p50),
        milliseconds(cell.latency.p99),
    )
}

fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        stdout().lock().write_all(text)?;
        return Ok(());
    }
    let written = WholeFile::create(path).and_then(|mut file| {
        file.write_all(text)?;
        file.finish()
    });
    written.map_err(|error| {
        Failure::new(
            BAD_INPUT,
            format!("can not write {}: {error}", path.display()),
        )
    })
}
