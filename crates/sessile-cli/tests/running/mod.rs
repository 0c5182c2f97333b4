//! Running the program as scripts do.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program, with nothing of the surroundings' settings.
pub fn sessile(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.current_dir(directory).args(arguments);
    for (name, _) in std::env::vars() {
        if name.starts_with("SESSILE_") && name != "SESSILE_ISA" {
            command.env_remove(name);
        }
    }
    command.env("HOME", directory).env_remove("XDG_CONFIG_HOME");
    // What is measured of this machine is measured once, and not in the folder of a test.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    sessile(directory, arguments).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It ended with this code and said this on standard error.
#[track_caller]
pub fn assert_says(output: &Output, code: i32, words: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    assert!(said.contains(words), "{words}: {said}");
}

/// A file of `tests/golden/virnucpro`.
pub fn virnucpro(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden/virnucpro")
        .join(name)
        .canonicalize()
        .unwrap()
}

pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

pub fn rows(path: &Path) -> Vec<serde_json::Value> {
    text(path)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The same numbers in every run (xorshift64*, Vigna 2016, arXiv:1402.6246).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.max(1))
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}

/// FASTA of `count` proteins of `shortest` to `longest` residues.
pub fn proteins(count: usize, shortest: usize, longest: usize) -> String {
    let mut numbers = Numbers::new(count as u64);
    let mut text = String::new();
    for record in 0..count {
        text.push_str(&format!(">record_{record}\n"));
        for _ in 0..shortest + numbers.below(longest - shortest + 1) {
            let residue = b"ACDEFGHIKLMNPQRSTVWY"[numbers.below(20)];
            text.push(char::from(residue));
        }
        text.push('\n');
    }
    text
}
