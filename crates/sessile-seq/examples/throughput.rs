//! Times the stages of this crate on random DNA and prints seconds and peak memory.
//!
//! ```text
//! cargo run --release -p sessile-seq --example throughput -- orfs [MEGABASES]
//! cargo run --release -p sessile-seq --example throughput -- six-frame FOLDER [CHUNKS] [THREADS]
//! ```
//!
//! `orfs` reads one genome from memory, finds its ORFs over 90 residues and takes the entropy of
//! every ORF's bases and protein. `six-frame` writes a FASTA file of contigs into FOLDER, then cuts
//! it into chunks of 500 and writes the chunk file and both candidate files beside it.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use sessile_seq::entropy::shannon;
use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::orf::OrfFinder;
use sessile_seq::{fasta, six_frame};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: usize| match arguments.get(place) {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    match arguments.first().map(String::as_str) {
        Some("orfs") => orfs(number(1, 5)?),
        Some("six-frame") => {
            let folder = arguments.get(1).ok_or("no folder given")?;
            six_frames(Path::new(folder), number(2, 1_000_000)?, number(3, 2)?)
        }
        _ => Err("give 'orfs' or 'six-frame'".into()),
    }
}

/// The four bases in equal parts.
const EVEN: &[u8; 16] = b"ACGTACGTACGTACGT";

/// Few T and so few stops: about one open frame in a chunk of 500, as in genomes full of genes.
const STOP_POOR: &[u8; 16] = b"ACGCGACGTGCACGCG";

/// xorshift64*: random enough for bases, and the same on every machine.
struct Dna(u64);

impl Dna {
    /// `letters` is what each group of four bits becomes.
    fn fill(&mut self, letters: &[u8; 16], bases: &mut Vec<u8>, count: usize) {
        bases.clear();
        while bases.len() < count {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let mut bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
            for _ in 0..(count - bases.len()).min(15) {
                bases.push(letters[(bits >> 60) as usize]);
                bits <<= 4;
            }
        }
    }
}

fn orfs(megabases: usize) -> Result<(), Box<dyn Error>> {
    let (mut dna, mut text) = (Vec::new(), Vec::new());
    Dna(42).fill(EVEN, &mut dna, megabases * 1_000_000);
    let mut writer = fasta::Writer::new(&mut text).wrapped_at(NonZeroUsize::new(60));
    writer.write("genome", &dna)?;
    let finder = OrfFinder::new(GeneticCode::of(11)?).longer_than(90);
    for _ in 0..5 {
        let begin = Instant::now();
        let record = fasta::Reader::new(&text[..]).next().ok_or("no record")??;
        let read = begin.elapsed();
        let orfs = finder.find(&record.sequence);
        let found = begin.elapsed();
        let whole = shannon(&record.sequence);
        let bits: f64 = orfs
            .iter()
            .map(|orf| shannon(orf.nucleotides()) + shannon(orf.protein()))
            .sum();
        let done = begin.elapsed();
        writeln!(
            stdout(),
            "read {:.1} ms, {} ORFs {:.1} ms, entropies {:.1} ms ({whole:.3}, {bits:.1} bits)",
            read.as_secs_f64() * 1e3,
            orfs.len(),
            (found - read).as_secs_f64() * 1e3,
            (done - found).as_secs_f64() * 1e3,
        )?;
    }
    Ok(())
}

fn six_frames(folder: &Path, chunks: usize, threads: usize) -> Result<(), Box<dyn Error>> {
    /// Chunks in a contig.
    const CONTIG: usize = 20;
    let size = NonZeroUsize::new(500).ok_or("no size")?;
    let input = folder.join("contigs.fa");
    let file = BufWriter::new(File::create(&input)?);
    let mut writer = fasta::Writer::new(file).wrapped_at(NonZeroUsize::new(60));
    let (mut source, mut dna) = (Dna(7), Vec::new());
    for contig in 0..chunks / CONTIG {
        // A little less than a whole number of chunks, so that they overlap.
        source.fill(STOP_POOR, &mut dna, CONTIG * size.get() - 37);
        writer.write(&format!("contig{contig}"), &dna)?;
    }
    writer.flush()?;
    let begin = Instant::now();
    let mut chunk_file = File::create(folder.join("chunked500.fa"))?;
    let mut nucleotide_file = File::create(folder.join("identified_nucleotide.fa"))?;
    let mut protein_file = File::create(folder.join("identified_protein.faa"))?;
    let outputs = six_frame::Outputs {
        chunks: Some(&mut chunk_file),
        nucleotide: Some(&mut nucleotide_file),
        protein: Some(&mut protein_file),
    };
    let threads = NonZeroUsize::new(threads).ok_or("no threads")?;
    let counts = six_frame::run(fasta::Reader::open(&input)?, size, threads, outputs, |_| ())?;
    let seconds = begin.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    writeln!(
        stdout(),
        "{} chunks, {} candidates, {threads} threads: {seconds:.2} s, {}",
        counts.chunks,
        counts.candidates,
        peak.unwrap_or("peak memory unknown"),
    )?;
    Ok(())
}
