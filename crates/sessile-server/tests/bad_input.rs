//! Clients that are wrong, slow, rude or gone.

use std::io::Read;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::running::{Running, options};
use serde_json::{Value, json};
use sessile_server::ServiceOptions;

fn strict() -> ServiceOptions {
    ServiceOptions {
        max_body_bytes: 20_000,
        max_items: 100,
        header_timeout: Duration::from_millis(400),
        body_timeout: Duration::from_millis(400),
        ..options()
    }
}

#[test]
fn bodies_are_bounded() {
    let service = Running::tiny(strict());
    let many = format!("[{}]", vec!["\"M\""; 500].join(","));
    let large = format!("{{\"sequence\": \"{}\"}}", "M".repeat(30_000));
    let deep = "[".repeat(5000);
    let cases = [
        ("/predict", large.clone(), 413),
        ("/v1/embeddings", large, 413),
        ("/predict/batch", format!("{{\"sequences\": {many}}}"), 413),
        ("/v1/embeddings", format!("{{\"input\": {many}}}"), 413),
        ("/v1/embeddings", deep.clone(), 400),
        ("/predict", deep, 400),
    ];
    for (path, body, status) in cases {
        let answer = service.post_text(path, body.as_bytes());
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    // Said before it is sent: the service does not wait for it.
    let mut connection = service.connect();
    connection.write(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n");
    assert_eq!(connection.receive("POST").status, 413);
    // Not said at all.
    let mut connection = service.connect();
    connection.write(b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..30 {
        connection.write(b"400\r\n");
        connection.write(&[b' '; 0x400]);
        connection.write(b"\r\n");
    }
    assert_eq!(connection.receive("POST").status, 413);
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);
}

#[test]
fn what_is_no_json_or_no_text_is_told() {
    let service = Running::tiny(options());
    let cases: [(&[u8], u16, &str); 6] = [
        (b"\xff\xff", 400, "There was an error parsing the body"),
        (b"{\"sequence\": \"M\"", 422, "Expecting ',' delimiter"),
        (b"null", 422, "model_attributes_type"),
        (b"{\"sequence\": [[]]}", 422, "string_type"),
        (b"{\"sequence\": \"M\\ud800\"}", 422, "json_invalid"),
        (
            b"{\"sequence\": \"M\", \"timeout_ms\": -4}",
            422,
            "timeout_ms",
        ),
    ];
    for (body, status, words) in cases {
        let answer = service.post_text("/predict", body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        assert!(answer.text().contains(words), "{shown}: {}", answer.text());
    }
}

#[test]
fn slow_clients_are_sent_away() {
    let service = Running::tiny(strict());
    // A head that never ends: the connection is closed.
    let mut connection = service.connect();
    connection.write(b"POST /predict HTTP/1.1\r\nhost:");
    let begun = Instant::now();
    let mut rest = Vec::new();
    connection.stream.read_to_end(&mut rest).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    // A body that never comes.
    let mut connection = service.connect();
    connection.write(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{\"seq");
    let answer = connection.receive("POST");
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn half_closed_connections_are_answered() {
    let service = Running::tiny(options());
    // All was sent, and the client waits.
    let mut connection = service.connect();
    let body = json!({"sequence": "MKTAYIAK"}).to_string();
    connection.begin("POST", "/predict", &[], body.as_bytes());
    connection
        .stream
        .get_ref()
        .shutdown(Shutdown::Write)
        .unwrap();
    let answer = connection.receive("POST");
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Less was sent than was said.
    let mut connection = service.connect();
    connection.write(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{\"seq");
    connection
        .stream
        .get_ref()
        .shutdown(Shutdown::Write)
        .unwrap();
    let answer = connection.receive("POST");
    assert_eq!(answer.status, 400, "{}", answer.text());
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);
}

#[test]
fn wrong_paths_and_methods_are_told() {
    let service = Running::tiny(options());
    let cases = [
        ("GET", "/nope", 404, None),
        ("GET", "/predict", 405, Some("POST")),
        ("PUT", "/predict", 405, Some("POST")),
        ("POST", "/health/ready", 405, Some("GET, HEAD")),
        ("DELETE", "/v1/models", 405, Some("GET, HEAD")),
        ("GET", "/v1/score", 405, Some("POST")),
        ("POST", "/health", 405, Some("GET")),
        ("HEAD", "/", 405, Some("GET")),
        ("GET", "/docs/../../etc/passwd", 404, None),
        ("GET", "/docs/nothing.js", 404, None),
        ("BREW", "/predict", 405, Some("POST")),
    ];
    for (method, path, status, allow) in cases {
        let answer = service.connect().send(method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        if method != "HEAD" {
            let field = if path.starts_with("/v1") {
                "error"
            } else {
                "detail"
            };
            assert_ne!(answer.json()[field], Value::Null, "{method} {path}");
        }
    }
}

#[test]
fn what_is_no_http_is_sent_away() {
    let service = Running::tiny(options());
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    ] {
        let mut connection = service.connect();
        connection.write(bytes);
        connection
            .stream
            .get_ref()
            .shutdown(Shutdown::Write)
            .unwrap();
        let mut rest = Vec::new();
        let _ = connection.stream.read_to_end(&mut rest);
        let text = String::from_utf8_lossy(&rest);
        assert!(
            rest.is_empty() || text.starts_with("HTTP/1.1 400"),
            "{text}"
        );
    }
    assert_eq!(service.get("/health").status, 200);
}

#[test]
fn keys_are_asked_for_where_there_are_keys() {
    let service = Running::tiny(ServiceOptions {
        api_keys: vec!["secret".to_owned()],
        ..options()
    });
    for (path, method, body) in [
        ("/predict", "POST", r#"{"sequence": "MKT"}"#),
        ("/v1/embeddings", "POST", r#"{"input": "MKT"}"#),
        ("/v1/models", "GET", ""),
    ] {
        for (headers, status) in [
            ([].as_slice(), 401),
            (&[("authorization", "Bearer wrong")], 401),
            (&[("authorization", "Bearer secret")], 200),
            (&[("x-api-key", "secret")], 200),
        ] {
            let answer = service
                .connect()
                .send(method, path, headers, body.as_bytes());
            assert_eq!(
                answer.status,
                status,
                "{path} {headers:?}: {}",
                answer.text()
            );
            if status == 401 {
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
    assert_eq!(service.get("/health").status, 200);
}

#[test]
fn only_known_origins_may_call() {
    let service = Running::tiny(ServiceOptions {
        cors_origins: vec!["https://lab.example".to_owned()],
        ..options()
    });
    for (origin, allowed) in [
        ("https://lab.example", true),
        ("https://other.example", false),
    ] {
        let headers = [("origin", origin)];
        let answer = service.connect().send("GET", "/health", &headers, b"");
        let found = answer.header("access-control-allow-origin");
        assert_eq!(found, allowed.then_some(origin));
        let found = answer.header("access-control-allow-credentials");
        assert_eq!(found, allowed.then_some("true"));
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        let answer = service.connect().send("OPTIONS", "/predict", &headers, b"");
        assert_eq!(answer.status, if allowed { 200 } else { 400 });
    }
}

#[test]
fn no_page_of_another_origin_may_call_unless_it_is_said() {
    let origin = [("origin", "https://other.example")];
    let preflight = [origin[0], ("access-control-request-method", "POST")];
    for (origins, allowed) in [(vec![], None), (vec!["*".to_owned()], Some("*"))] {
        let service = Running::tiny(ServiceOptions {
            cors_origins: origins,
            ..options()
        });
        for headers in [&origin[..], &[origin[0], ("cookie", "a=b")]] {
            let answer = service.connect().send("GET", "/health", headers, b"");
            assert_eq!(answer.header("access-control-allow-origin"), allowed);
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
        let answer = service
            .connect()
            .send("OPTIONS", "/predict", &preflight, b"");
        assert_eq!(answer.status, if allowed.is_some() { 200 } else { 400 });
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}
