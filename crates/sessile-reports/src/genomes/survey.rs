//! What a run found, looked over in one pass and in memory that does not grow: counts, means and
//! medians, and as many ORFs as pictures and tables show.

mod distribution;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};

use sessile_seq::inputs::Input;

pub(super) use self::distribution::{Distribution, Lengths};
use crate::drawing::Sampled;
use sessile_pipelines::Interrupt;
use sessile_pipelines::entropy::stored::{self, Stored, StoredOrf, StoredRecord};
use sessile_pipelines::stored_bytes;
use sessile_pipelines::{Observer, Progress};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// ORFs of each class that a scatter shows, at most.
const MOST_DOTS: usize = 6_000;

/// ORFs of a record that are drawn along it, at most.
const MOST_MARKS: usize = 12_000;

/// Records that a table lists.
const MOST_RECORDS: usize = 200;

/// ORFs that a table lists.
const MOST_ORFS: usize = 2_000;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Records to draw along, in this order; when empty, the first ones with ORFs.
    pub(super) records: Vec<String>,
    /// Most records to draw along when none is named.
    pub(super) most: usize,
    /// Whether the genomes had an annotation, where a caller knows it; by itself a file without a
    /// marked ORF says nothing.
    pub(super) is_annotated: Option<bool>,
}

/// ORFs of a class.
#[derive(Default)]
pub(super) struct Class {
    pub(super) count: u64,
    pub(super) residues: Distribution,
    pub(super) lengths: Lengths,
    pub(super) dna: Distribution,
    pub(super) protein: Distribution,
    pub(super) three_di: Distribution,
    pub(super) twelve_state: Distribution,
    pub(super) mutual_information: Distribution,
    /// Entropies of DNA and protein.
    pub(super) composition: Sampled<[f64; 2]>,
    /// Entropies of protein and 3Di.
    pub(super) structure: Sampled<[f64; 2]>,
}

/// An ORF as it is drawn along its record.
#[derive(Clone, Copy)]
pub(super) struct Drawn {
    pub(super) start: u64,
    pub(super) end: u64,
    is_plus: bool,
    pub(super) is_annotated: bool,
    pub(super) protein: f64,
    pub(super) three_di: Option<f64>,
}

/// A record that is drawn along.
pub(super) struct DrawnRecord {
    pub(super) record: StoredRecord,
    /// Its bases, or where its last ORF ends when they are not known.
    pub(super) length: u64,
    /// Its ORFs; where they lie counts from the left of the sequence as given.
    pub(super) orfs: Sampled<Drawn>,
}

/// A line of the table of records.
pub(super) struct RecordRow {
    pub(super) record: StoredRecord,
    pub(super) orfs: u64,
    /// Those in GenBank; `None` where that is not known.
    pub(super) annotated: Option<u64>,
    pub(super) protein: Distribution,
}

/// An ORF that is among the longest.
struct Long(StoredOrf, Reverse<u64>);

impl Long {
    /// Longer first; of equal ones, the one that came first.
    fn key(&self) -> (u64, Reverse<u64>) {
        (self.0.residues, self.1)
    }
}

impl PartialEq for Long {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Long {}

impl PartialOrd for Long {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Long {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// What a run found.
#[derive(Default)]
pub(super) struct Survey {
    wanted: Wanted,
    pub(super) records: u64,
    /// Of the records that say how long they are.
    pub(super) bases: u64,
    pub(super) without_length: u64,
    pub(super) schemas: BTreeSet<String>,
    pub(super) models: BTreeSet<String>,
    pub(super) annotated: Class,
    pub(super) others: Class,
    /// ORFs of which it is not known whether they are annotated; they are among the others.
    pub(super) unlabelled: u64,
    /// Of the file that is being read.
    file: OfFile,
    /// ORFs that lack something, and files that can not be read.
    pub(super) failed: u64,
    pub(super) rows: Vec<RecordRow>,
    pub(super) drawn: Vec<DrawnRecord>,
    longest: BinaryHeap<Reverse<Long>>,
    /// Of the record that is being read.
    under_way: UnderWay,
}

/// Where a file begins among what was found before.
#[derive(Default)]
struct OfFile {
    orfs: u64,
    annotated: u64,
    unlabelled: u64,
    rows: usize,
}

struct UnderWay {
    orfs: u64,
    annotated: u64,
    protein: Distribution,
    drawn: Sampled<Drawn>,
}

impl Default for UnderWay {
    fn default() -> Self {
        UnderWay {
            orfs: 0,
            annotated: 0,
            protein: Distribution::default(),
            drawn: Sampled::new(MOST_MARKS),
        }
    }
}

impl Class {
    fn new() -> Self {
        Class {
            composition: Sampled::new(MOST_DOTS),
            structure: Sampled::new(MOST_DOTS),
            ..Class::default()
        }
    }

    fn take(&mut self, orf: &StoredOrf) {
        self.count += 1;
        self.residues.push(orf.residues as f64);
        self.lengths.push(orf.residues);
        self.dna.push(orf.dna_entropy);
        self.protein.push(orf.protein_entropy);
        self.composition
            .push([orf.dna_entropy, orf.protein_entropy]);
        if let Some(three_di) = orf.three_di_entropy {
            self.three_di.push(three_di);
            self.structure.push([orf.protein_entropy, three_di]);
        }
        if let Some(entropy) = orf.twelve_state_entropy {
            self.twelve_state.push(entropy);
        }
        if let Some(shared) = orf.mutual_information {
            self.mutual_information.push(shared);
        }
    }
}

impl Survey {
    /// Reads files. What can not be read is told to the observer and counted.
    pub(super) fn of(
        files: &[Input],
        wanted: Wanted,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Self, PipelineError> {
        let mut survey = Survey {
            wanted,
            annotated: Class::new(),
            others: Class::new(),
            ..Survey::default()
        };
        let mut progress = Progress {
            bytes_total: files.iter().map(stored_bytes).sum(),
            ..Progress::default()
        };
        let mut problem = None;
        for file in files {
            let name = file.name();
            survey.begin_file();
            let result = stored::read(file, &mut |stored| {
                if let Some(signal) = interrupt.signal() {
                    return Err(PipelineError::new(
                        PipelineErrorKind::Interrupted,
                        format!("stopped by signal {signal}; no file was written"),
                    ));
                }
                if let Stored::Incomplete(id, what) = stored {
                    observer.failure(id, &format!("{name}: {id}"), what);
                }
                survey.take(stored);
                progress.records = survey.records;
                observer.progress(&progress);
                Ok(())
            });
            progress.bytes_read += stored_bytes(file);
            survey.under_way = UnderWay::default();
            survey.end_file();
            match result {
                Err(error) if error.kind() == PipelineErrorKind::Input => {
                    survey.failed += 1;
                    observer.failure("", "", &error.to_string());
                    problem.get_or_insert(error);
                }
                other => other?,
            }
        }
        match problem {
            Some(problem) if survey.records == 0 => Err(problem),
            _ => Ok(survey),
        }
    }

    fn begin_file(&mut self) {
        self.file = OfFile {
            orfs: self.orfs(),
            annotated: self.annotated.count,
            unlabelled: self.unlabelled,
            rows: self.rows.len(),
        };
    }

    /// Where no ORF of a file is marked there was no annotation, unless the caller knows of one.
    fn end_file(&mut self) {
        let begin = std::mem::take(&mut self.file);
        let is_marked = self.annotated.count > begin.annotated;
        if is_marked || self.wanted.is_annotated == Some(true) {
            return;
        }
        self.unlabelled = begin.unlabelled + self.orfs() - begin.orfs;
        for row in &mut self.rows[begin.rows..] {
            row.annotated = None;
        }
        let mut longest = std::mem::take(&mut self.longest).into_vec();
        for Reverse(Long(orf, Reverse(number))) in &mut longest {
            if *number > begin.orfs {
                orf.in_genbank = None;
            }
        }
        self.longest = longest.into();
    }

    /// Whether it is known of any ORF whether it is annotated.
    pub(super) fn has_annotation(&self) -> bool {
        self.wanted.is_annotated == Some(true) || self.unlabelled < self.orfs()
    }

    fn take(&mut self, stored: Stored<'_>) {
        match stored {
            Stored::Orf(orf) => self.take_orf(orf),
            Stored::Incomplete(..) => self.failed += 1,
            Stored::Record(record) => self.take_record(record),
        }
    }

    fn take_orf(&mut self, orf: &StoredOrf) {
        let is_annotated = orf.in_genbank == Some(true);
        self.unlabelled += u64::from(orf.in_genbank.is_none());
        let class = if is_annotated {
            &mut self.annotated
        } else {
            &mut self.others
        };
        class.take(orf);
        let number = self.orfs();
        if self.longest.len() < MOST_ORFS
            || (self.longest.peek()).is_some_and(|Reverse(last)| last.0.residues < orf.residues)
        {
            self.longest
                .push(Reverse(Long(orf.clone(), Reverse(number))));
            if self.longest.len() > MOST_ORFS {
                self.longest.pop();
            }
        }
        let under_way = &mut self.under_way;
        under_way.orfs += 1;
        under_way.annotated += u64::from(is_annotated);
        under_way.protein.push(orf.protein_entropy);
        under_way.drawn.push(Drawn {
            start: orf.start,
            end: orf.end,
            is_plus: orf.is_plus,
            is_annotated,
            protein: orf.protein_entropy,
            three_di: orf.three_di_entropy,
        });
    }

    fn take_record(&mut self, record: &StoredRecord) {
        self.records += 1;
        match record.length {
            Some(length) => self.bases += length,
            None => self.without_length += 1,
        }
        if !record.schema.is_empty() {
            self.schemas.insert(record.schema.clone());
        }
        self.models.extend(record.model.clone());
        let UnderWay {
            orfs,
            annotated,
            protein,
            mut drawn,
        } = std::mem::take(&mut self.under_way);
        if self.is_wanted(record, orfs) {
            let last = drawn.items().iter().map(|orf| orf.end).max().unwrap_or(1);
            let length = record.length.unwrap_or(last);
            drawn.for_each(|orf| {
                orf.end = orf.end.min(length);
                orf.start = orf.start.clamp(1, orf.end.max(1));
                if !orf.is_plus {
                    (orf.start, orf.end) = (length - orf.end + 1, length + 1 - orf.start);
                }
            });
            self.drawn.push(DrawnRecord {
                record: record.clone(),
                length,
                orfs: drawn,
            });
        }
        if self.rows.len() < MOST_RECORDS {
            self.rows.push(RecordRow {
                record: record.clone(),
                orfs,
                annotated: Some(annotated),
                protein,
            });
        }
    }

    fn is_wanted(&self, record: &StoredRecord, orfs: u64) -> bool {
        match self.wanted.records.as_slice() {
            [] => orfs > 0 && self.drawn.len() < self.wanted.most,
            named => {
                let is_new = self.drawn.iter().all(|drawn| drawn.record.id != record.id);
                named.contains(&record.id) && is_new
            }
        }
    }

    /// All ORFs.
    pub(super) fn orfs(&self) -> u64 {
        self.annotated.count + self.others.count
    }

    /// ORFs with structure states.
    pub(super) fn with_states(&self) -> u64 {
        self.annotated.three_di.count() + self.others.three_di.count()
    }

    /// Records drawn along, in the order in which they were named.
    pub(super) fn drawn(&self) -> Vec<&DrawnRecord> {
        let mut drawn: Vec<&DrawnRecord> = self.drawn.iter().collect();
        drawn.sort_by_key(|drawn| {
            (self.wanted.records.iter()).position(|name| *name == drawn.record.id)
        });
        drawn
    }

    /// The longest ORFs, longest first.
    pub(super) fn longest(&self) -> Vec<&StoredOrf> {
        let mut longest: Vec<&Long> = self.longest.iter().map(|Reverse(long)| long).collect();
        longest.sort_by(|a, b| b.cmp(a));
        longest.into_iter().map(|long| &long.0).collect()
    }
}
