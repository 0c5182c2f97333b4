//! Every metric that the documentation names is there, and moves when what it measures happens.

#[path = "running/faulty.rs"]
mod faulty;
mod running;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faulty::{engine, quick, start, switches};
use running::{PATIENCE, Running, options, pool_options, root, tiny};
use serde_json::json;
use sessile_server::{Engine, ServiceOptions};

/// The first column of the table in the documentation, but for what is counted of clients: that is
/// there with a file of clients only, and `grpc.rs` sees it move.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/service.md")).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("| `sessile_"))
        .filter_map(|line| line.split('|').next())
        .flat_map(|names| names.split(['`', ',', ' ']))
        .filter(|name| !name.is_empty())
        .map(|name| format!("sessile_{}", name.trim_start_matches("sessile_")))
        .filter(|name| !name.starts_with("sessile_client_"))
        .collect()
}

/// What the service describes.
fn described(service: &Running) -> BTreeSet<String> {
    let text = service.get("/metrics").text();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    names
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("sessile_"))
        .map(str::to_owned)
        .collect()
}

/// Metrics that were seen to move.
#[derive(Default)]
struct Moved(BTreeSet<String>);

impl Moved {
    /// Waits until a metric, or the count of a histogram, has another value than `before`.
    fn saw(&mut self, service: &Running, name: &str, label: &str, before: f64) {
        let exact = if service
            .get("/metrics")
            .text()
            .contains(&format!("{name}_count"))
        {
            format!("{name}_count")
        } else {
            name.to_owned()
        };
        let begun = std::time::Instant::now();
        while service.metric_with(&exact, label) == before {
            assert!(begun.elapsed() < PATIENCE, "{name} did not move");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.0.insert(name.to_owned());
    }

    fn saw_all(&mut self, service: &Running, names: &[&str]) {
        for name in names {
            self.saw(service, name, "", 0.0);
        }
    }
}

#[test]
fn every_documented_metric_moves() {
    let mut moved = Moved::default();
    loading(&mut moved);
    let switches = switches(2);
    let service = start(
        &switches,
        ServiceOptions {
            probe_timeout: Duration::from_secs(20),
            ..quick()
        },
    );

    // Answers.
    switches[0].delay.store(3, Ordering::Relaxed);
    switches[1].delay.store(3, Ordering::Relaxed);
    let errors = service.metric("sessile_errors_total");
    let body = json!({"sequence": "MKTAYIAKQR"});
    assert_eq!(service.post("/predict", &body).status, 200);
    assert_eq!(service.post("/predict", &json!({})).status, 422);
    moved.saw(&service, "sessile_requests_total", "status=\"422\"", 0.0);
    moved.saw(&service, "sessile_errors_total", "validation_error", errors);
    moved.saw(
        &service,
        "sessile_request_seconds",
        "route=\"/predict\"",
        0.0,
    );
    moved.saw_all(
        &service,
        &[
            "sessile_queue_seconds",
            "sessile_compute_seconds",
            "sessile_serialization_seconds",
            "sessile_batch_tokens",
            "sessile_tokens_total",
            "sessile_sequences_total",
            "sessile_tokens_per_second",
            "sessile_lane_busy_milliseconds_total",
            "sessile_lane_busy_fraction",
            "sessile_model_sequences_total",
            "sessile_model_tokens_total",
            "sessile_model_info",
            "sessile_build_info",
        ],
    );
    moved.saw(&service, "sessile_circuit", "state=\"closed\"", 0.0);

    // Work that waits, and clients that hang up.
    for switch in &switches {
        switch.hangs.store(true, Ordering::Relaxed);
    }
    // Probes see to it that each lane soon does.
    service.wait_until(|| {
        let mut lanes = switches.iter();
        lanes.all(|lane| lane.is_hanging.load(Ordering::Relaxed))
    });
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut connection = service.connect();
            connection.begin("POST", "/predict", &[], body.to_string().as_bytes());
            connection
        })
        .collect();
    moved.saw_all(
        &service,
        &[
            "sessile_queued_tokens",
            "sessile_queued_sequences",
            "sessile_oldest_wait_seconds",
            "sessile_expected_wait_seconds",
            "sessile_capacity_used",
            "sessile_in_flight_requests",
            "sessile_held_bytes",
        ],
    );
    drop(waiting);
    service.wait_until(|| service.metric("sessile_in_flight_requests") == 0.0);
    for switch in &switches {
        switch.hangs.store(false, Ordering::Relaxed);
    }
    moved.saw_all(&service, &["sessile_cancelled_total"]);
    service.wait_until(|| service.metric("sessile_held_bytes") == 0.0);

    // A line of the log for which there is no room.
    sessile_server::logging::say(&"x".repeat(2 << 20));
    moved.saw_all(&service, &["sessile_log_lines_dropped_total"]);

    // A lane that fails under work.
    assert_eq!(service.metric("sessile_lane_up"), 2.0);
    switches[0].fails.store(true, Ordering::Relaxed);
    service.wait_until(|| {
        assert_eq!(service.post("/predict", &body).status, 200);
        service.metric("sessile_lane_up") == 1.0
    });
    moved.saw(&service, "sessile_lane_up", "lane=\"0\"", 1.0);
    moved.saw_all(&service, &["sessile_requeued_total"]);

    assert_eq!(documented(), moved.0);
}

/// What comes with the models.
fn loading(moved: &mut Moved) {
    let gate = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&gate);
    let service = Running::start(options(), move || {
        let begun = std::time::Instant::now();
        while !opened.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE / 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        Engine::load(vec![tiny()], &pool_options())
    });
    assert_eq!(service.metric("sessile_ready"), 0.0);
    assert_eq!(service.metric("sessile_model_loads_total"), 0.0);
    gate.store(true, Ordering::Relaxed);
    moved.saw_all(
        &service,
        &[
            "sessile_ready",
            "sessile_model_loads_total",
            "sessile_device_memory_bytes",
        ],
    );
    let body = json!({"sequence": "MK"});
    assert_eq!(service.post("/predict", &body).status, 200);
    let begun = std::time::Instant::now();
    while described(&service) != documented() && begun.elapsed() < PATIENCE / 4 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(described(&service), documented());
}

#[test]
fn a_service_with_a_hanging_lane_is_not_ready() {
    let switches = switches(1);
    let service = Running::start(quick(), {
        let switches = switches.clone();
        move || engine(&switches)
    });
    service.wait_ready();
    switches[0].hangs.store(true, Ordering::Relaxed);
    service.wait_until(|| service.metric("sessile_ready") == 0.0);
    switches[0].hangs.store(false, Ordering::Relaxed);
    service.wait_until(|| service.metric("sessile_ready") == 1.0);
}
