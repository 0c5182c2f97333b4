//! Tasks around the project that are no part of the program: `cargo xtask kernels [--check]`.

mod kernels;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["kernels"] => kernels::build(),
        ["kernels", "--check"] => kernels::check(),
        _ => {
            eprintln!(
                "cargo xtask kernels           compile the GPU kernels and keep the results\n\
                 cargo xtask kernels --check   compile them and compare with what is kept"
            );
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
