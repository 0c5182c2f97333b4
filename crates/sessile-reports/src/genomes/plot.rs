//! Drawing what a run found.

use std::path::PathBuf;

use sessile_seq::inputs::{self, Format};

use super::figures;
use super::survey::{Survey, Wanted};
use crate::drawing::PictureFormat;
use sessile_pipelines::Interrupt;
use sessile_pipelines::Observer;
use sessile_pipelines::output::{Sources, check_outputs};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// A picture of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Entropy of proteins against that of their 3Di states.
    Structure,
    /// Entropy along records.
    Genome,
    /// How long ORFs are.
    Length,
}

/// What to draw.
#[derive(Clone, Debug)]
pub struct PlotOptions {
    /// JSON or JSON Lines of runs, folders, patterns, or `-`.
    pub inputs: Vec<PathBuf>,
    /// The picture.
    pub figure: Figure,
    /// Records to draw along, in this order; when empty, the first ones with ORFs.
    pub records: Vec<String>,
    /// Most records to draw along when none is named.
    pub most: usize,
    /// The file to write, `.svg` or `.png`, or `-`.
    pub output: PathBuf,
    /// Write over a file that exists.
    pub force: bool,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plotted {
    /// ORFs.
    pub orfs: u64,
    /// Records drawn along.
    pub records: u64,
    /// Records there are.
    pub records_total: u64,
    /// ORFs and files that could not be read.
    pub failed: u64,
}

/// Draws a picture.
///
/// # Errors
///
/// `Usage` when the output is called something else, `Input` when nothing can be read or there is
/// nothing to draw, `Output` when the picture can not be written.
pub fn plot(
    options: &PlotOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Plotted, PipelineError> {
    let format = PictureFormat::of_name(&options.output)?;
    let files = inputs::expand(&options.inputs, Format::Json)?;
    let sources = Sources::default().with_inputs(&files);
    check_outputs([&options.output], options.force, &sources)?;
    let wanted = Wanted {
        records: options.records.clone(),
        most: options.most,
        ..Wanted::default()
    };
    let survey = Survey::of(&files, wanted, observer, interrupt)?;
    let nothing = |message: String, hint: &str| {
        Err(PipelineError::new(PipelineErrorKind::Input, message).with_hint(hint))
    };
    if survey.orfs() == 0 {
        let message = "there is no ORF to draw".to_owned();
        return nothing(
            message,
            "a lower --min-aa of `sessile entropy run` finds more",
        );
    }
    let drawing = match options.figure {
        Figure::Structure if survey.with_states() == 0 => {
            let message = "none of the ORFs has structure states".to_owned();
            return nothing(
                message,
                "give `sessile entropy run` a --model, or draw --figure genome",
            );
        }
        Figure::Structure => figures::structure(&survey),
        Figure::Genome => {
            let names = || survey.drawn.iter().map(|drawn| &drawn.record.id);
            let missing = options
                .records
                .iter()
                .find(|name| !names().any(|id| id == *name));
            if let Some(missing) = missing {
                let message = format!("there is no record {missing}");
                return nothing(message, "records are named by input_id");
            }
            figures::genome(&survey)
        }
        Figure::Length => figures::length(&survey),
    };
    drawing.write(&options.output, format)?;
    Ok(Plotted {
        orfs: survey.orfs(),
        records: survey.drawn.len() as u64,
        records_total: survey.records,
        failed: survey.failed,
    })
}
