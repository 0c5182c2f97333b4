//! What stands around the records of real files: line ends, byte order marks, padding of compressed
//! data. None of it may cost a record.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use sessile_seq::{Error, ErrorKind, fasta, genbank};

/// Gives one byte at a time, so that every line end is split by a buffer's end.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.len().min(out.len()).min(1);
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// Identifiers and sequences, and the error that ends the file.
fn records(reader: fasta::Reader<impl Read>) -> (Vec<(String, Vec<u8>)>, Option<Error>) {
    let mut found = Vec::new();
    for record in reader {
        match record {
            Ok(record) => found.push((record.id, record.sequence)),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

fn good(reader: fasta::Reader<impl Read>) -> Vec<(String, Vec<u8>)> {
    let (found, error) = records(reader);
    assert!(error.is_none(), "{error:?}");
    found
}

/// `text` with each line end replaced by the next of `ends`.
fn with_ends(text: &str, ends: &[&str]) -> Vec<u8> {
    let lines = text.split_inclusive('\n').zip(ends.iter().cycle());
    lines
        .flat_map(|(line, end)| line.replace('\n', end).into_bytes())
        .collect()
}

const ENDS: [(&str, &[&str]); 6] = [
    ("LF", &["\n"]),
    ("CR", &["\r"]),
    ("CRLF", &["\r\n"]),
    ("mixed", &["\r", "\r\n", "\n"]),
    ("CR and LF", &["\n", "\r", "\r"]),
    ("CR CRLF", &["\r\r\n"]),
];

const GENBANK: &str = "LOCUS       TOY 24 bp    DNA     linear SYN 01-JAN-2020
DEFINITION  Toy
            record.
VERSION     TOY.1
FEATURES             Location/Qualifiers
     CDS             complement(1..
                     12)
                     /translation=\"MK
                     TA\"
ORIGIN
        1 atgaaacgtt aaggntcaac
       21 acat
//
";

#[test]
fn every_kind_of_line_end_gives_the_same_fasta_records() {
    // Lines of 61 bytes, so that line ends fall on every place of the reader's buffers.
    let line = "ACGTTGCAAGCTACGATCGATTTAGCCGATCGATCGGATCGGATATCGCGATCCGATCGA";
    let lines = format!("{line}\n").repeat(9_000);
    let text = format!(">a desc\n{lines}>b\nGG\n>c\n{lines}");
    let expected = good(fasta::Reader::new(text.as_bytes()));
    assert_eq!(expected[0].1.len(), line.len() * 9_000);
    for (name, ends) in ENDS {
        for shift in 0..3 {
            let text = [&b"\n".repeat(shift)[..], &with_ends(&text, ends)].concat();
            assert_eq!(good(fasta::Reader::new(&text[..])), expected, "{name}");
        }
        let short = with_ends(">a desc\nAC\nGT\n>b\nG\n", ends);
        let found = good(fasta::Reader::new(Drip(&short)));
        let record = |id: &str, bases: &[u8]| (id.to_owned(), bases.to_vec());
        assert_eq!(found, [record("a", b"ACGT"), record("b", b"G")], "{name}");
    }
}

#[test]
fn a_carriage_return_ends_a_header() {
    let found = good(fasta::Reader::new(
        &b">a desc\rMKTAYIAKQR\nMSGVDD\n>b\nMKTA\n"[..],
    ));
    assert_eq!(found[0], ("a".to_owned(), b"MKTAYIAKQRMSGVDD".to_vec()));
    assert_eq!(found[1], ("b".to_owned(), b"MKTA".to_vec()));
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    for (name, ends) in &ENDS[..5] {
        let text = with_ends(">a\nAC\n>b\n>c\nA\n", ends);
        let mut reader = fasta::Reader::new(&text[..]);
        reader.next().unwrap().unwrap();
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(error.line(), Some(3), "{name}");
        assert_eq!(reader.next().unwrap().unwrap().line, 4, "{name}");
    }
}

#[test]
fn every_kind_of_line_end_gives_the_same_genbank_record() {
    for (name, ends) in ENDS {
        let text = with_ends(GENBANK, ends);
        for record in [
            genbank::Reader::new(&text[..]).next().unwrap(),
            genbank::Reader::new(Drip(&text)).next().unwrap(),
        ] {
            let record = record.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(record.id, "TOY.1", "{name}");
            assert_eq!(record.definition, "Toy record.", "{name}");
            assert_eq!(record.sequence, b"ATGAAACGTTAAGGNTCAACACAT", "{name}");
            assert_eq!(record.cds[0].translation.as_deref(), Some("MKTA"), "{name}");
            assert!(record.issues.is_empty(), "{name}: {:?}", record.issues);
        }
    }
}

/// `cat a.fa b.fa`, where the second has a byte order mark.
#[test]
fn a_byte_order_mark_in_front_of_any_line_costs_no_record() {
    let text = "\u{feff}>a\nAC\n\u{feff}>b\nGG\n\u{feff}TT\n>c\nA\n".as_bytes();
    let expected = [("a", "AC"), ("b", "GGTT"), ("c", "A")]
        .map(|(id, sequence)| (id.to_owned(), sequence.as_bytes().to_vec()));
    assert_eq!(good(fasta::Reader::new(text)), expected);
    assert_eq!(good(fasta::Reader::new(Drip(text))), expected);
}

#[test]
fn byte_order_marks_are_skipped_or_refused_by_name() {
    let utf8 = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert_eq!(good(fasta::Reader::new(&utf8(">a\nAC\n")[..])).len(), 1);
    assert_eq!(good(fasta::Reader::new(Drip(&utf8(">a\nAC\n")))).len(), 1);
    assert_eq!(good(fasta::Reader::new(&utf8("")[..])).len(), 0);
    let record = genbank::Reader::new(&utf8(GENBANK)[..]).next().unwrap();
    assert_eq!(record.unwrap().id, "TOY.1");

    let wide = |mark: &[u8], width: usize, little: bool| -> Vec<u8> {
        let letters = b">a\nAC\n".iter().flat_map(|&letter| {
            let mut bytes = vec![0; width];
            bytes[if little { 0 } else { width - 1 }] = letter;
            bytes
        });
        mark.iter().copied().chain(letters).collect()
    };
    for (text, name) in [
        (wide(b"\xff\xfe", 2, true), "UTF-16"),
        (wide(b"\xfe\xff", 2, false), "UTF-16"),
        (wide(b"\xff\xfe\0\0", 4, true), "UTF-32"),
        (wide(b"\0\0\xfe\xff", 4, false), "UTF-32"),
    ] {
        let error = fasta::Reader::new(&text[..]).next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.is_record_error());
        let error = genbank::Reader::new(&text[..]).next().unwrap().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A block of bgzip: a gzip member with the length of the block in a field of its own.
fn bgzip(bytes: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().extra(b"BC\x02\0\0\0".to_vec());
    let mut out = builder.write(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn open(path: &Path, bytes: &[u8]) -> (Vec<String>, Option<Error>) {
    fs::write(path, bytes).unwrap();
    let (found, error) = records(fasta::Reader::open(path).unwrap());
    let sequence = |(id, bases): (String, Vec<u8>)| format!("{id} {}", bases.escape_ascii());
    (found.into_iter().map(sequence).collect(), error)
}

#[test]
fn padding_that_the_tools_accept_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fa");
    let (one, two) = (&b">a\nAC\n>b\nG"[..], &b"G\n>c\nT"[..]);
    let zeros = |count: usize| vec![0; count];
    // What `zstd` and `pzstd` put between frames, and before and behind them.
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd".to_vec();
    for (name, parts) in [
        ("gzip, zeros behind", vec![gzip(one), gzip(two), zeros(512)]),
        (
            "gzip, many zeros",
            vec![gzip(one), gzip(two), zeros(300_000)],
        ),
        ("gzip, zeros between", vec![gzip(one), zeros(7), gzip(two)]),
        (
            "gzip, an empty member",
            vec![gzip(b""), gzip(one), gzip(b""), gzip(two)],
        ),
        ("bgzip", vec![bgzip(one), bgzip(two), bgzip(b"")]),
        (
            "bgzip, zeros behind",
            vec![bgzip(one), bgzip(two), bgzip(b""), zeros(9)],
        ),
        (
            "bzip2, zeros behind",
            vec![bzip2(one), bzip2(two), zeros(512)],
        ),
        (
            "xz, stream padding",
            vec![xz(one), zeros(8), xz(two), zeros(4)],
        ),
        ("zstd, zeros behind", vec![zstd(one), zstd(two), zeros(512)]),
        (
            "zstd, skippable frames",
            vec![
                skippable.clone(),
                zstd(one),
                skippable.clone(),
                zstd(two),
                skippable,
            ],
        ),
    ] {
        let (found, error) = open(&path, &parts.concat());
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(found, ["a AC", "b GG", "c T"], "{name}");
    }
}

#[test]
fn other_bytes_behind_compressed_data_are_told_and_cost_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fa");
    let text = b">a\nAC\n>b\nGG";
    for (name, packed) in [
        ("gzip", gzip(text)),
        ("bzip2", bzip2(text)),
        ("xz", xz(text)),
        ("zstd", zstd(text)),
    ] {
        for garbage in [&b"garbage"[..], b"\0\0garbage", b"\n"] {
            let (found, error) = open(&path, &[&packed[..], garbage].concat());
            assert_eq!(found, ["a AC", "b GG"], "{name}");
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(!error.is_record_error());
            let words = format!("other bytes follow the {name} data");
            assert!(error.to_string().contains(&words), "{error}");
        }
    }
    let (found, error) = open(&path, &[gzip(text), b">c\nTT\n".to_vec()].concat());
    assert_eq!(
        (found.len(), error.is_some()),
        (2, true),
        "text behind gzip"
    );

    let record = gzip(GENBANK.as_bytes());
    fs::write(&path, [&record[..], b"garbage"].concat()).unwrap();
    let items: Vec<_> = genbank::Reader::open(&path).unwrap().collect();
    assert!(items[0].is_ok(), "{items:?}");
    let error = items[1].as_ref().unwrap_err();
    assert!(error.to_string().contains("other bytes follow"), "{error}");
    assert_eq!(items.len(), 2);
}

#[test]
fn a_damaged_block_is_not_taken_for_bytes_behind_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fa");
    let mut second = bgzip(b"GG\n>c\nT\n");
    second[0] = b'x';
    let (found, error) = open(&path, &[bgzip(b">a\nAC\n>b\nG"), second].concat());
    assert_eq!(
        found,
        ["a AC"],
        "the record that breaks off is not given out"
    );
    assert_eq!(error.unwrap().kind(), ErrorKind::Corrupt);
    // A member that is cut within its first bytes is a cut file.
    let cut = &gzip(b"GG\n")[..5];
    let (found, error) = open(&path, &[&gzip(b">a\nAC\n>b\nG")[..], cut].concat());
    assert_eq!(found, ["a AC"]);
    assert_eq!(error.unwrap().kind(), ErrorKind::Truncated);
}
