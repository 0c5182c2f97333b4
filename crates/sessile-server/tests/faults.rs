//! Lanes that fail: what the service says, and what its clients see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::faulty::{engine, quick, start, switches};
use crate::running::{PATIENCE, Running, options};
use serde_json::json;
use sessile_server::{Ended, ServiceOptions};

#[test]
fn a_failing_lane_is_taken_out_and_the_rest_go_on() {
    for is_lost in [false, true] {
        let switches = switches(2);
        let service = start(&switches, quick());
        assert_eq!(service.get("/health").json()["status"], "healthy");
        assert_eq!(service.metric("sessile_lane_up"), 2.0);
        let switch = if is_lost {
            &switches[0].is_lost
        } else {
            &switches[0].fails
        };
        switch.store(true, Ordering::Relaxed);
        for number in 0..60 {
            let sequence = "MKTAYIAKQR"[..1 + number % 10].to_owned();
            let answer = service.post("/predict", &json!({ "sequence": sequence }));
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.json()["sequence"], sequence);
        }
        // The probes find it, even where the requests did not.
        service.wait_until(|| service.metric("sessile_lane_up") == 1.0);
        assert_eq!(service.metric_with("sessile_lane_up", "lane=\"0\""), 0.0);
        let health = service.get("/health");
        assert_eq!(health.status, 200);
        assert_eq!(health.json()["status"], "degraded");
        let message = health.json()["message"].to_string();
        assert!(message.contains("1 of 2 lanes were taken out"), "{message}");
        let ready = service.get("/health/ready");
        assert_eq!(ready.status, 200, "{}", ready.text());
        assert_eq!(ready.json()["lanes"][0]["state"], "out");
        assert_eq!(ready.json()["lanes"][1]["state"], "ok");
        assert_eq!(
            service.post("/predict", &json!({"sequence": "MKT"})).status,
            200
        );
    }
}

#[test]
fn with_the_last_lane_the_service_ends() {
    let switches = switches(1);
    let service = start(&switches, quick());
    switches[0].is_lost.store(true, Ordering::Relaxed);
    let answer = service.post("/predict", &json!({"sequence": "MKT"}));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(matches!(service.ends(), Ended::NoDevice));
}

#[test]
fn a_lane_that_hangs_makes_the_service_unready() {
    let switches = switches(2);
    let service = start(&switches, quick());
    switches[1].hangs.store(true, Ordering::Relaxed);
    service.wait_until(|| service.get("/health/ready").status == 503);
    assert_eq!(service.get("/health").json()["status"], "unhealthy");
    assert_eq!(service.metric("sessile_ready"), 0.0);
    assert_eq!(service.get("/health/live").status, 200);
    switches[1].hangs.store(false, Ordering::Relaxed);
    service.wait_ready();
    service.wait_until(|| service.get("/health").json()["status"] == "healthy");
}

#[test]
fn a_fault_that_passes_costs_nobody_an_answer() {
    let switches = switches(1);
    let service = start(&switches, quick());
    let switch = Arc::clone(&switches[0]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            switch.delay.store(30, Ordering::Relaxed);
            switch.fails.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(40));
            switch.fails.store(false, Ordering::Relaxed);
        });
        for _ in 0..10 {
            let answer = service.post("/predict", &json!({"sequence": "MKT"}));
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    });
    assert_eq!(service.get("/health").json()["status"], "healthy");
}

#[test]
fn work_of_clients_that_hung_up_never_reaches_a_device() {
    let switches = switches(1);
    let service = start(
        &switches,
        ServiceOptions {
            probe_interval: Duration::from_secs(1000),
            ..options()
        },
    );
    // One request occupies the lane.
    switches[0].hangs.store(true, Ordering::Relaxed);
    let before = switches[0].admitted.load(Ordering::Relaxed);
    let mut first = service.connect();
    first.begin("POST", "/predict", &[], br#"{"sequence": "MK"}"#);
    service.wait_until(|| switches[0].admitted.load(Ordering::Relaxed) == before + 1);
    // Twenty more wait and hang up.
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = service.connect();
            connection.begin("POST", "/predict", &[], br#"{"sequence": "MKT"}"#);
            connection
        })
        .collect();
    service.wait_until(|| service.metric("sessile_queued_sequences") == 20.0);
    assert!(service.metric("sessile_oldest_wait_seconds") > 0.0);
    drop(waiting);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 1.0);
    switches[0].hangs.store(false, Ordering::Relaxed);
    assert_eq!(first.receive("POST").status, 200);
    service.wait_until(|| service.metric("sessile_cancelled_total") == 20.0);
    assert_eq!(switches[0].admitted.load(Ordering::Relaxed), before + 1);
}

#[test]
fn more_than_fits_is_refused_and_what_was_accepted_is_answered() {
    let switches = switches(1);
    let service = start(&switches, options());
    switches[0].delay.store(20, Ordering::Relaxed);
    let sequence = "MKTAYIAKQR".repeat(20);
    let body = json!({ "sequence": sequence }).to_string();
    let counts: Vec<(u32, u32)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..60)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = service.connect();
                    let (mut good, mut refused) = (0, 0);
                    for _ in 0..20 {
                        let answer = connection.send("POST", "/predict", &[], body.as_bytes());
                        match answer.status {
                            200 => good += 1,
                            429 => {
                                let wait = answer.header("retry-after").unwrap();
                                assert!((1..=60).contains(&wait.parse::<u32>().unwrap()));
                                refused += 1;
                            }
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                    (good, refused)
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let good: u32 = counts.iter().map(|(good, _)| good).sum();
    let refused: u32 = counts.iter().map(|(_, refused)| refused).sum();
    assert_eq!(good + refused, 1200);
    assert!(
        good > 0 && refused > 0,
        "{good} answered, {refused} refused"
    );
    assert_eq!(
        f64::from(refused),
        service.metric_with("sessile_errors_total", "overloaded")
    );
}

#[test]
fn time_that_is_over_is_told() {
    let switches = switches(1);
    let service = start(&switches, options());
    switches[0].delay.store(300, Ordering::Relaxed);
    let body = json!({"sequence": "MKT", "timeout_ms": 50});
    let answer = service.post("/predict", &body);
    assert_eq!(answer.status, 504, "{}", answer.text());
    let body = json!({"input": "MKT", "timeout_ms": 50});
    let answer = service.post("/v1/embeddings", &body);
    assert_eq!(answer.json()["error"]["type"], "timeout_error");
}

#[test]
fn accepted_work_is_answered_before_the_end() {
    let switches = switches(1);
    let mut service = start(&switches, options());
    switches[0].delay.store(500, Ordering::Relaxed);
    let mut working = service.connect();
    let mut idle = service.connect();
    assert_eq!(idle.send("GET", "/health/ready", &[], b"").status, 200);
    working.begin("POST", "/predict", &[], br#"{"sequence": "MKT"}"#);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 1.0);
    service.ask_to_stop();
    // Not ready at once, and nothing new is begun.
    service.wait_until(|| service.get("/health/ready").status == 503);
    let answer = idle.send("POST", "/predict", &[], br#"{"sequence": "MKT"}"#);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(working.receive("POST").status, 200);
    assert!(matches!(service.ended(), Ended::Drained));
}

#[test]
fn what_takes_too_long_is_given_up_at_the_end() {
    let switches = switches(1);
    let service = start(
        &switches,
        ServiceOptions {
            grace: Duration::from_millis(200),
            ..options()
        },
    );
    switches[0].delay.store(1500, Ordering::Relaxed);
    let mut working = service.connect();
    working.begin("POST", "/predict", &[], br#"{"sequence": "MKT"}"#);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 1.0);
    assert!(matches!(service.ended(), Ended::Abandoned(1)));
}

#[test]
fn until_the_models_are_loaded_clients_are_told_to_wait() {
    let gate = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&gate);
    let service = Running::start(options(), move || {
        let begun = Instant::now();
        while !opened.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE / 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        engine(&switches(1))
    });
    assert_eq!(service.get("/health/live").status, 200);
    for path in ["/health/startup", "/health/ready", "/readyz", "/health"] {
        assert_eq!(service.get(path).status, 503, "{path}");
    }
    assert_eq!(service.get("/health").json()["status"], "initializing");
    let answer = service.post("/predict", &json!({"sequence": "MKT"}));
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    gate.store(true, Ordering::Relaxed);
    service.wait_ready();
    assert_eq!(service.get("/health/startup").status, 200);
    assert_eq!(
        service.post("/predict", &json!({"sequence": "MKT"})).status,
        200
    );
}
