//! Every recorded call of ESM2_MultiGPU_Inference, asked of this service: the same status and the
//! same JSON, but for times and for what `docs/service.md` lists as mended.

use crate::running::recorded::replay_all;
use crate::running::{Running, options};
use serde_json::{Value, json};
use sessile_server::ServiceOptions;

#[test]
fn recorded_calls_are_answered_alike() {
    let service = Running::tiny(ServiceOptions {
        // As the other service has it by itself.
        cors_origins: vec!["*".to_owned()],
        ..options()
    });
    let Some((faults, replayed)) = replay_all(&service) else {
        return;
    };
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(replayed >= 59, "{replayed} recordings");
}

#[test]
fn each_of_concurrent_requests_has_its_own_flags() {
    let service = Running::tiny(options());
    let bodies = [
        json!({"sequence": "MKTAYIAK", "include_embeddings": false}),
        json!({"sequence": "MKTAYIAKQR", "include_attention": true}),
    ];
    std::thread::scope(|scope| {
        let answers: Vec<_> = bodies
            .iter()
            .map(|body| scope.spawn(|| service.post("/predict", body).json()))
            .collect();
        let mut answers = answers.into_iter().map(|answer| answer.join().unwrap());
        let first = answers.next().unwrap();
        assert_eq!(first["embedding"], Value::Null);
        assert_eq!(first["attention_shape"], Value::Null);
        let second = answers.next().unwrap();
        assert_eq!(second["embedding_dim"], 48);
        assert_eq!(second["attention_shape"], json!([2, 12, 12]));
    });
}

#[test]
fn all_1024_residues_count() {
    let service = Running::tiny(options());
    let mut sequence = "MKTAYIAKQR".repeat(102) + "ACDE";
    let one = service
        .post("/predict", &json!({ "sequence": sequence }))
        .json();
    sequence.replace_range(1023.., "W");
    let other = service
        .post("/predict", &json!({ "sequence": sequence }))
        .json();
    assert_eq!(one["sequence_length"], 1024);
    assert_ne!(one["embedding"], other["embedding"]);
}
