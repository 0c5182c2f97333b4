//! `/v1/summarize` and `/v1/generate`: the reference's texts, events, and what is refused.

use std::io::{BufRead, Read};

use crate::running::{Running, options, pool_options, root, tiny};
use serde_json::{Value, json};
use sessile_models::Model;
use sessile_server::Engine;

const SENTENCE: &str = "The committee measured the crowded theatre in spring.";

fn json_file(name: &str) -> Value {
    let path = root().join("tests/golden/bart/tiny").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A service with the small BART, and with the small ESM-2 beside it.
fn service(beside: Vec<Model>) -> Running {
    let service = Running::start(options(), move || {
        let bart = Model::open(&root().join("tests/golden/bart/tiny")).unwrap();
        let mut models = beside;
        models.push(bart.named("bart"));
        Engine::load(models, &pool_options())
    });
    service.wait_ready();
    service
}

/// The events of a stream, and whether it ended with `[DONE]`.
fn events(service: &Running, path: &str, body: &Value) -> (Vec<Value>, bool) {
    let mut connection = service.connect();
    let body = body.to_string();
    connection.begin("POST", path, &[], body.as_bytes());
    let head = connection.receive("POST");
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut text = Vec::new();
    loop {
        let mut size = String::new();
        connection.stream.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        connection.stream.read_exact(&mut chunk).unwrap();
        text.extend_from_slice(&chunk[..size]);
        if size == 0 {
            break;
        }
    }
    let text = String::from_utf8(text).unwrap();
    let mut lines: Vec<&str> = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    let is_done = lines.pop() == Some("[DONE]");
    let events = lines
        .iter()
        .map(|event| serde_json::from_str(event).unwrap());
    (events.collect(), is_done)
}

#[test]
fn texts_are_those_of_the_reference() {
    let service = service(vec![tiny()]);
    let expected = json_file("expected.json");
    let inputs = json_file("inputs.json");
    let articles: Vec<&Value> = inputs
        .as_array()
        .unwrap()
        .iter()
        .filter(|article| {
            expected[article["name"].as_str().unwrap()]
                .get("greedy")
                .is_some()
        })
        .collect();
    assert!(articles.len() > 3);
    let texts: Vec<&Value> = articles.iter().map(|article| &article["text"]).collect();
    let runs: [(&str, &str, Value); 3] = [
        ("/v1/summarize", "summary", json!({})),
        ("/v1/generate", "text", json!({ "model": "bart" })),
        (
            "/v1/generate",
            "text",
            json!({ "num_beams": 1, "early_stopping": false, "timeout_ms": 60000 }),
        ),
    ];
    for (path, key, mut body) in runs {
        body["input"] = json!(texts);
        body["truncate"] = json!(true);
        let answer = service.post(path, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        let mut written = 0;
        for ((article, item), index) in articles
            .iter()
            .zip(answer["data"].as_array().unwrap())
            .zip(0..)
        {
            let name = article["name"].as_str().unwrap();
            assert_eq!(
                (&item["object"], &item["index"]),
                (&key.into(), &json!(index)),
                "{item}"
            );
            if item.get("error").is_some() {
                assert_eq!(article["text"], "");
                continue;
            }
            let run = &expected[name]["bart_large_cnn_defaults"];
            if body.get("num_beams").is_none() {
                assert_eq!(item[key], run["text"], "{name}");
                assert_eq!(item["token_ids"], run["ids"], "{name}");
            }
            assert_eq!(item["truncated"], name == "trunc", "{name}");
            written += item["token_ids"].as_array().unwrap().len();
        }
        assert_eq!(answer["model"], "bart");
        assert_eq!(answer["usage"]["completion_tokens"], written);
    }
    assert!(service.metric("sessile_written_texts_total") >= 3.0);
    assert!(service.metric("sessile_written_tokens_total") > 100.0);
    assert!(
        service.metric("sessile_writer_mean_batch") > 1.0,
        "articles share steps"
    );
    assert!(service.metric_with("sessile_writer_memory_bytes", "caches") > 0.0);
    assert_eq!(service.metric("sessile_writer_instances"), 32.0);
    let models = service.get("/v1/models").json();
    let names: Vec<&Value> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(names, ["esm2_tiny_a", "bart"]);
    assert_eq!(
        service.get("/v1/models/bart").json()["architecture"],
        "bart"
    );
    assert_eq!(
        service.get("/health/ready").json()["lanes"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn pieces_of_a_stream_make_the_text() {
    let service = service(vec![tiny()]);
    for (path, key, settings) in [
        (
            "/v1/generate",
            "text",
            json!({ "num_beams": 1, "min_length": 5, "max_length": 40 }),
        ),
        (
            "/v1/summarize",
            "summary",
            json!({ "num_beams": 1, "do_sample": true, "seed": 3 }),
        ),
        (
            "/v1/summarize",
            "summary",
            json!({ "num_beams": 3, "min_length": 5, "max_length": 20 }),
        ),
    ] {
        let mut body = settings.clone();
        body["input"] = json!(SENTENCE);
        let whole = service.post(path, &body).json();
        let whole = &whole["data"][0];
        body["stream"] = json!(true);
        let (mut events, is_done) = events(&service, path, &body);
        assert!(is_done);
        let last = events.pop().unwrap();
        assert_eq!(last["token_ids"], whole["token_ids"], "{settings}");
        assert_eq!(last["truncated"], false);
        assert!(last["usage"]["prompt_tokens"].as_u64().unwrap() > 5);
        let pieces: String = events
            .iter()
            .map(|event| event[key].as_str().unwrap())
            .collect();
        assert_eq!(pieces, whole[key].as_str().unwrap(), "{settings}");
        if settings["num_beams"] == 1 {
            assert!(events.len() > 3, "{} pieces", events.len());
        }
    }
    // What fails behind the first event is an event.
    let body = json!({
        "input": SENTENCE, "stream": true, "num_beams": 1,
        "min_length": 640, "max_length": 640, "timeout_ms": 1,
    });
    let (events, is_done) = events(&service, "/v1/generate", &body);
    assert!(is_done);
    assert_eq!(events.last().unwrap()["error"]["type"], "timeout_error");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let service = service(vec![tiny()]);
    let long = "theatre ".repeat(800);
    let cases = [
        (json!({}), 400, "input"),
        (json!({ "input": [] }), 400, "no text"),
        (json!({ "input": 7 }), 400, "a text or a list"),
        (json!({ "input": " \n" }), 400, "empty"),
        (json!({ "input": long }), 400, "more than the model's 640"),
        (
            json!({ "input": "a", "model": "esm2_tiny_a" }),
            404,
            "there is bart",
        ),
        (
            json!({ "input": ["a", "b"], "stream": true }),
            400,
            "one text",
        ),
        (json!({ "input": "", "stream": true }), 400, "empty"),
        (
            json!({ "input": "a", "min_length": 9, "max_length": 3 }),
            400,
            "is more than",
        ),
        (
            json!({ "input": "a", "max_length": 1 }),
            400,
            "leaves no room",
        ),
        (
            json!({ "input": "a", "max_length": 100000 }),
            400,
            "more than the model's 640",
        ),
        (
            json!({ "input": "a", "max_length": -1 }),
            400,
            "body is not valid",
        ),
        (
            json!({ "input": "a", "num_beams": 65 }),
            400,
            "num_beams 65",
        ),
        (
            json!({ "input": "a", "num_beams": 2, "do_sample": true }),
            400,
            "sampling with beams",
        ),
        (
            json!({ "input": "a", "early_stopping": "maybe" }),
            400,
            "never",
        ),
        (
            json!({ "input": "a", "temperature": 0 }),
            400,
            "temperature",
        ),
        (
            json!({ "input": "a", "repetition_penalty": 5e-324 }),
            400,
            "repetition_penalty must be within",
        ),
        (
            json!({ "input": "a", "length_penalty": -2e6 }),
            400,
            "length_penalty must be within",
        ),
        (
            json!({ "input": "a", "top_k": 1000001 }),
            400,
            "top_k must be at most",
        ),
        (
            json!({ "input": "a", "do_sample": true, "seed": 9007199254740992_u64 }),
            400,
            "seed must be at most",
        ),
        (
            json!({ "input": "a", "stream": true, "max_length": 641 }),
            400,
            "more than the model's 640",
        ),
        (json!({ "input": "a", "priority": 3 }), 400, "priority"),
        (
            json!({ "input": vec!["a"; 9000] }),
            413,
            "split the request",
        ),
    ];
    for (body, status, says) in cases {
        for path in ["/v1/summarize", "/v1/generate"] {
            let answer = service.post(path, &body);
            let text = answer.text();
            assert_eq!(answer.status, status, "{body:.80}: {text}");
            let error = &answer.json()["error"];
            assert!(
                error["message"].as_str().unwrap().contains(says),
                "{body:.80}: {text}"
            );
            assert!(error["type"].is_string());
        }
    }
    assert_eq!(service.get("/v1/generate").status, 405);
    // One bad text costs itself alone.
    let body = json!({ "input": ["", SENTENCE], "max_length": 12, "min_length": 2 });
    let answer = service.post("/v1/generate", &body).json();
    assert_eq!(answer["data"][0]["object"], "error");
    assert_eq!(answer["data"][1]["object"], "text");
}

#[test]
fn paths_without_a_model_are_not_described() {
    let writes = service(Vec::new());
    let paths = &writes.get("/openapi.json").json()["paths"];
    assert!(paths.get("/v1/summarize").is_some() && paths.get("/predict").is_none());
    let answer = writes.post("/predict", &json!({ "sequence": "MKT" }));
    assert_eq!(answer.status, 404, "{}", answer.text());
    let request = &writes.get("/openapi.json").json()["components"]["schemas"]["WritingRequest"];
    assert_eq!(request["properties"]["max_length"]["maximum"], 640);
    assert_eq!(request["additionalProperties"], false);
    // Whole numbers may be written as `9.0`.
    let short = json!({ "input": SENTENCE, "max_length": 9.0, "min_length": 2 });
    assert_eq!(writes.post("/v1/summarize", &short).status, 200);

    let reads = Running::tiny(options());
    let paths = &reads.get("/openapi.json").json()["paths"];
    assert!(paths.get("/v1/summarize").is_none() && paths.get("/predict").is_some());
    let answer = reads.post("/v1/generate", &json!({ "input": "a" }));
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["type"], "model_not_found");
}

/// A text is read no further than the model reads: what is said, and what its beginning gives.
#[test]
fn texts_that_are_far_too_long_are_read_to_where_the_model_reads() {
    let service = service(Vec::new());
    let words = format!("{SENTENCE} ").repeat(100_000);
    let word = "A".repeat(4_000_000);
    let spaces = format!("A{}B", " ".repeat(4_000_000));
    for text in [&word, &spaces] {
        for truncate in [false, true] {
            let body = json!({ "input": text, "truncate": truncate });
            let answer = service.post("/v1/summarize", &body);
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains("split it"), "{}", answer.text());
        }
    }
    let answer = service.post("/v1/summarize", &json!({ "input": words }));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("more than the model's 640"));
    let summary = |text: &str| {
        let body = json!({ "input": text, "truncate": true, "max_length": 16 });
        let answer = service.post("/v1/summarize", &body).json();
        assert_eq!(answer["data"][0]["truncated"], true);
        (
            answer["data"][0]["token_ids"].clone(),
            answer["usage"].clone(),
        )
    };
    assert_eq!(summary(&words), summary(&words[..100 * SENTENCE.len()]));
}

#[test]
fn texts_that_are_written_at_the_end_are_answered() {
    let mut service = service(Vec::new());
    let body = json!({ "input": vec![SENTENCE; 24], "num_beams": 4, "min_length": 200,
        "max_length": 400 });
    let mut connection = service.connect();
    connection.begin("POST", "/v1/generate", &[], body.to_string().as_bytes());
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 1.0);
    service.ask_to_stop();
    let answer = connection.receive("POST");
    assert_eq!(answer.status, 200, "{}", answer.text());
    for item in answer.json()["data"].as_array().unwrap() {
        assert!(item["text"].is_string(), "{item}");
    }
}
