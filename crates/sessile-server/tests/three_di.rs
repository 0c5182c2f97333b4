//! Several models at once, and the structure states of proteins: answers against the golden files.

use crate::running::{Running, options, pool_options, root, tiny};
use serde_json::{Value, json};
use sessile_models::{Model, OpenOptions};
use sessile_server::Engine;

fn golden(file: &str) -> Value {
    let path = root().join("tests/golden").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Names and proteins of a golden folder.
fn proteins(model: &str) -> Vec<(String, String)> {
    let inputs = golden(&format!("{model}/inputs.json"));
    let entries = inputs.as_array().unwrap().iter();
    entries
        .filter_map(|entry| {
            let name = entry["name"].as_str().unwrap();
            Some((name.to_owned(), entry["sequence"].as_str()?.to_owned()))
        })
        .collect()
}

/// ESM-2, ProstT5 with its head, and ModernProst with both of its.
fn several() -> Running {
    let service = Running::start(options(), || {
        let folder = root().join("tests/golden");
        let prost = Model::open(&folder.join("prostt5/tiny"))?.named("prostt5");
        let head = Some(folder.join("modernbert/tc20/head_12st.safetensors"));
        let heads = OpenOptions {
            head,
            ..OpenOptions::default()
        };
        let modern = Model::open_with(&folder.join("modernbert/tc20"), &heads)?;
        let models = vec![tiny(), prost, modern.named("modernprost")];
        Engine::load(models, &pool_options())
    });
    service.wait_ready();
    service
}

#[test]
fn states_are_those_of_the_reference() {
    let service = several();
    assert_eq!(service.metric("sessile_model_loads_total"), 3.0);

    // Of several models the first that has a head for it answers, where none is named.
    let cases = proteins("prostt5/tiny");
    let sequences: Vec<&String> = cases.iter().map(|(_, sequence)| sequence).collect();
    let expected = &golden("prostt5/tiny/expected.json")["cnn"];
    let body = json!({"input": sequences, "mask_below": 0.25, "probabilities": true});
    let answer = service.post("/v1/three-di", &body).json();
    assert_eq!(answer["model"], "prostt5", "{answer}");
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), cases.len());
    for (index, ((name, sequence), item)) in cases.iter().zip(data).enumerate() {
        let wanted = &expected[name];
        assert_eq!(item["index"], index);
        assert_eq!(
            item["three_di"], wanted["three_di_masked_below_25pct"],
            "{name}"
        );
        assert!(item["twelve_state"].is_null());
        let mean = 100.0 * item["mean_probability"].as_f64().unwrap();
        let wanted = wanted["mean_probability_percent"].as_f64().unwrap();
        assert!(
            (mean - wanted).abs() < 0.0051,
            "{name}: {mean} for {wanted}"
        );
        let probabilities = item["probabilities"].as_array().unwrap();
        assert_eq!(probabilities.len(), sequence.len());
    }

    let cases = proteins("modernbert/tc20");
    let sequences: Vec<&String> = cases.iter().map(|(_, sequence)| sequence).collect();
    let expected = &golden("modernbert/tc20/expected.json")["sequences"];
    let body = json!({"model": "modernprost", "input": sequences});
    let answer = service.post("/v1/three-di", &body).json();
    for ((name, _), item) in cases.iter().zip(answer["data"].as_array().unwrap()) {
        assert_eq!(item["three_di"], expected[name]["three_di"], "{name}");
        assert_eq!(
            item["twelve_state"], expected[name]["twelve_state"],
            "{name}"
        );
        assert!(item.get("probabilities").is_none());
    }
}

#[test]
fn each_model_answers_what_it_can() {
    let service = several();
    let list = service.get("/v1/models").json();
    let names: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(names, ["esm2_tiny_a", "prostt5", "modernprost"]);
    // The calls of ESM2_MultiGPU_Inference go to the first.
    let answer = service.post("/predict", &json!({"sequence": "MKT"})).json();
    assert_eq!(answer["model_name"], "esm2_tiny_a");
    for (model, width) in [("esm2_tiny_a", 48), ("prostt5", 0), ("modernprost", 0)] {
        let body = json!({"model": model, "input": ["MKTV", "M*K", "M1", "MKTV*"]});
        let answer = service.post("/v1/embeddings", &body);
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        let data = answer.json()["data"].clone();
        let numbers = data[0]["embedding"].as_array().unwrap().len();
        assert!(numbers == width || (width == 0 && numbers > 0));
        for strange in [1, 2] {
            let message = data[strange]["error"]["message"].as_str().unwrap();
            assert!(message.contains("position 2"), "{model}: {message}");
        }
        assert_eq!(data[3]["embedding"], data[0]["embedding"], "{model}");
    }
    let cases = [
        (
            "/v1/three-di",
            "esm2_tiny_a",
            400,
            "prostt5, modernprost does",
        ),
        ("/v1/contacts", "prostt5", 400, "esm2_tiny_a does"),
        ("/v1/logits", "modernprost", 400, "esm2_tiny_a does"),
        ("/v1/score", "prostt5", 400, "esm2_tiny_a does"),
        (
            "/v1/three-di",
            "gpt",
            404,
            "no model `gpt`; there is esm2_tiny_a, prostt5",
        ),
    ];
    for (path, model, status, words) in cases {
        let answer = service.post(path, &json!({"model": model, "input": "MKT"}));
        assert_eq!(answer.status, status, "{path} {model}: {}", answer.text());
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"], "model");
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{error}"
        );
    }
    let body = json!({"input": "MKT", "mask_below": 1.5});
    assert_eq!(service.post("/v1/three-di", &body).status, 400);
    let document = service.get("/openapi.json").json();
    let schemas = &document["components"]["schemas"];
    let names = &schemas["ThreeDiRequest"]["properties"]["model"]["enum"];
    assert_eq!(*names, json!(["prostt5", "modernprost", null]));
}

/// As `encode3di` reads a file: a stop at the end is no residue, one inside is an unknown one.
#[test]
fn states_are_those_of_the_residues_before_the_stop() {
    let service = several();
    for model in ["prostt5", "modernprost"] {
        let body = json!({"model": model, "input": ["MKTAY", "MKTAY*", "mktay* \n", "MK*AY", "*"]});
        let answer = service.post("/v1/three-di", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let data = answer.json()["data"].clone();
        let states = |index: usize| data[index]["three_di"].as_str().unwrap_or_default();
        assert_eq!(states(0).len(), 5, "{data}");
        assert_eq!((states(1), states(2)), (states(0), states(0)), "{model}");
        assert_eq!(states(3).len(), 5, "{data}");
        let message = data[4]["error"]["message"].as_str().unwrap();
        assert!(message.contains("the sequence is empty"), "{message}");
    }
}

#[test]
fn without_a_head_there_are_no_states() {
    let service = Running::tiny(options());
    let answer = service.post("/v1/three-di", &json!({"input": "MKT"}));
    assert_eq!(answer.status, 404);
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("there is esm2_tiny_a"), "{message}");
}

#[test]
fn two_models_of_one_name_are_refused() {
    let models = vec![tiny(), tiny()];
    let error = Engine::load(models, &pool_options()).err().unwrap();
    assert!(error.to_string().contains("two models"), "{error}");
}
