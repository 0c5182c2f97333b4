//! API keys. Only their digests are kept, and every digest is compared to its end, so that how
//! long a refusal takes tells nothing about a key.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::clients::{Client, ClientLimits};
use crate::failure::{Failure, FailureKind};

/// Largest file of keys that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads keys that are separated by commas. Blanks around a key do not count.
///
/// # Errors
///
/// Names `origin` and what is wrong: there is no key, or one of them is empty or could not be sent
/// in a header.
///
/// # Examples
///
/// ```
/// use sessile_server::keys::parse;
///
/// assert_eq!(parse("--api-keys", "first, second").unwrap(), ["first", "second"]);
/// assert!(parse("--api-keys", "first,").unwrap_err().contains("--api-keys"));
/// assert!(parse("--api-keys", "").is_err());
/// ```
pub fn parse(origin: &str, text: &str) -> Result<Vec<String>, String> {
    let keys: Vec<&str> = text.split(',').map(str::trim).collect();
    check(origin, &keys)?;
    Ok(keys.into_iter().map(str::to_owned).collect())
}

/// Reads a file with a key a line. Blanks around a key, empty lines and lines that begin with `#`
/// do not count.
///
/// # Errors
///
/// Names the file and what is wrong: it can not be read, is no file or too large, or has no key.
pub fn read_file(path: &Path) -> Result<Vec<String>, String> {
    let origin = path.display().to_string();
    let unreadable = |error: std::io::Error| format!("cannot read the keys in {origin}: {error}");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(format!("{origin} is not a file of keys, one a line"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let keys: Vec<&str> = text
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    if keys.is_empty() {
        return Err(format!("{origin} has no key"));
    }
    check(&origin, &keys)?;
    Ok(keys.into_iter().map(str::to_owned).collect())
}

/// Whether each of these could be sent in a header.
fn check(origin: &str, keys: &[&str]) -> Result<(), String> {
    if keys == [""] {
        return Err(format!(
            "{origin} is set but has no key (leave it out to let everybody call)"
        ));
    }
    for (index, key) in keys.iter().enumerate() {
        let what = match *key {
            "" => "is empty",
            key if !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                "has a character that cannot be sent in a header"
            }
            _ => continue,
        };
        return Err(format!("{origin}: key {} {what}", index + 1));
    }
    Ok(())
}

/// The keys of which one is asked for; all clones are the same ones.
#[derive(Clone)]
pub struct Keys(Arc<RwLock<Vec<Key>>>);

/// A key, by its digest.
struct Key {
    digest: [u8; 32],
    /// Whose it is, where that has limits.
    client: Option<Arc<Client>>,
}

impl Keys {
    pub(crate) fn new(keys: &[String], clients: &[ClientLimits]) -> Self {
        let new = Keys(Arc::default());
        new.replace(keys, clients);
        new
    }

    /// Asks for one of these from now on. A client of the same name keeps what it owes.
    pub fn replace(&self, keys: &[String], clients: &[ClientLimits]) {
        let plain = keys.iter().map(|key| Key {
            digest: digest(key.as_bytes()),
            client: None,
        });
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before: Vec<Arc<Client>> = now.iter().filter_map(|key| key.client.clone()).collect();
        let known = |name: &str| before.iter().find(|client| client.limits.name == name);
        let limited = clients.iter().map(|limits| Key {
            digest: digest(limits.key.as_bytes()),
            client: Some(match known(&limits.name) {
                Some(client) if client.limits == *limits => Arc::clone(client),
                client => Arc::new(Client::new(limits.clone(), client.map(|client| &**client))),
            }),
        });
        *now = plain.chain(limited).collect();
    }

    /// Whether a key is asked for.
    pub(crate) fn are_asked_for(&self) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !keys.is_empty()
    }

    /// Whether the request may pass, and whose it is.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Option<Arc<Client>>, Failure> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if keys.is_empty() {
            return Ok(None);
        }
        let refuse = |message| Err(Failure::new(FailureKind::Unauthorized, message));
        let Some(given) = given(headers).filter(|key| !key.is_empty()) else {
            return refuse("an API key is needed: Authorization: Bearer KEY");
        };
        let given = digest(given);
        let mut known = Choice::from(0);
        let mut client = None;
        for key in keys.iter() {
            let is_this = key.digest.ct_eq(&given);
            known |= is_this;
            if is_this.into() {
                client.clone_from(&key.client);
            }
        }
        if known.into() {
            Ok(client)
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
        return scheme
            .eq_ignore_ascii_case(b"Bearer ")
            .then_some(key.trim_ascii());
    }
    headers
        .get("x-api-key")
        .map(|value| value.as_bytes().trim_ascii())
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_keys_pass() {
        // An empty key never gets here from a setting; it would let nobody in.
        let keys = Keys::new(&["one".to_owned(), "two".to_owned(), String::new()], &[]);
        let cases = [
            ("authorization", "Bearer two", true),
            ("authorization", "bearer one", true),
            ("authorization", "Bearer three", false),
            ("authorization", "Basic one", false),
            ("authorization", "Bear", false),
            ("authorization", "Bearer ", false),
            ("x-api-key", "one", true),
            ("x-api-key", "", false),
            ("accept", "one", false),
        ];
        let passes = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            keys.check(&headers).is_ok()
        };
        for (name, value, expected) in cases {
            assert_eq!(passes(name, value), expected, "{name}: {value}");
        }
        keys.replace(&["three".to_owned()], &[]);
        assert!(passes("authorization", "Bearer three"));
        assert!(!passes("x-api-key", "one"));
        assert!(Keys::new(&[], &[]).check(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn empty_keys_are_refused_by_name() {
        let cases = [
            ("", Err("NAME is set but has no key")),
            (" ", Err("NAME is set but has no key")),
            ("secret,", Err("NAME: key 2 is empty")),
            (",secret", Err("NAME: key 1 is empty")),
            ("a, ,b", Err("NAME: key 2 is empty")),
            ("a\nb", Err("NAME: key 1 has a character")),
            ("a, b ", Ok(["a", "b"])),
        ];
        for (text, expected) in cases {
            match (parse("NAME", text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{text:?}: {found:?}"),
            }
        }
    }
}
