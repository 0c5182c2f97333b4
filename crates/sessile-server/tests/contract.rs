//! What a client may rely on besides the numbers: nothing it asks for is passed over, and the rules of
//! HTTP hold.

use std::io::{Read, Write};

use crate::running::{Answer, Running, options};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sessile_server::ServiceOptions;

#[test]
fn head_is_answered_as_get_is_without_a_body() {
    let service = Running::tiny(options());
    for path in [
        "/health",
        "/health/live",
        "/health/ready",
        "/health/startup",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/swagger-ui.css",
        "/v1/models",
        "/v1/models/esm2_tiny_a",
        "/v1/models/other",
        "/docs/nothing.js",
    ] {
        let mut connection = service.connect();
        let get = connection.send("GET", path, &[], b"");
        let head = connection.send("HEAD", path, &[], b"");
        assert_eq!(head.status, get.status, "{path}");
        let lasting = |answer: &Answer| -> Vec<(String, String)> {
            let headers = answer.headers.iter().cloned();
            headers
                .filter(|(name, _)| !["date", "x-request-id"].contains(&&**name))
                // How long ago a lane answered is a number of so many digits.
                .filter(|(name, _)| name != "content-length" || !path.contains("ready"))
                .collect()
        };
        if !path.contains("startup") {
            assert_eq!(lasting(&head), lasting(&get), "{path}");
        }
        assert!(head.header("content-length").is_some(), "{path}");
        // Nothing of a body stands before the next answer.
        assert_eq!(
            connection.send("GET", "/livez", &[], b"").status,
            200,
            "{path}"
        );
    }
    let head = service.connect().send("HEAD", "/metrics", &[], b"");
    assert_eq!(head.status, 200);
}

#[test]
fn fields_that_are_not_known_are_refused_by_name() {
    let service = Running::tiny(options());
    for (path, field, words) in [
        ("/v1/embeddings", "poling", "did you mean `pooling`?"),
        (
            "/v1/embeddings",
            "user",
            "there are model, input, encoding_format",
        ),
        (
            "/v1/embeddings",
            "encoding-format",
            "did you mean `encoding_format`?",
        ),
        ("/v1/score", "mutant", "did you mean `mutants`?"),
        (
            "/v1/score",
            "encoding_format",
            "there is no field `encoding_format`",
        ),
        ("/v1/logits", "stream", "there is no field `stream`"),
        ("/v1/contacts", "timeout", "did you mean `timeout_ms`?"),
        ("/v1/three-di", "mask_bellow", "did you mean `mask_below`?"),
        ("/v1/generate", "max_lenght", "did you mean `max_length`?"),
        (
            "/v1/generate",
            "forced_bos_token",
            "there is no field `forced_bos_token`",
        ),
        ("/v1/summarize", "num_return_sequence", "there is no field"),
        ("/v1/embeddings", "`, expected `x`", "there is no field"),
    ] {
        let answer = service.post(path, &json!({"input": "MKT", field: "cls"}));
        // Of a path without a model, too: the body is read first.
        assert_eq!(answer.status, 400, "{path} {field}: {}", answer.text());
        let error = answer.json()["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{path} {field}: {message}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    let document = service.get("/openapi.json").json();
    // Those of which a model is served.
    for request in ["Embeddings", "Score", "Logits", "Contacts"] {
        let schema = &document["components"]["schemas"][format!("{request}Request")];
        assert_eq!(schema["additionalProperties"], false, "{request}");
    }
    // The other service passes them over, as its recordings show.
    let body = json!({"sequence": "MKT", "poling": "cls"});
    assert_eq!(service.post("/predict", &body).status, 200);
}

#[test]
fn a_stop_at_the_end_is_dropped_and_one_inside_refused() {
    let service = Running::tiny(options());
    for (path, field) in [
        ("/v1/embeddings", "embedding"),
        ("/v1/score", "log_probabilities"),
        ("/v1/logits", "logits"),
        ("/v1/contacts", "contacts"),
    ] {
        let body = json!({"input": ["MKTAY", "MKTAY*", "mktay*\n", "MK*AY", "MKTAY**", "*"]});
        let answer = service.post(path, &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let data = answer.json()["data"].clone();
        assert!(data[0][field].is_array(), "{path}");
        assert_eq!(data[1][field], data[0][field], "{path}");
        assert_eq!(data[2][field], data[0][field], "{path}");
        for (index, words) in [
            (3, "'*' at position 3 is not a residue"),
            (4, "'*' at position 6 is not a residue"),
            (5, "the sequence is empty"),
        ] {
            let message = data[index]["error"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{path}: {message}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_body() {
    let service = Running::tiny(options());
    for (path, body) in [
        ("/v1/embeddings", json!({"input": "MKT"})),
        ("/predict", json!({"sequence": "MKT"})),
        ("/predict/batch", json!({"sequences": ["MKT"]})),
    ] {
        let answer = service.post_text(path, format!("\u{feff}{body}").as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
}

fn packed(coding: &str, plain: &[u8]) -> Vec<u8> {
    if coding == "zstd" {
        return zstd::stream::encode_all(plain, 1).unwrap();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn send(service: &Running, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    service.connect().send("POST", path, headers, body)
}

#[test]
fn packed_bodies_are_read_within_the_bound_of_plain_ones() {
    let service = Running::tiny(ServiceOptions {
        max_body_bytes: 100_000,
        ..options()
    });
    let plain = json!({"input": "MKTAYIAKQR"}).to_string();
    let expected = service.post_text("/v1/embeddings", plain.as_bytes()).json();
    let bomb = vec![b' '; 50_000_000];
    for coding in ["gzip", "zstd"] {
        let headers = [("content-encoding", coding)];
        let body = packed(coding, plain.as_bytes());
        let answer = send(&service, "/v1/embeddings", &headers, &body);
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
        assert_eq!(answer.json(), expected, "{coding}");
        let predict = packed(coding, br#"{"sequence": "MKT"}"#);
        assert_eq!(send(&service, "/predict", &headers, &predict).status, 200);

        let bomb = packed(coding, &bomb);
        let answer = send(&service, "/v1/embeddings", &headers, &bomb);
        assert_eq!(answer.status, 413, "{coding}: {}", answer.text());
        let cut = &body[..body.len() - 4];
        let answer = send(&service, "/v1/embeddings", &headers, cut);
        assert_eq!(answer.status, 400, "{coding}");
        let words = format!("not valid {coding}");
        assert!(answer.text().contains(&words), "{}", answer.text());
    }
    for (path, coding) in [("/v1/embeddings", "br"), ("/predict", "deflate")] {
        let answer = send(&service, path, &[("content-encoding", coding)], b"x");
        assert_eq!(answer.status, 415, "{path}");
        let text = answer.text();
        assert!(text.contains("one of gzip, zstd"), "{text}");
        assert_eq!(answer.header("accept-encoding"), Some("gzip, zstd"));
    }
    // A packed body that does not say so is told what it lacks.
    let answer = service.post_text("/v1/embeddings", &packed("gzip", plain.as_bytes()));
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("Content-Encoding: gzip"),
        "{}",
        answer.text()
    );
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);
}

#[test]
fn large_answers_are_packed_for_clients_that_take_that() {
    let service = Running::tiny(options());
    let body = json!({"input": vec!["MKTAYIAKQR"; 200]}).to_string();
    let plain = send(&service, "/v1/embeddings", &[], body.as_bytes());
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    let expected: Value = plain.json();
    for (accepted, coding) in [
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
    ] {
        let headers = [("accept-encoding", accepted)];
        let answer = send(&service, "/v1/embeddings", &headers, body.as_bytes());
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert!(answer.body.len() < plain.body.len() * 2 / 3, "{coding}");
        let mut text = Vec::new();
        match coding {
            "gzip" => GzDecoder::new(&answer.body[..]).read_to_end(&mut text),
            _ => zstd::stream::copy_decode(&answer.body[..], &mut text).map(|()| 0),
        }
        .unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
    }
    // A small one is not worth it.
    let headers = [("accept-encoding", "gzip")];
    let answer = send(&service, "/v1/embeddings", &headers, br#"{"input": "MKT"}"#);
    assert_eq!(answer.header("content-encoding"), None);
}

/// The description names nothing that it does not have, and each call has an answer of its own.
#[test]
fn the_description_is_whole() {
    let service = Running::tiny(options());
    let document = service.get("/openapi.json").json();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref") {
                    let place = reference.as_str().unwrap().strip_prefix('#').unwrap();
                    assert!(document.pointer(place).is_some(), "{reference}");
                    references += 1;
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 50, "{references}");
    let mut names = std::collections::BTreeSet::new();
    for path in ["embeddings", "score", "logits", "contacts"] {
        let content = format!("/paths/~1v1~1{path}/post/responses/200/content");
        let content = document.pointer(&content).unwrap();
        let schema = content["application/json"]["schema"]["$ref"]
            .as_str()
            .unwrap();
        assert!(names.insert(schema), "{schema}");
    }
}
