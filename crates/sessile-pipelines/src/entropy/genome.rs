//! One record of a genome: its ORFs with their bases and residues, and what is known of them.
//!
//! A record keeps the bases of its ORFs only. Many records may wait for a structure model at once,
//! and what a whole chromosome is needed for (ORFs, coding sequences, its entropy) is done when the
//! record is made.

mod their_reading;

use std::borrow::Cow;
use std::ops::Range;

use sessile_seq::alphabet::Alphabet;
use sessile_seq::cds_match::{CdsIndex, LastResidues};
use sessile_seq::entropy::shannon;
use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::orf::{Orf, OrfFinder};
use sessile_seq::reading_frame::ReadingFrame;

use their_reading::TheirReading;

/// Which ORFs a record has, and how its letters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrfRule {
    /// Those of at least so many residues; the stop is none.
    Residues(usize),
    /// Those of more than so many letters, the stop counted: what `get_orfs -l` means.
    LongerThan(usize),
    /// Those of more than so many letters, all that is no base read as get_orfs reads it, and their
    /// residues as genome_entropy 0.3 translates them.
    GenomeEntropy03(usize),
}

impl OrfRule {
    /// What genome_entropy 0.1 keeps when it is asked for ORFs of so many residues: it hands three
    /// times as many to get_orfs, which takes them for residues.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::entropy::OrfRule;
    ///
    /// assert_eq!(OrfRule::of_genome_entropy(30), OrfRule::LongerThan(90));
    /// ```
    pub fn of_genome_entropy(min_aa: usize) -> Self {
        OrfRule::LongerThan(min_aa.saturating_mul(3))
    }

    fn finder(self, code: GeneticCode) -> OrfFinder {
        OrfFinder::new(code).longer_than(match self {
            OrfRule::Residues(residues) => residues.saturating_sub(1),
            OrfRule::LongerThan(letters) => letters,
            OrfRule::GenomeEntropy03(letters) => {
                return OrfFinder::new(code).longer_than(letters).like_get_orfs();
            }
        })
    }

    fn keeps(self, orf: &Orf<'_>) -> bool {
        match self {
            OrfRule::Residues(least) => orf.protein().len() - usize::from(orf.has_stop()) >= least,
            OrfRule::LongerThan(_) | OrfRule::GenomeEntropy03(_) => true,
        }
    }
}

/// What is annotated, by the rule that says which ORFs are.
#[derive(Clone, Copy, Debug, Default)]
pub enum Annotation<'a> {
    /// There is none: of no ORF it is known whether it is annotated.
    #[default]
    None,
    /// By the last residues of the annotated proteins: schema 2.0.
    LastResidues(&'a LastResidues),
    /// By place, phase and residues: schema 2.2.
    Place(&'a CdsIndex),
}

impl Annotation<'_> {
    fn has(&self, orf: &Orf<'_>) -> Option<bool> {
        match self {
            Annotation::None => None,
            Annotation::LastResidues(ends) => Some(ends.matches(orf.protein())),
            Annotation::Place(index) => Some(index.matches(orf)),
        }
    }
}

/// The structure states of a protein.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// A letter of 3Di for each residue.
    pub three_di: String,
    /// A letter of the second alphabet for each residue, of models that have it.
    pub twelve_state: Option<String>,
}

/// A record and its ORFs.
#[derive(Clone, Debug, PartialEq)]
pub struct Genome {
    id: String,
    length: usize,
    dna_entropy: f64,
    code: GeneticCode,
    nucleotides: Vec<u8>,
    residues: Vec<u8>,
    places: Vec<Place>,
}

/// An ORF; its letters lie in the record's buffers.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    frame: ReadingFrame,
    start: usize,
    end: usize,
    nucleotides: Range<usize>,
    residues: Range<usize>,
    has_start: bool,
    has_stop: bool,
    in_genbank: Option<bool>,
    states: Option<States>,
}

impl Genome {
    /// Finds the ORFs of a sequence in all six frames.
    ///
    /// The sequence is read as upper case, and RNA as DNA: `U` becomes `T`. Codons with another
    /// letter than the four bases are the residue `X`.
    ///
    /// # Errors
    ///
    /// What is wrong with the sequence, for people: a letter that stands for no base.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_pipelines::entropy::{Annotation, Genome, OrfRule};
    /// use sessile_seq::genetic_code::GeneticCode;
    ///
    /// let code = GeneticCode::of(11)?;
    /// let sequence = b"augaaacccuaa".to_vec();
    /// let genome = Genome::find("toy", sequence, code, OrfRule::Residues(3), Annotation::None)?;
    /// let orf = genome.orfs().next().unwrap();
    /// assert_eq!((orf.id().as_str(), orf.residues(), orf.nucleotides()), ("orf1", "MKP", "ATGAAACCCTAA"));
    /// assert!(Genome::find("p", b"MKLE".to_vec(), code, OrfRule::Residues(1), Annotation::None).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find(
        id: impl Into<String>,
        mut sequence: Vec<u8>,
        code: GeneticCode,
        rule: OrfRule,
        annotation: Annotation<'_>,
    ) -> Result<Self, String> {
        Alphabet::NUCLEIC_IUPAC.check(&sequence).map_err(|found| {
            match Alphabet::TRANSLATION.check(&sequence) {
                Ok(()) => format!("{found}; it looks like a protein"),
                Err(_) => found.to_string(),
            }
        })?;
        let theirs = match rule {
            OrfRule::GenomeEntropy03(_) => {
                sequence.make_ascii_uppercase();
                Some(TheirReading::of(&sequence, code))
            }
            _ => {
                as_dna(&mut sequence);
                None
            }
        };
        let orfs = rule.finder(code).find(&sequence);
        let mut genome = Genome {
            id: id.into(),
            length: sequence.len(),
            dna_entropy: shannon(&sequence),
            code,
            nucleotides: Vec::new(),
            residues: Vec::new(),
            places: Vec::new(),
        };
        for orf in orfs.iter().filter(|orf| rule.keeps(orf)) {
            let append = |buffer: &mut Vec<u8>, letters: &[u8]| {
                let begin = buffer.len();
                buffer.extend_from_slice(letters);
                begin..buffer.len()
            };
            let (nucleotides, residues) = match &theirs {
                Some(reading) => reading.letters(&orf),
                None => {
                    let protein = orf.protein();
                    let residues = protein.strip_suffix(b"*").unwrap_or(protein);
                    (Cow::Borrowed(orf.nucleotides()), Cow::Borrowed(residues))
                }
            };
            genome.places.push(Place {
                frame: orf.frame(),
                start: orf.start(),
                end: orf.end(),
                nucleotides: append(&mut genome.nucleotides, &nucleotides),
                residues: append(&mut genome.residues, &residues),
                has_start: orf.protein().contains(&b'M'),
                has_stop: orf.has_stop(),
                in_genbank: annotation.has(&orf),
                states: None,
            });
        }
        Ok(genome)
    }

    /// The record's identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its bases.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The entropy of all its bases, in bits.
    pub fn dna_entropy(&self) -> f64 {
        self.dna_entropy
    }

    /// The genetic code that its ORFs were found with.
    pub fn code(&self) -> GeneticCode {
        self.code
    }

    /// The number of ORFs.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no ORF.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The ORF at a place in the order, from 0.
    pub fn orf(&self, index: usize) -> Option<FoundOrf<'_>> {
        self.places.get(index).map(|place| FoundOrf {
            genome: self,
            place,
            index,
        })
    }

    /// The ORFs, by frame (+1 +2 +3 -1 -2 -3) and start.
    pub fn orfs(&self) -> impl ExactSizeIterator<Item = FoundOrf<'_>> {
        self.places
            .iter()
            .enumerate()
            .map(|(index, place)| FoundOrf {
                genome: self,
                place,
                index,
            })
    }

    /// Says the structure states of the ORF at a place in the order.
    pub fn set_states(&mut self, index: usize, states: States) {
        if let Some(place) = self.places.get_mut(index) {
            place.states = Some(states);
        }
    }
}

/// Upper case, and RNA as DNA.
pub(super) fn as_dna(sequence: &mut [u8]) {
    for base in sequence {
        *base = match base.to_ascii_uppercase() {
            b'U' => b'T',
            base => base,
        };
    }
}

/// An ORF of a [`Genome`].
#[derive(Clone, Copy, Debug)]
pub struct FoundOrf<'g> {
    genome: &'g Genome,
    place: &'g Place,
    index: usize,
}

impl<'g> FoundOrf<'g> {
    /// The record that it is of.
    pub fn genome(&self) -> &'g Genome {
        self.genome
    }

    /// Its name, unique within the record: `orf1`, `orf2`, …
    pub fn id(&self) -> String {
        format!("orf{}", self.index + 1)
    }

    /// The frame it lies in.
    pub fn frame(&self) -> ReadingFrame {
        self.place.frame
    }

    /// The first base, 1-based, on the strand that is read.
    pub fn start(&self) -> usize {
        self.place.start
    }

    /// The last base of the stop codon, or the length of the record + 1 without one.
    pub fn end(&self) -> usize {
        self.place.end
    }

    /// The bases from `start` to `end`, on the strand that is read.
    pub fn nucleotides(&self) -> &'g str {
        text(&self.genome.nucleotides[self.place.nucleotides.clone()])
    }

    /// The residues, the stop left out.
    pub fn residues(&self) -> &'g str {
        text(&self.genome.residues[self.place.residues.clone()])
    }

    /// The residues, with `*` at the end if there is a stop.
    pub fn protein(&self) -> String {
        let stop = if self.has_stop() { "*" } else { "" };
        format!("{}{stop}", self.residues())
    }

    /// Whether there is an `M` among its residues: a "start codon" in genome_entropy's layouts.
    pub fn has_start(&self) -> bool {
        self.place.has_start
    }

    /// Whether it ends with a stop.
    pub fn has_stop(&self) -> bool {
        self.place.has_stop
    }

    /// Whether it is an annotated coding sequence, by the rule of the run; not, where there is no
    /// annotation.
    pub fn in_genbank(&self) -> bool {
        self.annotated() == Some(true)
    }

    /// The same; `None` where there is no annotation.
    pub fn annotated(&self) -> Option<bool> {
        self.place.in_genbank
    }

    /// Its structure states, where a model was asked and had an answer.
    pub fn states(&self) -> Option<&'g States> {
        self.place.states.as_ref()
    }
}

/// Letters that were checked to be ASCII.
fn text(letters: &[u8]) -> &str {
    str::from_utf8(letters).unwrap_or_default()
}
