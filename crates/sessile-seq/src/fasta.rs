//! FASTA: named sequences as text.
//!
//! # The format
//!
//! ```text
//! >id free description        header: everything up to the first blank is the identifier
//! ACGTACGTAC                  sequence, wrapped at any width (or not at all)
//! GTACGT
//! >next
//! MKTAYIAK*
//! ```
//!
//! There is no standard. This reader takes what Biopython and kseq take and says what it refuses:
//!
//! | input | what happens |
//! | --- | --- |
//! | wrapped lines, blank lines, blanks inside lines, a byte order mark | read over |
//! | CR, CRLF and LF, mixed as well | each ends a line, see [`crate::text`] |
//! | UTF-16 or UTF-32 with a byte order mark | error for the file |
//! | lower case, `*`, `-`, `.`, digits | kept as they are; see [`crate::alphabet`] for checks |
//! | a line that starts with `;` | a comment (Pearson's FASTA), read over |
//! | `> id` (a blank before the identifier) | `id`, as Biopython reads it |
//! | a header without identifier, a record without sequence | error for that record |
//! | NUL, control or non-ASCII bytes in a sequence | error for that record |
//! | a record above [`Reader::max_residues`] | error for that record |
//! | an identifier that is not UTF-8, a header above [`MAX_HEADER_BYTES`] | error for that record |
//! | a description that is not UTF-8 | kept, with U+FFFD for what is not |
//! | text before the first `>` | error for the file: this is not FASTA |
//! | a cut or damaged compressed file | error for the file; the unfinished record is not given out |
//! | other bytes behind gzip or bzip2 data | error for the file behind its last record |
//! | an empty file | no records and no error |
//! | identifiers that come twice | both records are given out; see [`Ids`] |
//!
//! After a record error the reader goes on with the next record; after a file error it ends.

mod ids;
mod reader;
mod record;
mod writer;

pub use ids::{Ids, Seen};
pub use reader::{DEFAULT_MAX_RESIDUES, MAX_HEADER_BYTES, Reader};
pub use record::Record;
pub use writer::Writer;
