//! Arbitrary and damaged bytes: every reader ends, never panics and holds no more than it was given.
//!
//! `PROPTEST_CASES` sets the number of cases of each property.

use std::io::{Cursor, Read, Write};

use proptest::prelude::*;
use sessile_seq::alphabet::Alphabet;
use sessile_seq::chunk::Batches;
use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::orf::OrfFinder;
use sessile_seq::{compression, fasta, genbank, six_frame};

const GENBANK: &str = r#"LOCUS       TOY                   60 bp    DNA     circular SYN 01-JAN-2020
DEFINITION  A toy record
            on two lines.
ACCESSION   TOY
VERSION     TOY.1
FEATURES             Location/Qualifiers
     source          1..60
                     /organism="toy"
     gene            <1..9
                     /gene="a ""quoted"" one"
     CDS             complement(join(<1..9,30..>38))
                     /codon_start=2
                     /transl_table=11
                     /note="a note
                     /of two lines"
                     /translation="MKT
                     AY"
     CDS             40..51
                     /pseudo
ORIGIN
        1 atgaaaccct aaggatgaaa ccctaaggat gaaaccctaa ggatgaaacc ctaaggatga
//
LOCUS       TOY2 9 bp
ORIGIN
        1 atgaaacct
//
"#;

const FASTA: &str = ">a first\nACGTNN\nACGT\n>b\n\n>c\r\nMKT*\r\n;note\n>\nAC\n";

/// Bytes that FASTA and GenBank are made of, so that arbitrary text reaches deep into the readers.
fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        3 => prop::sample::select(vec![
            ">", "\n", "\r\n", ";", " ", "\t", "ACGT", "id", "\0", "\u{feff}", "*", "LOCUS       ",
            "LOCUS X 4 bp\n", "FEATURES             Location/Qualifiers\n", "ORIGIN\n", "//\n",
            "     CDS             ", "1..4", "join(", "complement(", ")", ",", "<", "^", "..", ":",
            "                     /", "translation=\"", "\"", "codon_start=", "transl_table=99",
            "99999999999999999999", "-1", "        1 acgt\n", "\u{e9}", "CONTIG", "VERSION     X.1\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

/// A text with some bytes changed, taken out or put in, and perhaps cut.
fn damaged(text: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = text.len();
    let edits = prop::collection::vec((0..length, 0..3_u8, any::<u8>()), 1..6);
    (edits, 0..=length * 2).prop_map(move |(edits, cut)| {
        let mut bytes = text.clone();
        for (place, kind, byte) in edits {
            let place = place.min(bytes.len().saturating_sub(1));
            match kind {
                0 => bytes[place] = byte,
                1 if bytes.len() > 1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, byte),
            }
        }
        bytes.truncate(cut);
        bytes
    })
}

fn read_fasta(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut reader = fasta::Reader::new(bytes).max_residues(40);
    let (mut items, mut residues, mut failed) = (0, 0, false);
    for item in reader.by_ref() {
        items += 1;
        prop_assert!(!failed, "nothing comes after a file error");
        match item {
            Ok(record) => {
                prop_assert!(!record.id.is_empty() && record.sequence.len() <= 40);
                prop_assert!(record.sequence.iter().all(u8::is_ascii_graphic));
                prop_assert_eq!(record.ordinal, items);
                residues += record.sequence.len();
                let sequence = &record.sequence;
                prop_assert!(Alphabet::PROTEIN.check(sequence).is_ok() || !sequence.is_empty());
                for orf in &OrfFinder::new(GeneticCode::STANDARD).find(sequence) {
                    prop_assert!(orf.coding().len() == 3 * orf.protein().len());
                }
                six_frame::FrameScanner::new().scan(sequence).for_each(drop);
            }
            Err(error) => {
                prop_assert!(!error.to_string().ends_with('.'));
                failed = !error.is_record_error();
            }
        }
    }
    prop_assert!(residues <= bytes.len() && items <= bytes.len() as u64 + 1);
    prop_assert!(reader.next().is_none());
    let size = std::num::NonZeroUsize::new(7).unwrap();
    prop_assert!(Batches::new(fasta::Reader::new(bytes), size).count() <= bytes.len() + 1);
    Ok(())
}

fn read_genbank(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut reader = genbank::Reader::new(bytes).max_bases(100);
    let (mut items, mut failed) = (0, false);
    for item in reader.by_ref() {
        items += 1;
        prop_assert!(!failed, "nothing comes after a file error");
        match item {
            Ok(record) => {
                prop_assert!((1..=100).contains(&record.sequence.len()));
                prop_assert!(record.sequence.iter().all(u8::is_ascii_uppercase));
                for cds in &record.cds {
                    let bases = cds.location.extract(&record.sequence);
                    prop_assert!(bases.is_ok(), "a CDS lies within its record");
                    drop(cds.translate(&record.sequence, GeneticCode::STANDARD));
                }
                let code = GeneticCode::STANDARD;
                let (index, _) = sessile_seq::cds_match::CdsIndex::new(&record, code);
                for orf in &OrfFinder::new(code).find(&record.sequence) {
                    index.matches(&orf);
                }
            }
            Err(error) => failed = !error.is_record_error(),
        }
    }
    prop_assert!(items <= bytes.len() + 1);
    prop_assert!(reader.next().is_none());
    Ok(())
}

/// One text in each kind of compression.
fn packed(text: &[u8]) -> Vec<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(text).unwrap();
    let options = lzma_rust2::XzOptions::with_preset(0);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(text).unwrap();
    vec![
        gzip.finish().unwrap(),
        bzip2.finish().unwrap(),
        xz.finish().unwrap(),
        zstd::encode_all(text, 1).unwrap(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fasta_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_fasta(&bytes)?;
    }

    #[test]
    fn fasta_of_telling_bytes(bytes in telling_bytes()) {
        read_fasta(&bytes)?;
    }

    #[test]
    fn damaged_fasta(bytes in damaged(FASTA.as_bytes().to_vec())) {
        read_fasta(&bytes)?;
    }

    #[test]
    fn genbank_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_genbank(&bytes)?;
    }

    #[test]
    fn genbank_of_telling_bytes(bytes in telling_bytes()) {
        read_genbank(&bytes)?;
    }

    #[test]
    fn damaged_genbank(bytes in damaged(GENBANK.as_bytes().to_vec())) {
        read_genbank(&bytes)?;
    }

    #[test]
    fn damaged_compression(
        bytes in prop::sample::select(packed(GENBANK.as_bytes())).prop_flat_map(damaged)
    ) {
        if let Ok((plain, _)) = compression::decompress(Cursor::new(bytes.clone())) {
            let mut text = Vec::new();
            drop(plain.take(1 << 20).read_to_end(&mut text));
            read_genbank(&text)?;
        }
    }

    /// What was written is what is read, however it is cut into lines.
    #[test]
    fn fasta_round_trip(
        sequences in prop::collection::vec("[A-Za-z*.-]{1,80}", 1..6),
        width in prop::option::of(1_usize..90),
    ) {
        let width = width.and_then(std::num::NonZeroUsize::new);
        let mut writer = fasta::Writer::new(Vec::new()).wrapped_at(width);
        for (i, sequence) in sequences.iter().enumerate() {
            writer.write(&format!("s{i} no {i}"), sequence.as_bytes()).unwrap();
        }
        let text = writer.into_inner();
        let read: Vec<_> = fasta::Reader::new(&text[..]).map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), sequences.len());
        for (i, (record, sequence)) in read.iter().zip(&sequences).enumerate() {
            prop_assert_eq!(record.header(), format!("s{i} no {i}"));
            prop_assert_eq!(&record.sequence, sequence.as_bytes());
        }
    }
}

/// Brackets that would be a call each, and numbers that would overflow, are refused unparsed.
#[test]
fn hostile_locations_are_refused() {
    let deep = "complement(".repeat(50_000) + "1..3" + &")".repeat(50_000);
    let split = "join(1,".repeat(5_000) + "2" + &")".repeat(5_000);
    let split = split.replace(',', ",\n                     ");
    let cases = [
        deep.as_str(),
        split.as_str(),
        "-9223372036854775808",
        "9223372036854775807^-9223372036854775808",
        "1..99999999999999999999999",
        "))))((((",
        "",
    ];
    let behind_a_return = format!("1..3\n                     /gene=a\rb {deep}");
    let text = format!(
        "LOCUS       A 3 bp\nFEATURES             Location/Qualifiers\n     CDS             \
         {behind_a_return}\nORIGIN\n        1 atg\n//\n"
    );
    let record = genbank::Reader::new(text.as_bytes())
        .next()
        .unwrap()
        .unwrap();
    // What is behind the return is a line of its own, and none of a feature table.
    assert_eq!((record.cds.len(), record.issues.len()), (1, 1));
    for location in cases {
        let text = format!(
            "LOCUS       A 3 bp\nFEATURES             Location/Qualifiers\n     CDS             \
             {location}\n     CDS             1..3\nORIGIN\n        1 atg\n//\n"
        );
        let record = genbank::Reader::new(text.as_bytes()).next().unwrap();
        let record = record.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            (record.cds.len(), record.issues.len()),
            (1, 1),
            "{:?}",
            record.issues
        );
        let issue = &record.issues[0];
        assert_eq!(issue.kind(), sessile_seq::ErrorKind::InvalidFeature);
        assert_eq!((issue.line(), issue.record_id()), (Some(3), Some("A")));
    }
}
