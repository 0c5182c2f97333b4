//! The GenBank reader: what it takes, what it refuses and what it keeps beside a bad part.

use std::io::Write;

use sessile_seq::ErrorKind;
use sessile_seq::genbank::{Reader, Record};
use sessile_seq::genetic_code::GeneticCode;

/// A record of 24 bases with these feature lines.
fn record_text(id: &str, features: &str) -> String {
    format!(
        "LOCUS       {id} 24 bp    DNA     linear SYN 01-JAN-2020\n\
         DEFINITION  Toy\n            record.\n\
         ACCESSION   {id}\n\
         VERSION     {id}.1  GI:5\n\
         REFERENCE   1\n  AUTHORS   Caf\u{e9},A.\n\
         FEATURES             Location/Qualifiers\n\
         {features}\
         ORIGIN\n        1 atgaaacgtt aaggntcaac gttt\n       21 acat\n//\n"
    )
    .replace("atgaaacgtt aaggntcaac gttt\n", "atgaaacgtt aaggntcaac\n")
}

fn only(text: &str) -> Record {
    let mut records: Vec<_> = Reader::new(text.as_bytes()).collect();
    assert_eq!(records.len(), 1);
    records.pop().unwrap().unwrap()
}

#[test]
fn reads_names_sequence_and_features() {
    let features = "     source          1..24\n                     /organism=\"x\"\n\
                    \x20                    /transl_table=4\n\
                    \x20    misc_feature    /nonsense\n\
                    \x20    CDS             complement(1..\n                     12)\n\
                    \x20                    /gene=\"a\"\n\
                    \x20                    /note=\"one ; /note=\n          of two\"\n\
                    \x20                    /codon_start=2\n\
                    \x20                    /translation=\"MK\n                     TA\"\n\
                    \x20                    /product=\"long\n                     name\"\n\
                    \x20                    /pseudo\n";
    let record = only(&record_text("TOY", features));
    assert_eq!((record.id.as_str(), record.name.as_str()), ("TOY.1", "TOY"));
    assert_eq!(record.definition, "Toy record.");
    assert_eq!(record.sequence, b"ATGAAACGTTAAGGNTCAACACAT");
    assert_eq!(
        (record.ordinal, record.line, record.circular),
        (1, 1, false)
    );
    assert_eq!(record.transl_table, Some(4));
    assert!(record.issues.is_empty(), "{:?}", record.issues);
    let [cds] = &record.cds[..] else {
        panic!("{:?}", record.cds)
    };
    assert_eq!(cds.translation.as_deref(), Some("MKTA"));
    assert_eq!(cds.product.as_deref(), Some("long name"));
    assert_eq!((cds.gene.as_deref(), cds.codon_start), (Some("a"), 2));
}

#[test]
fn locations() {
    // The bases are ATGAAACGTTAAGGNTCAACACAT.
    let cases: [(&str, Result<&str, &str>); 19] = [
        ("1..6", Ok("ATGAAA")),
        ("5", Ok("A")),
        ("<1..>6", Ok("ATGAAA")),
        ("complement(1..6)", Ok("TTTCAT")),
        ("join(1..3,7..9)", Ok("ATGCGT")),
        ("join(22..24,1..3)", Ok("CATATG")),
        ("complement(join(1..3,7..9))", Ok("ACGCAT")),
        ("join(complement(7..9),complement(1..3))", Ok("ACGCAT")),
        ("order(1..3,7..9)", Ok("ATGCGT")),
        ("(1.3)..6", Ok("ATGAAA")),
        ("1..(4.6)", Ok("ATGAAA")),
        ("complement((1.3)..(4.6))", Ok("TTTCAT")),
        ("(1.x)..6", Err("cannot be understood")),
        ("20..25", Err("ends at base 25 of a sequence of 24 bases")),
        ("0..3", Err("below 1")),
        ("6..1", Err("ends before it starts")),
        ("J00194.1:100..202", Err("another record")),
        ("3^4", Err("no stretch")),
        ("1..3,5..6", Err("cannot be understood")),
    ];
    for (location, expected) in cases {
        let features = format!("     CDS             {location}\n");
        let record = only(&record_text("TOY", &features));
        match expected {
            Ok(bases) => {
                let found = record.cds[0].location.extract(&record.sequence).unwrap();
                assert_eq!(String::from_utf8(found).unwrap(), bases, "{location}");
            }
            Err(message) => {
                let issue = &record.issues[0];
                assert!(issue.to_string().contains(message), "{location}: {issue}");
                assert_eq!(issue.kind(), ErrorKind::InvalidFeature);
                assert_eq!(issue.line(), Some(9), "{location}");
            }
        }
    }
}

#[test]
fn a_bad_qualifier_costs_one_feature() {
    let cases = [
        "/codon_start=4",
        "/transl_table=eleven",
        "/translation=\"MK",
    ];
    for case in cases {
        let features = format!(
            "     CDS             1..6\n                     {case}\n     CDS             1..3\n"
        );
        let record = only(&record_text("TOY", &features));
        assert_eq!(record.cds.len(), 1, "{case}");
        assert_eq!(record.issues.len(), 1, "{case}");
        assert_eq!(record.cds[0].line, 11, "{case}");
    }
    let unknown = "     CDS             1..6\n                     /transl_table=7\n";
    let record = only(&record_text("TOY", unknown));
    let error = record.cds[0]
        .translate(&record.sequence, GeneticCode::STANDARD)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownGeneticCode);
}

#[test]
fn a_bad_record_does_not_lose_the_good_ones() {
    let good = record_text("GOOD", "     CDS             1..6\n");
    let bad = record_text("BAD", "");
    let cases: [(&str, String, ErrorKind); 7] = [
        (
            "wrong length",
            bad.replace("24 bp", "25 bp"),
            ErrorKind::InvalidRecord,
        ),
        (
            "no end",
            bad.replace("acat\n//", ""),
            ErrorKind::InvalidRecord,
        ),
        (
            "a strange base",
            bad.replace("atgaaa", "atg?aa"),
            ErrorKind::InvalidByte,
        ),
        (
            "no first line",
            bad.replace("LOCUS ", "LOKUS "),
            ErrorKind::InvalidRecord,
        ),
        (
            "no sequence",
            "LOCUS       BAD 24 bp DNA\nCONTIG      join(X:1..24)\n//\n".to_owned(),
            ErrorKind::EmptyRecord,
        ),
        (
            "a long line",
            bad.replace("Toy", &"x".repeat(2 << 20)),
            ErrorKind::InvalidRecord,
        ),
        (
            "too long",
            bad.replace("24 bp", "44 bp")
                .replace("acat", &"acat".repeat(6)),
            ErrorKind::RecordTooLong,
        ),
    ];
    for (name, bad, kind) in cases {
        let text = [good.as_str(), &bad, &good].concat();
        let mut reader = Reader::new(text.as_bytes()).named("x.gb").max_bases(30);
        assert_eq!(reader.next().unwrap().unwrap().id, "GOOD.1", "{name}");
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_eq!(
            (error.record(), error.file()),
            (Some(2), Some("x.gb")),
            "{name}"
        );
        assert!(
            error.is_record_error() && error.line() > Some(13),
            "{name}: {error:?}"
        );
        let last = reader
            .next()
            .unwrap()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((last.ordinal, last.cds.len()), (3, 1), "{name}");
        assert!(reader.next().is_none(), "{name}");
    }
}

#[test]
fn file_headers_line_ends_and_missing_ends() {
    let text = record_text("A", "     CDS             1..6\n");
    let cases = [
        (
            "a file header",
            format!("GBBCT1.SEQ\n  Genetic Sequence Data Bank\n\n{text}"),
        ),
        ("CRLF", text.replace('\n', "\r\n")),
        ("blank lines between", format!("\n{text}\n\n")),
        ("no final line end", text.trim_end().to_owned()),
        ("no final slashes, right length", text.replace("//\n", "")),
    ];
    for (name, text) in cases {
        let records: Vec<_> = Reader::new(text.as_bytes()).collect();
        assert_eq!(records.len(), 1, "{name}");
        let record = records[0]
            .as_ref()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((record.cds.len(), record.sequence.len()), (1, 24), "{name}");
    }
    assert_eq!(Reader::new(&b"\n\n"[..]).count(), 0);
    for (text, hint) in [
        (&b">a\nACGT\n"[..], "FASTA"),
        (b"{\"a\": 1}\n", "JSON"),
        (b"\x00\x01\x02", "binary"),
        (b"hello\n", "LOCUS"),
    ] {
        let mut reader = Reader::new(text);
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.hint().unwrap().contains(hint), "{error:?}");
        assert!(!error.is_record_error() && reader.next().is_none());
    }
}

#[test]
fn compressed_and_cut_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gb");
    let text: String = (0..2_000)
        .map(|i| record_text(&format!("R{i}"), ""))
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    std::fs::write(&path, &packed).unwrap();
    assert_eq!(
        Reader::open(&path).unwrap().filter_map(Result::ok).count(),
        2_000
    );
    std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    let items: Vec<_> = Reader::open(&path).unwrap().collect();
    let (last, before) = items.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok) && before.len() > 100);
    let error = last.as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
}

/// A record of 12 bases whose locus line and fields are given.
fn short_record(locus: &str, fields: &str) -> String {
    format!("LOCUS       {locus}\n{fields}ORIGIN\n        1 atgaaacgtt aa\n//\n")
}

#[test]
fn ids_are_those_that_biopython_gives() {
    let plain = "TOY                       12 bp    DNA     linear   UNA 01-JAN-2020";
    for (locus, fields, id) in [
        (plain, "", "TOY"),
        (plain, "ACCESSION   \nVERSION\n", "TOY"),
        (plain, "ACCESSION   unknown\n", "unknown"),
        (plain, "ACCESSION   AB1\n", "AB1"),
        (plain, "ACCESSION   AB1\nVERSION     AB1.2  GI:1\n", "AB1.2"),
        // Biopython's own words for no identifier, which would be the same for all records.
        (
            plain,
            "ACCESSION   <unknown id>\nVERSION     <unknown id>\n",
            "TOY",
        ),
        (
            "contig_with_a_very_long_name_0001_of_many 12 bp    DNA     linear   UNA 01-JAN-2020",
            "",
            "contig_with_a_very_long_name_0001_of_many",
        ),
        // Prokka: Biopython refuses it; genome_entropy reads files that were mended by hand.
        (
            "NODE_1_length_191762_cov_13.663112 bp   DNA linear",
            "ACCESSION   \nVERSION\n",
            "NODE_1_length_191762_cov_13.6631",
        ),
    ] {
        let record = only(&short_record(locus, fields));
        assert_eq!(record.id, id, "{locus} {fields}");
    }
}

#[test]
fn a_length_that_ran_into_the_name_still_shows_that_a_record_is_whole() {
    let text = short_record("NODE_1_cov_13.612 bp   DNA linear", "").replace("//\n", "");
    assert_eq!(only(&text).id, "NODE_1_cov_13.6");
    let cut = text.replace(" aa\n", "\n");
    let error = Reader::new(cut.as_bytes()).next().unwrap().unwrap_err();
    assert!(error.to_string().contains("breaks off"), "{error}");
}

#[test]
fn a_stray_line_in_a_feature_table_costs_no_other_feature() {
    let cds = |last: &str| {
        format!(
            "     CDS             1..6\n                     /gene=\"a\"\n{last}\
             \x20                    /translation=\"MK\"\n     CDS             7..9\n"
        )
    };
    for stray in [
        "garbage at col 0\n",
        "GARBAGE\n",
        "#comment\n",
        " a line at column 2\n",
        "     garbage at column 6\n",
        "          garbage\n",
        "<<<<<<< HEAD\n",
    ] {
        let features = format!("{}{stray}     CDS             10..12\n", cds(""));
        for features in [
            features,
            format!("{}     CDS             10..12\n", cds(stray)),
        ] {
            let record = only(&record_text("TOY", &features));
            assert_eq!(record.cds.len(), 3, "{stray}: {:?}", record.issues);
            assert_eq!(record.cds[0].translation.as_deref(), Some("MK"), "{stray}");
            let [issue] = &record.issues[..] else {
                panic!("{stray}: {:?}", record.issues)
            };
            assert!(
                issue.to_string().contains("neither a feature nor"),
                "{issue}"
            );
            assert!(issue.line().is_some());
        }
    }
}

#[test]
fn a_stray_line_within_a_protein_costs_that_feature_and_is_told() {
    let features = "     CDS             1..6\n                     /translation=\"M\n\
                    garbage at col 0\n                     K\"\n     CDS             7..9\n";
    let record = only(&record_text("TOY", features));
    assert_eq!(record.cds.len(), 1);
    assert_eq!(record.issues.len(), 2, "{:?}", record.issues);
    // Within a value that nobody reads it costs nothing but itself.
    let record = only(&record_text(
        "TOY",
        &features.replace("translation", "note"),
    ));
    assert_eq!((record.cds.len(), record.issues.len()), (2, 1));
}

#[test]
fn sequence_lines_hold_a_number_and_bases() {
    let text = short_record("TOY", "");
    assert_eq!(
        only(&text.replace("        1 ", "")).sequence,
        b"ATGAAACGTTAA"
    );
    for (name, bad) in [
        (
            "a stray line",
            text.replace("//\n", "garbage at col 0\n//\n"),
        ),
        ("a lost line", text.replace("//\n", "       25 acgt\n//\n")),
        ("a protein", text.replace("TOY\n", "TOY 12 aa\n")),
    ] {
        let error = Reader::new(bad.as_bytes()).next().unwrap().unwrap_err();
        assert!(error.is_record_error(), "{name}: {error}");
    }
}
