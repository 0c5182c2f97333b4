//! Ten thousand requests from two hundred connections, of all kinds, some of them given up: every
//! answer is the right one for its request, and none is lost, doubled or swapped.

mod running;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use running::{Running, options, pool_options, tiny};
use serde_json::{Value, json};
use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_runtime::{Pool, PoolOptions, PoolRequest};
use sessile_server::{OUTPUTS, ServiceOptions};

const CONNECTIONS: usize = 200;
const REQUESTS: usize = 10_000;
const SEQUENCES: usize = 500;

/// Numbers that look random and are the same every time.
fn mix(number: usize) -> usize {
    let mut x = (number as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 16) as usize
}

fn sequences() -> Vec<String> {
    let letters = b"ACDEFGHIKLMNPQRSTVWYX";
    (0..SEQUENCES)
        .map(|index| {
            let length = 1 + mix(index) % 60;
            (0..length)
                .map(|place| char::from(letters[mix(index * 1000 + place) % 21]))
                .collect()
        })
        .collect()
}

/// What the engine says without the service.
fn offline(sequences: &[String]) -> HashMap<(usize, OutputKind), Vec<f32>> {
    let model = tiny();
    let options = PoolOptions {
        outputs: OUTPUTS.into_iter().collect(),
        ..pool_options()
    };
    let kinds = [
        OutputKind::Mean,
        OutputKind::MeanAll,
        OutputKind::Cls,
        OutputKind::Logits,
        OutputKind::Contacts,
    ];
    let outputs: OutputSet = kinds.into_iter().collect();
    let requests: Vec<_> = sequences
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let tokens = model.tokenizer().encode(text.as_bytes()).tokens;
            (index, PoolRequest::new(ModelIndex(0), tokens, outputs))
        })
        .collect();
    let pool = Pool::new(&[model], &options).unwrap();
    let mut known = HashMap::new();
    for (index, answer) in pool.infer_many(requests) {
        let answer = answer.unwrap();
        for kind in kinds {
            known.insert((index, kind), answer.get(kind).unwrap().data.clone());
        }
    }
    known
}

fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap_or_else(|| panic!("{value}")) as f32],
    }
}

#[test]
fn every_answer_belongs_to_its_request() {
    let sequences = sequences();
    let known = offline(&sequences);
    let service = Running::tiny(ServiceOptions {
        max_connections: CONNECTIONS + 10,
        ..options()
    });
    let next = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    let given_up = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = service.connect();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= REQUESTS {
                        return;
                    }
                    let (path, body, indices) = request(number, &sequences);
                    let text = body.to_string();
                    if mix(number + 77).is_multiple_of(10) {
                        // Hangs up without waiting.
                        connection.begin("POST", path, &[], text.as_bytes());
                        connection = service.connect();
                        given_up.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    loop {
                        let answer = connection.send("POST", path, &[], text.as_bytes());
                        if answer.status == 429 {
                            // Full: comes again, as it was told.
                            assert!(answer.header("retry-after").is_some());
                            std::thread::sleep(std::time::Duration::from_millis(20));
                            continue;
                        }
                        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
                        check(path, &body, &indices, &answer.json(), &sequences, &known);
                        answered.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
            });
        }
    });
    let (answered, given_up) = (answered.into_inner(), given_up.into_inner());
    assert_eq!(answered + given_up, REQUESTS);
    assert!(given_up > REQUESTS / 20, "{given_up} were given up");
    // Nothing stays behind.
    service.wait_until(|| {
        service.metric("sessile_queued_tokens") == 0.0
            && service.metric("sessile_held_bytes") == 0.0
            && service.metric("sessile_in_flight_requests") == 0.0
    });
    assert_eq!(service.metric("sessile_model_loads_total"), 1.0);
}

/// The request of this number, and the sequences in it.
fn request(number: usize, sequences: &[String]) -> (&'static str, Value, Vec<usize>) {
    let pick = |salt: usize| mix(number * 31 + salt) % sequences.len();
    let priority = mix(number + 5) % 3;
    match mix(number) % 10 {
        0..5 => {
            let index = pick(0);
            let body = json!({
                "sequence": sequences[index],
                "include_embeddings": !mix(number + 1).is_multiple_of(3),
                "include_attention": mix(number + 2).is_multiple_of(2),
                "priority": priority,
            });
            ("/predict", body, vec![index])
        }
        5..7 => {
            let indices: Vec<_> = (0..1 + mix(number + 3) % 8).map(pick).collect();
            let texts: Vec<_> = indices.iter().map(|&index| &sequences[index]).collect();
            let body = json!({
                "sequences": texts,
                "include_embeddings": !mix(number + 1).is_multiple_of(3),
                "priority": priority,
            });
            ("/predict/batch", body, indices)
        }
        7 => {
            let index = pick(0);
            let path = ["/v1/logits", "/v1/contacts"][mix(number + 6) % 2];
            let body = json!({"input": sequences[index], "priority": priority});
            (path, body, vec![index])
        }
        _ => {
            let indices: Vec<_> = (0..1 + mix(number + 3) % 8).map(pick).collect();
            let texts: Vec<_> = indices.iter().map(|&index| &sequences[index]).collect();
            let pooling = ["mean", "cls"][mix(number + 4) % 2];
            let body = json!({
                "input": texts,
                "pooling": pooling,
                "priority": priority,
                "timeout_ms": 60_000,
            });
            ("/v1/embeddings", body, indices)
        }
    }
}

fn check(
    path: &str,
    body: &Value,
    indices: &[usize],
    answer: &Value,
    sequences: &[String],
    known: &HashMap<(usize, OutputKind), Vec<f32>>,
) {
    let results: Vec<&Value> = match path {
        "/predict" => vec![answer],
        "/predict/batch" => answer["results"].as_array().unwrap().iter().collect(),
        _ => answer["data"].as_array().unwrap().iter().collect(),
    };
    assert_eq!(results.len(), indices.len());
    for (result, &index) in results.into_iter().zip(indices) {
        let (kind, field) = match (path, body["pooling"].as_str()) {
            ("/v1/logits", _) => (OutputKind::Logits, "logits"),
            ("/v1/contacts", _) => (OutputKind::Contacts, "contacts"),
            (_, Some("cls")) => (OutputKind::Cls, "embedding"),
            (_, Some(_)) => (OutputKind::Mean, "embedding"),
            (_, None) => (OutputKind::MeanAll, "embedding"),
        };
        if !path.starts_with("/v1/") {
            assert_eq!(result["sequence"], *sequences[index]);
            let tokens = sequences[index].len() + 2;
            let shape = match body["include_attention"] == true {
                true => json!([2, tokens, tokens]),
                false => Value::Null,
            };
            assert_eq!(result["attention_shape"], shape);
            if body["include_embeddings"] == false {
                assert_eq!(result["embedding"], Value::Null);
                continue;
            }
        }
        // To the bit: what else is in a batch changes nothing.
        assert_eq!(numbers(&result[field]), known[&(index, kind)], "{body}");
    }
}
