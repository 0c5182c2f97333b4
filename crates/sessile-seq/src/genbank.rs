//! GenBank flat files: sequences with their annotated coding sequences.
//!
//! # The format
//!
//! ```text
//! LOCUS       JQ995537   97065 bp   DNA   circular ENV 31-JUL-2014
//! VERSION     JQ995537.1
//! FEATURES             Location/Qualifiers
//!      CDS             complement(454..1203)
//!                      /codon_start=1
//!                      /translation="MKSYN…
//!                      NNGND"
//! ORIGIN
//!         1 atgaaatcct acaacgaatc …
//! //
//! ```
//!
//! Definition: <https://www.ncbi.nlm.nih.gov/genbank/samplerecord/> and, for features,
//! <https://www.insdc.org/submitting-standards/feature-table/>.
//!
//! # What is read
//!
//! The locus line, definition, accession, version, the features `source` and `CDS`, and the
//! sequence; the rest is read over. The crate gb-io reads the annotation. It is given only those
//! parts, tidied and with locations that were checked for size and depth first, so that a damaged
//! or hostile file costs one record and not the process.
//!
//! | input | what happens |
//! | --- | --- |
//! | a file header before the first `LOCUS` | read over |
//! | CR, CRLF and LF, a byte order mark | as in FASTA, see [`crate::text`] |
//! | a locus line without date, topology or length, with a long name, with the length run into the name, with blanks in the name | read; blanks in the name become `_` |
//! | no version | the accession is the id, without one the locus name; `.` and `<unknown id>` count as none |
//! | a line of the feature table that is neither a feature nor a qualifier | listed in [`Record::issues`]; the features around it are kept |
//! | lower-case sequence | given in upper case, as Biopython does |
//! | a record without sequence, with another length than its locus line says, or without its end | error for that record |
//! | a protein (`aa`), a sequence line that holds something else than a number and bases | error for that record |
//! | a CDS that lies outside the sequence, on another record, or cannot be understood | listed in [`Record::issues`]; the record and its other features are kept |
//! | no `LOCUS` at all | error for the file: this is not GenBank |
//!
//! After a record error the reader goes on with the next record.

mod cds;
mod feature_table;
mod lines;
mod location;
mod locus;
mod parts;
mod reader;
mod record;

pub use cds::Cds;
pub use location::{Location, Span};
pub use parts::MAX_ANNOTATION_BYTES;
pub use reader::{DEFAULT_MAX_BASES, Reader};
pub use record::Record;
