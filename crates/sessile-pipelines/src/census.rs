//! What a job says of its inputs as a whole, in the same words everywhere: those without a record,
//! and identifiers that come twice.

use sessile_seq::inputs::{Census, Format};

use crate::progress::Observer;

/// How the rest of a header is kept, by the jobs that can.
pub(crate) const KEEP: &str = "--with-description keeps the rest";

/// Tells what `census` has met; `keep` says how the rest of a header can be kept, if it can.
pub(crate) fn tell(census: &Census, keep: Option<&str>, observer: &mut dyn Observer) {
    for name in census.without_records() {
        observer.note(&no_records(&name));
    }
    if let Some(repeated) = census.repeated() {
        let keep = keep.map(|keep| format!("; {keep}")).unwrap_or_default();
        let is_genbank =
            (repeated.file.as_deref()).is_some_and(|file| Format::GenBank.matches_name(file));
        let where_it_ends = match is_genbank {
            true => String::new(),
            false => format!(" (an identifier ends at the first blank of the header{keep})"),
        };
        observer.note(&format!(
            "warning: {repeated}: the identifier came before{where_it_ends}"
        ));
    }
}

/// The words for an input without a record.
pub fn no_records(name: &str) -> String {
    format!("warning: {name} has no records")
}
