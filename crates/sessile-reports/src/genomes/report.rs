//! The report of a run: one HTML file with pictures and tables that needs no network.
//!
//! Its size is bounded: what the tables leave out they say. Nothing of an input reaches the page
//! but as text.

mod tables;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sessile_seq::inputs::{self, Format};

use self::tables::{classes, orfs, records};
use super::figures;
use super::survey::{Survey, Wanted};
use crate::drawing::{Drawing, escaped, grouped};
use sessile_pipelines::Interrupt;
use sessile_pipelines::Observer;
use sessile_pipelines::output::{Destination, Sources, check_outputs};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// Records that the report draws along.
const DRAWN_RECORDS: usize = 6;

const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/page.js");

/// What to report on.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// JSON or JSON Lines of runs, folders or patterns.
    pub inputs: Vec<PathBuf>,
    /// Whether the genomes had an annotation, where that is known: a file in which no ORF is marked
    /// as annotated does not tell.
    pub is_annotated: Option<bool>,
    /// The page to write, or `-`.
    pub output: PathBuf,
    /// Write over a file that exists.
    pub force: bool,
}

/// Refuses a report that is not called .html.
///
/// # Errors
///
/// `Usage`.
pub fn check(output: &Path) -> Result<(), PipelineError> {
    if output == Path::new("-") || is_page(output) {
        return Ok(());
    }
    let message = format!("a report is a page, {} is none", output.display());
    Err(PipelineError::new(PipelineErrorKind::Usage, message).with_hint("name it .html"))
}

/// Whether a file is called as a page is.
pub fn is_page(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ending.eq_ignore_ascii_case("html") || ending.eq_ignore_ascii_case("htm")
}

/// Writes the report; gives the number of ORFs and files that could not be read.
///
/// # Errors
///
/// `Input` when nothing can be read, `Output` when the page can not be written.
pub fn write(
    options: &ReportOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<u64, PipelineError> {
    let files = inputs::expand(&options.inputs, Format::Json)?;
    let sources = Sources::default().with_inputs(&files);
    check_outputs([&options.output], options.force, &sources)?;
    let wanted = Wanted {
        most: DRAWN_RECORDS,
        is_annotated: options.is_annotated,
        ..Wanted::default()
    };
    let survey = Survey::of(&files, wanted, observer, interrupt)?;
    let names: Vec<String> = files.iter().map(inputs::Input::name).collect();
    let failed = |error| PipelineError::output(&options.output.display().to_string(), error);
    let mut out = Destination::open(&options.output).map_err(failed)?;
    out.write_all(page(&survey, &names).as_bytes())
        .map_err(failed)?;
    out.finish().map_err(failed)?;
    Ok(survey.failed)
}

/// Files that the page names.
const NAMED_FILES: usize = 5;

fn page(survey: &Survey, files: &[String]) -> String {
    let title = match survey.rows.as_slice() {
        [only] if survey.records == 1 => escaped(&only.record.id),
        _ => format!("{} records", grouped(survey.records as i64)),
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>Genome entropy: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Genome entropy <span>{title}</span></h1>\n"
    );
    // Writing to a string does not fail.
    let _ = writeln!(page, "<p>{}</p></header>\n<main>", origin(survey, files));
    cards(&mut page, survey);
    let by_class = match survey.has_annotation() {
        true => "Entropy by class",
        false => "Entropy",
    };
    section(&mut page, "summary", by_class, &classes(survey));
    figure_section(&mut page, survey);
    section(&mut page, "records", "Records", &records(survey));
    section(&mut page, "orfs", "ORFs", &orfs(survey));
    let _ = write!(
        page,
        "</main>\n<footer>Written by Sessile {}. Entropy is Shannon's, in bits a symbol.</footer>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    page
}

/// Which files, in which schema, with which model.
fn origin(survey: &Survey, files: &[String]) -> String {
    let named: Vec<String> = files
        .iter()
        .take(NAMED_FILES)
        .map(|name| escaped(name))
        .collect();
    let more = match files.len().saturating_sub(NAMED_FILES) {
        0 => String::new(),
        more => format!(" and {} more", grouped(more as i64)),
    };
    let list = |names: &std::collections::BTreeSet<String>| {
        let names: Vec<String> = names
            .iter()
            .take(NAMED_FILES)
            .map(|name| escaped(name))
            .collect();
        names.join(", ")
    };
    let model = match survey.models.is_empty() {
        true => "no structure model".to_owned(),
        false => format!("structure states by {}", list(&survey.models)),
    };
    let schema = match survey.schemas.is_empty() {
        true => String::new(),
        false => format!(" · schema {}", list(&survey.schemas)),
    };
    format!("{}{more}{schema} · {model}", named.join(", "))
}

fn cards(page: &mut String, survey: &Survey) {
    let number = |value: u64| grouped(value as i64);
    let drawn = |text: &str| text.to_owned();
    let annotated = survey.annotated.count;
    let of_orfs = |what: &str, orfs: u64| {
        format!("{:.1} % of {what}", 100.0 * annotated as f64 / orfs as f64)
    };
    let (annotated, share) = match (survey.orfs(), survey.unlabelled) {
        _ if !survey.has_annotation() => (drawn("unknown"), drawn("no ORF is marked as annotated")),
        (0, _) => (number(annotated), drawn("")),
        (orfs, 0) => (number(annotated), of_orfs("ORFs", orfs)),
        (orfs, without) => (
            number(annotated),
            of_orfs("ORFs with a label", orfs - without),
        ),
    };
    let (bases, of_records) = match survey.without_length {
        0 => (number(survey.bases), drawn("")),
        all if all == survey.records => (drawn("unknown"), drawn("")),
        some => (
            number(survey.bases),
            format!("without {} records of unknown length", number(some)),
        ),
    };
    let mut cards = vec![
        ("Records", number(survey.records), drawn("")),
        ("Bases", bases, of_records),
        ("ORFs", number(survey.orfs()), drawn("")),
        ("In GenBank", annotated, share),
    ];
    if survey.with_states() > 0 {
        cards.push(("With 3Di", number(survey.with_states()), drawn("")));
    }
    if survey.unlabelled > 0 && survey.has_annotation() {
        cards.push((
            "Without a label",
            number(survey.unlabelled),
            drawn("shown as not in GenBank"),
        ));
    }
    if survey.failed > 0 {
        cards.push((
            "Failed",
            number(survey.failed),
            drawn("incomplete ORFs or files"),
        ));
    }
    page.push_str("<div class=\"cards\">");
    for (name, value, note) in cards {
        let _ = write!(
            page,
            "<div><b>{value}</b><span>{name}</span><small>{note}</small></div>"
        );
    }
    page.push_str("</div>\n");
}

fn section(page: &mut String, id: &str, title: &str, body: &str) {
    let _ = writeln!(
        page,
        "<section id=\"{id}\"><h2>{title}</h2>\n{body}</section>"
    );
}

fn figure_section(page: &mut String, survey: &Survey) {
    if survey.orfs() == 0 {
        section(
            page,
            "pictures",
            "Pictures",
            "<p>There is no ORF to draw.</p>\n",
        );
        return;
    }
    let scatter = match survey.with_states() {
        0 => figures::composition(survey),
        _ => figures::structure(survey),
    };
    let mut body = String::from("<div class=\"pair\">\n");
    picture(&mut body, &scatter, "Two entropies of each ORF");
    picture(&mut body, &figures::length(survey), "Length of ORFs");
    body.push_str("</div>\n");
    picture(
        &mut body,
        &figures::genome(survey),
        "Entropy of each ORF along its record",
    );
    let drawn = survey.drawn.len() as u64;
    if drawn < survey.records {
        let _ = writeln!(
            body,
            "<p class=\"note\">The first {} of {} records are drawn along; \
             <code>sessile entropy plot --figure genome --record ID</code> draws any.</p>",
            grouped(drawn as i64),
            grouped(survey.records as i64)
        );
    }
    section(page, "pictures", "Pictures", &body);
}

fn picture(body: &mut String, drawing: &Drawing, label: &str) {
    let svg = drawing.svg();
    let svg = svg.replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{label}\" "),
        1,
    );
    let _ = writeln!(body, "<figure>{svg}</figure>");
}

#[cfg(test)]
mod tests;
