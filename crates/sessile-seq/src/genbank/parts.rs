//! One record as text: its lines put where they belong, then made into a [`Record`].

use std::io::{self, Read};

use gb_io::reader::SeqReader;

use super::feature_table::FeatureTable;
use super::lines::{Line, Lines};
use super::{Cds, Record, cds};
use crate::error::{Error, ErrorKind, Result};

/// The most bytes of annotation that are kept for one record: 64 MiB.
///
/// Only the features `source` and `CDS` count; those of a human chromosome take some 20 MB.
pub const MAX_ANNOTATION_BYTES: usize = 64 << 20;

/// The beginning of a record for the parser, which only reads the features.
///
/// Locus lines of other programs come in many forms that it does not know; their three facts are
/// read here.
const PARSER_HEADER: &str = "LOCUS       X 1 bp DNA linear UNK 01-JAN-2000
FEATURES             Location/Qualifiers
";

/// The parts of a record as text.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) header: Header,
    features: FeatureTable,
    sequence: Vec<u8>,
    flaw: Option<Error>,
}

/// The header fields that are kept, each with its continuation lines.
#[derive(Debug, Default)]
pub(super) struct Header {
    locus: String,
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
        if at_start {
            let (key, value) = split_key(text);
            section = match key {
                b"LOCUS" => {
                    self.header.locus = lossy(value);
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
        if !field.is_empty() {
            field.push(' ');
        }
        field.push_str(lossy(value).trim());
    }

    /// A line of the sequence: a position, then bases in groups of ten.
    fn take_bases(&mut self, line: Line<'_>, max_bases: u64) {
        for &byte in line.text {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' => self.sequence.push(byte.to_ascii_uppercase()),
                b'0'..=b'9' | b' ' | b'\t' | b'\r' => {}
                _ => {
                    let message = format!("the sequence holds the byte 0x{byte:02x}");
                    self.spoil(ErrorKind::InvalidByte, &message, line.number);
                    return;
                }
            }
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
        !self.sequence.is_empty() && self.header.length() == Some(self.sequence.len())
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
        let found = self.sequence.len();
        if let Some(said) = self.header.length()
            && said != found
        {
            let message = format!("the locus line says {said} bases, the sequence has {found}");
            return Err(Error::new(ErrorKind::InvalidRecord, message));
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
            id: self.header.id(),
            name: self.header.name(),
            circular: self.header.is_circular(),
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

impl Header {
    /// Version, else accession, else locus name: the first word of the first that is there.
    pub(super) fn id(&self) -> String {
        [&self.version, &self.accession, &self.locus]
            .into_iter()
            .find_map(|field| field.split_whitespace().next())
            .unwrap_or_default()
            .to_owned()
    }

    fn name(&self) -> String {
        let name = self.locus.split_whitespace().next();
        name.unwrap_or_default().to_owned()
    }

    fn bytes(&self) -> usize {
        self.definition.len() + self.accession.len() + self.version.len()
    }

    /// The number before `bp`, if the locus line has one.
    fn length(&self) -> Option<usize> {
        let mut words = self.locus.split_whitespace().skip(1);
        let length = words.next()?.parse().ok()?;
        (words.next() == Some("bp")).then_some(length)
    }

    fn is_circular(&self) -> bool {
        self.locus.split_whitespace().any(|word| word == "circular")
    }
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
