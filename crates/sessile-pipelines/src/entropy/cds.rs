//! Which ORFs are annotated: the coding sequences of a sample's GenBank files, by either rule.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sessile_seq::cds_match::{CdsIndex, LastResidues};
use sessile_seq::genbank;
use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::inputs::{self, Census, Format, Input};

use super::document::SchemaVersion;
use super::genome::{Annotation, Genome, OrfRule};
use super::sample::Sample;
use super::sources::{Content, ReadRecord};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::job::reason;

/// How records become genomes.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) code: GeneticCode,
    pub(super) rule: OrfRule,
    pub(super) cds: SampleCds,
}

/// The coding sequences of a sample.
#[derive(Debug)]
pub(super) enum SampleCds {
    /// There is no annotation.
    None,
    /// Those of a GenBank record are matched with its own ORFs.
    OfRecord,
    /// The last residues of all annotated proteins of the sample.
    Ends(LastResidues),
    /// For sequences from FASTA: those of the GenBank record with the same identifier.
    ById(HashMap<String, Arc<Known>>),
}

/// The coding sequences of a GenBank record whose sequence is read elsewhere.
#[derive(Debug)]
pub(super) struct Known {
    bases: usize,
    index: CdsIndex,
    /// Its identifier, and its file.
    id: String,
    file: String,
    /// Whether a sequence of its name was met.
    is_met: AtomicBool,
}

/// A record that was looked through, or what was wrong with it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) place: String,
    pub(super) genome: Result<Genome, Lost>,
    /// What else of the record could not be used.
    pub(super) issues: Vec<String>,
}

/// Why there is no record.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) reason: String,
    pub(super) is_file: bool,
}

impl SampleCds {
    /// Collects what is needed of a sample's annotation before its first ORF. What can not be used
    /// goes to `told`, with its place; records that are read once more are silent here.
    pub(super) fn collect(
        sample: &Sample,
        schema: SchemaVersion,
        code: GeneticCode,
        census: &Census,
        mut told: impl FnMut(&str, &str) -> Result<(), PipelineError>,
    ) -> Result<Self, PipelineError> {
        if sample.genbank.is_empty() {
            return Ok(SampleCds::None);
        }
        let is_read_again = sample.fasta.is_empty();
        if is_read_again && schema == SchemaVersion::V2_2 {
            return Ok(SampleCds::OfRecord);
        }
        let inputs = inputs::expand(&sample.genbank, Format::GenBank)?;
        if is_read_again && inputs.contains(&Input::Stdin) {
            return Err(PipelineError::new(
                PipelineErrorKind::Usage,
                "schema 2.0.0 reads GenBank twice, which standard input can not be",
            )
            .with_hint("name a file, or take --schema 2.2.0"));
        }
        let mut ends = LastResidues::default();
        let mut by_id = HashMap::new();
        for input in &inputs {
            let reader = match genbank::Reader::from_input(input) {
                Ok(reader) => reader,
                Err(_) if is_read_again => continue,
                Err(error) => {
                    told(&error.place(), &reason(&error))?;
                    continue;
                }
            };
            // Without FASTA the file is read for its sequences, too, and counted there.
            let reader = match is_read_again {
                true => reader,
                false => reader.counted_by(census),
            };
            for record in reader {
                match record {
                    Ok(record) => match schema {
                        SchemaVersion::V2_0 => {
                            let proteins = record.cds.iter();
                            ends.extend(proteins.filter_map(|cds| cds.translation.as_ref()));
                        }
                        SchemaVersion::V2_2 => {
                            let (index, issues) = CdsIndex::new(&record, code);
                            let place = format!("{}: {}", input.name(), record.id);
                            for issue in record.issues.iter().chain(&issues) {
                                told(&place, &left_out(issue))?;
                            }
                            let bases = record.sequence.len();
                            let known = Arc::new(Known {
                                bases,
                                index,
                                id: record.id.clone(),
                                file: input.name(),
                                is_met: AtomicBool::new(false),
                            });
                            by_id
                                .entry(without_version(&record.id).to_owned())
                                .or_insert_with(|| Arc::clone(&known));
                            by_id.insert(record.id, known);
                        }
                    },
                    Err(_) if is_read_again => {}
                    Err(error) => told(&error.place(), &reason(&error))?,
                }
            }
        }
        Ok(match schema {
            SchemaVersion::V2_0 => SampleCds::Ends(ends),
            SchemaVersion::V2_2 => SampleCds::ById(by_id),
        })
    }
}

/// `NC_007026` of `NC_007026.1`.
fn without_version(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((accession, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => {
            accession
        }
        _ => id,
    }
}

fn left_out(issue: &sessile_seq::Error) -> String {
    let place = issue
        .line()
        .map_or_else(String::new, |line| format!(" at line {line}"));
    format!("a feature{place} is left out: {}", issue.message())
}

impl Finding {
    /// Finds the ORFs of a record.
    pub(super) fn prepare(&self, read: ReadRecord) -> Prepared {
        let ReadRecord {
            number,
            id,
            place,
            content,
        } = read;
        let mut issues = Vec::new();
        let genome = match content {
            Content::Unreadable {
                reason, is_file, ..
            } => Err(Lost { reason, is_file }),
            Content::Fasta(sequence) => {
                let known = self.known(&id);
                let annotation = match &known {
                    Some(known) if known.bases == sequence.len() => Annotation::Place(&known.index),
                    Some(known) => {
                        issues.push(format!(
                            "its GenBank record has {} bases, the sequence has {}: no coding \
                             sequence is matched",
                            known.bases,
                            sequence.len()
                        ));
                        Annotation::None
                    }
                    None => self.ends(),
                };
                self.find(&id, sequence, annotation)
            }
            Content::GenBank(mut record) => {
                issues.extend(record.issues.iter().map(left_out));
                let index = match self.cds {
                    SampleCds::OfRecord => {
                        let (index, unusable) = CdsIndex::new(&record, self.code);
                        issues.extend(unusable.iter().map(left_out));
                        Some(index)
                    }
                    _ => None,
                };
                let annotation = match &index {
                    Some(index) => Annotation::Place(index),
                    None => self.ends(),
                };
                let sequence = std::mem::take(&mut record.sequence);
                self.find(&id, sequence, annotation)
            }
        };
        Prepared {
            number,
            id,
            place,
            genome,
            issues,
        }
    }

    fn known(&self, id: &str) -> Option<Arc<Known>> {
        match &self.cds {
            SampleCds::ById(known) => known.get(id).or_else(|| known.get(without_version(id))),
            _ => None,
        }
        .inspect(|known| known.is_met.store(true, Ordering::Relaxed))
        .cloned()
    }

    /// GenBank records without a sequence among those that were prepared, file and identifier of
    /// each in their order, and whether there are others.
    pub(super) fn unmatched(&self) -> (Vec<(String, String)>, bool) {
        let SampleCds::ById(known) = &self.cds else {
            return (Vec::new(), false);
        };
        let (met, unmet): (Vec<_>, Vec<_>) = known
            .values()
            .partition(|known| known.is_met.load(Ordering::Relaxed));
        let named: BTreeSet<(String, String)> = unmet
            .into_iter()
            .map(|known| (known.file.clone(), known.id.clone()))
            .collect();
        (named.into_iter().collect(), !met.is_empty())
    }

    fn ends(&self) -> Annotation<'_> {
        match &self.cds {
            SampleCds::Ends(ends) => Annotation::LastResidues(ends),
            _ => Annotation::None,
        }
    }

    fn find(
        &self,
        id: &str,
        sequence: Vec<u8>,
        annotation: Annotation<'_>,
    ) -> Result<Genome, Lost> {
        Genome::find(id, sequence, self.code, self.rule, annotation).map_err(|reason| Lost {
            reason,
            is_file: false,
        })
    }
}
