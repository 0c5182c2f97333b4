//! Feeds damaged input to everything that reads bytes from strangers, and counts.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml -- TARGET|all [EXECUTIONS] [SEED]
//! ```
//!
//! The inputs of `corpus/TARGET` are changed at random: bits, bytes, lengths, pieces cut out, doubled
//! or taken from another input; what brings an answer of a new kind joins them for the rest of the
//! run. The same seed gives the same inputs. A panic ends the run: the input is written to
//! `crash-TARGET` in the working directory and belongs into the corpus once it is mended. Runs
//! without coverage feedback, so it needs nothing but the stable toolchain.

mod mutate;
mod targets;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use mutate::Mutator;
use targets::{TARGETS, Target};

/// Longest input that is tried.
const MAX_BYTES: usize = 1 << 16;

/// Inputs that may join those of the corpus.
const MAX_INPUTS: usize = 4096;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "all".to_owned());
    let executions = arguments.next().map_or(Ok(1_000_000), |text| text.parse());
    let seed = arguments.next().map_or(Ok(1), |text| text.parse());
    let (Ok(executions), Ok(seed)) = (executions, seed) else {
        eprintln!("usage: sessile-fuzz [TARGET|all] [EXECUTIONS] [SEED]");
        return ExitCode::from(2);
    };
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| name == "all" || name == target.name)
        .collect();
    if chosen.is_empty() {
        eprintln!("there is no target `{name}`");
        return ExitCode::from(2);
    }
    // What a target says in its panics is told once, with the input.
    std::panic::set_hook(Box::new(|_| {}));
    for target in chosen {
        if !fuzz(target, executions, seed) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn fuzz(target: &Target, executions: u64, seed: u64) -> bool {
    let mut inputs = corpus(target.name);
    let seeds = inputs.len() as u64;
    let mut mutator = Mutator::new(seed);
    let mut kinds = HashSet::new();
    let mut accepted = 0_u64;
    let mut longest = 0;
    let begun = Instant::now();
    for execution in 0..executions {
        // First the corpus as it is, then what comes of it.
        let input = if execution < seeds {
            inputs[execution as usize].clone()
        } else {
            mutator.mutate(&inputs, MAX_BYTES)
        };
        let started = Instant::now();
        let answer = match catch_unwind(AssertUnwindSafe(|| (target.run)(&input))) {
            Ok(answer) => answer,
            Err(panic) => {
                let file = format!("crash-{}", target.name);
                let reason = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("a panic");
                eprintln!("{}: {reason} (execution {execution}): {file}", target.name);
                let _ = std::fs::write(file, &input);
                return false;
            }
        };
        longest = longest.max(started.elapsed().as_micros());
        accepted += u64::from(answer.is_ok());
        // Messages without their numbers and names tell kinds of answers apart.
        let kind = answer.map_or_else(|error| shape(&error), |shape| shape);
        if kinds.insert(kind) && inputs.len() < MAX_INPUTS {
            inputs.push(input);
        }
    }
    println!(
        "{{\"target\":\"{}\",\"executions\":{executions},\"seed\":{seed},\"panics\":0,\
         \"accepted\":{accepted},\"kinds_of_answers\":{},\"longest_microseconds\":{longest},\
         \"seconds\":{:.1}}}",
        target.name,
        kinds.len(),
        begun.elapsed().as_secs_f64()
    );
    true
}

/// Words of a message that tell one kind of answer from another.
const WORDS: usize = 8;

/// The first words of a message, without what it quotes of the input.
fn shape(message: &str) -> String {
    let is_plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<&str> = message
        .split(['`', '"'])
        .step_by(2)
        .flat_map(str::split_whitespace)
        .filter(is_plain)
        .take(WORDS)
        .collect();
    words.join(" ")
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    let mut inputs: Vec<Vec<u8>> = paths
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .collect();
    inputs.push(Vec::new());
    inputs
}
