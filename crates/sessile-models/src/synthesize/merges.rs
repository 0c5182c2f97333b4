//! A byte-pair vocabulary for nucleotides, learned from random sequence.
//!
//! The published vocabulary was learned from genomes; one of the same size from random nucleotides
//! makes tokens of similar lengths, which is what measuring needs.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Nucleotides that merges are learned from: tens of each pair at the end.
const TEXT: usize = 400_000;

/// Special tokens of DNABERT-2, in the order of their ids.
const SPECIAL: [&str; 5] = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"];

/// `tokenizer.json` with a vocabulary of `size` tokens.
pub(crate) fn tokenizer(size: usize, seed: u64) -> Value {
    let mut tokens: Vec<String> = SPECIAL.iter().map(|&token| token.to_owned()).collect();
    let first_letter = tokens.len() as u32;
    tokens.extend("ACGT".chars().map(String::from));
    let mut state = seed | 1;
    let mut text: Vec<u32> = (0..TEXT)
        .map(|_| {
            // Knuth's MMIX generator, upper bits.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            first_letter + (state >> 62) as u32
        })
        .collect();
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut merges = Vec::new();
    while tokens.len() < size {
        // Several merges a round: learning one at a time would take minutes.
        let round = frequent(&text, tokens.len(), (tokens.len() / 16).max(1));
        if round.is_empty() {
            break;
        }
        for (left, right) in round.into_iter().take(size - tokens.len()) {
            let pair = (&tokens[left as usize], &tokens[right as usize]);
            let joined = format!("{}{}", pair.0, pair.1);
            merges.push(format!("{} {}", pair.0, pair.1));
            // Two merges may make the same token.
            let into = *known.entry(joined.clone()).or_insert(tokens.len() as u32);
            if into as usize == tokens.len() {
                tokens.push(joined);
            }
            merge(&mut text, left, right, into);
        }
    }
    let vocabulary: serde_json::Map<String, Value> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (token.clone(), json!(id)))
        .collect();
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            })
        })
        .collect();
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let ids = |id: &str, number: u32| json!({ "id": id, "ids": [number], "tokens": [id] });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                special("[CLS]"),
                { "Sequence": { "id": "A", "type_id": 0 } },
                special("[SEP]")
            ],
            "pair": [
                special("[CLS]"),
                { "Sequence": { "id": "A", "type_id": 0 } },
                special("[SEP]"),
                { "Sequence": { "id": "B", "type_id": 1 } },
                { "SpecialToken": { "id": "[SEP]", "type_id": 1 } }
            ],
            "special_tokens": { "[CLS]": ids("[CLS]", 1), "[SEP]": ids("[SEP]", 2) }
        },
        "decoder": null,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "vocab": vocabulary,
            "merges": merges
        }
    })
}

/// The pairs of neighbours that are seen most often, the most frequent first.
fn frequent(text: &[u32], tokens: usize, most: usize) -> Vec<(u32, u32)> {
    let mut counts: HashMap<u64, u32> = HashMap::new();
    for pair in text.windows(2) {
        let key = u64::from(pair[0]) * tokens as u64 + u64::from(pair[1]);
        *counts.entry(key).or_default() += 1;
    }
    let mut pairs: Vec<(u32, u64)> = counts
        .into_iter()
        .filter(|&(_, count)| count > 1)
        .map(|(key, count)| (count, key))
        .collect();
    pairs.sort_unstable_by_key(|&(count, key)| (std::cmp::Reverse(count), key));
    pairs
        .into_iter()
        .take(most)
        .map(|(_, key)| ((key / tokens as u64) as u32, (key % tokens as u64) as u32))
        .collect()
}

/// Merges every such pair of the text, from the left.
fn merge(text: &mut Vec<u32>, left: u32, right: u32, into: u32) {
    let (mut from, mut to) = (0, 0);
    while from < text.len() {
        if text[from] == left && text.get(from + 1) == Some(&right) {
            text[to] = into;
            from += 2;
        } else {
            text[to] = text[from];
            from += 1;
        }
        to += 1;
    }
    text.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::tokenizer;
    use crate::tokenizer::BpeTokenizer;

    #[test]
    fn learns_a_vocabulary_that_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, tokenizer(40, 3).to_string()).unwrap();
        let tokenizer = BpeTokenizer::from_file(&path).unwrap();
        assert_eq!(tokenizer.len(), 40);
        let tokens = tokenizer.encode(b"ACGTACGTACGTACGT").tokens;
        assert!(tokens.len() < 14, "{tokens:?}");
    }
}
