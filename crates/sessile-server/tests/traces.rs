//! Traces, as a collector gets them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use sessile_server::ServiceOptions;

use crate::running::{PATIENCE, Running, options};

/// A collector that takes everything, and its address.
fn collector() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            let head = head.to_ascii_lowercase();
            assert!(head.contains("content-type: application/json\r\n"));
            let length = head.split("content-length: ").nth(1).unwrap();
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .unwrap();
            if tell.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, told)
}

/// The spans of the next batches, until there are so many.
fn spans(told: &Receiver<Value>, count: usize) -> Vec<Value> {
    let mut spans = Vec::new();
    while spans.len() < count {
        let batch = told.recv_timeout(PATIENCE).unwrap();
        let resource = &batch["resourceSpans"][0];
        let service = json!({ "key": "service.name", "value": { "stringValue": "sessile" } });
        assert_eq!(resource["resource"]["attributes"][0], service);
        let batch = resource["scopeSpans"][0]["spans"].as_array().unwrap();
        spans.extend(batch.iter().cloned());
    }
    spans
}

#[test]
fn a_request_goes_into_the_trace_of_its_client() {
    let (address, told) = collector();
    let service = Running::tiny(ServiceOptions {
        collector: Some(address.parse().unwrap()),
        ..options()
    });
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let body = json!({ "input": ["MKTAYIAKQR", "MKV"] }).to_string();
    let headers = [("traceparent", &*parent)];
    let answer = service
        .connect()
        .send("POST", "/v1/embeddings", &headers, body.as_bytes());
    assert_eq!(answer.status, 200);
    let spans = spans(&told, 6);
    assert_eq!(spans.len(), 6, "{spans:#?}");
    let named =
        |name: &str| -> Vec<&Value> { spans.iter().filter(|span| span["name"] == name).collect() };
    let request = named("POST /v1/embeddings")[0];
    assert_eq!(
        (&request["parentSpanId"], &request["kind"]),
        (&json!("b7ad6b7169203331"), &json!(2))
    );
    let id = request["spanId"].as_str().unwrap();
    let told_back = answer.header("traceparent").unwrap();
    assert_eq!(told_back, format!("00-{trace}-{id}-01"));
    let time = |span: &Value, end: &str| -> u128 {
        span[format!("{end}TimeUnixNano")]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    for (name, count) in [("queue", 2), ("compute", 2), ("serialize", 1)] {
        let parts = named(name);
        assert_eq!(parts.len(), count, "{name}");
        for part in parts {
            assert_eq!(part["traceId"], trace);
            assert_eq!(part["parentSpanId"], id);
            // Clocks are read one after the other.
            let slack = 50_000_000;
            assert!(
                time(part, "start") + slack >= time(request, "start"),
                "{name}"
            );
            assert!(time(part, "end") <= time(request, "end") + slack, "{name}");
            assert!(time(part, "start") <= time(part, "end"), "{name}");
        }
    }
    // One that its client does not record is not recorded here.
    let unwanted = format!("00-{trace}-b7ad6b7169203331-00");
    let headers = [("traceparent", &*unwanted)];
    let answer = service
        .connect()
        .send("POST", "/v1/embeddings", &headers, body.as_bytes());
    assert_eq!((answer.status, answer.header("traceparent")), (200, None));
    // One without a parent begins a trace; a failure says its kind.
    let answer = service.post("/v1/embeddings", &json!({ "input": [] }));
    assert_eq!(answer.status, 400);
    let spans = crate::traces::spans(&told, 1);
    assert!(spans[0].get("parentSpanId").is_none() && spans[0]["traceId"] != trace);
    let kind = json!({ "key": "error.type", "value": { "stringValue": "invalid_request_error" } });
    assert!(spans[0]["attributes"].as_array().unwrap().contains(&kind));
    assert_eq!(service.metric("sessile_spans_dropped_total"), 0.0);
}

#[test]
fn a_collector_that_is_gone_holds_nobody_up() {
    // Nothing listens where a listener has just been.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let service = Running::tiny(ServiceOptions {
        collector: Some(format!("http://{address}").parse().unwrap()),
        ..options()
    });
    let answer = service.post("/predict", &json!({ "sequence": "MKTAY" }));
    assert_eq!(answer.status, 200);
    service.wait_until(|| service.metric("sessile_spans_dropped_total") >= 4.0);
}
