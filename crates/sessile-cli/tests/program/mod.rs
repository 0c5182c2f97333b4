//! The program as a script runs it: no settings but those given.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn sessile(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.current_dir(directory).args(arguments);
    for (name, _) in std::env::vars() {
        if name.starts_with("SESSILE_") && name != "SESSILE_ISA" {
            command.env_remove(name);
        }
    }
    command.env("HOME", directory).env_remove("XDG_CONFIG_HOME");
    command
}

pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    sessile(directory, arguments).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file of `tests/golden/virnucpro`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden/virnucpro")
        .join(name)
        .canonicalize()
        .unwrap()
}

pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
