//! The names under which ESM2_MultiGPU_Inference is configured, by the environment or `.env`.
//!
//! They rank below a flag and below `SESSILE_*`, and above the settings file.

use std::net::IpAddr;
use std::path::Path;

/// A name of the other service and the flag of `sessile serve` that it sets.
pub const NAMES: [(&str, &str); 13] = [
    ("MODEL_NAME", "model"),
    ("MAX_BATCH_SIZE", "max-batch-size"),
    ("MAX_SEQUENCE_LENGTH", "max-sequence-length"),
    ("HOST", "host"),
    ("PORT", "port"),
    ("CORS_ORIGINS", "cors-origins"),
    ("LOG_LEVEL", "log-level"),
    ("BATCH_QUEUE_ENABLED", "batch-queue-enabled"),
    ("BATCH_QUEUE_MAX_WAIT_MS", "batch-queue-max-wait-ms"),
    ("BATCH_QUEUE_MAX_SIZE", "batch-queue-max-size"),
    ("CUDA_VISIBLE_DEVICES", "cuda-visible-devices"),
    ("WORKERS", "workers"),
    ("STARTUP_TIMEOUT_SECONDS", "startup-timeout"),
];

/// Largest `.env` that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The names and values of a `.env` file; none if there is no such file.
///
/// # Errors
///
/// When the file is there and can not be read, or a line is not `NAME=value`.
pub fn read_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return Ok(Vec::new()),
    };
    if size > MAX_FILE_BYTES {
        return Err(format!("{}: too large for settings", path.display()));
    }
    let text = sessile_seq::text::read_file(path)
        .map_err(|error| format!("can not read {}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads lines of `NAME=value`: quotes around a value are taken off, `export` before a name and
/// lines that begin with `#` are passed over.
///
/// # Errors
///
/// Names the first line that is none of these.
///
/// # Examples
///
/// ```
/// use sessile_server::environment::parse;
///
/// let text = "# the model\nMODEL_NAME=demo\nexport CORS_ORIGINS='[\"*\"]'\nPORT=80 # http\n";
/// let values = parse(text).unwrap();
/// assert_eq!(values[1], ("CORS_ORIGINS".to_owned(), "[\"*\"]".to_owned()));
/// assert_eq!(values[2].1, "80");
/// assert_eq!(parse("PORT").unwrap_err(), "line 1: `PORT` is not NAME=value");
/// ```
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut values = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(format!("line {}: `{line}` is not NAME=value", number + 1));
        };
        values.push((name.trim().to_owned(), unquote(value.trim())));
    }
    Ok(values)
}

fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote)
            && let Some(end) = rest.find(quote)
        {
            return rest[..end].to_owned();
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    value[..end].trim().to_owned()
}

/// Whether a variable of the environment is meant for the service. `HOST` is set by compilers and
/// shells too, to the name of a machine or to `x86_64-conda-linux-gnu`: it counts where it is an
/// address or `localhost`. `PORT` is no link to another container.
///
/// # Examples
///
/// ```
/// use sessile_server::environment::is_meant;
///
/// assert!(is_meant("HOST", "0.0.0.0") && is_meant("HOST", "localhost"));
/// assert!(!is_meant("HOST", "x86_64-conda-linux-gnu"));
/// assert!(!is_meant("PORT", "tcp://10.96.12.3:80"));
/// ```
pub fn is_meant(name: &str, value: &str) -> bool {
    match name {
        "HOST" => value == "localhost" || value.parse::<IpAddr>().is_ok(),
        "PORT" => !is_link(value),
        _ => true,
    }
}

/// Whether a value is an address of another container, as Kubernetes and Docker set it.
pub fn is_link(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// The value that a `.env` file has for a name: the last one.
pub fn in_file(file: &[(String, String)], name: &str) -> Option<String> {
    let found = file.iter().rev().find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone())
}

/// What the other service's names set: pairs of a flag and its value, from the environment first
/// and from a `.env` file where the environment says nothing.
pub fn settings(
    environment: impl Fn(&str) -> Option<String>,
    file: &[(String, String)],
) -> Vec<(&'static str, &'static str, String)> {
    NAMES
        .into_iter()
        .filter_map(|(name, flag)| {
            let from_environment = environment(name).filter(|value| is_meant(name, value));
            let value = from_environment.or_else(|| in_file(file, name))?;
            Some((name, flag, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_before_the_file() {
        let file = parse("PORT=1\nHOST=::1\nPORT=2\nOTHER=3").unwrap();
        let environment = |name: &str| (name == "HOST").then(|| "127.0.0.1".to_owned());
        let settings = settings(environment, &file);
        let expected = [
            ("HOST", "host", "127.0.0.1".to_owned()),
            ("PORT", "port", "2".to_owned()),
        ];
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_a_compiler_or_a_cluster_sets_is_passed_over() {
        let file = parse("\u{feff}HOST=my-machine").unwrap();
        let environment = |name: &str| match name {
            "HOST" => Some("x86_64-conda-linux-gnu".to_owned()),
            "PORT" => Some("tcp://10.0.0.1:80".to_owned()),
            _ => None,
        };
        let found = settings(environment, &file);
        assert_eq!(found, [("HOST", "host", "my-machine".to_owned())]);
        assert!(settings(environment, &[]).is_empty());
    }
}
