//! gRPC over HTTP/2 without TLS, on the same port: the answers of the `/v1` paths, their errors and keys.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::{Value, json};
use sessile_server::ServiceOptions;
use sessile_server::clients::ClientLimits;
use tokio::net::TcpStream;

use crate::running::{Running, options};

/// The messages that are sent here, with the numbers of `proto/sessile.proto`.
#[derive(Clone, PartialEq, Message)]
struct EmbedRequest {
    #[prost(message, optional, tag = "1")]
    terms: Option<Terms>,
    #[prost(string, repeated, tag = "2")]
    sequences: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Terms {
    #[prost(string, tag = "1")]
    model: String,
    #[prost(uint32, optional, tag = "2")]
    priority: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct EmbedResponse {
    #[prost(string, tag = "1")]
    model: String,
    #[prost(message, repeated, tag = "2")]
    items: Vec<Embedding>,
}

#[derive(Clone, PartialEq, Message)]
struct Embedding {
    #[prost(float, repeated, tag = "1")]
    values: Vec<f32>,
    #[prost(message, optional, tag = "2")]
    error: Option<Error>,
}

#[derive(Clone, PartialEq, Message)]
struct Error {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    message: String,
}

/// What a call came to: its status, the message with it, and the messages.
struct Called {
    status: u32,
    message: String,
    kind: String,
    messages: Vec<Bytes>,
}

/// Calls a method with these messages.
fn call(service: &Running, method: &str, headers: &[(&str, &str)], messages: &[Vec<u8>]) -> Called {
    let mut body = BytesMut::new();
    for message in messages {
        body.put_u8(0);
        body.put_u32(message.len() as u32);
        body.put_slice(message);
    }
    let mut request = Request::post(format!("http://localhost{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.freeze())).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (parts, collected) = runtime.block_on(async {
        let stream = TcpStream::connect(service.address).await.unwrap();
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        (parts, body.collect().await.unwrap())
    });
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let text = |name: &str| {
        let value = trailers.get(name).or_else(|| parts.headers.get(name));
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let mut bytes = collected.to_bytes();
    let mut answers = Vec::new();
    while bytes.has_remaining() {
        assert_eq!(bytes.get_u8(), 0);
        let length = bytes.get_u32() as usize;
        answers.push(bytes.split_to(length));
    }
    let status = text("grpc-status");
    Called {
        status: status
            .parse()
            .unwrap_or_else(|_| panic!("{status}: {parts:?}")),
        message: text("grpc-message"),
        kind: text("sessile-error-type"),
        messages: answers,
    }
}

fn embed(sequences: &[&str]) -> Vec<u8> {
    let sequences = sequences.iter().map(|&text| text.to_owned()).collect();
    EmbedRequest {
        terms: None,
        sequences,
    }
    .encode_to_vec()
}

const EMBED: &str = "/sessile.v1.Sessile/Embed";

#[test]
fn vectors_are_those_of_the_http_path() {
    let service = Running::tiny(options());
    let sequences = ["MKTAYIAKQR", "MK1", "ACDE"];
    let expected = service.post("/v1/embeddings", &json!({ "input": sequences }));
    let expected = expected.json()["data"].clone();
    let numbers = |value: &Value| -> Vec<f32> {
        let numbers = value.as_array().unwrap().iter();
        numbers
            .map(|number| number.as_f64().unwrap() as f32)
            .collect()
    };
    let called = call(&service, EMBED, &[], &[embed(&sequences)]);
    assert_eq!(
        (called.status, called.messages.len()),
        (0, 1),
        "{}",
        called.message
    );
    let answer = EmbedResponse::decode(called.messages[0].clone()).unwrap();
    assert_eq!((&*answer.model, answer.items.len()), ("esm2_tiny_a", 3));
    for index in [0, 2] {
        assert_eq!(
            answer.items[index].values,
            numbers(&expected[index]["embedding"])
        );
    }
    let error = answer.items[1].error.clone().unwrap();
    assert_eq!(error.kind, "invalid_request_error");
    assert_eq!(error.message, expected[1]["error"]["message"]);

    // A stream answers each request in its turn.
    let requests: Vec<_> = (1..40)
        .map(|n| embed(&["MKV".repeat(n).as_str()]))
        .collect();
    let called = call(&service, "/sessile.v1.Sessile/EmbedStream", &[], &requests);
    assert_eq!(
        (called.status, called.messages.len()),
        (0, 39),
        "{}",
        called.message
    );
    let last = EmbedResponse::decode(called.messages[38].clone()).unwrap();
    let alone = call(&service, EMBED, &[], &[requests[38].clone()]);
    assert_eq!(
        last,
        EmbedResponse::decode(alone.messages[0].clone()).unwrap()
    );
    // Nothing of it is held or in flight when it is over.
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 0.0);
    let route = "route=\"/sessile.v1.Sessile/Embed\"";
    assert_eq!(service.metric_with("sessile_requests_total", route), 2.0);
}

#[test]
fn what_goes_wrong_is_told_by_status_and_kind() {
    let service = Running::tiny(options());
    let of_model = |model: &str, priority| {
        let terms = Terms {
            model: model.to_owned(),
            priority: Some(priority),
        };
        EmbedRequest {
            terms: Some(terms),
            sequences: vec!["MK".to_owned()],
        }
        .encode_to_vec()
    };
    let cases: [(&str, Vec<u8>, u32, &str); 6] = [
        (EMBED, embed(&[]), 3, "invalid_request_error"),
        (EMBED, of_model("other", 1), 5, "model_not_found"),
        (EMBED, of_model("", 300), 3, "invalid_request_error"),
        (
            "/sessile.v1.Sessile/States",
            embed(&["MK"]),
            5,
            "model_not_found",
        ),
        ("/sessile.v1.Sessile/Fold", embed(&["MK"]), 12, ""),
        ("/sessile.v1.Sessile/EmbedStream", embed(&[]), 3, ""),
    ];
    for (method, message, status, kind) in cases {
        let called = call(&service, method, &[], &[message]);
        assert_eq!(
            (called.status, !called.message.is_empty() || status == 12),
            (status, true),
            "{method}"
        );
        if !kind.is_empty() {
            assert_eq!(called.kind, kind, "{method}: {}", called.message);
        }
    }
    let kind = "kind=\"model_not_found\"";
    assert_eq!(service.metric_with("sessile_errors_total", kind), 2.0);
    let late = [("grpc-timeout", "1n")];
    assert_eq!(call(&service, EMBED, &late, &[embed(&["MK"])]).status, 4);
}

#[test]
fn keys_and_quotas_hold_there_too() {
    let client = |name: &str, tokens| ClientLimits {
        name: name.to_owned(),
        key: format!("{name}-key"),
        tokens_per_minute: tokens,
        concurrency: Some(2),
        priority: 2,
    };
    let service = Running::tiny(ServiceOptions {
        api_keys: vec!["plain".to_owned()],
        clients: vec![client("night", Some(6)), client("day", None)],
        ..options()
    });
    let with = |key: &str| {
        let bearer = format!("Bearer {key}");
        call(
            &service,
            EMBED,
            &[("authorization", &bearer)],
            &[embed(&["MKTAY"])],
        )
    };
    assert_eq!(with("wrong").status, 16);
    assert_eq!(with("plain").status, 0);
    assert_eq!(with("night-key").status, 0);
    let refused = with("night-key");
    assert_eq!(
        (refused.status, &*refused.kind),
        (8, "rate_limit_error"),
        "{}",
        refused.message
    );
    assert_eq!(with("day-key").status, 0);
    // The same quota on every path.
    let body = json!({"sequence": "MKTAY"}).to_string();
    let headers = [
        ("x-api-key", "night-key"),
        ("content-type", "application/json"),
    ];
    let answer = service
        .connect()
        .send("POST", "/predict", &headers, body.as_bytes());
    assert_eq!(answer.status, 429, "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((5..=60).contains(&seconds), "{seconds}");
    let metric =
        |name: &str, client: &str| service.metric_with(name, &format!("client=\"{client}\""));
    assert_eq!(metric("sessile_client_refused_total", "night"), 2.0);
    assert_eq!(metric("sessile_client_tokens_total", "day"), 7.0);
    // Health and reflection ask for no key.
    let health = call(&service, "/grpc.health.v1.Health/Check", &[], &[Vec::new()]);
    assert_eq!((health.status, &health.messages[0][..]), (0, &[8, 1][..]));
}

#[test]
fn a_client_that_watches_the_health_does_not_hold_up_the_end() {
    let mut service = Running::tiny(options());
    let address = service.address;
    let watching = std::thread::spawn(move || {
        let watched = Running::elsewhere(address);
        call(&watched, "/grpc.health.v1.Health/Watch", &[], &[Vec::new()])
    });
    // It has begun when it is counted among the requests.
    let route = "route=\"/grpc.health.v1.Health/{*method}\"";
    service.wait_until(|| service.metric_with("sessile_requests_total", route) == 1.0);
    service.ask_to_stop();
    let watched = watching.join().unwrap();
    assert_eq!(watched.status, 14);
    let last = watched.messages.last().unwrap();
    assert!([&[8, 1][..], &[8, 2]].contains(&&last[..]), "{last:?}");
    assert!(matches!(service.ended(), sessile_server::Ended::Drained));
}
