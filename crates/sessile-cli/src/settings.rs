//! One definition of each flag: the environment and the settings file follow from it.
//!
//! Every long flag `--token-budget` can also be set as `SESSILE_TOKEN_BUDGET` and as `token-budget`
//! in a TOML or YAML file, either at its top (for every command) or in a table named after the command.
//! Precedence: flag, environment, the command's table, the top of the file, built-in default.

mod source;
mod variables;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory};
use sessile_pipelines::summarize::environment as worker;
use sessile_server::environment;

use crate::arguments::Cli;
use crate::exit::Failure;

pub(crate) use source::Sources;
use variables::variable;

/// The flag, and as `SESSILE_CONFIG` the variable, that names the settings file.
const CONFIG: &str = "config";

/// Where other programs' names are read from beside the environment.
const ENV_FILE: &str = ".env";

/// The commands with models that write: they read the names of the summarising worker.
const WRITING: [&str; 3] = ["summarize", "plan", "serve"];

/// The command that also reads the names of ESM2_MultiGPU_Inference.
const SERVE: &str = "serve";

/// Gives every flag its variable and the defaults of the settings file. Says where they are from.
pub(crate) fn apply(
    command: Command,
    arguments: &[OsString],
) -> Result<(Command, Sources), Failure> {
    let command = with_environment(command);
    let mut sources = Sources::default();
    let command = match settings_path(arguments.iter().cloned()) {
        None => command,
        Some(path) => {
            let text = sessile_seq::text::read_file(&path).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", path.display()))
            })?;
            let named = |error: String| Failure::usage(format!("{}: {error}", path.display()));
            let settings = parse(&text, &path).map_err(named)?;
            check_names(&command, &settings, &path)?;
            sources.file = Some((path.clone(), names(&settings)));
            with_settings(command, &settings, &path)?
        }
    };
    let (values, notes) = other_names(command_name(&command, arguments))?;
    sources.notes = notes;
    let named = values.iter();
    sources.named = named
        .map(|(name, flag, _)| ((*flag).to_owned(), (*name).to_owned()))
        .collect();
    Ok((with_other_names(command, &values), sources))
}

/// Says of variables that look like settings and are none.
pub(crate) fn warn_of_unknown_variables(sources: &Sources) {
    let environment = std::env::vars_os().map(|(name, value)| {
        let name = name.to_string_lossy().into_owned();
        (name, value.to_string_lossy().into_owned())
    });
    let unknown = variables::unknown(environment, &flags(&Cli::command()));
    for note in unknown.iter().chain(&sources.notes) {
        tracing::warn!("{note}");
    }
}

/// The subcommand that is asked for.
fn command_name<'a>(command: &Command, arguments: &'a [OsString]) -> Option<&'a str> {
    let takes_value = |argument: &str| {
        let flags = command.get_arguments();
        let mut long = flags.filter_map(|flag| flag.get_long());
        (argument.strip_prefix("--")).is_some_and(|flag| long.any(|long| long == flag))
    };
    let mut arguments = arguments.iter().skip(1).filter_map(|text| text.to_str());
    while let Some(argument) = arguments.next() {
        if takes_value(argument) {
            arguments.next();
        } else if !argument.starts_with('-') {
            return Some(argument);
        }
    }
    None
}

/// What the names say that the programs which a command replaces are configured by: from the
/// environment, else from `.env` in the working directory. They rank below `SESSILE_*` and above
/// the settings file.
///
/// Also says of lines of that file that look like settings and set nothing.
fn other_names(command: Option<&str>) -> Result<(Vec<worker::Setting>, Vec<String>), Failure> {
    let Some(command) = command.filter(|command| WRITING.contains(command)) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let file = environment::read_file(Path::new(ENV_FILE)).map_err(Failure::usage)?;
    let lookup = |name: &str| {
        let variable = std::env::var(name).ok();
        variable.or_else(|| environment::in_file(&file, name))
    };
    let mut values = worker::settings(lookup).map_err(Failure::usage)?;
    if command == SERVE {
        values.extend(environment::settings(
            |name| std::env::var(name).ok(),
            &file,
        ));
    }
    let notes = file
        .iter()
        .filter_map(|(name, _)| variables::unknown_in_file(name));
    Ok((
        values,
        notes.map(|note| format!("{ENV_FILE}: {note}")).collect(),
    ))
}

/// These values as the defaults of the commands that have them.
fn with_other_names(command: Command, values: &[worker::Setting]) -> Command {
    WRITING.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            command.mut_args(|argument| {
                let is_this = |value: &&worker::Setting| argument.get_long() == Some(value.1);
                match values.iter().find(is_this) {
                    Some((_, _, value)) => argument.required(false).default_values([value.clone()]),
                    None => argument,
                }
            })
        })
    })
}

/// The flags that stand in a settings file.
fn names(settings: &toml::Table) -> BTreeSet<String> {
    (settings.iter())
        .flat_map(|(name, value)| match value {
            toml::Value::Table(table) => names(table),
            _ => BTreeSet::from([name.clone()]),
        })
        .collect()
}

/// TOML, or YAML when the file is called so.
fn parse(text: &str, path: &Path) -> Result<toml::Table, String> {
    if path
        .extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml")
    {
        let settings: Option<toml::Table> =
            serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        return Ok(settings.unwrap_or_default());
    }
    text.parse()
        .map_err(|error: toml::de::Error| error.to_string())
}

/// The settings file: one that is named must be there, the usual one may be missing.
fn settings_path(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let flag = format!("--{CONFIG}");
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            break;
        }
        if argument == flag {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(path) = argument
            .strip_prefix(&flag)
            .and_then(|rest| rest.strip_prefix('='))
        {
            return Some(path.into());
        }
    }
    if let Some(path) = std::env::var_os(variable(CONFIG)).filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    let usual = base.join("sessile").join("config.toml");
    // A home that is no folder, or another user's, has no settings for this one.
    matches!(usual.try_exists(), Ok(true)).then_some(usual)
}

/// Whether an argument can be set elsewhere than on the command line.
pub(crate) fn is_setting(argument: &Arg) -> bool {
    argument.get_long().is_some()
        && !matches!(
            argument.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        )
}

fn with_environment(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let Some(name) = argument
            .get_long()
            .map(str::to_owned)
            .filter(|_| is_setting(&argument))
        else {
            return argument;
        };
        let argument = match argument.get_action() {
            // `SESSILE_FORCE=1` and `=yes` mean what they say.
            ArgAction::SetTrue => argument.value_parser(BoolishValueParser::new()),
            _ => argument,
        };
        // Where the settings file lies has been asked already; an empty variable names none.
        if name == CONFIG {
            return argument;
        }
        let variable = variable(&name);
        // What a cluster says of a service of our name is no setting.
        if std::env::var(&variable).is_ok_and(|value| variables::is_injected(&variable, &value)) {
            return argument;
        }
        argument.env(variable).hide_env_values(true)
    });
    let names: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, with_environment)
    })
}

/// The flags of a command and all commands below it.
fn flags(command: &Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter(|argument| is_setting(argument));
    own.filter_map(|argument| argument.get_long().map(str::to_owned))
        .chain(command.get_subcommands().flat_map(flags))
        .collect()
}

/// A name that no command knows is a slip of the pen and must not go unseen.
fn check_names(command: &Command, settings: &toml::Table, path: &Path) -> Result<(), Failure> {
    for (name, value) in settings {
        let known = match value {
            toml::Value::Table(table) => {
                let Some(below) = command.find_subcommand(name) else {
                    return Err(Failure::usage(format!(
                        "{}: there is no command `{name}`",
                        path.display()
                    )));
                };
                check_names(below, table, path)?;
                true
            }
            _ => flags(command).contains(name.as_str()),
        };
        if !known {
            return Err(Failure::usage(format!(
                "{}: `{name}` is not a setting of `{}`",
                path.display(),
                command.get_name()
            )));
        }
    }
    Ok(())
}

/// Makes the values of a table the defaults of a command and of those below it.
fn with_settings(
    command: Command,
    settings: &toml::Table,
    path: &Path,
) -> Result<Command, Failure> {
    let mut command = command;
    let flags: Vec<String> = command
        .get_arguments()
        .filter(|argument| is_setting(argument))
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect();
    for flag in flags {
        // A table of this name holds the settings of a command that is called like the flag.
        let Some(value) = settings.get(&flag).filter(|value| !value.is_table()) else {
            continue;
        };
        let values = texts(value).ok_or_else(|| {
            Failure::usage(format!(
                "{}: `{flag}` has a value of a wrong kind",
                path.display()
            ))
        })?;
        if values.is_empty() {
            return Err(Failure::usage(format!(
                "{}: `{flag}` is an empty list (leave it out for the default)",
                path.display()
            )));
        }
        command = command.mut_args(|argument| {
            if argument.get_long() == Some(flag.as_str()) {
                argument.required(false).default_values(values.clone())
            } else {
                argument
            }
        });
    }
    let names: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        // What stands at the top holds for every command; its own table says more.
        let mut merged = settings.clone();
        if let Some(toml::Value::Table(own)) = settings.get(&name) {
            merged.extend(own.clone());
        }
        let mut failure = None;
        command = command.mut_subcommand(&name, |below| {
            match with_settings(below.clone(), &merged, path) {
                Ok(below) => below,
                Err(error) => {
                    failure = Some(error);
                    below
                }
            }
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(command)
}

/// A value as it would stand on the command line.
fn texts(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Float(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(flag) => Some(vec![flag.to_string()]),
        toml::Value::Array(values) => {
            let texts: Option<Vec<Vec<String>>> = values.iter().map(texts).collect();
            Some(texts?.into_iter().flatten().collect())
        }
        _ => None,
    }
}
