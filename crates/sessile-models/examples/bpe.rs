//! Tokens per second of the byte-pair tokenizer on one core, to compare with the `tokenizers`
//! library (`bench/compare/tokenizers_peer.py` does that, and compares the ids).
//!
//! `cargo run --release -p sessile-models --example bpe -- tokenizer.json sequences.txt [ids.txt]`
//! reads a sequence a line. With a third path it writes the ids, a line for each sequence.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use sessile_models::tokenizer::BpeTokenizer;

/// Times the best of is taken.
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tokenizer, sequences, rest @ ..] = arguments.as_slice() else {
        return Err("bpe TOKENIZER.json SEQUENCES.txt [IDS.txt]".into());
    };
    let tokenizer = BpeTokenizer::from_file(tokenizer.as_ref())?;
    let text = fs::read_to_string(sequences)?;
    let sequences: Vec<&str> = text.lines().collect();
    let mut best = f64::INFINITY;
    let mut tokens = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        tokens = sequences
            .iter()
            .map(|sequence| tokenizer.encode(sequence.as_bytes()).tokens.len())
            .sum();
        best = best.min(begun.elapsed().as_secs_f64());
    }
    println!(
        "{{\"sequences\": {}, \"tokens\": {tokens}, \"seconds\": {best:.6}, \"microseconds_per_sequence\": {:.3}}}",
        sequences.len(),
        best * 1e6 / sequences.len() as f64
    );
    if let [ids] = rest {
        let mut out = String::new();
        for sequence in sequences {
            let tokens = tokenizer.encode(sequence.as_bytes()).tokens;
            let line: Vec<String> = tokens.iter().map(u32::to_string).collect();
            writeln!(out, "{}", line.join(" "))?;
        }
        fs::write(ids, out)?;
    }
    Ok(())
}
