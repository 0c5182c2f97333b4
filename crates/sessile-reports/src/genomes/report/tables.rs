//! The tables of the report.

use std::fmt::Write as _;

use crate::drawing::{escaped, grouped};
use crate::genomes::survey::{Class, Distribution, Survey};

/// A number of bits, or a dash.
fn bits(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn count(value: u64) -> String {
    grouped(value as i64)
}

/// Means and medians by class.
pub(super) fn classes(survey: &Survey) -> String {
    let columns = match survey.has_annotation() {
        true => vec![
            ("in GenBank", &survey.annotated),
            ("not in GenBank", &survey.others),
        ],
        false => vec![("all ORFs, annotation unknown", &survey.others)],
    };
    let mut table = String::from("<div class=\"scroll\"><table>\n<thead><tr><th></th>");
    for (name, _) in &columns {
        let _ = write!(table, "<th class=\"n\">{name}</th>");
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    let mut row = |name: &str, value: &dyn Fn(&Class) -> String| {
        let _ = write!(table, "<tr><td>{name}</td>");
        for (_, class) in &columns {
            let _ = write!(table, "<td class=\"n\">{}</td>", value(class));
        }
        table.push_str("</tr>\n");
    };
    row("ORFs", &|class| count(class.count));
    row("mean length (residues)", &|class| {
        (class.residues.mean()).map_or_else(|| "–".to_owned(), |mean| format!("{mean:.1}"))
    });
    row("longest (residues)", &|class| {
        (class.residues.largest()).map_or_else(|| "–".to_owned(), |most| count(most as u64))
    });
    let pair = |distribution: &Distribution| {
        format!(
            "{} / {}",
            bits(distribution.mean()),
            bits(distribution.median())
        )
    };
    row("DNA entropy, mean / median", &|class| pair(&class.dna));
    row("protein entropy, mean / median", &|class| {
        pair(&class.protein)
    });
    if survey.with_states() > 0 {
        row("3Di entropy, mean / median", &|class| pair(&class.three_di));
    }
    let has = |of: fn(&Class) -> &Distribution| {
        of(&survey.annotated).count() + of(&survey.others).count() > 0
    };
    if has(|class| &class.twelve_state) {
        row("12-state entropy, mean / median", &|class| {
            pair(&class.twelve_state)
        });
    }
    if has(|class| &class.mutual_information) {
        row(
            "3Di and 12-state mutual information, mean / median",
            &|class| pair(&class.mutual_information),
        );
    }
    table.push_str("</tbody></table></div>\n");
    table
}

/// The head of a table whose columns sort when they are clicked; `n` marks numbers.
fn sortable(columns: &[(&str, bool)]) -> String {
    let mut head = String::from("<div class=\"scroll\"><table class=\"sortable\">\n<thead><tr>");
    for (name, is_number) in columns {
        let class = if *is_number { " class=\"n\"" } else { "" };
        let _ = write!(
            head,
            "<th{class}><button type=\"button\">{name}</button></th>"
        );
    }
    head.push_str("</tr></thead>\n<tbody>\n");
    head
}

fn text_cell(table: &mut String, text: &str) {
    let _ = write!(table, "<td>{}</td>", escaped(text));
}

fn number_cell(table: &mut String, text: &str) {
    let _ = write!(table, "<td class=\"n\">{text}</td>");
}

/// Records with what was found in them.
pub(super) fn records(survey: &Survey) -> String {
    let mut table = sortable(&[
        ("record", false),
        ("bases", true),
        ("DNA entropy", true),
        ("ORFs", true),
        ("in GenBank", true),
        ("mean protein entropy", true),
    ]);
    for row in &survey.rows {
        table.push_str("<tr>");
        text_cell(&mut table, &row.record.id);
        number_cell(
            &mut table,
            &row.record.length.map_or_else(|| "–".to_owned(), count),
        );
        number_cell(&mut table, &bits(row.record.dna_entropy));
        number_cell(&mut table, &count(row.orfs));
        number_cell(
            &mut table,
            &row.annotated.map_or_else(|| "–".to_owned(), count),
        );
        number_cell(&mut table, &bits(row.protein.mean()));
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody></table></div>\n");
    let listed = survey.rows.len() as u64;
    if listed < survey.records {
        let _ = writeln!(
            table,
            "<p class=\"note\">The first {} of {} records; the output of the run has all.</p>",
            count(listed),
            count(survey.records)
        );
    }
    table
}

/// The longest ORFs.
pub(super) fn orfs(survey: &Survey) -> String {
    let longest = survey.longest();
    let (listed, all) = (longest.len() as u64, survey.orfs());
    let mut columns = vec![
        ("record", false),
        ("ORF", false),
        ("start", true),
        ("end", true),
        ("strand", false),
        ("frame", true),
        ("residues", true),
        ("DNA", true),
        ("protein", true),
    ];
    let has_states = survey.with_states() > 0;
    let has_twelve = longest.iter().any(|orf| orf.twelve_state_entropy.is_some());
    if has_states {
        columns.push(("3Di", true));
    }
    if has_twelve {
        columns.extend([("12-state", true), ("mutual inf.", true)]);
    }
    columns.push(("in GenBank", false));
    let mut table = match listed < all {
        true => format!(
            "<p class=\"note\">The {} longest of {} ORFs; the output of the run has all.</p>\n",
            count(listed),
            count(all)
        ),
        false => String::new(),
    };
    table.push_str(&sortable(&columns));
    for orf in longest {
        table.push_str("<tr>");
        text_cell(&mut table, &orf.record);
        text_cell(&mut table, &orf.id);
        number_cell(&mut table, &count(orf.start));
        number_cell(&mut table, &count(orf.end));
        text_cell(&mut table, if orf.is_plus { "+" } else { "−" });
        number_cell(&mut table, &orf.frame.to_string());
        number_cell(&mut table, &count(orf.residues));
        number_cell(&mut table, &bits(Some(orf.dna_entropy)));
        number_cell(&mut table, &bits(Some(orf.protein_entropy)));
        if has_states {
            number_cell(&mut table, &bits(orf.three_di_entropy));
        }
        if has_twelve {
            number_cell(&mut table, &bits(orf.twelve_state_entropy));
            number_cell(&mut table, &bits(orf.mutual_information));
        }
        text_cell(
            &mut table,
            match orf.in_genbank {
                Some(true) => "yes",
                Some(false) => "no",
                None => "–",
            },
        );
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody></table></div>\n");
    table
}
