//! `sessile entropy run`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sessile_pipelines::entropy::{
    self, Analysis, DEFAULT_FORMAT, EntropyOptions, EntropySummary, OrfRule, Sample, SchemaVersion,
    output_formats, read_sample_sheet,
};
use sessile_pipelines::output::{
    Compression, FileFormat, OutputFiles, OutputPlace, Sources, check_outputs,
};
use sessile_pipelines::{Interrupt, Observer, PipelineError, Summary};
use sessile_reports::genomes::report::{self, ReportOptions};
use sessile_runtime::{DeviceChoice, PoolOptions};

use super::super::job::{self, Done};
use super::open_states;
use crate::arguments::entropy::{Compat, NO_MODEL, RunArguments};
use crate::exit::Failure;
use crate::terminal::{count, duration, place, several, times};

pub(super) fn run(arguments: RunArguments) -> Result<ExitCode, Failure> {
    job::run(&arguments.report, |observer, interrupt| {
        let summary = compute(&arguments, observer, interrupt)?;
        Ok(Done {
            text: describe(&summary, &arguments),
            summary: as_summary(&summary),
        })
    })
}

fn compute(
    arguments: &RunArguments,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<EntropySummary, Failure> {
    // Everything that can be wrong with the command, before a model is loaded.
    let samples = samples(arguments)?;
    let (schema, rule) = match arguments.compat {
        Some(Compat::GenomeEntropy01) => (
            SchemaVersion::V2_0,
            OrfRule::of_genome_entropy(arguments.min_aa),
        ),
        Some(Compat::GenomeEntropy03) => (
            SchemaVersion::V2_2,
            OrfRule::GenomeEntropy03(arguments.min_aa.saturating_mul(3)),
        ),
        None => (
            arguments.schema.unwrap_or_default(),
            OrfRule::Residues(arguments.min_aa),
        ),
    };
    let options = EntropyOptions {
        code: arguments.table,
        rule,
        schema,
        skip_entropy: arguments.skip_entropy,
        as_genome_entropy: arguments.compat.is_some(),
        shard: arguments.shard.shard,
        force: arguments.overwrite.force,
        journal: !arguments.resume.no_journal,
        resume: arguments.resume.options(),
        pool: pool_options(arguments)?,
    };
    let folder = (arguments.sample_sheet.as_ref()).map(|_| arguments.output[0].as_path());
    entropy::check(&options, &samples, folder)?;
    let report = report_options(arguments, &samples)?;
    let model = match arguments.model.as_str() {
        NO_MODEL => None,
        name => Some(open_states(name, &arguments.head, &arguments.writing)?),
    };
    let analysis = Analysis::new(options, model, observer)?;
    let result = match (&arguments.sample_sheet, samples.as_slice()) {
        (None, [sample]) => analysis.run(sample, observer, interrupt),
        _ => analysis.run_sheet(&samples, &arguments.output[0], observer, interrupt),
    };
    let failed = |error: PipelineError| Failure::ended(error, interrupt);
    let summary = result.map_err(failed)?;
    if let Some(mut options) = report {
        // Samples that failed, or that are of another part, have no file.
        options.inputs.retain(|path| path.exists());
        report::write(&options, observer, interrupt).map_err(failed)?;
    }
    Ok(summary)
}

/// A report is made of the JSON that the run writes.
fn report_options(
    arguments: &RunArguments,
    samples: &[Sample],
) -> Result<Option<ReportOptions>, Failure> {
    let Some(output) = &arguments.html_report else {
        return Ok(None);
    };
    check_report(output, arguments, samples)?;
    if arguments.sample_sheet.is_none() && !arguments.shard.shard.is_whole() {
        return Err(
            Failure::usage("--report is made of the whole run, and this is a shard")
                .with_hint(Some("merge the parts, then use `sessile entropy plot`")),
        );
    }
    let json = |sample: &Sample| {
        let mut outputs = sample.outputs.iter();
        let is_json = |(path, kind): &&(PathBuf, FileFormat)| {
            ["json", "jsonl"].contains(&kind.format.name())
                && OutputPlace::of(path) == OutputPlace::File
        };
        outputs.find(is_json).map(|(path, _)| path.clone())
    };
    let inputs: Option<Vec<PathBuf>> = samples.iter().map(json).collect();
    let Some(inputs) = inputs else {
        return Err(
            Failure::usage("--report is made of a JSON file, and none is written").with_hint(Some(
                "add an --output that ends in .json, or json to --format",
            )),
        );
    };
    let has_annotation = |sample: &Sample| !sample.genbank.is_empty();
    Ok(Some(ReportOptions {
        inputs,
        is_annotated: match samples
            .iter()
            .filter(|sample| has_annotation(sample))
            .count()
        {
            0 => Some(false),
            all if all == samples.len() => Some(true),
            _ => None,
        },
        output: output.clone(),
        force: arguments.overwrite.force,
    }))
}

/// Refuses a report that is an input or another output of the run.
fn check_report(
    output: &Path,
    arguments: &RunArguments,
    samples: &[Sample],
) -> Result<(), Failure> {
    let outputs = samples.iter().flat_map(|sample| &sample.outputs);
    let mut all: Vec<PathBuf> = outputs.map(|(path, _)| path.clone()).collect();
    all.extend(arguments.report.failures.clone());
    all.push(output.to_owned());
    OutputFiles::plain(&all, true)?;
    let mut sources = Sources::default();
    if let Some(sheet) = &arguments.sample_sheet {
        sources.add("the sample sheet", sheet);
    }
    for path in samples
        .iter()
        .flat_map(|sample| sample.fasta.iter().chain(&sample.genbank))
    {
        sources.add("an input", path);
    }
    Ok(check_outputs(
        [&output.to_owned()],
        arguments.overwrite.force,
        &sources,
    )?)
}

fn samples(arguments: &RunArguments) -> Result<Vec<Sample>, Failure> {
    let Some(sheet) = &arguments.sample_sheet else {
        let name = arguments.output[0].file_name().unwrap_or_default();
        return Ok(vec![Sample {
            name: name.to_string_lossy().into_owned(),
            fasta: arguments.input.clone(),
            genbank: arguments.genbank.clone(),
            outputs: output_formats(&arguments.output, &arguments.format)?,
            failures: arguments.report.failures.clone(),
        }]);
    };
    let [folder] = arguments.output.as_slice() else {
        return Err(Failure::usage("samples have one folder for their results")
            .with_hint(Some("name several formats with --format json,tsv")));
    };
    let json = FileFormat {
        format: DEFAULT_FORMAT,
        compression: Compression::None,
    };
    let formats = match arguments.format.as_slice() {
        [] => &[json],
        formats => formats,
    };
    Ok(read_sample_sheet(sheet, folder, formats)?)
}

fn pool_options(arguments: &RunArguments) -> Result<PoolOptions, Failure> {
    let mut options = arguments.pool.options();
    if let Some(residues) = arguments.encoding_size {
        options.token_budget = Some(residues);
    }
    if !arguments.gpu_ids.is_empty() {
        if options.devices != DeviceChoice::Auto {
            return Err(Failure::usage("--gpu-ids and --devices say the same")
                .with_hint(Some("leave one of them out")));
        }
        let names: Vec<String> = (arguments.gpu_ids.iter())
            .map(|number| format!("cuda:{number}"))
            .collect();
        options.devices = names.join(",").parse().map_err(Failure::usage)?;
    }
    Ok(options)
}

/// The counts that all jobs have.
fn as_summary(summary: &EntropySummary) -> Summary {
    Summary {
        records: summary.records,
        failed: summary.failed,
        resumed: summary.resumed,
        residues: summary.residues,
        tokens: summary.tokens,
        load: summary.load,
        run: summary.run,
        model_loads: summary.model_loads,
        busy: summary.busy,
        ..Summary::default()
    }
}

fn describe(summary: &EntropySummary, arguments: &RunArguments) -> String {
    let seconds = summary.run.as_secs_f64().max(1e-9);
    let model = match summary.model_loads {
        0 => String::new(),
        loads => {
            let loads = times(loads);
            let load = duration(summary.load.as_secs_f64());
            let rate = count((summary.tokens as f64 / seconds) as u64);
            let busy = 100.0 * summary.busy;
            format!(" ({rate} tokens/s, devices {busy:.0} % busy, model loaded {loads} in {load})")
        }
    };
    let samples = match arguments.sample_sheet {
        Some(_) => format!(" in {} samples", count(summary.samples)),
        None => String::new(),
    };
    let shard = arguments.shard.shard;
    let places: Vec<String> = match shard.is_whole() || arguments.sample_sheet.is_some() {
        true => arguments.output.iter().map(|path| place(path)).collect(),
        false => vec![place(&shard.path(&arguments.output[0]))],
    };
    format!(
        "found {} ORFs in {} records{samples} in {}{}{}{}{model}\nresult: {}",
        count(summary.orfs),
        count(summary.written),
        duration(seconds),
        several(summary.in_genbank, "of them annotated"),
        several(summary.failed, "failed"),
        several(summary.resumed, "proteins from the earlier run"),
        places.join(", ")
    )
}
