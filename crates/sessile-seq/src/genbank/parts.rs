//! One record as text: its lines put where they belong, then made into a [`Record`].

use std::io::{self, Read};

use gb_io::reader::SeqReader;

use super::feature_table::FeatureTable;
use super::lines::{Line, Lines};
use super::locus::Locus;
use super::{Cds, Record, cds};
use crate::alphabet::Alphabet;
use crate::error::{Error, ErrorKind, Result};

/// The most bytes of annotation that are kept for one record: 64 MiB.
///
/// Only the features `source` and `CDS` count; those of a human chromosome take some 20 MB.
pub const MAX_ANNOTATION_BYTES: usize = 64 << 20;

/// The beginning of a record for the parser, which only reads the features.
///
/// Locus lines of other programs come in many forms that it does not know: see [`super::locus`].
const PARSER_HEADER: &str = "LOCUS       X 1 bp DNA linear UNK 01-JAN-2000
FEATURES             Location/Qualifiers
";

/// The parts of a record as text.
#[derive(Debug, Default)]
pub(super) struct Parts {
    header: Header,
    features: FeatureTable,
    sequence: Vec<u8>,
    /// The first sequence line whose number is not that of its first base.
    misnumbered: Option<u64>,
    flaw: Option<Error>,
}

/// The header fields that are kept, each with its continuation lines.
#[derive(Debug, Default)]
struct Header {
    locus: Locus,
    definition: String,
    accession: String,
    version: String,
}

/// The part of a record that a line belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Section {
    Skipped,
    Definition,
    Accession,
    Version,
    Features,
    Origin,
}

/// Reads from `LOCUS` to `//`, or to where the record breaks off.
pub(super) fn read_parts<R: Read>(lines: &mut Lines<R>, max_bases: u64) -> io::Result<Parts> {
    let mut parts = Parts::default();
    let mut section = Section::Skipped;
    let mut first = true;
    while let Some(line) = lines.next()? {
        let text = line.text;
        if text == b"//" {
            parts.features.finish();
            return Ok(parts);
        }
        if is_key(text, b"LOCUS") && !first {
            lines.hold();
            break;
        }
        first = false;
        if line.cut {
            parts.spoil(ErrorKind::InvalidRecord, "a line is too long", line.number);
        } else if parts.flaw.is_none() {
            section = parts.take(section, line, max_bases);
        }
    }
    let number = lines.number();
    parts.features.finish();
    if !parts.is_complete() {
        let message = "the record breaks off before its end ('//')";
        parts.spoil(ErrorKind::InvalidRecord, message, number);
    }
    Ok(parts)
}

impl Parts {
    /// Puts a line where it belongs and returns the section that it is in.
    fn take(&mut self, mut section: Section, line: Line<'_>, max_bases: u64) -> Section {
        let text = line.text;
        let at_start = text.first().is_some_and(|byte| !byte.is_ascii_whitespace());
        if section == Section::Origin && !is_key(text, b"CONTIG") {
            self.take_bases(line, max_bases);
            return section;
        }
        let is_stray = section == Section::Features && at_start && !begins_section(text);
        if is_stray {
            self.features.push_stray(line.number);
        } else if at_start {
            let (key, value) = split_key(text);
            section = match key {
                b"LOCUS" => {
                    self.header.locus = Locus::parse(&lossy(value));
                    Section::Skipped
                }
                b"DEFINITION" => Section::Definition,
                b"ACCESSION" => Section::Accession,
                b"VERSION" => Section::Version,
                b"FEATURES" => Section::Features,
                b"ORIGIN" => Section::Origin,
                _ => Section::Skipped,
            };
            self.take_header(section, value);
        } else if section == Section::Features {
            self.features.push(&lossy(text), line.number);
        } else {
            self.take_header(section, text);
        }
        if self.features.bytes() + self.header.bytes() > MAX_ANNOTATION_BYTES {
            let message = format!("the annotation is larger than {MAX_ANNOTATION_BYTES} bytes");
            self.spoil(ErrorKind::RecordTooLong, &message, line.number);
        }
        section
    }

    fn take_header(&mut self, section: Section, value: &[u8]) {
        let field = match section {
            Section::Definition => &mut self.header.definition,
            Section::Accession => &mut self.header.accession,
            Section::Version => &mut self.header.version,
            Section::Skipped | Section::Features | Section::Origin => return,
        };
        let value = lossy(value);
        let value = value.trim();
        if !field.is_empty() && !value.is_empty() {
            field.push(' ');
        }
        field.push_str(value);
    }

    /// A line of the sequence: the number of its first base, then bases in groups of ten.
    fn take_bases(&mut self, line: Line<'_>, max_bases: u64) {
        let text = line.text.trim_ascii_start();
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, bases) = text.split_at(digits);
        // A few programs number the end of a line, too.
        let bases = match bases.iter().rposition(|byte| !byte.is_ascii_digit()) {
            Some(last) if bases[last].is_ascii_whitespace() => &bases[..last],
            _ => bases,
        };
        let number: Option<usize> = str::from_utf8(number).ok().and_then(|n| n.parse().ok());
        if number.is_some_and(|number| number != self.sequence.len() + 1) {
            self.misnumbered.get_or_insert(line.number);
        }
        for &byte in bases {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' => self.sequence.push(byte.to_ascii_uppercase()),
                b' ' | b'\t' => {}
                _ => {
                    let message = format!("the sequence holds the byte 0x{byte:02x}");
                    self.spoil(ErrorKind::InvalidByte, &message, line.number);
                    return;
                }
            }
        }
        if number.is_none() && !bases.iter().all(|&byte| is_base_or_blank(byte)) {
            let message =
                "a line of the sequence has no number and holds letters that are no bases";
            self.spoil(ErrorKind::InvalidByte, message, line.number);
            return;
        }
        if self.sequence.len() as u64 > max_bases {
            let message = format!("the record has more than {max_bases} bases");
            self.spoil(ErrorKind::RecordTooLong, &message, line.number);
        }
    }

    /// Notes the first flaw and gives back the memory of what is not read on.
    fn spoil(&mut self, kind: ErrorKind, message: &str, line: u64) {
        if self.flaw.is_none() {
            self.flaw = Some(Error::new(kind, message).at_line(line));
            self.sequence = Vec::new();
            self.features = FeatureTable::default();
        }
    }

    /// Whether a record without `//` is whole: its locus line says how many bases it has.
    fn is_complete(&self) -> bool {
        let bases = self.sequence.len();
        bases > 0 && self.header.locus.length(bases) == Some(bases)
    }

    pub(super) fn into_record(mut self) -> Result<Record> {
        if let Some(flaw) = self.flaw.take() {
            return Err(flaw);
        }
        if self.sequence.is_empty() {
            return Err(
                Error::new(ErrorKind::EmptyRecord, "the record has no sequence")
                    .hinting("download the record with its sequence, not only its parts"),
            );
        }
        if self.header.locus.is_protein {
            let message = "the record is a protein, not a nucleotide sequence";
            return Err(
                Error::new(ErrorKind::InvalidRecord, message).hinting("give proteins as FASTA")
            );
        }
        let found = self.sequence.len();
        match (self.header.locus.length(found), self.misnumbered) {
            (Some(said), _) if said != found => {
                let message = format!("the locus line says {said} bases, the sequence has {found}");
                return Err(Error::new(ErrorKind::InvalidRecord, message));
            }
            // Without a length to compare with, the numbers are all that shows a lost line.
            (None, Some(line)) => {
                let message = "the number of a sequence line is not that of its first base";
                return Err(Error::new(ErrorKind::InvalidRecord, message).at_line(line));
            }
            _ => {}
        }
        let text = [PARSER_HEADER, &self.features.text, "//\n"].concat();
        let parsed = match SeqReader::new(text.as_bytes()).next() {
            Some(Ok(parsed)) => parsed,
            Some(Err(_)) | None => return Err(annotation_error()),
        };
        if parsed.features.len() != self.features.lines.len() {
            let line = self.features.lines.get(parsed.features.len());
            return Err(match line {
                Some(&line) => annotation_error().at_line(line),
                None => annotation_error(),
            });
        }
        let mut record = Record {
            id: self.header.id(found),
            name: self.header.locus.name(found).to_owned(),
            circular: self.header.locus.circular,
            definition: self.header.definition,
            sequence: self.sequence,
            ..Record::default()
        };
        for issue in self.features.issues {
            record.note(issue);
        }
        for (feature, line) in parsed.features.iter().zip(self.features.lines) {
            if let Err(error) = record.add(feature, line) {
                record.note(error.at_line(line));
            }
        }
        Ok(record)
    }
}

fn annotation_error() -> Error {
    Error::new(
        ErrorKind::InvalidRecord,
        "the annotation cannot be understood",
    )
}

impl Record {
    fn add(&mut self, feature: &gb_io::seq::Feature, line: u64) -> Result<()> {
        if feature.kind == "source" {
            let table = cds::transl_table(feature)?;
            self.transl_table = self.transl_table.or(table);
            return Ok(());
        }
        let cds = Cds::from_gb(feature, line)?;
        cds.location.check_within(self.sequence.len())?;
        self.cds.push(cds);
        Ok(())
    }
}

impl Parts {
    /// Version, else accession, else locus name.
    pub(super) fn id(&self) -> String {
        self.header.id(self.sequence.len())
    }
}

impl Header {
    /// The first word of version, else of accession, else the locus name.
    fn id(&self, bases: usize) -> String {
        let fields = [&self.version, &self.accession].into_iter();
        let mut ids = fields.filter_map(|field| {
            let is_none = [".", "<unknown id>"].contains(&field.trim());
            field.split_whitespace().next().filter(|_| !is_none)
        });
        let id = ids.next().unwrap_or(self.locus.name(bases));
        id.to_owned()
    }

    fn bytes(&self) -> usize {
        self.definition.len() + self.accession.len() + self.version.len()
    }
}

/// Top-level keys that some programs write without the blanks that fill them up to column 12.
const KEYS: [&[u8]; 14] = [
    b"LOCUS",
    b"DEFINITION",
    b"ACCESSION",
    b"VERSION",
    b"KEYWORDS",
    b"SOURCE",
    b"REFERENCE",
    b"COMMENT",
    b"FEATURES",
    b"BASE",
    b"ORIGIN",
    b"CONTIG",
    b"DBLINK",
    b"WGS",
];

/// The columns that a top-level key is filled up to.
const KEY_COLUMNS: usize = 12;

/// Whether a line at column 1 begins a section: a known key, or a word in capitals whose value
/// stands where values stand.
fn begins_section(text: &[u8]) -> bool {
    let (key, value) = split_key(text);
    let is_word = key
        .iter()
        .all(|&byte| byte.is_ascii_uppercase() || byte == b'_');
    let is_filled = text.len() - value.len() == KEY_COLUMNS && !value.is_empty();
    KEYS.contains(&key) || (is_word && is_filled)
}

fn is_base_or_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t') || Alphabet::NUCLEIC_IUPAC.contains(byte)
}

fn split_key(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (key, value) = text.split_at(end.unwrap_or(text.len()));
    (key, value.trim_ascii())
}

/// Text with U+FFFD for what is not UTF-8: old files have names in Latin-1.
fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
/// Whether a line begins with a top-level key.
pub(super) fn is_key(text: &[u8], key: &[u8]) -> bool {
    text.strip_prefix(key)
        .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}
