//! Clients that take their answers slowly, announce more than they send, or ask for much: what they
//! hold is counted and limited in time, and everybody else is served meanwhile.

use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sessile_server::{Ended, ServiceOptions};

use crate::faulty::{start, switches};
use crate::running::{Connection, PATIENCE, Running, options};

/// More than the system's buffers take of an answer.
const LARGE: usize = 16 << 20;

/// Asks for an answer of more than [`LARGE`] bytes and reads its head; gives its length.
fn begin_large(service: &Running) -> (Connection, usize) {
    let sequence = "MKTAYIAKQR".repeat(100);
    let body = json!({ "input": [sequence, sequence, sequence] }).to_string();
    let mut connection = service.connect();
    connection.begin("POST", "/v1/contacts", &[], body.as_bytes());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.split("content-length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    assert!(length > LARGE, "{length}");
    (connection, length)
}

/// Reads until the service closes the connection, or `most` bytes are there.
fn read_on(connection: &mut Connection, most: usize) -> usize {
    let mut bytes = vec![0; 1 << 20];
    let mut count = 0;
    while count < most {
        let room = bytes.len().min(most - count);
        match connection.stream.read(&mut bytes[..room]) {
            Ok(read) if read > 0 => count += read,
            _ => break,
        }
    }
    count
}

#[test]
fn an_answer_counts_as_held_until_it_is_sent() {
    let service = Running::tiny(options());
    let (mut connection, length) = begin_large(&service);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(50));
        assert!(service.metric("sessile_held_bytes") >= length as f64);
        assert_eq!(service.metric("sessile_in_flight_requests"), 1.0);
    }
    assert_eq!(read_on(&mut connection, length), length);
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 0.0);
    // The same when a client leaves in the midst of it.
    let (connection, _) = begin_large(&service);
    drop(connection);
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);
}

#[test]
fn clients_that_take_their_answers_too_slowly_are_cut_off() {
    let service = Running::tiny(ServiceOptions {
        send_timeout: Duration::from_millis(500),
        min_send_rate: 4 << 20,
        ..options()
    });
    let (mut still, length) = begin_large(&service);
    let (mut trickling, _) = begin_large(&service);
    let begun = Instant::now();
    while service.metric("sessile_held_bytes") > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "they are borne");
        let mut bytes = [0; 1024];
        let _ = trickling.stream.read(&mut bytes);
        std::thread::sleep(Duration::from_millis(20));
    }
    for connection in [&mut still, &mut trickling] {
        assert!(read_on(connection, length) < length);
    }
    // Who takes it as it comes gets all of it.
    let (mut quick, length) = begin_large(&service);
    assert_eq!(read_on(&mut quick, length), length);
}

#[test]
fn an_answer_that_is_being_sent_at_the_end_is_sent_whole() {
    let mut service = Running::tiny(options());
    let (mut connection, length) = begin_large(&service);
    service.ask_to_stop();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(read_on(&mut connection, length), length);
    assert!(matches!(service.ended(), Ended::Drained));
}

#[test]
fn a_request_whose_body_is_on_its_way_at_the_end_is_answered() {
    let mut service = Running::tiny(options());
    let body = json!({"input": "MKTAYIAK"}).to_string();
    let (first, last) = body.as_bytes().split_at(10);
    let mut connection = service.connect();
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write(head.as_bytes());
    connection.write(first);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 1.0);
    service.ask_to_stop();
    service.wait_until(|| service.get("/health/ready").status == 503);
    connection.write(last);
    let answer = connection.receive("POST");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(matches!(service.ended(), Ended::Drained));
}

#[test]
fn an_answer_that_is_not_sent_within_the_grace_is_told() {
    let service = Running::tiny(ServiceOptions {
        grace: Duration::from_millis(200),
        ..options()
    });
    let (_connection, _) = begin_large(&service);
    assert!(matches!(service.ended(), Ended::Abandoned(1)));
}

#[test]
fn bodies_count_as_held_by_what_has_arrived() {
    let service = Running::tiny(ServiceOptions {
        max_held_bytes: 32 << 20,
        ..options()
    });
    let announced: Vec<Connection> = (0..24)
        .map(|_| {
            let mut connection = service.connect();
            connection.write(
                b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 8388608\r\n\r\n{",
            );
            connection
        })
        .collect();
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 24.0);
    assert!(service.metric("sessile_held_bytes") < 4e6);
    for body in [
        json!({"input": "MKT"}),
        json!({"input": vec!["MKTAYIAK"; 500]}),
    ] {
        let answer = service.post("/v1/embeddings", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    drop(announced);
}

#[test]
fn small_requests_have_a_reserve_of_memory() {
    let service = Running::tiny(ServiceOptions {
        max_held_bytes: 16 << 20,
        ..options()
    });
    // Bodies that have arrived but for their ends.
    let large: Vec<Connection> = (0..2)
        .map(|_| {
            let mut connection = service.connect();
            connection.write(
                b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 8388608\r\n\r\n",
            );
            connection.write(&vec![b' '; 8_388_607]);
            connection
        })
        .collect();
    service.wait_until(|| service.metric("sessile_held_bytes") >= 16_777_216.0);
    let refused = service.post("/v1/embeddings", &json!({"input": vec!["MKTAYIAK"; 5000]}));
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let answer = service.post("/v1/embeddings", &json!({"input": "MKTAYIAK"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(large);
}

#[test]
fn single_sequences_go_through_while_large_requests_are_computed() {
    let switches = switches(1);
    let service = start(&switches, options());
    switches[0].delay.store(20, Ordering::Relaxed);
    let sequences: Vec<String> = (0..120)
        .map(|index| "MKTAYIAKQR".repeat(index % 10 + 1))
        .collect();
    let large = json!({ "input": sequences, "encoding_format": "base64" });
    let alone: Vec<Value> = sequences[..10]
        .iter()
        .map(|sequence| {
            let body = json!({ "input": sequence, "encoding_format": "base64" });
            service.post("/v1/embeddings", &body).json()["data"][0]["embedding"].clone()
        })
        .collect();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| service.post("/v1/embeddings", &large)))
            .collect();
        service.wait_until(|| service.metric("sessile_queued_tokens") > 4000.0);
        let mut served = 0;
        while served < 10 || service.metric("sessile_queued_tokens") > 4000.0 {
            let begun = Instant::now();
            let answer = service.post("/v1/embeddings", &json!({"input": "MKT"}));
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
            served += 1;
        }
        for client in clients {
            let answer = client.join().unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let data = &answer.json()["data"];
            assert_eq!(data.as_array().unwrap().len(), sequences.len());
            for (index, item) in data.as_array().unwrap().iter().enumerate() {
                assert_eq!(item["index"], index);
                assert_eq!(item["embedding"], alone[index % 10], "{index}");
            }
        }
    });
    assert_eq!(service.metric("sessile_queued_tokens"), 0.0);
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);
}

#[test]
fn connections_that_wait_for_their_clients_keep_nobody_out() {
    let service = Running::tiny(ServiceOptions {
        max_connections: 8,
        header_timeout: 10 * PATIENCE,
        body_timeout: 10 * PATIENCE,
        ..options()
    });
    let mut idle = Vec::new();
    for sent in [
        b"".as_slice(),
        b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nx-a: ",
        b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
    ] {
        for _ in 0..40 {
            let mut connection = service.connect();
            connection.write(sent);
            idle.push(connection);
        }
        let begun = Instant::now();
        assert_eq!(service.get("/health/live").status, 200);
        let answer = service.post("/v1/embeddings", &json!({"input": "MKT"}));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    }
}

#[test]
fn probes_are_answered_while_all_connections_are_at_work() {
    let switches = switches(1);
    let service = start(
        &switches,
        ServiceOptions {
            max_connections: 3,
            ..options()
        },
    );
    switches[0].hangs.store(true, Ordering::Relaxed);
    let body = json!({"input": "MKT"}).to_string();
    let mut working: Vec<Connection> = (0..3)
        .map(|_| {
            let mut connection = service.connect();
            connection.begin("POST", "/v1/embeddings", &[], body.as_bytes());
            connection
        })
        .collect();
    // A connection whose request has not been read yet would be cut in favour of the question.
    std::thread::sleep(Duration::from_secs(2));
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 3.0);
    for path in ["/health/live", "/livez", "/metrics"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    let refused = service.post("/v1/embeddings", &json!({"input": "MKT"}));
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.header("connection"), Some("close"));
    assert!(refused.header("retry-after").is_some());
    switches[0].hangs.store(false, Ordering::Relaxed);
    for connection in &mut working {
        assert_eq!(connection.receive("POST").status, 200);
    }
    drop(working);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 0.0);
    let answer = service.post("/v1/embeddings", &json!({"input": "MKT"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
}
