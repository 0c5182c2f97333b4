//! API keys. Only their digests are kept, and every digest is compared to its end, so that how
//! long a refusal takes tells nothing about a key.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::failure::{Failure, FailureKind};

/// The keys of which one is asked for.
pub(crate) struct Keys(Vec<[u8; 32]>);

impl Keys {
    pub(crate) fn new(keys: &[String]) -> Self {
        Keys(keys.iter().map(|key| digest(key.as_bytes())).collect())
    }

    /// Whether the request may pass.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let refuse = |message| Err(Failure::new(FailureKind::Unauthorized, message));
        let Some(key) = given(headers) else {
            return refuse("an API key is needed: Authorization: Bearer KEY");
        };
        let key = digest(key);
        let known = self
            .0
            .iter()
            .fold(Choice::from(0), |known, have| known | have.ct_eq(&key));
        if known.into() {
            Ok(())
        } else {
            refuse("the API key is not known")
        }
    }
}

/// The key of a request: `Authorization: Bearer KEY`, or `X-API-Key: KEY`.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.as_bytes();
        let (scheme, key) = value.split_at_checked(b"Bearer ".len())?;
        return scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key);
    }
    headers.get("x-api-key").map(|value| value.as_bytes())
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_keys_pass() {
        let keys = Keys::new(&["one".to_owned(), "two".to_owned()]);
        let cases = [
            ("authorization", "Bearer two", true),
            ("authorization", "bearer one", true),
            ("authorization", "Bearer three", false),
            ("authorization", "Basic one", false),
            ("authorization", "Bear", false),
            ("x-api-key", "one", true),
            ("x-api-key", "", false),
            ("accept", "one", false),
        ];
        for (name, value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(keys.check(&headers).is_ok(), expected, "{name}: {value}");
        }
        assert!(Keys::new(&[]).check(&HeaderMap::new()).is_ok());
    }
}
