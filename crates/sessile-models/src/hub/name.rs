//! What a user may write for a model, and what of it is a name on the hub.
//!
//! Names end up in paths below the cache and in URLs, so only the characters that the hub itself
//! allows get through.

use crate::error::{ModelError, ModelErrorKind};
use crate::family::published;

/// The revision that is meant when none is named.
const DEFAULT_REVISION: &str = "main";

/// The hub's own limit for owner and name together.
const MAX_NAME_BYTES: usize = 96;
const MAX_REVISION_BYTES: usize = 200;

/// A model repository on a hub, at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    pub(crate) owner: String,
    pub(crate) name: String,
    /// A branch, a tag or a commit.
    pub(crate) revision: String,
}

impl Repository {
    /// `org/name[@revision]` or a short name, if the text is one.
    pub(crate) fn parse(spec: &str) -> Result<Option<Repository>, ModelError> {
        let (id, revision) = match spec.split_once('@') {
            Some((id, revision)) => (id, revision),
            None => (spec, DEFAULT_REVISION),
        };
        let (owner, name) = match id.split_once('/') {
            Some((owner, name)) => (owner, name.to_owned()),
            None => match short_name(id) {
                Some((owner, name)) => (owner, name.to_owned()),
                None => return Ok(None),
            },
        };
        if !is_name(owner) || !is_name(&name) || owner.len() + name.len() >= MAX_NAME_BYTES {
            return Ok(None);
        }
        if !is_revision(revision) {
            return Err(ModelError::new(
                ModelErrorKind::NotFound,
                format!("`{revision}` can not be a revision of {id}"),
            )
            .with_hint("name a branch, a tag or a commit after the `@`"));
        }
        Ok(Some(Repository {
            owner: owner.to_owned(),
            name,
            revision: revision.to_owned(),
        }))
    }

    /// `org/name`.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The revision as one part of a URL's path.
    pub(crate) fn revision_in_url(&self) -> String {
        // The other characters that a revision may have need no escape.
        self.revision.replace('/', "%2F")
    }
}

/// What a short name stands for. The end that all published ESM-2 have may be there.
fn short_name(text: &str) -> Option<(&'static str, &'static str)> {
    let model = published().find(|model| {
        model.short.is_some_and(|short| short == text) || model.name.ends_with(&format!("/{text}"))
    })?;
    model.name.split_once('/')
}

/// The rules of `validate_repo_id` in huggingface_hub.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("--")
        && !text.contains("..")
}

/// Branches and tags may have slashes (`refs/pr/1`), but no part that leads out of a folder.
fn is_revision(text: &str) -> bool {
    text.len() <= MAX_REVISION_BYTES
        && text.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
        })
}

/// A full commit: never changes, so what is in the cache under it needs no question.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
