//! Proteins in the JSON of a genome: a list of records (or one), each with `features` by
//! identifier that have `protein.aa_sequence`; or a list of `{"id": …, "sequence": …}`, or of the
//! proteins or ORFs that the stages of the genome pipeline write, as one document or as JSON Lines.
//!
//! A feature is read and handed over before the next one, so that memory does not grow with the
//! file.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::proteins::{Listener, Protein};

/// How the reading of a file ended.
pub(super) enum End {
    /// All was read.
    Whole,
    /// Nobody listens any more.
    Unheard,
    /// It can not be read further.
    Broken(String),
}

/// Reads a file and hands over its proteins.
pub(super) fn read(source: impl Read, name: &str, listener: &Listener) -> End {
    let mut state = State {
        name,
        listener,
        proteins: 0,
        unheard: false,
    };
    let mut deserializer = serde_json::Deserializer::from_reader(source);
    // A list, or JSON Lines: one document behind the other.
    let result = loop {
        let read = Document(&mut state).deserialize(&mut deserializer);
        if read.is_err() || deserializer.end().is_ok() {
            break read;
        }
    };
    match result {
        _ if state.unheard => End::Unheard,
        Err(error) => End::Broken(format!("this JSON can not be read: {error}")),
        Ok(()) if state.proteins == 0 => End::Broken(
            "there are no proteins in this JSON (features with protein.aa_sequence, or objects \
             with id and sequence)"
                .to_owned(),
        ),
        Ok(()) => End::Whole,
    }
}

struct State<'a> {
    name: &'a str,
    listener: &'a Listener,
    proteins: u64,
    unheard: bool,
}

impl State<'_> {
    /// Hands a protein over; the error says that nobody listens, and ends the reading.
    fn send<E: serde::de::Error>(&mut self, id: String, sequence: String) -> Result<(), E> {
        self.proteins += 1;
        let place = format!("{}: protein {} ({id})", self.name, self.proteins);
        if self
            .listener
            .send(Protein::new(id, place, sequence.into_bytes()))
        {
            return Ok(());
        }
        self.unheard = true;
        Err(E::custom("stopped"))
    }
}

/// A list of records, or one record.
struct Document<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record of a genome or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while records.next_element_seed(RecordSeed(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, record: A) -> Result<(), A::Error> {
        RecordSeed(self.0).visit_map(record)
    }
}

/// A record with features, or a protein.
struct RecordSeed<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record with features, or a protein with id and sequence")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut record: A) -> Result<(), A::Error> {
        let (mut id, mut sequence) = (None, None);
        while let Some(key) = record.next_key::<String>()? {
            match key.as_str() {
                "features" => record.next_value_seed(Features(&mut *self.0))?,
                "id" | "orf_id" => id = record.next_value::<Text>()?.0,
                "orf" => id = record.next_value::<Orf>()?.orf_id,
                "sequence" | "aa_sequence" => sequence = record.next_value::<Text>()?.0,
                _ => {
                    record.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (id, sequence) {
            (Some(id), Some(sequence)) => self.0.send(id, sequence),
            _ => Ok(()),
        }
    }
}

/// The ORF of a protein.
#[derive(Deserialize)]
struct Orf {
    orf_id: Option<String>,
}

/// A string, or anything else, which is passed over.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Other(IgnoredAny),
        }
        Ok(Text(match Either::deserialize(deserializer)? {
            Either::Text(text) => Some(text),
            Either::Other(_) => None,
        }))
    }
}

/// Features by identifier.
struct Features<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for Features<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
struct Feature {
    protein: Option<FeatureProtein>,
}

#[derive(Deserialize)]
struct FeatureProtein {
    aa_sequence: String,
}

impl<'de> Visitor<'de> for Features<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("features by identifier")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut features: A) -> Result<(), A::Error> {
        while let Some((id, feature)) = features.next_entry::<String, Feature>()? {
            if let Some(protein) = feature.protein {
                self.0.send(id, protein.aa_sequence)?;
            }
        }
        Ok(())
    }
}
