//! Records of genomes read back from the files that hold them, an ORF at a time.
//!
//! The files are those of this program and of genome_entropy in their unified layout (schemas 2.0.0
//! and 2.2.0): a list of records, one record, or JSON Lines, compressed or not. Sequences are passed
//! over; memory does not grow with the file.

use std::collections::BTreeMap;
use std::io::BufReader;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess};
use sessile_seq::inputs::Input;

use crate::error::{PipelineError, PipelineErrorKind};
use crate::genome_json::{self, Features, Records, Stopped};

/// The schema that writes zeros for what was not computed.
const OLD_SCHEMA: &str = "2.0.0";

/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 17;

/// What a file says of an ORF beside its sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredOrf {
    /// The identifier of its record.
    pub record: String,
    /// Its own identifier.
    pub id: String,
    /// Where it begins on the strand it is read from, from 1.
    pub start: u64,
    /// Where it ends, that base included.
    pub end: u64,
    /// Whether it is read from the sequence as given.
    pub is_plus: bool,
    /// Its reading frame.
    pub frame: u8,
    /// Bases.
    pub bases: u64,
    /// Residues.
    pub residues: u64,
    /// States of 3Di, if there are any.
    pub three_di: Option<u64>,
    /// States of the second alphabet, if there are any.
    pub twelve_state: Option<u64>,
    /// Entropy of its bases in bits.
    pub dna_entropy: f64,
    /// Entropy of its residues.
    pub protein_entropy: f64,
    /// Entropy of its 3Di states.
    pub three_di_entropy: Option<f64>,
    /// Entropy of its states in the second alphabet.
    pub twelve_state_entropy: Option<f64>,
    /// Mutual information of the two.
    pub mutual_information: Option<f64>,
    /// Whether there is an M in it.
    pub has_start: bool,
    /// Whether there is a stop in it.
    pub has_stop: bool,
    /// Whether it is an annotated coding sequence, where the file says so.
    pub in_genbank: Option<bool>,
}

/// What a file says of a record beside its ORFs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredRecord {
    /// Its identifier.
    pub id: String,
    /// Bases.
    pub length: Option<u64>,
    /// Entropy of all its bases in bits.
    pub dna_entropy: Option<f64>,
    /// The schema it is written in.
    pub schema: String,
    /// The model of its structure states, as its ORFs name it.
    pub model: Option<String>,
    /// Whether its entropies were not computed: schema 2.0 has zeros for them, and no alphabets.
    pub is_skipped: bool,
}

/// What is found on the way through a file.
#[derive(Debug)]
pub enum Stored<'a> {
    /// An ORF.
    Orf(&'a StoredOrf),
    /// An ORF that lacks something: its name and what.
    Incomplete(&'a str, &'a str),
    /// The end of a record, with what was said of it.
    Record(&'a StoredRecord),
}

/// Reads a file and hands over what it holds; an error of `on` ends the reading.
///
/// # Errors
///
/// `Input` when the file can not be read or is something else, and whatever `on` says.
pub fn read(
    input: &Input,
    on: &mut dyn FnMut(Stored<'_>) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    let name = input.name();
    let reader = BufReader::with_capacity(BUFFER_BYTES, input.open()?);
    let mut state = State {
        on,
        stopped: None,
        records: 0,
    };
    let result = genome_json::read(reader, &mut state);
    if let Some(stopped) = state.stopped {
        return Err(stopped);
    }
    let hint = "give the JSON or JSON Lines that `sessile entropy run` or genome_entropy wrote";
    let bad = |what: String| {
        let message = format!("{name}: {what}");
        Err(PipelineError::new(PipelineErrorKind::Input, message).with_hint(hint))
    };
    match result {
        Err(error) => bad(format!("this JSON can not be read: {error}")),
        Ok(()) if state.records == 0 => bad("there are no records with features in it".to_owned()),
        Ok(()) => Ok(()),
    }
}

struct State<'a> {
    on: &'a mut dyn FnMut(Stored<'_>) -> Result<(), PipelineError>,
    stopped: Option<PipelineError>,
    records: u64,
}

impl State<'_> {
    fn hand(&mut self, stored: Stored<'_>) -> Result<(), Stopped> {
        (self.on)(stored).map_err(|error| {
            self.stopped = Some(error);
            Stopped
        })
    }

    fn feature(
        &mut self,
        record: &mut StoredRecord,
        id: &str,
        mut feature: Feature,
    ) -> Result<(), Stopped> {
        if record.model.is_none() {
            record.model = (feature.three_di.as_mut()).and_then(|states| states.model_name.take());
        }
        if record.is_skipped {
            feature.entropy = None;
            record.dna_entropy = None;
        }
        match feature.orf(&record.id, id) {
            Ok(orf) => self.hand(Stored::Orf(&orf)),
            Err(what) => {
                let what = format!("{what} is missing");
                self.hand(Stored::Incomplete(id, &what))
            }
        }
    }
}

impl Records for State<'_> {
    const EXPECTED: &'static str = "a record with features";

    fn record<'de, A: MapAccess<'de>>(&mut self, mut fields: A) -> Result<(), A::Error> {
        let mut record = StoredRecord::default();
        let mut has_features = false;
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "features" => {
                    has_features = true;
                    fields.next_value_seed(Features::new(|id: String, feature| {
                        self.feature(&mut record, &id, feature)
                    }))?;
                }
                "schema_version" => record.schema = fields.next_value()?,
                "input_id" => record.id = fields.next_value()?,
                "input_dna_length" => record.length = fields.next_value()?,
                "dna_entropy_global" => record.dna_entropy = fields.next_value()?,
                "alphabet_sizes" => {
                    let sizes: BTreeMap<String, IgnoredAny> = fields.next_value()?;
                    record.is_skipped = sizes.is_empty() && record.schema == OLD_SCHEMA;
                }
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_features {
            self.records += 1;
            self.hand(Stored::Record(&record)).map_err(Stopped::error)?;
        }
        Ok(())
    }

    fn end_list(&mut self) {
        // An empty list is a whole run without records.
        self.records += 1;
    }
}

#[derive(Default, Deserialize)]
struct Feature {
    location: Option<Location>,
    dna: Option<Sequence>,
    protein: Option<Sequence>,
    three_di: Option<Sequence>,
    twelve_state: Option<Sequence>,
    metadata: Option<Metadata>,
    entropy: Option<Entropy>,
}

#[derive(Deserialize)]
struct Location {
    start: Option<u64>,
    end: Option<u64>,
    strand: Option<String>,
    frame: Option<u8>,
}

#[derive(Deserialize)]
struct Sequence {
    length: Option<u64>,
    model_name: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    parent_id: Option<String>,
    has_start_codon: Option<bool>,
    has_stop_codon: Option<bool>,
    in_genbank: Option<bool>,
}

#[derive(Deserialize)]
struct Entropy {
    dna_entropy: Option<f64>,
    protein_entropy: Option<f64>,
    three_di_entropy: Option<f64>,
    twelve_state_entropy: Option<f64>,
    three_di_twelve_state_mutual_information: Option<f64>,
}

impl Feature {
    /// The ORF, or what it lacks. Structure states may be absent.
    fn orf(self, record: &str, id: &str) -> Result<StoredOrf, &'static str> {
        let location = self.location.ok_or("location")?;
        let metadata = self.metadata.ok_or("metadata")?;
        let entropy = self.entropy.ok_or("entropy")?;
        let length = |sequence: &Option<Sequence>| sequence.as_ref()?.length;
        let record = match record {
            "" => metadata.parent_id.unwrap_or_default(),
            record => record.to_owned(),
        };
        Ok(StoredOrf {
            record,
            id: id.to_owned(),
            start: location.start.ok_or("location.start")?,
            end: location.end.ok_or("location.end")?,
            is_plus: location.strand.ok_or("location.strand")? == "+",
            frame: location.frame.ok_or("location.frame")?,
            bases: length(&self.dna).ok_or("dna.length")?,
            residues: length(&self.protein).ok_or("protein.length")?,
            three_di: length(&self.three_di),
            twelve_state: length(&self.twelve_state),
            dna_entropy: entropy.dna_entropy.ok_or("entropy.dna_entropy")?,
            protein_entropy: entropy.protein_entropy.ok_or("entropy.protein_entropy")?,
            three_di_entropy: entropy.three_di_entropy,
            twelve_state_entropy: entropy.twelve_state_entropy,
            mutual_information: entropy.three_di_twelve_state_mutual_information,
            has_start: metadata.has_start_codon.ok_or("metadata.has_start_codon")?,
            has_stop: metadata.has_stop_codon.ok_or("metadata.has_stop_codon")?,
            in_genbank: metadata.in_genbank,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn stored(path: &Path) -> (Vec<StoredOrf>, Vec<String>, Vec<StoredRecord>) {
        let (mut orfs, mut incomplete, mut records) = (Vec::new(), Vec::new(), Vec::new());
        read(&Input::File(path.to_owned()), &mut |stored| {
            match stored {
                Stored::Orf(orf) => orfs.push(orf.clone()),
                Stored::Incomplete(id, what) => incomplete.push(format!("{id}: {what}")),
                Stored::Record(record) => records.push(record.clone()),
            }
            Ok(())
        })
        .unwrap();
        (orfs, incomplete, records)
    }

    #[test]
    fn files_of_genome_entropy_are_read() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/golden/genome_entropy/pipeline");
        let (orfs, incomplete, records) = stored(&folder.join("acgt_t11_minaa30.json"));
        assert!(incomplete.is_empty());
        assert_eq!(records.len(), 14);
        assert_eq!(
            (records[0].id.as_str(), records[0].length),
            ("syn_random", Some(2600))
        );
        assert_eq!(records[0].model.as_deref(), Some("Rostlab/ProstT5"));
        let first = &orfs[0];
        assert_eq!(
            (first.record.as_str(), first.id.as_str()),
            ("syn_random", "orf1")
        );
        assert_eq!((first.start, first.end, first.frame), (261, 566, 3));
        assert_eq!(
            (first.bases, first.residues, first.three_di),
            (306, 101, Some(101))
        );
        assert_eq!(first.dna_entropy, 1.991_456_355_707_080_8);
        assert_eq!((first.in_genbank, first.twelve_state), (Some(false), None));
        let (packed, _, _) = stored(&folder.join("acgt_t11_minaa10.json.gz"));
        assert!(packed.len() > orfs.len());
    }

    const ORF: &str = r#"{"orf_id": "o", "location": {"start": 4, "end": 9, "strand": "-",
        "frame": 2}, "dna": {"length": 6}, "protein": {"length": 2}, "three_di": null,
        "metadata": {"parent_id": "p", "has_start_codon": false, "has_stop_codon": true,
        "in_genbank": true}, "entropy": {"dna_entropy": 1, "protein_entropy": 0.5,
        "three_di_entropy": null}}"#;

    fn record(id: &str, features: &str) -> String {
        let record = format!(r#"{{"features": {{{features}}}, "input_id": "{id}", "more": [1]}}"#);
        record.replace('\n', " ")
    }

    #[test]
    fn lines_and_orfs_without_structure_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let lines = [
            record("a", &format!(r#""o1": {ORF}"#)),
            record("b", ""),
            record("c", &format!(r#""o1": {{"entropy": {{}}}}, "o2": {ORF}"#)),
        ];
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let (orfs, incomplete, records) = stored(&path);
        assert_eq!(incomplete, ["o1: location is missing"]);
        assert_eq!(
            records.iter().map(|record| &record.id).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert_eq!(orfs.len(), 2);
        // The identifier comes behind the features here; the ORF names its record itself.
        assert_eq!((orfs[0].record.as_str(), orfs[0].is_plus), ("p", false));
        assert_eq!((orfs[0].three_di, orfs[0].three_di_entropy), (None, None));
        assert_eq!(orfs[0].in_genbank, Some(true));
    }

    #[test]
    fn other_files_are_refused_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        for (text, word) in [
            ("[1]", "invalid type"),
            ("{\"orfs\": []}", "no records"),
            ("[{\"features\": {\"o\": {\"dna\": 3}}}]", "line 1"),
            ("[{\"features\": {}}", "EOF"),
            ("[] x", "column"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&Input::File(path.clone()), &mut |_| Ok(())).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
            assert!(error.to_string().contains("r.json"), "{error}");
        }
    }

    #[test]
    fn whoever_listens_can_end_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        std::fs::write(&path, record("a", &format!(r#""o1": {ORF}, "o2": {ORF}"#))).unwrap();
        let mut heard = 0;
        let error = read(&Input::File(path), &mut |_| {
            heard += 1;
            Err(PipelineError::new(PipelineErrorKind::Interrupted, "enough"))
        });
        assert_eq!(error.unwrap_err().kind(), PipelineErrorKind::Interrupted);
        assert_eq!(heard, 1);
    }
}
