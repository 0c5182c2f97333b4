//! Genetic codes and ORFs against what get_orfs 1.1 printed.

use std::path::Path;

use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::nucleotide::reverse_complement;
use sessile_seq::orf::{OrfFinder, get_orfs};
use sessile_seq::reading_frame::ReadingFrame;
use sessile_seq::{ErrorKind, fasta};
use sha2::{Digest, Sha256};

/// What `get_orfs -f PATH -t TABLE -l LONGER_THAN` prints.
fn printed(finder: &OrfFinder, reader: fasta::Reader<impl std::io::Read>) -> Vec<u8> {
    let mut text = Vec::new();
    for record in reader {
        match record {
            Ok(record) => get_orfs::write(&mut text, &record.id, &finder.find(&record.sequence)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::EmptyRecord, "{error}");
                Ok(())
            }
        }
        .unwrap();
    }
    text
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Compares every run of the index whose input lies in `inputs`; returns how many there were.
fn compare_runs(inputs: &Path) -> usize {
    let index =
        crate::golden::json(&crate::golden::folder().join("genome_entropy/get_orfs/index.json"));
    let mut compared = 0;
    for run in index.as_array().unwrap() {
        let input = inputs.join(run["input"].as_str().unwrap());
        if !input.exists() {
            continue;
        }
        let table = run["table"].as_u64().unwrap() as u8;
        let longer_than = run["min_length_flag"].as_u64().unwrap() as usize;
        let case = format!(
            "{} table {table} longer than {longer_than}",
            input.display()
        );
        let finder = OrfFinder::new(GeneticCode::of(table).unwrap())
            .longer_than(longer_than)
            .like_get_orfs();
        let text = printed(&finder, fasta::Reader::open(&input).unwrap());
        if let Some(file) = run["file"].as_str() {
            let expected = crate::golden::bytes(&inputs.join("get_orfs").join(file));
            assert!(text == expected, "{case}: differs from {file}");
        }
        assert_eq!(sha256(&text), run["sha256"].as_str().unwrap(), "{case}");
        compared += 1;
    }
    compared
}

#[test]
fn prints_what_get_orfs_prints() {
    assert_eq!(
        compare_runs(&crate::golden::folder().join("genome_entropy")),
        33
    );
}

#[test]
fn prints_what_get_orfs_prints_for_public_genomes() {
    if let Some(folder) = crate::golden::reference("genome_entropy") {
        assert!(compare_runs(&folder) >= 14);
    }
}

#[test]
fn ordinary_dna_needs_no_compatibility() {
    let path = crate::golden::folder().join("genome_entropy/synthetic.fasta");
    let plain = OrfFinder::new(GeneticCode::of(11).unwrap()).longer_than(5);
    let like = plain.clone().like_get_orfs();
    let mut differing = Vec::new();
    for record in fasta::Reader::open(&path).unwrap() {
        let record = record.unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        get_orfs::write(&mut ours, &record.id, &plain.find(&record.sequence)).unwrap();
        get_orfs::write(&mut theirs, &record.id, &like.find(&record.sequence)).unwrap();
        if ours != theirs {
            differing.push(record.id);
        }
    }
    assert_eq!(differing, ["syn_with_N", "syn_iupac", "syn_rna_U"]);
}

/// Inputs that crash get_orfs have the text that it prints with one thread, where it prints any.
#[test]
fn edge_cases_have_a_defined_answer() {
    let cases = crate::golden::json(
        &crate::golden::folder().join("genome_entropy/get_orfs/edge_cases.json"),
    );
    let finder = OrfFinder::new(GeneticCode::of(11).unwrap())
        .longer_than(0)
        .like_get_orfs();
    let mut compared = 0;
    for case in cases.as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let Some(text) = case["fasta"].as_str() else {
            let table = name.rsplit(' ').next().unwrap().parse::<u8>();
            if let Ok(table @ 0..=31) = table {
                let error = GeneticCode::of(table).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnknownGeneticCode, "{name}");
                assert!(error.hint().unwrap().contains("1, 2, 3"), "{name}");
            }
            continue;
        };
        // get_orfs reads text without a header as no records, and keeps blanks inside lines.
        if name == "no_header" || name == "spaces" {
            continue;
        }
        let ours = printed(&finder, fasta::Reader::new(text.as_bytes()));
        let ours = String::from_utf8(ours).unwrap();
        let theirs = case["stdout_j1"].as_str().unwrap();
        if case["exit_j1"] == 0 {
            assert_eq!(ours, theirs, "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 8, "{compared}");
}

#[test]
fn short_and_stop_rich_records_have_orfs() {
    let finder = OrfFinder::new(GeneticCode::of(11).unwrap());
    let count = |sequence: &[u8]| finder.find(sequence).len();
    assert_eq!(count(b""), 0);
    assert_eq!(count(b"AT"), 0);
    assert_eq!(count(b"ATG"), 2);
    assert_eq!(count(b"TAATAATAA"), 3 + 5);
    let orfs = finder.find(b"ATGNAAUGA");
    let proteins: Vec<_> = orfs.iter().map(|orf| orf.protein().to_vec()).collect();
    assert_eq!(proteins[0], b"MX*", "N is X and U is T");
}

#[test]
fn codon_tables_equal_those_of_get_orfs() {
    let golden =
        crate::golden::json(&crate::golden::folder().join("genome_entropy/codon_tables.json"));
    let tables = golden["tables"].as_object().unwrap();
    assert_eq!(tables.len(), get_orfs::TABLES.len());
    for (id, table) in tables {
        let code = GeneticCode::of(id.parse().unwrap()).unwrap();
        assert!(get_orfs::TABLES.contains(&code.id()));
        let mut residues = String::new();
        for (a, b, c) in codons() {
            residues.push(code.residue([a, b, c]).into());
        }
        assert_eq!(
            residues,
            table["amino_acids"].as_str().unwrap(),
            "table {id}"
        );
        let dual: Vec<_> = code
            .stops()
            .filter(|&codon| !code.is_stop(codon))
            .map(|codon| String::from_utf8(codon.to_vec()).unwrap())
            .collect();
        assert_eq!(serde_json::json!(dual), table["dual_stop_codons_ncbi"]);
    }
}

fn codons() -> impl Iterator<Item = (u8, u8, u8)> {
    let bases = *b"ACGT";
    bases.into_iter().flat_map(move |a| {
        bases
            .into_iter()
            .flat_map(move |b| bases.into_iter().map(move |c| (a, b, c)))
    })
}

#[test]
fn every_code_is_whole() {
    assert_eq!(GeneticCode::all().count(), 27);
    for code in GeneticCode::all() {
        assert_eq!(GeneticCode::of(code.id()).unwrap(), code);
        assert!(code.starts().any(|codon| codon == *b"ATG"), "{code:?}");
        assert!(
            code.stops().count() > 0 && !code.name().is_empty(),
            "{code:?}"
        );
        assert!(code.starts().all(|codon| code.is_start(codon)), "{code:?}");
        assert_eq!(code.residue(*b"atg"), b'M', "{code:?}");
        assert_eq!(code.residue(*b"AUG"), b'M', "{code:?}");
        assert_eq!(code.residue(*b"RTG"), b'X', "{code:?}");
        assert_eq!(code.amino_acids().len(), 64);
        for (a, b, c) in codons() {
            let stop = code.is_stop([a, b, c]);
            assert!(
                !stop || code.stops().any(|codon| codon == [a, b, c]),
                "{code:?}"
            );
        }
    }
    for id in [0, 7, 8, 17, 18, 19, 20, 34, 255] {
        assert!(GeneticCode::of(id).is_err(), "{id}");
    }
}

#[test]
fn the_minus_strand_is_the_reverse_complement() {
    let sequence = b"ATGCGNTTACGgatcctgaUAACCRYKM";
    let reverse = reverse_complement(sequence);
    let code = GeneticCode::of(4).unwrap();
    for length in 0..sequence.len() {
        let (plus, minus) = (&sequence[..length], &reverse[sequence.len() - length..]);
        for (i, frame) in ReadingFrame::ALL.into_iter().enumerate() {
            let strand = if i < 3 { plus } else { minus };
            let expected = code.translate(&strand[frame.offset().min(length)..]);
            assert_eq!(
                code.translate_frame(plus, frame),
                expected,
                "{frame} of {length}"
            );
        }
    }
}

#[test]
fn orfs_know_their_bases() {
    let path = crate::golden::folder().join("genome_entropy/synthetic.fasta");
    let code = GeneticCode::of(11).unwrap();
    for record in fasta::Reader::open(&path).unwrap() {
        let sequence = record.unwrap().sequence;
        let orfs = OrfFinder::new(code).find(&sequence);
        for orf in &orfs {
            assert_eq!(code.translate(orf.coding()), orf.protein());
            let extra = orf.nucleotides().len() - orf.coding().len();
            assert!(if orf.has_stop() {
                extra == 0
            } else {
                extra < 3
            });
            assert_eq!(orf.end() == sequence.len() + 1, !orf.has_stop());
        }
    }
}
