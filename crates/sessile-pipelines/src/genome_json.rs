//! JSON of genomes, read as a stream: a list of records, one record, or JSON Lines, each record with
//! its `features` by identifier.
//!
//! A feature is handed over before the next one is read, so that memory does not grow with the file.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Who takes the records of a file.
pub(crate) trait Records {
    /// What a record is, for errors.
    const EXPECTED: &'static str;

    /// Takes a record, field by field.
    fn record<'de, A: MapAccess<'de>>(&mut self, fields: A) -> Result<(), A::Error>;

    /// A list is through.
    fn end_list(&mut self) {}
}

/// Whoever takes records wants no other; the reason is kept elsewhere.
pub(crate) struct Stopped;

impl Stopped {
    /// The error that ends the reading. Nobody reads what it says.
    pub(crate) fn error<E: Error>(self) -> E {
        E::custom("stopped")
    }
}

/// Hands over all records of a file; one without any text counts as an empty list.
///
/// # Errors
///
/// When it is no JSON of records, or who takes them has stopped.
pub(crate) fn read<R: Records>(source: impl Read, records: &mut R) -> serde_json::Result<()> {
    let mut source = BufReader::new(source);
    if first_symbol(&mut source)
        .map_err(serde_json::Error::io)?
        .is_none()
    {
        records.end_list();
        return Ok(());
    }
    let mut deserializer = serde_json::Deserializer::from_reader(source);
    loop {
        Document(records).deserialize(&mut deserializer)?;
        // JSON Lines go on with the next record.
        if deserializer.end().is_ok() {
            return Ok(());
        }
    }
}

/// A list of records, or one record.
struct Document<'r, R>(&'r mut R);

impl<'de, R: Records> DeserializeSeed<'de> for Document<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: Records> Visitor<'de> for Document<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record of a genome or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while records.next_element_seed(Record(&mut *self.0))?.is_some() {}
        self.0.end_list();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        self.0.record(fields)
    }
}

struct Record<'r, R>(&'r mut R);

impl<'de, R: Records> DeserializeSeed<'de> for Record<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, R: Records> Visitor<'de> for Record<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(R::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        self.0.record(fields)
    }
}

/// The value of `features`: each is handed to a function, with its identifier.
pub(crate) struct Features<V, F> {
    take: F,
    value: PhantomData<V>,
}

impl<V, F: FnMut(String, V) -> Result<(), Stopped>> Features<V, F> {
    pub(crate) fn new(take: F) -> Self {
        Features {
            take,
            value: PhantomData,
        }
    }
}

impl<'de, V, F> DeserializeSeed<'de> for Features<V, F>
where
    V: Deserialize<'de>,
    F: FnMut(String, V) -> Result<(), Stopped>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, V, F> Visitor<'de> for Features<V, F>
where
    V: Deserialize<'de>,
    F: FnMut(String, V) -> Result<(), Stopped>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("features by identifier")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut features: A) -> Result<(), A::Error> {
        while let Some((id, feature)) = features.next_entry()? {
            (self.take)(id, feature).map_err(Stopped::error)?;
        }
        Ok(())
    }
}

/// The first byte that is no white space, left where it is.
pub(crate) fn first_symbol(source: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        match buffer.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(at) => return Ok(Some(buffer[at])),
            None => {
                let length = buffer.len();
                source.consume(length);
            }
        }
    }
}
