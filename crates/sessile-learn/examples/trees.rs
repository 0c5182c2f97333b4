//! Boosted trees on tables of numbers: what `xtask/check-trees.sh` compares with XGBoost.
//!
//! ```sh
//! trees train ROWS.csv MODEL [POSITIVE_WEIGHT [PATIENCE]]   # the last column is the label
//! trees predict MODEL ROWS.csv [best]                       # a probability a line
//! trees convert MODEL MODEL
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use sessile_learn::trees::train::{Samples, TrainOptions, train};
use sessile_learn::trees::{BoostedTrees, TreesFormat};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["train", rows, model, rest @ ..] => {
            let rows = read_rows(rows)?;
            let mut samples = Samples::new(rows.first().map_or(0, Vec::len).saturating_sub(1));
            for row in &rows {
                samples.push(row, row.last() == Some(&1.0));
            }
            let positive_weight = rest.first().map_or(Ok(1.0), |weight| weight.parse())?;
            let patience = rest.get(1).map(|rounds| rounds.parse()).transpose()?;
            let options = TrainOptions {
                positive_weight,
                patience,
                threads: 2,
                ..TrainOptions::default()
            };
            let (samples, validation) = match patience {
                Some(_) => samples.split(0.2, 7),
                None => (samples, Samples::default()),
            };
            let validation = Some(&validation).filter(|rows| !rows.is_empty());
            let trained = train(&samples, validation, &options, |_| true)?;
            write(&trained.model, model)
        }
        ["predict", model, rows, rest @ ..] => {
            let mut model = BoostedTrees::open(Path::new(model))?;
            if rest == ["best"] {
                model = model.best();
            }
            for row in read_rows(rows)? {
                println!("{}", model.probability(&row[..model.features()]));
            }
            Ok(())
        }
        ["convert", from, to] => write(&BoostedTrees::open(Path::new(from))?, to),
        _ => Err("usage: trees train|predict|convert ...".into()),
    }
}

fn read_rows(path: &str) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let row = |line: &str| line.split(',').map(str::parse).collect();
    let rows: Result<_, _> = std::fs::read_to_string(path)?.lines().map(row).collect();
    Ok(rows?)
}

fn write(model: &BoostedTrees, path: &str) -> Result<(), Box<dyn Error>> {
    let bytes = match TreesFormat::of_name(Path::new(path)) {
        Some(TreesFormat::Json) => model.to_json(),
        Some(TreesFormat::Ubj) => model.to_ubj(),
        None => return Err("name the model .json or .ubj".into()),
    };
    Ok(std::fs::write(path, bytes)?)
}
