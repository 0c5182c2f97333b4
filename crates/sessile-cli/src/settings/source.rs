//! Where a value comes from that does not stand on the command line: so that an error can name it,
//! and that variables which nothing reads do not go unseen.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Command;
use clap::error::{ContextKind, ContextValue};
use sessile_runtime::discovery;

use super::{flags, variable};

/// Where the values of flags come from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Flags that another program's names have set, and those names.
    pub(super) named: Vec<(String, String)>,
    /// The settings file and the flags that stand in it.
    pub(super) file: Option<(PathBuf, BTreeSet<String>)>,
}

impl Sources {
    /// What to say of an error about flags that were not typed.
    pub(crate) fn hint(&self, error: &clap::Error, arguments: &[OsString]) -> Option<String> {
        let named = [ContextKind::InvalidArg, ContextKind::PriorArg];
        let texts = named.into_iter().flat_map(|kind| match error.get(kind) {
            Some(ContextValue::String(text)) => vec![text.clone()],
            Some(ContextValue::Strings(texts)) => texts.clone(),
            _ => Vec::new(),
        });
        let sources: Vec<String> = texts
            .filter_map(|text| {
                // `--threads <N>`
                let flag = text.split([' ', '=']).next()?.strip_prefix("--")?;
                let source = self.of(flag, arguments)?;
                Some(format!("--{flag} comes from {source}"))
            })
            .collect();
        (!sources.is_empty()).then(|| sources.join("; "))
    }

    fn of(&self, flag: &str, arguments: &[OsString]) -> Option<String> {
        let is_it = |argument: &OsString| {
            let rest = argument.to_str().and_then(|text| text.strip_prefix("--"));
            rest.and_then(|rest| rest.split('=').next()) == Some(flag)
        };
        if arguments.iter().any(is_it) {
            return None;
        }
        let variable = variable(flag);
        if std::env::var_os(&variable).is_some() {
            return Some(format!("the variable {variable}"));
        }
        if let Some((_, name)) = self.named.iter().find(|(named, _)| named == flag) {
            return Some(format!("the variable {name}, or .env"));
        }
        let (path, flags) = self.file.as_ref()?;
        flags.contains(flag).then(|| path.display().to_string())
    }
}

/// Variables that look like settings, but that no flag of any command has: slips of the pen.
pub(super) fn unknown_variables(command: &Command) -> Vec<String> {
    let flags = flags(command);
    let is_known = |name: &str| {
        flags.iter().any(|flag| variable(flag) == name) || discovery::VARIABLES.contains(&name)
    };
    let mut unknown: Vec<String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| {
            name.starts_with("SESSILE_") && !is_known(name) && !is_service_link(name, value)
        })
        .map(|(name, _)| name)
        .collect();
    unknown.sort();
    unknown
}

/// Whether Kubernetes has set a variable, in every pod beside a service that is called `sessile`
/// or `sessile-…` ("Accessing the Service", Kubernetes documentation).
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let of_port = |(_, rest): (&str, &str)| {
        let mut parts = rest.split('_');
        let is_number = (parts.next()).is_some_and(|port| port.parse::<u16>().is_ok());
        is_number && parts.next().is_some_and(is_protocol)
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        // `…_PORT_80_TCP`, and with `_PROTO`, `_PORT` or `_ADDR` behind it.
        || name.rsplit_once("_PORT_").is_some_and(of_port)
        || name.ends_with("_PORT")
            && (value.to_str().and_then(|value| value.split_once("://")))
                .is_some_and(|(protocol, _)| is_protocol(&protocol.to_ascii_uppercase()))
}

fn is_protocol(text: &str) -> bool {
    matches!(text, "TCP" | "UDP" | "SCTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_of_kubernetes_are_told_from_settings() {
        for (name, value, expected) in [
            ("SESSILE_SERVICE_HOST", "10.0.0.1", true),
            ("SESSILE_SERVICE_PORT", "80", true),
            ("SESSILE_SERVICE_PORT_HTTP", "80", true),
            ("SESSILE_PORT", "tcp://10.0.0.1:80", true),
            ("SESSILE_GPU_PORT", "udp://10.0.0.1:80", true),
            ("SESSILE_PORT_80_TCP", "tcp://10.0.0.1:80", true),
            ("SESSILE_PORT_80_TCP_PROTO", "tcp", true),
            ("SESSILE_PORT_80_TCP_PORT", "80", true),
            ("SESSILE_PORT_80_TCP_ADDR", "10.0.0.1", true),
            ("SESSILE_PORT", "8000", false),
            ("SESSILE_THREADS", "tcp://10.0.0.1:80", false),
            ("SESSILE_TREADS", "4", false),
            ("SESSILE_PORT_80", "4", false),
        ] {
            assert_eq!(
                is_service_link(name, OsStr::new(value)),
                expected,
                "{name}={value}"
            );
        }
    }
}
