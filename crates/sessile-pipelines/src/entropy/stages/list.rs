//! Lists of records as JSON or JSON Lines: read and written one by one.

use std::fmt;
use std::io::{BufReader, Read};

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sessile_seq::inputs::Input;

use super::super::format::{Document, indented};
use super::super::writer::DocumentWriter;
use super::{StageFiles, Told};
use crate::census::no_records;
use crate::error::{PipelineError, PipelineErrorKind};
use crate::genome_json::first_symbol;
use crate::output::{Destination, FileFormat, Format};

/// Writes a list.
pub(super) struct ListWriter(DocumentWriter);

impl ListWriter {
    pub(super) fn create(files: &StageFiles) -> Result<Self, PipelineError> {
        let output = &files.output;
        let kind = FileFormat::of(output, Format::JSON)?;
        let Some(form) = Document::of(kind.format) else {
            let message = format!("{}: a list of records is no table", output.display());
            return Err(PipelineError::new(PipelineErrorKind::Usage, message)
                .with_hint("give --output the ending .json or .jsonl"));
        };
        let failed = |error| PipelineError::output(&output.display().to_string(), error);
        let out = Destination::open(output).map_err(failed)?;
        DocumentWriter::new(output, form, kind.compression, out).map(ListWriter)
    }

    pub(super) fn write(&mut self, record: &impl Serialize) -> Result<(), PipelineError> {
        let text = match self.0.form {
            Document::Line => serde_json::to_vec(record).map(|mut line| {
                line.push(b'\n');
                line
            }),
            Document::List => indented(record),
        };
        let text = text.map_err(|error| PipelineError::output("a record", error.into()))?;
        self.0.write(&text)
    }

    pub(super) fn finish(self) -> Result<(), PipelineError> {
        self.0.finish()
    }
}

/// Whether reading goes on.
pub(super) type GoesOn = Result<bool, PipelineError>;

/// Hands over the records of a file as text, with their place; `take` says whether to go on.
///
/// What can not be read costs the rest of the file and is told.
pub(super) fn read(
    input: &Input,
    told: &mut Told<'_>,
    take: &mut dyn FnMut(&mut Told<'_>, &str, &RawValue) -> GoesOn,
) -> Result<(), PipelineError> {
    let name = input.name();
    let mut source = match input.open() {
        Ok(source) => BufReader::new(source),
        Err(error) => {
            told.unread(&error);
            return Ok(());
        }
    };
    let mut state = State {
        name: &name,
        told,
        take,
        records: 0,
        ended: Ok(true),
    };
    let result = match first_symbol(&mut source) {
        Ok(Some(b'[')) => {
            let mut json = serde_json::Deserializer::from_reader(source);
            List(&mut state)
                .deserialize(&mut json)
                .and_then(|()| json.end())
                .map_err(|error| error.to_string())
        }
        Ok(Some(b'{')) => lines(source, &mut state),
        Ok(Some(_)) => Err("it does not begin like a list of records".to_owned()),
        Ok(None) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    let records = state.records;
    let goes_on = state.ended?;
    match result {
        _ if !goes_on => {}
        Err(problem) => told.fail("", &name, &format!("can not be read: {problem}"), true),
        Ok(()) if records == 0 => told.observer.note(&no_records(&name)),
        Ok(()) => {}
    }
    Ok(())
}

struct State<'a, 't> {
    name: &'a str,
    told: &'a mut Told<'t>,
    take: &'a mut dyn FnMut(&mut Told<'_>, &str, &RawValue) -> GoesOn,
    records: u64,
    ended: GoesOn,
}

impl State<'_, '_> {
    /// Hands a record over; false when there is to be no other.
    fn hand_over(&mut self, record: &RawValue) -> bool {
        self.records += 1;
        let place = format!("{}: record {}", self.name, self.records);
        self.ended = (self.take)(self.told, &place, record);
        matches!(self.ended, Ok(true))
    }
}

fn lines(source: impl Read, state: &mut State<'_, '_>) -> Result<(), String> {
    let records = serde_json::Deserializer::from_reader(source).into_iter::<Box<RawValue>>();
    for record in records {
        let record = record.map_err(|error| error.to_string())?;
        if !state.hand_over(&record) {
            return Ok(());
        }
    }
    Ok(())
}

struct List<'s, 'a, 't>(&'s mut State<'a, 't>);

impl<'de> DeserializeSeed<'de> for List<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while let Some(record) = records.next_element::<Box<RawValue>>()? {
            if !self.0.hand_over(&record) {
                // Nobody reads this: the reason is kept elsewhere.
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
