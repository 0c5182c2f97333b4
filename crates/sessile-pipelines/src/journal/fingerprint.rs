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

    /// A short name for all of it, in hexadecimal: equal for equal fingerprints.
    pub fn digest(&self) -> String {
        blake3::hash(&self.to_bytes()).to_hex()[..16].to_owned()
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
    let value = |map: &BTreeMap<String, String>, name: &String| {
        map.get(name)
            .map_or_else(|| "none".to_owned(), String::clone)
    };
    earlier
        .keys()
        .chain(now.keys())
        .find(|name| earlier.get(*name) != now.get(*name))
        .map(|name| {
            format!(
                "{name} {}, this one has {}",
                value(earlier, name),
                value(now, name)
            )
        })
}
