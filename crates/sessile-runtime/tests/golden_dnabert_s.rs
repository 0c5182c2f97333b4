//! DNABERT-S and DNABERT-2 against the reference outputs, on every instruction set of this machine.

use crate::golden::dnabert_s::{MODELS, in_16_bits, in_f32};
use crate::golden::run::places;
use crate::golden::sequences;
use sessile_cpu::Isa;
use sessile_models::tokenizer::BpeTokenizer;

#[test]
fn hidden_states_and_heads_in_f32() {
    for model in MODELS {
        places().for_each(|place| in_f32(model, model, &place));
    }
}

#[test]
fn the_torch_file_of_tiny_b() {
    in_f32(
        "dnabert_s/tiny_b",
        "dnabert_s/tiny_b/pytorch_model.bin",
        &Isa::detect().unwrap().into(),
    );
}

#[test]
fn pooled_outputs_in_16_bits() {
    for place in places() {
        for &dtype in place.formats_of_16_bits() {
            for model in MODELS {
                in_16_bits(model, &place, dtype);
            }
        }
    }
}

#[test]
fn merges_as_text_and_as_pairs_give_the_same_ids() {
    for model in MODELS {
        let open = |file: &str| {
            BpeTokenizer::from_file(&crate::golden::path(&format!("{model}/{file}"))).unwrap()
        };
        let (text, pairs) = (open("tokenizer.json"), open("tokenizer_merge_pairs.json"));
        let numbers = crate::golden::json(&format!("{model}/expected.json"));
        for sequence in sequences(model) {
            let ids: Vec<u32> =
                serde_json::from_value(numbers[&sequence.name]["input_ids"].clone()).unwrap();
            assert_eq!(text.encode(sequence.text.as_bytes()).tokens, ids);
            assert_eq!(pairs.encode(sequence.text.as_bytes()).tokens, ids);
        }
    }
}
