//! Sets of sequences to measure with.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sessile_seq::fasta::Reader;

use crate::error::{PipelineError, PipelineErrorKind};

/// Sequences of a synthetic set.
const SEQUENCES: usize = 512;

/// Tokens of every sequence of the uniform set, `<cls>` and `<eos>` included.
const UNIFORM_TOKENS: usize = 512;

/// Sequences that are read of a file: enough to measure with, bounded whatever the file is.
const FILE_SEQUENCES: usize = 10_000;

/// Which sequences to measure with. The synthetic ones follow from a fixed seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BenchSet {
    /// All of 512 tokens.
    Uniform,
    /// Lengths like those of a proteome: log-normal, median 270 residues, at most what the model
    /// takes.
    Lognormal,
    /// Lengths like those of short open reading frames: 30 residues and an exponential tail of
    /// mean 40.
    Orfs,
    /// Pieces of 500, as long sequences are cut into for nucleotide models.
    Chunks,
    /// The records of a FASTA file, the first ten thousand.
    File(PathBuf),
}

impl fmt::Display for BenchSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchSet::Uniform => f.write_str("uniform"),
            BenchSet::Lognormal => f.write_str("lognormal"),
            BenchSet::Orfs => f.write_str("orfs"),
            BenchSet::Chunks => f.write_str("chunks"),
            BenchSet::File(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for BenchSet {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "uniform" => BenchSet::Uniform,
            "lognormal" => BenchSet::Lognormal,
            "orfs" => BenchSet::Orfs,
            "chunks" => BenchSet::Chunks,
            path => BenchSet::File(path.into()),
        })
    }
}

/// A small generator of random numbers (Knuth's MMIX, upper bits), the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// Between 0 and 1, never 0.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 1.0) / (1_u64 << 31) as f64
    }

    /// Of a standard normal distribution (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn symbol(&mut self, symbols: &[u8]) -> u8 {
        let index = (self.unit() * symbols.len() as f64) as usize;
        symbols[index.min(symbols.len() - 1)]
    }
}

impl BenchSet {
    /// The sequences, none longer than `max_residues`. Synthetic ones are of `nucleotides` or of
    /// residues.
    ///
    /// # Errors
    ///
    /// When a file can not be read or holds nothing to measure with.
    pub fn sequences(
        &self,
        nucleotides: bool,
        max_residues: usize,
    ) -> Result<Vec<Vec<u8>>, PipelineError> {
        let symbols: &[u8] = if nucleotides {
            b"ACGT"
        } else {
            b"LAGVSERTIDPKQNFYMHWC"
        };
        let mut random = Random(2);
        let mut synthetic = |length: &dyn Fn(&mut Random) -> f64| -> Vec<Vec<u8>> {
            (0..SEQUENCES)
                .map(|_| {
                    let residues = (length(&mut random) as usize).clamp(1, max_residues);
                    (0..residues).map(|_| random.symbol(symbols)).collect()
                })
                .collect()
        };
        Ok(match self {
            BenchSet::Uniform => synthetic(&|_| (UNIFORM_TOKENS - 2) as f64),
            BenchSet::Lognormal => {
                synthetic(&|random| (270_f64.ln() + 0.7 * random.normal()).exp())
            }
            BenchSet::Orfs => synthetic(&|random| 30.0 - 40.0 * random.unit().ln()),
            BenchSet::Chunks => synthetic(&|_| 500.0),
            BenchSet::File(path) => {
                let mut sequences = Vec::new();
                for record in Reader::open(path)?.take(FILE_SEQUENCES) {
                    let mut sequence = record?.sequence;
                    sequence.make_ascii_uppercase();
                    sequence.retain(|&symbol| symbol != b'*');
                    if (1..=max_residues).contains(&sequence.len()) {
                        sequences.push(sequence);
                    }
                }
                if sequences.is_empty() {
                    return Err(PipelineError::new(
                        PipelineErrorKind::Input,
                        format!("{} has no sequence to measure with", path.display()),
                    ));
                }
                sequences
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_lengths_they_say() {
        let lengths = |set: BenchSet| {
            let mut lengths: Vec<usize> = set
                .sequences(false, 1024)
                .unwrap()
                .iter()
                .map(Vec::len)
                .collect();
            lengths.sort_unstable();
            lengths
        };
        assert!(
            lengths(BenchSet::Uniform)
                .iter()
                .all(|&length| length == 510)
        );
        let lognormal = lengths(BenchSet::Lognormal);
        assert!(
            (230..310).contains(&lognormal[SEQUENCES / 2]),
            "{}",
            lognormal[SEQUENCES / 2]
        );
        assert!(lognormal[SEQUENCES - 1] <= 1024);
        let orfs = lengths(BenchSet::Orfs);
        assert!(orfs[0] >= 30 && (45..70).contains(&orfs[SEQUENCES / 2]));
    }
}
