//! `sessile bench-service`

use std::io::{ErrorKind, Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sessile_pipelines::bench::BenchSet;
use sessile_pipelines::output::{Sources, WholeFile};
use sessile_reports::chart::{self, Measured};
use sessile_reports::drawing::PictureFormat;
use sessile_server::load::{self, Baseline, Cell, Compared, LoadOptions, Report, short_orfs};

use crate::arguments::serve::BenchServiceArguments;
use crate::exit::{BAD_INPUT, DONE, Failure, SOME_FAILED};
use crate::terminal::{Terminal, count};

/// Made-up sequences that are sent, over and over.
const SEQUENCES: usize = 256;

pub(crate) fn run(arguments: &BenchServiceArguments) -> Result<ExitCode, Failure> {
    let mut sources = Sources::default();
    if let Some(input) = &arguments.input {
        sources.add("an input", input);
    }
    if let Some(earlier) = &arguments.baseline {
        sources.add("the earlier report", earlier);
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
    let baseline = arguments
        .baseline
        .as_deref()
        .map(read_baseline)
        .transpose()?;
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
    let chart = match &arguments.chart {
        None => None,
        Some(path) if *path == arguments.output => {
            return Err(Failure::usage("--chart and --output name the same file"));
        }
        Some(path) => Some((path, PictureFormat::of_name(path)?)),
    };
    let mut report = runtime
        .block_on(load::run(&options, |cell| terminal.summary(&line(cell))))
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => Failure::usage(error.to_string()),
            _ => Failure::new(BAD_INPUT, format!("{}: {error}", arguments.url))
                .with_hint(Some("is the service running? `sessile serve` starts one")),
        })?;
    if let Some(baseline) = baseline {
        report.compared = baseline.compare(&report);
        for compared in &report.compared {
            terminal.summary(&beside(compared));
        }
    }
    let text = format!("{:#}\n", serde_json::json!(report));
    write(&arguments.output, text.as_bytes())?;
    if let Some((path, format)) = chart {
        let measured: Vec<Measured> = report.cells.iter().map(measured).collect();
        chart::write(&measured, &caption(&report), path, format)?;
    }
    let slow = report.compared.iter().filter(|compared| {
        let least = arguments.min_throughput;
        least.is_some_and(|least| compared.throughput < least)
    });
    match (report.errors(), report.answered()) {
        (0, 1..) => match slow.count() {
            0 => Ok(ExitCode::from(DONE)),
            cells => Err(Failure::new(
                SOME_FAILED,
                format!("{cells} measurements are slower than --min-throughput allows"),
            )
            .with_hint(Some("the report's `compared` says which"))),
        },
        (errors, 0) => Err(Failure::new(
            BAD_INPUT,
            format!("no request was answered, {}", several(errors, "failed")),
        )
        .with_hint(Some("the report's `errors` say why"))),
        (errors, _) => Err(Failure::new(SOME_FAILED, several(errors, "failed"))
            .with_hint(Some("the report's `errors` say why"))),
    }
}

fn read_baseline(path: &Path) -> Result<Baseline, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| Baseline::parse(&text))
        .map_err(|error| Failure::usage(format!("--baseline {}: {error}", path.display())))
}

/// A measurement beside that of the earlier run.
fn beside(compared: &Compared) -> String {
    let p99 = compared
        .p99
        .map_or_else(String::new, |p99| format!(", {p99:.2} of its p99"));
    format!(
        "{} sequences a request, {} connections: {:.2} of the throughput of the earlier run{p99}",
        compared.batch_size, compared.concurrency, compared.throughput
    )
}

fn several(requests: u64, what: &str) -> String {
    match requests {
        1 => format!("1 request {what}"),
        requests => format!("{} requests {what}", count(requests)),
    }
}

/// A measurement as it is drawn.
fn measured(cell: &Cell) -> Measured {
    let seconds = cell.latency.as_ref();
    Measured {
        name: format!("{}×{}", cell.batch_size, cell.concurrency),
        tokens_per_second: cell.tokens_per_second,
        seconds: seconds.map(|seconds| [seconds.p50, seconds.p95, seconds.p99]),
        errors: cell.errors(),
    }
}

fn caption(report: &Report) -> String {
    let rate = report
        .rate
        .map_or_else(String::new, |rate| format!(" at {rate} requests a second"));
    format!(
        "{} loop{rate}, {} sequences of {:.0} residues on average",
        report.r#loop, report.sequences, report.mean_length
    )
}

fn line(cell: &Cell) -> String {
    let times = match &cell.latency {
        Some(seconds) => format!(
            "p50 {:.1} ms, p99 {:.1} ms",
            1000.0 * seconds.p50,
            1000.0 * seconds.p99
        ),
        None => "no answer".to_owned(),
    };
    let kinds: Vec<String> = (cell.errors.iter())
        .map(|(kind, number)| format!("{kind}: {number}"))
        .collect();
    let errors = match kinds.is_empty() {
        true => String::new(),
        false => format!(" ({})", kinds.join(", ")),
    };
    format!(
        "{} sequences a request, {} connections: {} requests, {:.0} tokens/s, {times}, {} \
         errors{errors}",
        cell.batch_size,
        cell.concurrency,
        cell.requests,
        cell.tokens_per_second,
        cell.errors(),
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
