//! The pictures of a run.

mod genome;
mod length;
mod structure;

pub(super) use genome::genome;
pub(super) use length::length;
pub(super) use structure::{composition, structure};

use super::survey::Survey;
use crate::drawing::{Colour, Drawing, grouped};

/// The two classes with their colours and numbers of ORFs; one when nobody knows what is annotated.
fn legend(drawing: &mut Drawing, at: [f64; 2], survey: &Survey) -> f64 {
    let (annotated, others) = (survey.annotated.count, survey.others.count);
    let number = |count: u64| grouped(count as i64);
    if !survey.has_annotation() {
        let all = format!("ORFs ({}), annotation unknown", number(others));
        return drawing.legend(at, &[(all.as_str(), Colour::NO)]);
    }
    let yes = format!("in GenBank ({})", number(annotated));
    let no = format!("not in GenBank ({})", number(others));
    drawing.legend(
        at,
        &[(yes.as_str(), Colour::YES), (no.as_str(), Colour::NO)],
    )
}

/// What is said when not every ORF is drawn.
fn thinned(stride: u64) -> Option<String> {
    match stride {
        1 => None,
        2 => Some("every second ORF of the larger class is drawn".to_owned()),
        stride => Some(format!("1 of {stride} ORFs of the larger class is drawn")),
    }
}
