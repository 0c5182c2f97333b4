//! What results depend on, so that results of different kinds are not mixed unseen.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{PipelineError, PipelineErrorKind};

/// Everything that the results of a job depend on, apart from its inputs.
///
/// *Options* decide which results there are and what they mean: a journal with other options
/// belongs to another job. *Numerics* decide the last bits only (model weights, number format,
/// kernels, version): mixing them is refused, and allowed to a user who insists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    job: String,
    options: BTreeMap<String, String>,
    numerics: BTreeMap<String, String>,
}

impl Fingerprint {
    /// The fingerprint of a job, with the version of this library.
    pub fn new(job: impl Into<String>) -> Self {
        Fingerprint {
            job: job.into(),
            options: BTreeMap::new(),
            numerics: BTreeMap::new(),
        }
        .with_numeric("version", env!("CARGO_PKG_VERSION"))
    }

    /// The same with an option that changes what the results are.
    #[must_use]
    pub fn with_option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// The same with something that changes the results' last bits: a model's hash, a number
    /// format, a kernel family.
    #[must_use]
    pub fn with_numeric(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.numerics.insert(name.into(), value.into());
        self
    }

    /// What computes.
    pub(crate) fn job(&self) -> &str {
        &self.job
    }

    /// What this has that `other` has not, in words, and whether it is only numerics.
    pub(crate) fn difference(
        &self,
        other: &Fingerprint,
        allow_mixed: bool,
    ) -> Option<(String, bool)> {
        if self.job != other.job {
            let jobs = format!("`{}`, the other has `{}`", self.job, other.job);
            return Some((jobs, false));
        }
        let in_words = |ours, theirs| {
            let (name, ours, theirs) = first_difference(ours, theirs)?;
            Some(format!("{name} {ours}, the other has {theirs}"))
        };
        let options = in_words(&self.options, &other.options).map(|words| (words, false));
        options.or_else(|| match allow_mixed {
            true => None,
            false => in_words(&self.numerics, &other.numerics).map(|words| (words, true)),
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings always has its JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Compares with what an earlier run was made with: true when they are equal, false when they
    /// may be mixed.
    pub(super) fn check(
        &self,
        earlier: &Fingerprint,
        allow_mixed: bool,
        journal: &Path,
    ) -> Result<bool, PipelineError> {
        let journal = journal.display();
        let restart = format!("--restart begins anew (it removes {journal})");
        if self.job != earlier.job {
            return Err(PipelineError::new(
                PipelineErrorKind::Usage,
                format!(
                    "{journal} belongs to an unfinished `{}`, this is `{}`",
                    earlier.job, self.job
                ),
            )
            .with_hint(format!("choose another --output; {restart}")));
        }
        if let Some(difference) = difference(&earlier.options, &self.options) {
            return Err(PipelineError::new(
                PipelineErrorKind::Usage,
                format!("an unfinished run to this output had {difference}"),
            )
            .with_hint(format!("use the same options to go on; {restart}")));
        }
        let Some(difference) = difference(&earlier.numerics, &self.numerics) else {
            return Ok(true);
        };
        if allow_mixed {
            return Ok(false);
        }
        Err(PipelineError::new(
            PipelineErrorKind::Usage,
            format!("an unfinished run to this output had {difference}"),
        )
        .with_hint(format!(
            "go on with what it had, or with --allow-mixed if small differences between records \
             do not matter; {restart}"
        )))
    }
}

/// The first difference, in words.
fn difference(
    earlier: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<String> {
    let (name, earlier, now) = first_difference(earlier, now)?;
    Some(format!("{name} {earlier}, this one has {now}"))
}

/// The first difference: its name, and both values.
fn first_difference<'a>(
    one: &'a BTreeMap<String, String>,
    other: &'a BTreeMap<String, String>,
) -> Option<(&'a str, &'a str, &'a str)> {
    let value =
        |map: &'a BTreeMap<String, String>, name| map.get(name).map_or("none", String::as_str);
    let mut names = one.keys().chain(other.keys());
    let name = names.find(|name| one.get(*name) != other.get(*name))?;
    Some((name, value(one, name), value(other, name)))
}
