//! The checksum of a file on the hub, which its ETag carries.
//!
//! For a file in large storage (LFS) that is the SHA-256 of its bytes, for a small one the name
//! that git gives it: the SHA-1 of a header and its bytes.

use std::fmt::Write;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What the hub says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Name of the blob in the cache.
    pub(crate) etag: String,
    pub(crate) size: Option<u64>,
}

impl Remote {
    /// From the headers of an answer; nothing when the tag can not be the name of a file.
    pub(crate) fn from_headers<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<Remote> {
        let tag = header("x-linked-etag").or_else(|| header("etag"))?;
        let etag = tag
            .trim()
            .trim_start_matches("W/")
            .trim_matches('"')
            .to_owned();
        const MAX_TAG_BYTES: usize = 128;
        let plain = !etag.is_empty()
            && etag.len() <= MAX_TAG_BYTES
            && etag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let size = header("x-linked-size").or_else(|| header("content-length"));
        let size = size.and_then(|size| size.trim().parse().ok());
        plain.then_some(Remote { etag, size })
    }
}

/// Adds up a file's bytes as they arrive.
pub(crate) enum Checksum {
    Sha256(Sha256),
    Git(Sha1),
    /// The tag of another kind of server says nothing about the bytes.
    Unknown,
}

impl Checksum {
    pub(crate) fn of(remote: &Remote) -> Self {
        let is_hex = remote
            .etag
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match (remote.etag.len(), remote.size) {
            (64, _) if is_hex => Checksum::Sha256(Sha256::new()),
            (40, Some(size)) if is_hex => {
                Checksum::Git(Sha1::new_with_prefix(format!("blob {size}\0")))
            }
            _ => Checksum::Unknown,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Sha256(hasher) => hasher.update(bytes),
            Checksum::Git(hasher) => hasher.update(bytes),
            Checksum::Unknown => {}
        }
    }

    /// Whether the bytes are those that the tag belongs to.
    pub(crate) fn agrees(self, remote: &Remote) -> bool {
        match self {
            Checksum::Sha256(hasher) => hex(&hasher.finalize()) == remote.etag,
            Checksum::Git(hasher) => hex(&hasher.finalize()) == remote.etag,
            Checksum::Unknown => true,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
