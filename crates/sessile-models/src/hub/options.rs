//! Where the hub is, where its cache is and how patient to be: the environment variables of
//! huggingface_hub, with the same meaning.

use std::env;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Longer tokens are no tokens.
const MAX_TOKEN_BYTES: usize = 4096;

/// How to get at models on a hub.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// The cache, which is shared with the Python libraries.
    pub cache: PathBuf,
    /// Sent to the hub, never to where it redirects to, nor without encryption.
    pub token: Option<String>,
    /// Use only what is in the cache.
    pub offline: bool,
    /// A file of certificates to trust in place of the built-in ones, for a proxy that has its own.
    pub certificates: Option<PathBuf>,
    /// How often a request is tried again when it fails in a way that may pass, or a download is
    /// when it stops advancing.
    pub retries: u32,
    /// The wait before the first new try; doubled each time.
    pub backoff: Duration,
    /// The longest wait that a busy hub may ask for; beyond, it is an error.
    pub max_wait: Duration,
    /// How long to wait for a connection, and for the answer to begin.
    pub timeout: Duration,
    /// How long one request may go on; the rest is fetched by another one. A download that has not
    /// advanced at all by then has failed.
    pub transfer_timeout: Duration,
}

impl HubOptions {
    /// The options that the environment asks for.
    ///
    /// `HF_ENDPOINT`; `HF_HUB_CACHE`, or `hub` below `HF_HOME`, or `huggingface/hub` below
    /// `XDG_CACHE_HOME` or `~/.cache`; `HF_TOKEN`, or the file at `HF_TOKEN_PATH` or `token` below
    /// `HF_HOME`; `HF_HUB_OFFLINE`; `SSL_CERT_FILE` or `REQUESTS_CA_BUNDLE`.
    pub fn from_env() -> Self {
        HubOptions::from_variables(|name| env::var(name).ok())
    }

    /// The options for given variables.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::hub::HubOptions;
    ///
    /// let options = HubOptions::from_variables(|name| match name {
    ///     "HF_HOME" => Some("/data/hf".to_owned()),
    ///     "HF_HUB_OFFLINE" => Some("1".to_owned()),
    ///     _ => None,
    /// });
    /// assert_eq!(options.cache.to_str(), Some("/data/hf/hub"));
    /// assert!(options.offline);
    /// ```
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| set(name));
        let home = first(&["HF_HOME"]).map_or_else(
            || {
                let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
                let user =
                    || first(&["HOME", "USERPROFILE"]).map(|h| PathBuf::from(h).join(".cache"));
                cache
                    .or_else(user)
                    .unwrap_or_else(|| PathBuf::from(".cache"))
                    .join("huggingface")
            },
            PathBuf::from,
        );
        let cache = first(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]).map(PathBuf::from);
        let token_file = set("HF_TOKEN_PATH").map(PathBuf::from);
        let token_file = token_file.unwrap_or_else(|| home.join("token"));
        let token = first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
            .or_else(|| fs::read_to_string(token_file).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| {
                !token.is_empty()
                    && token.len() <= MAX_TOKEN_BYTES
                    && token.bytes().all(|b| b.is_ascii_graphic())
            });
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        HubOptions {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            token,
            offline: first(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]).is_some_and(is_yes),
            certificates: first(&["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]).map(PathBuf::from),
            retries: 5,
            backoff: Duration::from_secs(1),
            max_wait: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
            transfer_timeout: Duration::from_secs(120),
        }
    }
}

fn is_yes(value: String) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "on"
    )
}

/// Says whether there is a token, not what it is.
impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
