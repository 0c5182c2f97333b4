//! Finding the ORFs of a sequence: one pass of base codes, six translations, no copy of a strand.

use std::ops::Range;
use std::sync::OnceLock;

use memchr::memchr_iter;

use crate::genetic_code::{GeneticCode, STOP};
use crate::nucleotide::{AMBIGUOUS, base_code, reverse_complement};
use crate::reading_frame::{ReadingFrame, Strand};

/// Finds ORFs under one genetic code.
///
/// # Examples
///
/// ```
/// use sessile_seq::genetic_code::GeneticCode;
/// use sessile_seq::orf::OrfFinder;
///
/// let finder = OrfFinder::new(GeneticCode::of(11)?).longer_than(2);
/// let orfs = finder.find(b"ATGAAATAGC");
/// let first = orfs.iter().next().unwrap();
/// assert_eq!((first.protein(), first.start(), first.end()), (&b"MK*"[..], 1, 9));
/// assert_eq!(orfs.len(), 3);
/// # Ok::<(), sessile_seq::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OrfFinder {
    code: GeneticCode,
    longer_than: usize,
    ambiguous_as_adenine: bool,
}

impl OrfFinder {
    /// A finder that gives every ORF of at least one residue (a lone stop included).
    pub fn new(code: GeneticCode) -> Self {
        Self {
            code,
            longer_than: 0,
            ambiguous_as_adenine: false,
        }
    }

    /// Keeps only ORFs of *more than* `residues` residues, counting the stop.
    ///
    /// This is the option `-l` of `get_orfs`, whose default is 1.
    pub fn longer_than(mut self, residues: usize) -> Self {
        self.longer_than = residues;
        self
    }

    /// Reads every base but C, G and T as A (and as T on the minus strand), as `get_orfs` does.
    pub fn like_get_orfs(mut self) -> Self {
        self.ambiguous_as_adenine = true;
        self
    }

    /// The ORFs of a sequence, by frame (+1 +2 +3 -1 -2 -3) and start.
    pub fn find<'s>(&self, sequence: &'s [u8]) -> Orfs<'s> {
        let codes: Vec<u8> = if self.ambiguous_as_adenine {
            // Unlike `base_code`, U is no T here.
            let code = |base: u8| match base_code(base) {
                AMBIGUOUS => 0,
                _ if base.eq_ignore_ascii_case(&b'U') => 0,
                code => code,
            };
            sequence.iter().map(|&base| code(base)).collect()
        } else {
            sequence.iter().map(|&base| base_code(base)).collect()
        };
        let mut orfs = Orfs {
            sequence,
            reverse: OnceLock::new(),
            residues: Vec::new(),
            found: Vec::new(),
        };
        let mut frame_residues = Vec::with_capacity(sequence.len() / 3);
        for frame in ReadingFrame::ALL {
            self.code
                .translate_codes(&codes, frame, &mut frame_residues);
            let mut first = 0;
            for stop in memchr_iter(STOP, &frame_residues) {
                self.keep(&mut orfs, frame, &frame_residues, first..stop + 1);
                first = stop + 1;
            }
            let end = frame_residues.len();
            self.keep(&mut orfs, frame, &frame_residues, first..end);
        }
        orfs
    }

    fn keep(
        &self,
        orfs: &mut Orfs<'_>,
        frame: ReadingFrame,
        frame_residues: &[u8],
        codons: Range<usize>,
    ) {
        if codons.len() <= self.longer_than {
            return;
        }
        let begin = orfs.residues.len();
        orfs.residues
            .extend_from_slice(&frame_residues[codons.clone()]);
        orfs.found.push(Found {
            frame,
            first_codon: codons.start,
            residues: begin..orfs.residues.len(),
        });
    }
}

/// One ORF by its place; the residues lie in the common buffer.
#[derive(Clone, Debug)]
struct Found {
    frame: ReadingFrame,
    first_codon: usize,
    residues: Range<usize>,
}

/// The ORFs of one sequence.
#[derive(Clone, Debug)]
pub struct Orfs<'s> {
    sequence: &'s [u8],
    /// Made once, when the bases of a minus-strand ORF are first asked for.
    reverse: OnceLock<Vec<u8>>,
    residues: Vec<u8>,
    found: Vec<Found>,
}

impl<'s> Orfs<'s> {
    /// The number of ORFs.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The ORF at a place in the order, from 0.
    pub fn get(&self, index: usize) -> Option<Orf<'_>> {
        self.found.get(index).map(|found| Orf {
            orfs: self,
            found,
            index,
        })
    }

    /// The ORFs in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            orfs: self,
            next: 0,
        }
    }

    /// The sequence they were found in.
    pub fn sequence(&self) -> &'s [u8] {
        self.sequence
    }

    /// The reverse complement of the sequence, made on the first call.
    pub fn reverse_complement(&self) -> &[u8] {
        self.reverse
            .get_or_init(|| reverse_complement(self.sequence))
    }
}

impl<'a> IntoIterator for &'a Orfs<'_> {
    type Item = Orf<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Goes over the ORFs of a sequence.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    orfs: &'a Orfs<'a>,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Orf<'a>;

    fn next(&mut self) -> Option<Orf<'a>> {
        let orf = self.orfs.get(self.next)?;
        self.next += 1;
        Some(orf)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.orfs.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// An open reading frame; see [`crate::orf`] for its coordinates.
#[derive(Clone, Copy, Debug)]
pub struct Orf<'a> {
    orfs: &'a Orfs<'a>,
    found: &'a Found,
    index: usize,
}

impl<'a> Orf<'a> {
    /// Its number within the sequence, from 1, among the ORFs that were kept.
    pub fn number(&self) -> usize {
        self.index + 1
    }

    /// The frame it lies in.
    pub fn frame(&self) -> ReadingFrame {
        self.found.frame
    }

    /// The residues, with `*` at the end if there is a stop.
    pub fn protein(&self) -> &'a [u8] {
        &self.orfs.residues[self.found.residues.clone()]
    }

    /// The first base, 1-based, on the strand that is read.
    pub fn start(&self) -> usize {
        self.found.frame.offset() + 3 * self.found.first_codon + 1
    }

    /// The last base of the stop codon, or the length of the sequence + 1 without one.
    pub fn end(&self) -> usize {
        if self.has_stop() {
            self.start() - 1 + 3 * self.protein().len()
        } else {
            self.orfs.sequence.len() + 1
        }
    }

    /// Whether it ends with a stop codon.
    pub fn has_stop(&self) -> bool {
        self.protein().last() == Some(&STOP)
    }

    /// The translated bases, on the strand that is read: three for every residue.
    pub fn coding(&self) -> &'a [u8] {
        let begin = self.start() - 1;
        &self.strand()[begin..begin + 3 * self.protein().len()]
    }

    /// The bases from `start` to `end`, on the strand that is read.
    ///
    /// At an open end these are one or two more than [`Orf::coding`] where a codon is unfinished:
    /// what genome_entropy prints as the DNA of an ORF.
    pub fn nucleotides(&self) -> &'a [u8] {
        let strand = self.strand();
        &strand[self.start() - 1..self.end().min(strand.len())]
    }

    fn strand(&self) -> &'a [u8] {
        match self.found.frame.strand() {
            Strand::Plus => self.orfs.sequence,
            Strand::Minus => self.orfs.reverse_complement(),
        }
    }
}
