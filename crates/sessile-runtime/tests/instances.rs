//! The worker's rules against the recorded table.

use std::path::Path;

use serde_json::Value;
use sessile_runtime::instances::InstanceFormula;

fn table() -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/instances/instances.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn formula(row: &Value) -> InstanceFormula {
    let number = |key: &str| row[key].as_f64().unwrap();
    InstanceFormula {
        total: number("total_gb"),
        allocated: number("allocated_gb"),
        buffer: number("buffer_gb"),
        model: number("model_size_gb"),
        cap: row.get("cap").and_then(Value::as_u64),
    }
}

#[test]
fn instances_are_those_of_the_worker() {
    let table = table();
    let rows = table["rows"].as_array().unwrap();
    assert!(rows.len() > 50);
    for row in rows {
        let instances = formula(row).instances();
        assert_eq!(Some(instances), row["instances"].as_u64(), "{row}");
    }
}

/// The worker's own documentation has other numbers than its formula; docs/summarize.md says why.
#[test]
fn its_documented_examples_do_not_follow_from_its_formula() {
    for example in table()["seed_document_examples"].as_array().unwrap() {
        let instances = formula(example).instances();
        assert_eq!(
            Some(instances),
            example["formula_gives"].as_u64(),
            "{example}"
        );
        assert_eq!(example["agree"], false, "{example}");
    }
}
