//! The names under which the worker that Sessile replaces is configured, and what they mean here.
//!
//! They rank below a flag and below `SESSILE_*`, and above the settings file.

/// A name of the worker, the flag that it sets, and how its value is read.
const NAMES: [(&str, &str, Reading); 11] = [
    (
        "GPU_ENABLE_MULTI_MODEL_INSTANCES",
        "multiple-instances",
        Reading::Switch,
    ),
    ("MODEL_POOL_ENABLED", "multiple-instances", Reading::Switch),
    ("GPU_MAX_MODEL_INSTANCES", "max-instances", Reading::Count),
    ("MODEL_POOL_MAX_INSTANCES", "max-instances", Reading::Count),
    ("GPU_MODEL_MEMORY_BUFFER_GB", "memory-reserve", Reading::Gib),
    (
        "GPU_ESTIMATED_MODEL_SIZE_GB",
        "estimated-model-size",
        Reading::Gib,
    ),
    ("GPU_BATCH_SIZE", "batch-size", Reading::Count),
    ("GPU_MAX_DELAY_MS", "max-delay-ms", Reading::Number),
    ("GPU_QUEUE_SIZE", "queue-size", Reading::Count),
    ("GPU_USE_FP16", "dtype", Reading::Half),
    ("GPU_ENABLE_WARMUP", "warmup", Reading::Switch),
];

/// Whether the worker has such a name.
pub fn is_name(name: &str) -> bool {
    NAMES.iter().any(|(known, _, _)| *known == name)
}

/// How a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Switch,
    /// A whole number from 1 on; `null` says nothing.
    Count,
    /// A whole number.
    Number,
    /// GiB, with a point.
    Gib,
    /// Whether to compute in half precision.
    Half,
}

/// A name of the worker that has a value, the flag it sets, and the flag's value.
pub type Setting = (&'static str, &'static str, String);

/// What the worker's names set. Of two names for one flag the smaller number counts, and `false`.
///
/// # Errors
///
/// Names the variable whose value makes no sense.
///
/// # Examples
///
/// ```
/// use sessile_pipelines::summarize::environment::settings;
///
/// let values = |name: &str| match name {
///     "GPU_MAX_MODEL_INSTANCES" => Some("null".to_owned()),
///     "GPU_MODEL_MEMORY_BUFFER_GB" => Some("2.0".to_owned()),
///     "GPU_USE_FP16" => Some("true".to_owned()),
///     _ => None,
/// };
/// let expected = [
///     ("GPU_MODEL_MEMORY_BUFFER_GB", "memory-reserve", "2147483648".to_owned()),
///     ("GPU_USE_FP16", "dtype", "bf16".to_owned()),
/// ];
/// assert_eq!(settings(values).unwrap(), expected);
/// assert!(settings(|name| (name == "GPU_BATCH_SIZE").then(|| "0".to_owned())).is_err());
/// ```
pub fn settings(environment: impl Fn(&str) -> Option<String>) -> Result<Vec<Setting>, String> {
    let mut settings: Vec<Setting> = Vec::new();
    for (name, flag, reading) in NAMES {
        let Some(text) = environment(name) else {
            continue;
        };
        let Some(value) =
            read(reading, text.trim()).map_err(|what| format!("{name}: `{text}` is not {what}"))?
        else {
            continue;
        };
        match settings.iter_mut().find(|(_, known, _)| *known == flag) {
            Some(other) if is_less(&value, &other.2) => *other = (name, flag, value),
            Some(_) => {}
            None => settings.push((name, flag, value)),
        }
    }
    Ok(settings)
}

/// The flag's value; nothing where the name leaves the choice open.
fn read(reading: Reading, text: &str) -> Result<Option<String>, &'static str> {
    let lower = text.to_ascii_lowercase();
    if text.is_empty() || matches!(&*lower, "null" | "none") {
        return Ok(None);
    }
    let switch = match &*lower {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    };
    match reading {
        Reading::Switch => switch.map(|on| Some(on.to_string())).ok_or("true or false"),
        Reading::Half => switch
            .map(|on| Some(if on { "bf16" } else { "f32" }.to_owned()))
            .ok_or("true or false"),
        Reading::Count => text
            .parse::<u32>()
            .ok()
            .filter(|&count| count > 0)
            .map(|count| Some(count.to_string()))
            .ok_or("a whole number from 1 on"),
        Reading::Number => text
            .parse::<u32>()
            .map(|number| Some(number.to_string()))
            .map_err(|_| "a whole number"),
        Reading::Gib => text
            .parse::<f64>()
            .ok()
            .filter(|gib| (0.0..=1e6).contains(gib))
            .map(|gib| Some(((gib * f64::from(1 << 30)) as u64).to_string()))
            .ok_or("a number of GiB"),
    }
}

fn is_less(value: &str, than: &str) -> bool {
    match (value.parse::<u64>(), than.parse::<u64>()) {
        (Ok(value), Ok(than)) => value < than,
        _ => value == "false",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    #[test]
    fn values_are_read_or_refused() {
        let cases: [(Pairs, Result<Pairs, &str>); 9] = [
            (&[], Ok(&[])),
            (
                &[
                    ("GPU_MAX_MODEL_INSTANCES", "8"),
                    ("MODEL_POOL_MAX_INSTANCES", "4"),
                ],
                Ok(&[("max-instances", "4")]),
            ),
            (
                &[
                    ("GPU_MAX_MODEL_INSTANCES", "null"),
                    ("MODEL_POOL_MAX_INSTANCES", "4"),
                ],
                Ok(&[("max-instances", "4")]),
            ),
            (
                &[
                    ("GPU_ENABLE_MULTI_MODEL_INSTANCES", "true"),
                    ("MODEL_POOL_ENABLED", "False"),
                ],
                Ok(&[("multiple-instances", "false")]),
            ),
            (
                &[
                    ("MODEL_POOL_ENABLED", "true"),
                    ("GPU_ENABLE_MULTI_MODEL_INSTANCES", "0"),
                ],
                Ok(&[("multiple-instances", "false")]),
            ),
            (
                &[
                    ("GPU_MODEL_MEMORY_BUFFER_GB", "0.5"),
                    ("GPU_ESTIMATED_MODEL_SIZE_GB", "1"),
                ],
                Ok(&[
                    ("memory-reserve", "536870912"),
                    ("estimated-model-size", "1073741824"),
                ]),
            ),
            (
                &[("GPU_BATCH_SIZE", "many")],
                Err("GPU_BATCH_SIZE: `many` is not a whole number from 1 on"),
            ),
            (
                &[("GPU_MODEL_MEMORY_BUFFER_GB", "-1")],
                Err("GPU_MODEL_MEMORY_BUFFER_GB: `-1` is not a number of GiB"),
            ),
            (
                &[("GPU_USE_FP16", "half")],
                Err("GPU_USE_FP16: `half` is not true or false"),
            ),
        ];
        for (values, expected) in cases {
            let found = settings(|name| {
                let value = values.iter().find(|(key, _)| *key == name);
                value.map(|(_, value)| (*value).to_owned())
            });
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    let found: Vec<(&str, &str)> = found
                        .iter()
                        .map(|(_, flag, value)| (*flag, value.as_str()))
                        .collect();
                    assert_eq!(found, expected, "{values:?}");
                }
                (Err(found), Err(expected)) => assert_eq!(found, expected),
                (found, expected) => panic!("{values:?}: {found:?} for {expected:?}"),
            }
        }
    }
}
