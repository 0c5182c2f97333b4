//! Chunks of many records in batches: work for one core at a time, in bounded memory.

use std::fmt;
use std::io::Read;
use std::num::NonZeroUsize;

use super::{Ranges, ranges};
use crate::alphabet::Alphabet;
use crate::error::Result;
use crate::fasta::{Reader, Record};
use crate::nucleotide::rna_to_dna;

/// The bases of a full batch: some 500 chunks, work for about a millisecond.
pub const BATCH_BASES: usize = 256 << 10;

/// One chunk of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunk<'a> {
    /// The identifier of the record.
    pub record_id: &'a str,
    /// The number of the chunk in its record, from 1; 0 for a record that is taken as it is.
    pub number: usize,
    /// Its bases with the case of the file.
    pub bases: &'a [u8],
}

/// Prints the identifier of the chunk: `RECORD_chunk_NUMBER`, or `RECORD` for a whole record.
impl fmt::Display for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => f.write_str(self.record_id),
            number => write!(f, "{}_chunk_{number}", self.record_id),
        }
    }
}

/// Consecutive chunks that own their bases.
#[derive(Clone, Debug, Default)]
pub struct ChunkBatch {
    ids: Vec<String>,
    bases: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    id: usize,
    number: usize,
    start: usize,
    end: usize,
}

impl ChunkBatch {
    /// The chunks in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Chunk<'_>> {
        self.places.iter().map(|place| Chunk {
            record_id: &self.ids[place.id],
            number: place.number,
            bases: &self.bases[place.start..place.end],
        })
    }

    /// The number of chunks.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn push(&mut self, number: usize, bases: &[u8]) {
        let start = self.bases.len();
        self.bases.extend_from_slice(bases);
        self.places.push(Place {
            id: self.ids.len() - 1,
            number,
            start,
            end: self.bases.len(),
        });
    }
}

/// Reads records and gives their chunks in batches, in order.
///
/// A record error comes in its place between the batches; the records around it are not lost.
/// Memory holds one record and one batch. To use many cores, hand it to
/// [`crate::parallel::map_in_order`].
///
/// # Examples
///
/// ```
/// use std::num::NonZeroUsize;
/// use sessile_seq::chunk::Batches;
/// use sessile_seq::fasta::Reader;
///
/// let reader = Reader::new(&b">a\nACGTACG\n"[..]);
/// let mut batches = Batches::new(reader, NonZeroUsize::new(4).unwrap());
/// let batch = batches.next().unwrap()?;
/// let chunks: Vec<_> = batch.iter().map(|c| (c.to_string(), c.bases)).collect();
/// assert_eq!(chunks[0], ("a_chunk_1".to_owned(), &b"ACGT"[..]));
/// assert_eq!(chunks[1], ("a_chunk_2".to_owned(), &b"TACG"[..]));
/// # Ok::<(), sessile_seq::Error>(())
/// ```
#[derive(Debug)]
pub struct Batches<R> {
    reader: Reader<R>,
    /// `None`: every record is one chunk.
    size: Option<NonZeroUsize>,
    alphabet: Option<Alphabet>,
    is_dna: bool,
    record: Record,
    ranges: Ranges,
    number: usize,
    /// A record error that waits until the chunks before it are given.
    waiting: Option<crate::Error>,
    ended: bool,
}

impl<R: Read> Batches<R> {
    /// Cuts the records of `reader` into chunks of `size` bases.
    pub fn new(reader: Reader<R>, size: NonZeroUsize) -> Self {
        Self::of(reader, Some(size))
    }

    /// Takes every record of `reader` as one chunk with the record's own identifier: for files
    /// that were cut before.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::chunk::Batches;
    /// use sessile_seq::fasta::Reader;
    ///
    /// let batch = Batches::whole(Reader::new(&b">a_chunk_7\nACGT\n"[..])).next().unwrap()?;
    /// assert_eq!(batch.iter().next().unwrap().to_string(), "a_chunk_7");
    /// # Ok::<(), sessile_seq::Error>(())
    /// ```
    pub fn whole(reader: Reader<R>) -> Self {
        Self::of(reader, None)
    }

    /// Refuses records with a letter outside `alphabet`: an error for that record.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_seq::alphabet::Alphabet;
    /// use sessile_seq::chunk::Batches;
    /// use sessile_seq::fasta::Reader;
    ///
    /// let protein = Reader::new(&b">p\nMKLE\n"[..]);
    /// let error = Batches::whole(protein).only(Alphabet::DNA_IUPAC).next().unwrap().unwrap_err();
    /// assert!(error.is_record_error());
    /// ```
    #[must_use]
    pub fn only(mut self, alphabet: Alphabet) -> Self {
        self.alphabet = Some(alphabet);
        self
    }

    /// Reads RNA as DNA, before anything else looks at it.
    #[must_use]
    pub fn as_dna(mut self) -> Self {
        self.is_dna = true;
        self
    }

    fn of(reader: Reader<R>, size: Option<NonZeroUsize>) -> Self {
        Self {
            reader,
            size,
            alphabet: None,
            is_dna: false,
            record: Record::default(),
            ranges: ranges(0, NonZeroUsize::MIN),
            number: 0,
            waiting: None,
            ended: false,
        }
    }

    /// The number of records met so far, failed ones included.
    pub fn records_met(&self) -> u64 {
        self.reader.records_met()
    }

    /// Moves to the next record; `false` at the end or at an error, which then waits.
    fn advance(&mut self) -> bool {
        match self.reader.read(&mut self.record) {
            Ok(true) => {
                if self.is_dna {
                    rna_to_dna(&mut self.record.sequence);
                }
                if let Some(alphabet) = self.alphabet
                    && let Err(found) = alphabet.check(&self.record.sequence)
                {
                    let file = self.reader.name().unwrap_or("the input");
                    self.waiting = Some(found.in_record(&self.record, file));
                    return false;
                }
                let length = self.record.sequence.len();
                self.ranges = ranges(length, self.size.unwrap_or(NonZeroUsize::MAX));
                self.number = 0;
                return true;
            }
            Ok(false) => self.ended = true,
            Err(error) => {
                self.ended = !error.is_record_error();
                self.waiting = Some(error);
            }
        }
        false
    }
}

impl<R: Read> Iterator for Batches<R> {
    type Item = Result<ChunkBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.waiting.take() {
            return Some(Err(error));
        }
        let mut batch = ChunkBatch::default();
        while !self.ended && batch.bases.len() < BATCH_BASES {
            if self.ranges.len() == 0 {
                if !self.advance() {
                    break;
                }
                batch.ids.push(self.record.id.clone());
            } else if batch.ids.is_empty() {
                batch.ids.push(self.record.id.clone());
            }
            while batch.bases.len() < BATCH_BASES {
                let Some(range) = self.ranges.next() else {
                    break;
                };
                self.number += usize::from(self.size.is_some());
                batch.push(self.number, &self.record.sequence[range]);
            }
        }
        if batch.is_empty() {
            return self.waiting.take().map(Err);
        }
        Some(Ok(batch))
    }
}
