//! The names under which ESM2_MultiGPU_Inference is configured, by the environment or `.env`.
//!
//! They rank below a flag and below `SESSILE_*`, and above the settings file.

use std::path::Path;

/// A name of the other service and the flag of `sessile serve` that it sets.
pub const NAMES: [(&str, &str); 11] = [
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

/// What the other service's names set: pairs of a flag and its value, from the environment first
/// and from a `.env` file where the environment says nothing.
pub fn settings(
    environment: impl Fn(&str) -> Option<String>,
    file: &[(String, String)],
) -> Vec<(&'static str, &'static str, String)> {
    NAMES
        .into_iter()
        .filter_map(|(name, flag)| {
            let from_file = || {
                file.iter()
                    .rev()
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value.clone())
            };
            let value = environment(name).or_else(from_file)?;
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
}
