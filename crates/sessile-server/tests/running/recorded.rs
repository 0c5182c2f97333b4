//! The recorded calls of ESM2_MultiGPU_Inference and how an answer is compared with them.

#![allow(clippy::print_stdout, reason = "says when it skipped")]

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Running, root};

/// Recordings whose answer is mended here, and the status it has instead.
const MENDED: [(&str, u16); 5] = [
    // Cut at 1,022 residues there: the numbers differ.
    ("predict_1024", 200),
    ("predict_1023", 200),
    // Length before trimming there.
    ("predict_1024_plus_spaces", 200),
    // 400 in another form there.
    ("predict_only_spaces", 422),
    // The length of the longest sequence of the batch there.
    ("batch_3_attention", 200),
];

/// A header that no answer has here: every page may call where the settings say `*`, without
/// credentials.
const LEFT_OUT: &str = "access-control-allow-credentials";

fn recordings() -> Option<Vec<Value>> {
    let directory = std::env::var_os("SESSILE_REFERENCE")
        .map_or_else(|| root().join("../shared/reference"), PathBuf::from);
    let path = directory.join("esm2_service/responses.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: there are no recordings at {}", path.display());
        return None;
    };
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(lines.collect())
}

/// Asks every recorded call of a service; returns what differs and how many were asked, or
/// nothing where the recordings are not at hand.
pub fn replay_all(service: &Running) -> Option<(Vec<String>, usize)> {
    let mut faults = Vec::new();
    let mut replayed = 0;
    for recording in &recordings()? {
        let name = recording["name"].as_str().unwrap();
        // Two requests at once: a test of its own.
        if name == "concurrent_mixed_flags" {
            continue;
        }
        replayed += 1;
        if let Err(fault) = replay(service, recording) {
            faults.push(format!("{name}: {fault}"));
        }
    }
    Some((faults, replayed))
}

fn replay(service: &Running, recording: &Value) -> Result<(), String> {
    let name = recording["name"].as_str().unwrap();
    let request = &recording["request"];
    let method = request["method"].as_str().unwrap();
    let mut headers: Vec<(&str, &str)> = request["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    if method == "POST" && !headers.iter().any(|(name, _)| *name == "Content-Type") {
        headers.push(("Content-Type", "application/json"));
    }
    let body = request["body"].as_str().unwrap_or_default();
    let path = request["path"].as_str().unwrap();
    let answer = service
        .connect()
        .send(method, path, &headers, body.as_bytes());
    let mended = MENDED.iter().find(|(mended, _)| *mended == name);
    let status = mended.map_or_else(
        || recording["status"].as_u64().unwrap() as u16,
        |(_, status)| *status,
    );
    if answer.status != status {
        return Err(format!(
            "{} instead of {status}: {}",
            answer.status,
            answer.text()
        ));
    }
    for (header, value) in recording["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap();
        let found = answer.header(header).unwrap_or_default();
        let is_same = match header.as_str() {
            LEFT_OUT => found.is_empty(),
            // Host and port differ.
            "location" => found.ends_with(path.trim_end_matches('/')),
            _ => found == value,
        };
        if !is_same {
            return Err(format!("{header}: {found:?} instead of {value:?}"));
        }
    }
    if let Some(text) = recording["response_text"].as_str() {
        return match answer.text() {
            found if found == text => Ok(()),
            found => Err(format!("{found:?} instead of {text:?}")),
        };
    }
    if mended.is_some() {
        return check_mended(name, &answer.json());
    }
    compare(&recording["response"], &answer.json(), "")
}

/// The same but for times and the order of a printed set; numbers nearly.
fn compare(expected: &Value, found: &Value, at: &str) -> Result<(), String> {
    let differs = || Err(format!("{at}: {found} instead of {expected}"));
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            if !a.keys().eq(b.keys()) {
                return Err(format!(
                    "{at}: fields {:?} instead of {:?}",
                    b.keys(),
                    a.keys()
                ));
            }
            a.iter().try_for_each(|(name, value)| match name.as_str() {
                "inference_time_ms"
                | "total_inference_time_ms"
                | "average_time_per_sequence_ms" => {
                    let is_time = b[name].as_f64().is_some_and(|time| time >= 0.0);
                    if is_time { Ok(()) } else { differs() }
                }
                _ => compare(value, &b[name], &format!("{at}/{name}")),
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                return differs();
            }
            let items = a.iter().zip(b).enumerate();
            items
                .into_iter()
                .try_for_each(|(index, (a, b))| compare(a, b, &format!("{at}/{index}")))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            if (a - b).abs() <= 3e-4 {
                Ok(())
            } else {
                differs()
            }
        }
        (Value::String(a), Value::String(b)) if sorted_sets(a) == sorted_sets(b) => Ok(()),
        _ if expected == found => Ok(()),
        _ => differs(),
    }
}

/// The characters of `{…}` in order.
fn sorted_sets(text: &str) -> String {
    let (Some(begin), Some(end)) = (text.find('{'), text.rfind('}')) else {
        return text.to_owned();
    };
    let mut members: Vec<_> = text[begin + 1..end].split(", ").collect();
    members.sort_unstable();
    format!("{}{}{}", &text[..begin], members.join(", "), &text[end..])
}

/// What the mended answers say.
fn check_mended(name: &str, answer: &Value) -> Result<(), String> {
    let is_right = match name {
        "predict_1024" => answer["embedding_dim"] == 48,
        "predict_1023" => answer["attention_shape"] == json!([2, 1025, 1025]),
        "predict_1024_plus_spaces" => answer["sequence_length"] == 1024,
        "predict_only_spaces" => answer["detail"][0]["type"] == "string_too_short",
        "batch_3_attention" => {
            let shapes: Vec<_> = answer["results"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|result| result["attention_shape"].clone())
                .collect();
            shapes == [json!([2, 30, 30]), json!([2, 52, 52]), json!([2, 9, 9])]
        }
        _ => false,
    };
    if is_right {
        Ok(())
    } else {
        Err(answer.to_string())
    }
}
