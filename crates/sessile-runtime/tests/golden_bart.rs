//! BART against the reference outputs: encoder states, scores, and the tokens of every setting.

use crate::golden::bart::{MODEL, open, runs, states_and_scores_in};
use crate::golden::decode::{check, generate, ids, load};
use crate::golden::run::{levels, places, processor};
use sessile_cpu::Isa;
use sessile_device::{DType, GenerationSettings};
use sessile_models::DecoderLimits;
use sessile_models::tokenizer::ByteLevelTokenizer;

#[test]
fn text_becomes_the_tokens_of_the_reference_and_back() {
    let tokenizer =
        ByteLevelTokenizer::from_file(&crate::golden::path(&format!("{MODEL}/tokenizer.json")))
            .unwrap();
    let numbers = crate::golden::json(&format!("{MODEL}/expected.json"));
    let inputs = crate::golden::json(&format!("{MODEL}/inputs.json"));
    for entry in inputs.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let mut tokens = tokenizer.encode(entry["text"].as_str().unwrap());
        let all = numbers[name]["n_tokens_untruncated"].as_u64().unwrap() as usize;
        assert_eq!(tokens.len(), all, "{name}");
        assert_eq!(tokenizer.truncate(&mut tokens, 640), all > 640, "{name}");
        assert_eq!(tokens, ids(&numbers[name]["input_ids"]), "{name}");
        for (setting, run) in numbers[name].as_object().unwrap() {
            if let Some(text) = run.get("text") {
                let written = tokenizer.decode(&ids(&run["ids"]));
                assert_eq!(Some(written.as_str()), text.as_str(), "{name} {setting}");
            }
        }
    }
}

#[test]
fn states_and_scores_are_those_of_the_reference() {
    places().for_each(|place| states_and_scores_in(DType::F32, &place));
}

#[test]
fn states_and_scores_in_16_bits() {
    for place in places() {
        for &dtype in place.formats_of_16_bits() {
            states_and_scores_in(dtype, &place);
        }
    }
}

/// Requests of all settings share each step, in a lane that has room for a few at a time.
#[test]
fn tokens_of_every_setting_are_those_of_the_reference() {
    let limits = DecoderLimits {
        rows: 24,
        own_cells: 24 * 142,
        source_cells: 3000,
        encode_tokens: 1000,
    };
    let runs = runs();
    for isa in levels().filter(|&isa| isa != Isa::Portable) {
        for threads in [1, 2] {
            let (model, lane) = load(&open(), &processor(isa), DType::F32, threads);
            check(
                &model,
                lane,
                limits,
                &runs,
                &format!("{isa} {threads} threads"),
            );
        }
    }
}

/// A seed gives one answer, alone and among 64.
#[test]
fn chance_does_not_depend_on_company() {
    let numbers = crate::golden::json(&format!("{MODEL}/expected.json"));
    let sources: Vec<Vec<u32>> = ["t20", "t60", "unicode"]
        .iter()
        .map(|name| ids(&numbers[name]["input_ids"]))
        .collect();
    let requests: Vec<_> = (0..64)
        .map(|index| {
            let settings = GenerationSettings {
                num_beams: 1,
                do_sample: true,
                temperature: 1.5,
                top_k: 40,
                top_p: 0.95,
                seed: index as u64,
                min_length: 0,
                max_length: 24,
                ..open().settings().unwrap().clone()
            };
            (sources[index % sources.len()].clone(), settings)
        })
        .collect();
    let limits = |requests| DecoderLimits {
        rows: requests,
        own_cells: requests * 24,
        source_cells: requests * 100,
        encode_tokens: 500,
    };
    for dtype in [DType::F32, DType::Bf16] {
        let isa = levels().last().unwrap();
        let (model, lane) = load(&open(), &processor(isa), dtype, 2);
        let together = generate(&model, lane, dtype, limits(64), &requests);
        let different: std::collections::HashSet<_> = together.iter().collect();
        assert!(different.len() > 32, "chance has a part in it");
        for index in [0, 1, 17, 63] {
            let (model, lane) = load(&open(), &processor(isa), dtype, 1);
            let alone = generate(&model, lane, dtype, limits(1), &requests[index..=index]);
            assert_eq!(alone[0], together[index], "{dtype} {index}");
        }
    }
}
