//! The names of all metrics, with their units and what they say.

use metrics::Unit;

/// Kind, name, unit and explanation of each metric.
pub(super) const METRICS: [(MetricKind, &str, Unit, &str); 51] = {
    use MetricKind::{Counter, Gauge, Histogram};
    [
        (
            Counter,
            "sessile_requests_total",
            Unit::Count,
            "Requests answered, by route, method and status",
        ),
        (
            Counter,
            "sessile_errors_total",
            Unit::Count,
            "Requests that failed, by kind",
        ),
        (
            Histogram,
            "sessile_request_seconds",
            Unit::Seconds,
            "From a request's head to its answer's, by route",
        ),
        (
            Histogram,
            "sessile_queue_seconds",
            Unit::Seconds,
            "Time a sequence waited for a lane",
        ),
        (
            Histogram,
            "sessile_compute_seconds",
            Unit::Seconds,
            "Time from a lane taking a sequence to its answer",
        ),
        (
            Histogram,
            "sessile_serialization_seconds",
            Unit::Seconds,
            "Time to write an answer",
        ),
        (
            Histogram,
            "sessile_batch_tokens",
            Unit::Count,
            "Tokens of the batches that lanes took",
        ),
        (
            Counter,
            "sessile_tokens_total",
            Unit::Count,
            "Tokens computed",
        ),
        (
            Counter,
            "sessile_sequences_total",
            Unit::Count,
            "Sequences computed",
        ),
        (
            Counter,
            "sessile_cancelled_total",
            Unit::Count,
            "Sequences that nobody waited for any more when a lane would have taken them",
        ),
        (
            Counter,
            "sessile_requeued_total",
            Unit::Count,
            "Sequences given back because their lane failed",
        ),
        (
            Gauge,
            "sessile_tokens_per_second",
            Unit::CountPerSecond,
            "Tokens computed per second, of late",
        ),
        (
            Gauge,
            "sessile_queued_tokens",
            Unit::Count,
            "Tokens that wait for a lane",
        ),
        (
            Gauge,
            "sessile_queued_sequences",
            Unit::Count,
            "Sequences that wait for a lane",
        ),
        (
            Gauge,
            "sessile_oldest_wait_seconds",
            Unit::Seconds,
            "How long the oldest of them has waited",
        ),
        (
            Gauge,
            "sessile_in_flight_requests",
            Unit::Count,
            "Requests being answered, until their answers are sent",
        ),
        (
            Gauge,
            "sessile_held_bytes",
            Unit::Bytes,
            "Memory that bodies and answers hold, until they are sent",
        ),
        (
            Counter,
            "sessile_log_lines_dropped_total",
            Unit::Count,
            "Log lines that could not be written",
        ),
        (
            Gauge,
            "sessile_ready",
            Unit::Count,
            "1 while the service is ready",
        ),
        (
            Gauge,
            "sessile_lane_up",
            Unit::Count,
            "1 for a lane that works, 0 for one that was taken out",
        ),
        (
            Counter,
            "sessile_lane_busy_milliseconds_total",
            Unit::Milliseconds,
            "Time a lane has spent computing",
        ),
        (
            Gauge,
            "sessile_lane_busy_fraction",
            Unit::Percent,
            "Share of the time that a lane was computing, of late, from 0 to 1",
        ),
        (
            Gauge,
            "sessile_device_memory_bytes",
            Unit::Bytes,
            "Memory planned on a device, by use",
        ),
        (
            Counter,
            "sessile_model_loads_total",
            Unit::Count,
            "Models loaded onto devices; never more than one per model and device",
        ),
        (
            Counter,
            "sessile_written_texts_total",
            Unit::Count,
            "Texts that the model that writes has written",
        ),
        (
            Counter,
            "sessile_written_tokens_total",
            Unit::Count,
            "Tokens of these texts",
        ),
        (
            Counter,
            "sessile_written_given_back_total",
            Unit::Count,
            "Texts begun anew because a step or a lane failed",
        ),
        (
            Gauge,
            "sessile_written_texts_per_second",
            Unit::CountPerSecond,
            "Texts written per second since the model was ready",
        ),
        (
            Gauge,
            "sessile_written_tokens_per_second",
            Unit::CountPerSecond,
            "Tokens written per second since the model was ready",
        ),
        (
            Gauge,
            "sessile_writer_instances",
            Unit::Count,
            "Texts that may be written at the same time",
        ),
        (
            Gauge,
            "sessile_writer_mean_batch",
            Unit::Count,
            "Texts that shared a step, on average",
        ),
        (
            Gauge,
            "sessile_writer_queued_texts",
            Unit::Count,
            "Texts that wait for an instance",
        ),
        (
            Gauge,
            "sessile_writer_memory_bytes",
            Unit::Bytes,
            "Memory planned for the model that writes, by use",
        ),
        (
            Counter,
            "sessile_client_requests_total",
            Unit::Count,
            "Requests of a client with limits",
        ),
        (
            Counter,
            "sessile_client_refused_total",
            Unit::Count,
            "Requests of a client that were more than it may ask for",
        ),
        (
            Counter,
            "sessile_client_tokens_total",
            Unit::Count,
            "Tokens taken from the quota of a client",
        ),
        (
            Counter,
            "sessile_model_sequences_total",
            Unit::Count,
            "Sequences and texts computed, by model",
        ),
        (
            Counter,
            "sessile_model_tokens_total",
            Unit::Count,
            "Tokens of these that were read, by model",
        ),
        (
            Gauge,
            "sessile_model_info",
            Unit::Count,
            "1 for a resident model; the labels say what it is",
        ),
        (
            Gauge,
            "sessile_build_info",
            Unit::Count,
            "1; the label says the version",
        ),
        (
            Gauge,
            "sessile_circuit",
            Unit::Count,
            "Lanes by state: closed (computing), half_open (asked for a trial pass), open (taken out)",
        ),
        (
            Gauge,
            "sessile_capacity_used",
            Unit::Percent,
            "Share of the lanes' time that is used, and above 1 the batches that wait for each lane",
        ),
        (
            Gauge,
            "sessile_expected_wait_seconds",
            Unit::Seconds,
            "How long what waits now will take",
        ),
        (
            Gauge,
            "process_resident_memory_bytes",
            Unit::Bytes,
            "Memory of the process that is in use",
        ),
        (
            Gauge,
            "process_virtual_memory_bytes",
            Unit::Bytes,
            "Memory of the process that is mapped",
        ),
        (
            Gauge,
            "process_threads",
            Unit::Count,
            "Threads of the process",
        ),
        (
            Gauge,
            "process_open_fds",
            Unit::Count,
            "Files that are open",
        ),
        (
            Gauge,
            "process_max_fds",
            Unit::Count,
            "Files that may be open",
        ),
        (
            Gauge,
            "process_start_time_seconds",
            Unit::Seconds,
            "When the process began, since 1970",
        ),
        (
            Gauge,
            "process_cpu_seconds_total",
            Unit::Seconds,
            "Processor time of the process",
        ),
        (
            Counter,
            "sessile_spans_dropped_total",
            Unit::Count,
            "Spans that no collector took",
        ),
    ]
};

#[derive(Clone, Copy)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}
