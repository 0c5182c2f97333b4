//! Where a value comes from that does not stand on the command line: so that an error can name it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};

use super::variable;

/// Where the values of flags come from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Flags that another program's names have set, and those names.
    pub(super) named: Vec<(String, String)>,
    /// What is to be said of names that set nothing.
    pub(super) notes: Vec<String>,
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
