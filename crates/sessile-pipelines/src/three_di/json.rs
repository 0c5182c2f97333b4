//! Proteins in the JSON of a genome: a list of records (or one), each with `features` by
//! identifier that have `protein.aa_sequence`; or a list of `{"id": …, "sequence": …}`, or of the
//! proteins or ORFs that the stages of the genome pipeline write, as one document or as JSON Lines.

use std::io::Read;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess};

use super::proteins::Proteins;
use crate::genome_json::{self, Features, Records, Stopped};

/// How the reading of a file ended.
pub(super) enum End {
    /// All was read.
    Whole,
    /// All was read, and there was nothing.
    Empty,
    /// Nobody listens any more.
    Unheard,
    /// It can not be read further.
    Broken(String),
}

/// Reads a file and hands over its proteins.
pub(super) fn read(source: impl Read, name: &str, proteins: &Proteins<'_>) -> End {
    let mut state = State {
        name,
        proteins,
        count: 0,
        has_record: false,
        unheard: false,
    };
    let result = genome_json::read(source, &mut state);
    match result {
        _ if state.unheard => End::Unheard,
        Err(error) => End::Broken(format!("this JSON can not be read: {error}")),
        Ok(()) if state.count == 0 && !state.has_record => End::Empty,
        Ok(()) if state.count == 0 => End::Broken(
            "there are no proteins in this JSON (features with protein.aa_sequence, or objects \
             with id and sequence)"
                .to_owned(),
        ),
        Ok(()) => End::Whole,
    }
}

struct State<'a> {
    name: &'a str,
    proteins: &'a Proteins<'a>,
    count: u64,
    has_record: bool,
    unheard: bool,
}

impl State<'_> {
    fn send(&mut self, id: String, sequence: String) -> Result<(), Stopped> {
        self.count += 1;
        let place = format!("{}: protein {} ({id})", self.name, self.count);
        if self
            .proteins
            .send(id, String::new(), place, sequence.as_bytes())
        {
            return Ok(());
        }
        self.unheard = true;
        Err(Stopped)
    }
}

impl Records for State<'_> {
    const EXPECTED: &'static str = "a record with features, or a protein with id and sequence";

    fn record<'de, A: MapAccess<'de>>(&mut self, mut fields: A) -> Result<(), A::Error> {
        self.has_record = true;
        let (mut id, mut sequence) = (None, None);
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "features" => fields.next_value_seed(Features::new(|id, feature: Feature| {
                    match feature.protein {
                        Some(protein) => self.send(id, protein.aa_sequence),
                        None => Ok(()),
                    }
                }))?,
                "id" | "orf_id" => id = fields.next_value::<Text>()?.0,
                "orf" => id = fields.next_value::<Orf>()?.orf_id,
                "sequence" | "aa_sequence" => sequence = fields.next_value::<Text>()?.0,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        match (id, sequence) {
            (Some(id), Some(sequence)) => self.send(id, sequence).map_err(Stopped::error),
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

#[derive(Deserialize)]
struct Feature {
    protein: Option<FeatureProtein>,
}

#[derive(Deserialize)]
struct FeatureProtein {
    aa_sequence: String,
}
