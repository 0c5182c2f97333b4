//! `sessile man`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::arguments::{Cli, ManArguments};
use crate::exit::{DONE, Failure};

pub(crate) fn run(arguments: &ManArguments) -> Result<ExitCode, Failure> {
    match &arguments.output {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            clap_mangen::generate_to(Cli::command(), directory)?;
            say!("result: {}", directory.display());
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            stdout().lock().write_all(&page)?;
        }
    }
    Ok(ExitCode::from(DONE))
}
