//! The last stage: the entropies of records that were made before.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use sessile_seq::entropy::{mutual_information, shannon};
use sessile_seq::inputs::{self, Format, Input};

use super::list::{self, ListWriter};
use super::{OrfRecord, StageCounts, StageFiles, Told, interrupted};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::interrupt::Interrupt;
use crate::progress::Observer;

/// How entropies are measured.
#[derive(Clone, Debug, Default)]
pub struct MeasureOptions {
    /// Rows of `sessile entropy encode3di`, in the order of the proteins, for those without states.
    pub states: Option<PathBuf>,
    /// Divide entropies by the logarithm of the size of their alphabet, so that 1 is the most.
    pub normalize: bool,
}

/// The entropies of an ORF, in bits; null for what there is no sequence of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OrfEntropies {
    /// The record that it is of.
    pub parent_id: String,
    /// Its name within that record.
    pub orf_id: String,
    /// Of its bases.
    pub dna_entropy: Option<f64>,
    /// Of its residues, the stop left out.
    pub protein_entropy: Option<f64>,
    /// Of its 3Di states.
    pub three_di_entropy: Option<f64>,
    /// Of its states in the second alphabet.
    pub twelve_state_entropy: Option<f64>,
    /// Mutual information of the two, always in bits.
    pub three_di_twelve_state_mutual_information: Option<f64>,
}

/// Measures the records of JSON files: of a run, of its stages, or genome_entropy's own.
///
/// # Errors
///
/// What ends the stage as a whole. Records that fail are told to the observer.
pub fn measure(
    files: &StageFiles,
    options: &MeasureOptions,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<StageCounts, PipelineError> {
    let inputs = inputs::expand(&files.inputs, Format::Fasta)?;
    files.check(&inputs, options.states.as_ref())?;
    let mut states = options.states.as_deref().map(StateRows::open).transpose()?;
    let mut writer = ListWriter::create(files)?;
    let mut told = Told::new(observer);
    for input in &inputs {
        list::read(input, &mut told, &mut |told, place, record| {
            let found = match Sequences::of(record.get()) {
                Ok(found) => found,
                Err(reason) => {
                    told.fail("", place, &reason, false);
                    return Ok(true);
                }
            };
            for mut sequences in found {
                if let Some(states) = &mut states {
                    states.complete(&mut sequences)?;
                }
                match sequences.entropies(options.normalize) {
                    Ok(entropies) => {
                        writer.write(&entropies)?;
                        told.counts.records += 1;
                        told.counts.written += 1;
                    }
                    Err(reason) => {
                        let place = format!("{place} ({})", sequences.orf_id);
                        told.fail("", &place, &reason, false);
                    }
                }
            }
            Ok(interrupt.signal().is_none())
        })?;
    }
    if interrupt.signal().is_some() {
        return Err(interrupted(&told.counts));
    }
    told.check()?;
    if let Some(states) = states
        && let Some(row) = states.next
    {
        let message = format!(
            "{}: the row of `{}` belongs to no protein, or not in this place",
            states.name, row.id
        );
        return Err(PipelineError::new(PipelineErrorKind::Input, message)
            .with_hint("give the rows that encode3di made of this very file"));
    }
    writer.finish()?;
    Ok(told.counts)
}

/// What there is of an ORF.
#[derive(Clone, Debug, Default)]
struct Sequences {
    parent_id: String,
    orf_id: String,
    nucleotides: Option<String>,
    residues: Option<String>,
    three_di: Option<String>,
    twelve_state: Option<String>,
}

/// A record of any of the kinds that there are.
#[derive(Deserialize)]
struct AnyRecord {
    /// Of a run: a record of a genome with its ORFs.
    features: Option<Features>,
    /// Of encode3di in genome_entropy: states around a protein.
    protein: Option<WithOrf>,
    three_di: Option<String>,
    twelve_state: Option<String>,
    /// Of translate: a protein around an ORF.
    orf: Option<OrfRecord>,
    aa_sequence: Option<String>,
    /// Of orf: an ORF.
    orf_id: Option<String>,
    parent_id: Option<String>,
    nt_sequence: Option<String>,
}

#[derive(Deserialize)]
struct WithOrf {
    orf: OrfRecord,
    aa_sequence: String,
}

#[derive(Deserialize)]
struct Feature {
    orf_id: String,
    dna: Option<Dna>,
    protein: Option<Protein>,
    three_di: Option<Encoding>,
    twelve_state: Option<Encoding>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Dna {
    nt_sequence: String,
}

#[derive(Deserialize)]
struct Protein {
    aa_sequence: String,
}

#[derive(Deserialize)]
struct Encoding {
    encoding: String,
}

#[derive(Deserialize)]
struct Metadata {
    parent_id: String,
}

/// Features in their order.
struct Features(Vec<Feature>);

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Features;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("features by identifier")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Features, A::Error> {
                let mut features = Vec::new();
                while let Some((_, feature)) = map.next_entry::<String, Feature>()? {
                    features.push(feature);
                }
                Ok(Features(features))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Sequences {
    fn of(record: &str) -> Result<Vec<Self>, String> {
        let record: AnyRecord = serde_json::from_str(record)
            .map_err(|error| format!("it is no record of a genome, ORF or protein: {error}"))?;
        if let Some(Features(features)) = record.features {
            return Ok(features.into_iter().map(Sequences::of_feature).collect());
        }
        if let Some(WithOrf { orf, aa_sequence }) = record.protein {
            return Ok(vec![Sequences {
                three_di: record.three_di,
                twelve_state: record.twelve_state,
                ..Sequences::of_protein(orf, aa_sequence)
            }]);
        }
        if let (Some(orf), Some(aa_sequence)) = (record.orf, &record.aa_sequence) {
            return Ok(vec![Sequences::of_protein(orf, aa_sequence.clone())]);
        }
        match record.orf_id {
            Some(orf_id) => Ok(vec![Sequences {
                parent_id: record.parent_id.unwrap_or_default(),
                orf_id,
                nucleotides: record.nt_sequence,
                residues: record.aa_sequence.map(without_stop),
                ..Sequences::default()
            }]),
            None => Err("it is no record of a genome, ORF or protein".to_owned()),
        }
    }

    fn of_feature(feature: Feature) -> Self {
        let parent_id = feature.metadata.map(|metadata| metadata.parent_id);
        Sequences {
            parent_id: parent_id.unwrap_or_default(),
            orf_id: feature.orf_id,
            nucleotides: feature.dna.map(|dna| dna.nt_sequence),
            residues: (feature.protein).map(|protein| without_stop(protein.aa_sequence)),
            three_di: feature.three_di.map(|states| states.encoding),
            twelve_state: feature.twelve_state.map(|states| states.encoding),
        }
    }

    fn of_protein(orf: OrfRecord, aa_sequence: String) -> Self {
        Sequences {
            parent_id: orf.parent_id,
            orf_id: orf.orf_id,
            nucleotides: Some(orf.nt_sequence).filter(|bases| !bases.is_empty()),
            residues: Some(without_stop(aa_sequence)),
            ..Sequences::default()
        }
    }

    fn entropies(&self, normalize: bool) -> Result<OrfEntropies, String> {
        let entropy = |sequence: &Option<String>, letters: f64| {
            let bits = shannon(sequence.as_ref()?.as_bytes());
            Some(if normalize {
                bits / letters.log2()
            } else {
                bits
            })
        };
        let both = self.three_di.as_ref().zip(self.twelve_state.as_ref());
        let shared = both.map(|(a, b)| mutual_information(a.as_bytes(), b.as_bytes()));
        Ok(OrfEntropies {
            parent_id: self.parent_id.clone(),
            orf_id: self.orf_id.clone(),
            dna_entropy: entropy(&self.nucleotides, 4.0),
            protein_entropy: entropy(&self.residues, 20.0),
            three_di_entropy: entropy(&self.three_di, 20.0),
            twelve_state_entropy: entropy(&self.twelve_state, 12.0),
            three_di_twelve_state_mutual_information: shared
                .transpose()
                .map_err(|error| error.to_string())?,
        })
    }
}

fn without_stop(mut protein: String) -> String {
    if protein.ends_with('*') {
        protein.pop();
    }
    protein
}

/// A row of encode3di.
#[derive(Deserialize)]
struct StateRow {
    id: String,
    three_di: String,
    twelve_state: Option<String>,
}

/// Rows of encode3di, which come in the order of the proteins; one that failed there has none.
struct StateRows {
    name: String,
    lines: std::io::Lines<BufReader<sessile_seq::compression::BoxRead>>,
    next: Option<StateRow>,
}

impl StateRows {
    fn open(path: &std::path::Path) -> Result<Self, PipelineError> {
        let input = Input::File(path.to_owned());
        let mut rows = StateRows {
            name: input.name(),
            lines: BufReader::new(input.open()?).lines(),
            next: None,
        };
        rows.advance()?;
        Ok(rows)
    }

    fn advance(&mut self) -> Result<(), PipelineError> {
        let wrong = |name: &str, error: String| {
            PipelineError::new(PipelineErrorKind::Input, format!("{name}: {error}"))
                .with_hint("--states takes what `sessile entropy encode3di` wrote")
        };
        self.next = match self.lines.next() {
            None => None,
            Some(Err(error)) => return Err(wrong(&self.name, error.to_string())),
            Some(Ok(line)) => Some(
                serde_json::from_str(&line)
                    .map_err(|error| wrong(&self.name, error.to_string()))?,
            ),
        };
        Ok(())
    }

    /// Gives an ORF its states, if the next row is its own.
    fn complete(&mut self, sequences: &mut Sequences) -> Result<(), PipelineError> {
        let residues = sequences.residues.as_ref().map_or(0, String::len);
        // A decoder may write fewer states than there are residues.
        let is_own =
            |row: &mut StateRow| row.id == sequences.orf_id && row.three_di.len() <= residues;
        if let Some(row) = self.next.take_if(is_own) {
            sequences.three_di = Some(row.three_di);
            sequences.twelve_state = row.twelve_state;
            self.advance()?;
        }
        Ok(())
    }
}
