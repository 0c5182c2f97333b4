//! The `/v1` paths: answers against the golden files, errors in their places.

use crate::running::{Running, options, root};
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use serde_json::{Value, json};

fn golden(file: &str) -> Value {
    let path = root().join("tests/golden/esm2/tiny_a").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn sequence(name: &str) -> String {
    let inputs = golden("inputs.json");
    let entry = inputs
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == name)
        .unwrap();
    entry["sequence"].as_str().unwrap().to_owned()
}

/// A tensor of the golden file.
fn tensor(name: &str) -> Vec<f32> {
    let path = root().join("tests/golden/esm2/tiny_a/expected.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let header_length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_length]).unwrap();
    let offsets = &header[name]["data_offsets"];
    let at = |index: usize| 8 + header_length + offsets[index].as_u64().unwrap() as usize;
    bytes[at(0)..at(1)]
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// All numbers of a list, or of a list of lists.
fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(0_f32, |most, value| most.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs();
        assert!(
            difference <= 1e-4 * largest,
            "{found} instead of {expected}"
        );
    }
}

#[test]
fn answers_are_those_of_the_reference() {
    let service = Running::tiny(options());
    let name = "len28";
    let sequence = sequence(name);
    for (pooling, expected) in [
        ("mean", "mean_residues"),
        ("mean_all", "mean_all_tokens"),
        ("cls", "cls"),
    ] {
        let body = json!({"model": "esm2_tiny_a", "input": sequence, "pooling": pooling});
        let answer = service.post("/v1/embeddings", &body).json();
        let found = numbers(&answer["data"][0]["embedding"]);
        assert_near(&found, &tensor(&format!("{name}.{expected}")));
        assert_eq!(answer["usage"]["prompt_tokens"], 30);
    }

    let body = json!({"input": [sequence]});
    let answer = service.post("/v1/logits", &body).json();
    assert_eq!(answer["data"][0]["shape"], json!([30, 33]));
    assert_eq!(answer["vocabulary"][5], "A");
    let logits = numbers(&answer["data"][0]["logits"]);
    assert_near(&logits, &tensor(&format!("{name}.logits")));

    let expected = &golden("expected.json")[name];
    for (method, tensor_name) in [
        ("masked", "masked_marginal_logprob"),
        ("unmasked", "unmasked_logprob"),
    ] {
        let body = json!({"input": [sequence], "method": method, "mutants": true});
        let answer = service.post("/v1/score", &body).json();
        let score = &answer["data"][0];
        let found = numbers(&score["log_probabilities"]);
        assert_near(&found, &tensor(&format!("{name}.{tensor_name}")));
        if method == "masked" {
            let perplexity = score["pseudo_perplexity"].as_f64().unwrap();
            let reference = expected["pseudo_perplexity"].as_f64().unwrap();
            assert!((perplexity / reference - 1.0).abs() < 1e-3, "{perplexity}");
        }
        // A mutation to the residue that is there changes nothing.
        let letters = score["mutants"]["residues"].as_str().unwrap();
        let scores = score["mutants"]["scores"].as_array().unwrap();
        assert_eq!(scores.len(), sequence.len());
        for (row, residue) in scores.iter().zip(sequence.chars()) {
            let column = letters.find(residue).unwrap();
            assert_eq!(numbers(row).len(), 20);
            assert!(numbers(row)[column].abs() < 1e-6);
        }
    }
}

#[test]
fn contacts_are_those_of_the_reference() {
    let service = Running::tiny(options());
    let found = ["len7", "len28", "len33", "len100"]
        .into_iter()
        .filter(|name| {
            let path = root().join("tests/golden/esm2/tiny_a/expected.safetensors");
            let bytes = std::fs::read(path).unwrap();
            let needle = format!("\"{name}.contacts\"");
            bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        });
    let mut compared = 0;
    for name in found {
        let sequence = sequence(name);
        let answer = service
            .post("/v1/contacts", &json!({"input": sequence}))
            .json();
        let item = &answer["data"][0];
        assert_eq!(item["shape"], json!([sequence.len(), sequence.len()]));
        let contacts = numbers(&item["contacts"]);
        assert_near(&contacts, &tensor(&format!("{name}.contacts")));
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn base64_holds_the_same_numbers() {
    let service = Running::tiny(options());
    for path in ["/v1/embeddings", "/v1/logits", "/v1/contacts"] {
        let mut body = json!({"input": "MKTAYIAKQR"});
        let field = path
            .rsplit('/')
            .next()
            .unwrap()
            .trim_end_matches("embeddings");
        let field = if field.is_empty() { "embedding" } else { field };
        let floats = service.post(path, &body).json();
        body["encoding_format"] = json!("base64");
        let packed = service.post(path, &body).json();
        let text = packed["data"][0][field].as_str().unwrap();
        let bytes = decode(text);
        let values: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_eq!(values, numbers(&floats["data"][0][field]), "{path}");
    }
}

/// Base64.
fn decode(text: &str) -> Vec<u8> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = letters.iter().position(|known| *known == letter).unwrap();
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[test]
fn large_batches_keep_their_order() {
    let service = Running::tiny(options());
    let letters: Vec<char> = "ACDEFGHIKLMNPQRSTVWY".chars().collect();
    let sequences: Vec<String> = (0..2000)
        .map(|index: usize| {
            let length = 1 + index * 37 % 90;
            (0..length)
                .map(|place| letters[(index * 7 + place * 3 + place * place) % 20])
                .collect()
        })
        .collect();
    let answer = service.post("/v1/embeddings", &json!({"input": sequences}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), sequences.len());
    for (index, item) in data.iter().enumerate() {
        assert_eq!(item["index"], index);
    }
    for index in [0, 1, 999, 1500, 1999] {
        let body = json!({"input": sequences[index]});
        let alone = service.post("/v1/embeddings", &body).json();
        assert_eq!(alone["data"][0]["embedding"], data[index]["embedding"]);
    }
}

#[test]
fn an_item_that_is_wrong_leaves_the_others() {
    let service = Running::tiny(options());
    let long = "A".repeat(1025);
    let body = json!({"input": ["MKT", "MK1T", "", "mkt", long]});
    let answer = service.post("/v1/embeddings", &body);
    assert_eq!(answer.status, 200);
    let data = answer.json()["data"].clone();
    assert_eq!(data[0]["embedding"], data[3]["embedding"]);
    let cases = [
        (1, "'1' at position 3 is not a residue"),
        (2, "the sequence is empty"),
        (4, "1025 residues, more than 1024"),
    ];
    for (index, words) in cases {
        assert_eq!(data[index]["object"], "error");
        assert_eq!(data[index]["index"], index);
        assert_eq!(data[index]["error"]["type"], "invalid_request_error");
        let message = data[index]["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }

    // With nothing to answer the request itself fails, and names the first item.
    let answer = service.post("/v1/score", &json!({"input": ["M<mask>K", "é"]}));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["index"], 0);
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("<mask> at position 2"), "{message}");
}

#[test]
fn models_are_listed() {
    let service = Running::tiny(options());
    let list = service.get("/v1/models").json();
    assert_eq!(list["data"][0]["id"], "esm2_tiny_a");
    assert_eq!(list["data"][0]["dimensions"], 48);
    let one = service.get("/v1/models/esm2_tiny_a").json();
    assert_eq!(one, list["data"][0]);
    for name in ["other", "../../etc/passwd", "%2e%2e%2fetc"] {
        let answer = service.get(&format!("/v1/models/{name}"));
        assert_eq!(answer.status, 404, "{name}");
        assert!(answer.json()["error"]["message"].is_string());
    }
}

#[test]
fn errors_have_a_type_and_a_message() {
    let service = Running::tiny(options());
    let cases: [(&str, &[u8], u16, &str); 18] = [
        ("/v1/embeddings", b"", 400, "EOF"),
        ("/v1/embeddings", b"{", 400, "EOF"),
        ("/v1/embeddings", b"\xff{}", 400, "not UTF-8: byte 0"),
        ("/v1/embeddings", b"\xff\xfe", 400, "the text is UTF-16"),
        ("/v1/embeddings", b"[]", 400, "the body should be an object"),
        (
            "/v1/embeddings",
            br#"[null,["MKTAY"],null,null,null,null,null]"#,
            400,
            "the body should be an object",
        ),
        ("/v1/embeddings", b"{}", 400, "missing field `input`"),
        (
            "/v1/embeddings",
            br#"{"input": 5}"#,
            400,
            "`input` is a number; it should be a sequence",
        ),
        (
            "/v1/embeddings",
            br#"{"input": [[1, 2]]}"#,
            400,
            "token ids are not taken here",
        ),
        ("/v1/embeddings", br#"{"input": []}"#, 400, "no sequence"),
        ("/v1/embeddings", br#"{"input": "M"} x"#, 400, "trailing"),
        (
            "/v1/embeddings",
            br#"{"input": "M", "model": "gpt"}"#,
            404,
            "no model `gpt`",
        ),
        (
            "/v1/embeddings",
            br#"{"input": "M", "dimensions": 7}"#,
            400,
            "48 numbers",
        ),
        (
            "/v1/embeddings",
            br#"{"input": "M", "encoding_format": "hex"}"#,
            400,
            "hex",
        ),
        (
            "/v1/embeddings",
            br#"{"input": "M", "priority": 3}"#,
            400,
            "0, 1 or 2",
        ),
        (
            "/v1/embeddings",
            br#"{"input": "M", "timeout_ms": 0}"#,
            400,
            "timeout_ms",
        ),
        (
            "/v1/score",
            br#"{"input": "M", "method": "magic"}"#,
            400,
            "magic",
        ),
        ("/v1/nothing", b"{}", 404, "Not Found"),
    ];
    for (path, body, status, words) in cases {
        let answer = service.post_text(path, body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, status, "{path} {shown}: {}", answer.text());
        let error = answer.json()["error"].clone();
        assert!(error["type"].is_string(), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{shown}: {message}");
    }
}

/// The numbers of answers in octets and in Arrow are those of JSON, bit for bit.
#[test]
fn numbers_as_they_are_equal_those_of_json() {
    let service = Running::tiny(options());
    let ask = |path: &str, accept: &str, body: &Value| {
        let headers = [("accept", accept), ("accept-encoding", "gzip, zstd")];
        let body = body.to_string();
        let answer = service
            .connect()
            .send("POST", path, &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer
    };
    let body = json!({"input": ["MKTAYIAKQR", "MKV", "ACDEFGHIK<mask>"]});
    for (path, field) in [
        ("/v1/embeddings", "embedding"),
        ("/v1/logits", "logits"),
        ("/v1/contacts", "contacts"),
    ] {
        let data = service.post(path, &body).json()["data"].clone();
        let numbers = |value: &Value| -> Vec<f32> {
            let rows = value.as_array().unwrap().iter();
            rows.flat_map(|row| match row {
                Value::Array(row) => row.clone(),
                number => vec![number.clone()],
            })
            .map(|number| number.as_f64().unwrap() as f32)
            .collect()
        };
        let expected: Vec<Vec<f32>> = (0..3).map(|item| numbers(&data[item][field])).collect();
        let all: Vec<f32> = expected.concat();

        let octets = ask(path, "application/octet-stream", &body);
        assert_eq!(
            octets.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(octets.header("content-encoding"), None);
        assert_eq!(octets.header("x-sessile-dtype"), Some("f32"));
        assert_eq!(octets.header("x-sessile-model"), Some("esm2_tiny_a"));
        let bytes: Vec<u8> = all.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(octets.body, bytes, "{path}");
        let shape = octets.header("x-sessile-shape").unwrap();
        let counts = shape.split(';').map(|shape| {
            let sides = shape.split(',').map(|side| side.parse::<usize>().unwrap());
            sides.product::<usize>()
        });
        assert_eq!(counts.sum::<usize>(), all.len(), "{path}: {shape}");

        let halves = ask(path, "application/octet-stream; dtype=f16", &body);
        let bytes = all
            .iter()
            .flat_map(|&number| half::f16::from_f32(number).to_le_bytes());
        assert_eq!(halves.body, bytes.collect::<Vec<_>>(), "{path}");

        let arrow = ask(path, "application/vnd.apache.arrow.stream", &body);
        let mut batches = arrow_ipc::reader::StreamReader::try_new(&arrow.body[..], None).unwrap();
        let batch = batches.next().unwrap().unwrap();
        let column = batch.column_by_name(field).unwrap();
        for (item, expected) in expected.iter().enumerate() {
            let values = match path {
                "/v1/embeddings" => column.as_fixed_size_list().value(item),
                _ => column.as_list::<i32>().value(item),
            };
            assert_eq!(
                values.as_primitive::<Float32Type>().values(),
                &expected[..],
                "{path}"
            );
        }
        assert!(batches.next().is_none());
    }
    let body = json!({"input": "MKTAYIAKQR"}).to_string();
    let headers = [("accept", "application/octet-stream")];
    let answer = service
        .connect()
        .send("POST", "/v1/score", &headers, body.as_bytes());
    assert_eq!(answer.status, 406, "{}", answer.text());
}
