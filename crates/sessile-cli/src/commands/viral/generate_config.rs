//! `sessile viral generate-config`: the settings follow from the definitions of the flags, so no
//! flag can be missing from the file.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory};
use sessile_pipelines::PipelineError;
use sessile_pipelines::output::{Destination, Sources, check_ending, check_outputs};

use crate::arguments::Cli;
use crate::arguments::viral::{ConfigFormat, GenerateConfigArguments};
use crate::exit::{DONE, Failure};
use crate::settings::is_setting;

pub(crate) fn run(arguments: &GenerateConfigArguments) -> Result<ExitCode, Failure> {
    let output = &arguments.output;
    if arguments.format.is_none() {
        check_ending(output, &["toml", "yaml", "yml"])?;
    }
    check_outputs([output], arguments.overwrite.force, &Sources::default())?;
    let format = arguments.format.unwrap_or_else(|| of_ending(output));
    let failed = |error| PipelineError::output(&output.display().to_string(), error);
    let mut out = Destination::open(output).map_err(failed)?;
    out.write_all(settings(format).as_bytes()).map_err(failed)?;
    out.finish().map_err(failed)?;
    Ok(ExitCode::from(DONE))
}

fn of_ending(output: &Path) -> ConfigFormat {
    match output.extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml") => ConfigFormat::Yaml,
        _ => ConfigFormat::Toml,
    }
}

/// Every setting of every command below `viral`, with its default where it has one.
fn settings(format: ConfigFormat) -> String {
    let cli = Cli::command();
    let mut text = String::from(
        "# Settings of `sessile viral`. A line that begins with `#` is not set: take the sign away \
         and fill it in.\n# A flag on the command line and a variable SESSILE_NAME go before what \
         is said here.\n",
    );
    if let ConfigFormat::Yaml = format {
        text.push_str("\nviral:\n");
    }
    let stages = cli.find_subcommand("viral").into_iter();
    for stage in stages.flat_map(Command::get_subcommands) {
        if matches!(stage.get_name(), "generate-config" | "help") {
            continue;
        }
        let indent = match format {
            ConfigFormat::Toml => {
                let _ = write!(text, "\n[viral.{}]\n", stage.get_name());
                ""
            }
            ConfigFormat::Yaml => {
                let _ = write!(text, "\n  {}:\n", stage.get_name());
                "    "
            }
        };
        // A YAML key without anything below it is not an empty table but nothing.
        for argument in stage
            .get_arguments()
            .filter(|argument| is_setting(argument))
        {
            setting(&mut text, argument, indent, format);
        }
    }
    text
}

fn setting(text: &mut String, argument: &Arg, indent: &str, format: ConfigFormat) {
    let Some(name) = argument.get_long() else {
        return;
    };
    if let Some(help) = argument.get_help() {
        let _ = writeln!(text, "{indent}# {help}");
    }
    let sign = match format {
        ConfigFormat::Toml => " =",
        ConfigFormat::Yaml => ":",
    };
    let defaults = argument.get_default_values();
    let takes_value = argument.get_action().takes_values();
    let _ = match defaults {
        [one] if takes_value => {
            let value = quoted(&one.to_string_lossy());
            writeln!(text, "{indent}{name}{sign} {value}")
        }
        _ if !takes_value => writeln!(text, "{indent}{name}{sign} false"),
        _ => writeln!(text, "{indent}# {name}{sign}"),
    };
}

/// Numbers as they are, everything else in quotes, which both formats read alike.
fn quoted(value: &str) -> String {
    if value.parse::<f64>().is_ok() {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}
