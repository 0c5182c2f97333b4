//! The FASTA reader and writer: what they read, what they refuse, and where they say it is.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::num::NonZeroUsize;

use sessile_seq::ErrorKind;
use sessile_seq::fasta::{Ids, MAX_HEADER_BYTES, Reader, Record, Seen, Writer};
use sessile_seq::inputs::{self, Format, Input};

/// Gives one byte at a time, so that every line is split by a buffer's end.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.len().min(out.len()).min(1);
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// One line per record or error: `id|description|sequence@line` or `!kind record line`.
fn outline(reader: impl Iterator<Item = sessile_seq::Result<Record>>) -> Vec<String> {
    reader
        .map(|item| match item {
            Ok(r) => {
                let sequence = String::from_utf8(r.sequence).unwrap();
                format!("{}|{}|{sequence}@{}", r.id, r.description, r.line)
            }
            Err(e) => format!(
                "!{:?} {} {}{}",
                e.kind(),
                e.record().unwrap_or(0),
                e.line().unwrap_or(0),
                if e.is_record_error() { "" } else { " file" }
            ),
        })
        .collect()
}

#[test]
fn reads_what_people_call_fasta() {
    struct Case {
        name: &'static str,
        text: &'static [u8],
        expected: &'static [&'static str],
    }
    let cases = [
        Case {
            name: "nothing",
            text: b"",
            expected: &[],
        },
        Case {
            name: "only blank lines",
            text: b"\n \r\n\n",
            expected: &[],
        },
        Case {
            name: "wrapped, no newline at the end",
            text: b">a one two\nAC\nGT\n>b\nGG",
            expected: &["a|one two|ACGT@1", "b||GG@4"],
        },
        Case {
            name: "CRLF",
            text: b">a x\r\nAC\r\nGT\r\n",
            expected: &["a|x|ACGT@1"],
        },
        Case {
            name: "blank lines, blanks inside, tabs",
            text: b"\n\n>a\tx y \n\nAC GT\t\n\n \nA\n",
            expected: &["a|x y|ACGTA@3"],
        },
        Case {
            name: "byte-order mark",
            text: b"\xef\xbb\xbf>a\nA\n",
            expected: &["a||A@1"],
        },
        Case {
            name: "lower case, stop, gaps, digits stay",
            text: b">a\nacGT*-.5\n",
            expected: &["a||acGT*-.5@1"],
        },
        Case {
            name: "comments",
            text: b"; made by hand\n>a\n;note\nAC\n;>b\nGT\n",
            expected: &["a||ACGT@2"],
        },
        Case {
            name: "a blank before the identifier",
            text: b"> a b\nA\n",
            expected: &["a|b|A@1"],
        },
        Case {
            name: "greater-than inside a line",
            text: b">a>b c>d\nA>C\n",
            expected: &["a>b|c>d|A>C@1"],
        },
        Case {
            name: "duplicates are both given",
            text: b">a\nA\n>a\nC\n",
            expected: &["a||A@1", "a||C@3"],
        },
        Case {
            name: "UTF-8 identifier, Latin-1 description",
            text: b">\xc3\xa9 caf\xe9\nA\n",
            expected: &["é|caf\u{fffd}|A@1"],
        },
    ];
    for Case {
        name,
        text,
        expected,
    } in cases
    {
        assert_eq!(outline(Reader::new(text)), expected, "{name}");
        assert_eq!(
            outline(Reader::new(Drip(text))),
            expected,
            "{name}, dripped"
        );
    }
}

#[test]
fn refuses_a_bad_record_and_goes_on() {
    let cases: [(&str, &[u8], &[&str]); 9] = [
        (
            "empty record first",
            b">a\n>b\nA\n",
            &["!EmptyRecord 1 1", "b||A@2"],
        ),
        (
            "empty record last",
            b">a\nA\n>b",
            &["a||A@1", "!EmptyRecord 2 3"],
        ),
        (
            "only blanks as sequence",
            b">a\n \r\n\t\n>b\nA\n",
            &["!EmptyRecord 1 1", "b||A@4"],
        ),
        (
            "no identifier",
            b">\nACGT\n> \nAC\n>b\nA\n",
            &["!MissingId 1 1", "!MissingId 2 3", "b||A@5"],
        ),
        (
            "NUL",
            b">a\nAC\nA\0C\n>b\nA\n",
            &["!InvalidByte 1 3", "b||A@4"],
        ),
        (
            "not ASCII",
            b">a\nAC\xc3\xa9\n>b\nA\n",
            &["!InvalidByte 1 2", "b||A@3"],
        ),
        (
            "NUL in the identifier",
            b">a\0\nAC\n>b\nA\n",
            &["!InvalidHeader 1 1", "b||A@3"],
        ),
        (
            "identifier not UTF-8",
            b">\xe9\nAC\n>b\nA\n",
            &["!InvalidHeader 1 1", "b||A@3"],
        ),
        (
            "too long",
            b">a\nACGTA\nCGTAC\nG\n>b\nACGTACGT\n",
            &["!RecordTooLong 1 3", "b||ACGTACGT@5"],
        ),
    ];
    for (name, text, expected) in cases {
        let read = outline(Reader::new(text).max_residues(8));
        assert_eq!(read, expected, "{name}");
        let read = outline(Reader::new(Drip(text)).max_residues(8));
        assert_eq!(read, expected, "{name}, dripped");
    }
    let mut long = b">".to_vec();
    long.resize(MAX_HEADER_BYTES + 2, b'x');
    long.extend_from_slice(b"\nA\n>b\nA\n");
    let read = outline(Reader::new(&long[..]));
    assert_eq!(read, ["!InvalidHeader 1 1", "b||A@3"]);
}

#[test]
fn says_what_another_format_looks_like() {
    let cases: [(&[u8], u64, &str); 5] = [
        (b"ACGT\n>a\nA\n", 1, "begins with a line"),
        (b"@read1\nACGT\n+\nIIII\n", 1, "FASTQ"),
        (b"\nLOCUS       A 10 bp\n", 2, "GenBank"),
        (b"{\"a\": 1}", 1, "JSON"),
        (b"\x7fELF\0\0", 1, "binary"),
    ];
    for (text, line, hint) in cases {
        let mut reader = Reader::new(text);
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.line()),
            (ErrorKind::Format, Some(line))
        );
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        assert!(!error.is_record_error());
        assert!(reader.next().is_none(), "a file error ends the file");
    }
}

#[test]
fn errors_name_file_record_and_line() {
    let mut reader = Reader::new(&b">a\nAC\n>b desc\nA\x01\n"[..]).named("x.fa");
    reader.next().unwrap().unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.fa: record 2 (b), line 4: the sequence holds the byte 0x01"
    );
    assert_eq!(error.file(), Some("x.fa"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(6);
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut out = zstd::Encoder::new(Vec::new(), 3).unwrap();
    out.include_checksum(true).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Letters that do not compress to nothing, so that cutting the file cuts the data.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 7_u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'A' + (state >> 24) as u8 % 26
        })
        .collect()
}

#[test]
fn finds_compression_by_content_and_reads_every_member() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let packs: [(&str, Pack); 5] = [
        ("plain", |bytes| bytes.to_vec()),
        ("gzip", gzip),
        ("bzip2", bzip2),
        ("xz", xz),
        ("zstd", zstd),
    ];
    let folder = tempfile::tempdir().unwrap();
    let sequence = noise(300_000);
    let first = [b">a\n", &sequence[..], b"\n>b\nAC"].concat();
    let second = b"GT\n>c\nG\n";
    for (name, pack) in packs {
        // No ending that would give the compression away.
        let path = folder.path().join(format!("{name}.fa"));
        let packed = [pack(&first), pack(second)].concat();
        fs::write(&path, &packed).unwrap();
        let records: Vec<_> = Reader::open(&path)
            .unwrap()
            .map(|r| r.unwrap_or_else(|e| panic!("{name}: {e}")))
            .collect();
        let ids: Vec<_> = records.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"], "{name}");
        assert_eq!(records[0].sequence, sequence, "{name}");
        assert_eq!(records[1].sequence, b"ACGT", "{name}: across members");
        if name == "plain" {
            continue;
        }
        let whole = pack(&first);
        fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{name}: {error}");
        // Some decoders give nothing of an unfinished block: then no record has begun.
        assert!(error.record().is_none_or(|record| record == 1), "{name}");
        assert!(!error.is_record_error() && error.file().is_some(), "{name}");
        assert!(reader.next().is_none(), "{name}");
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        for byte in &mut damaged[middle..middle + 64] {
            *byte = !*byte;
        }
        fs::write(&path, &damaged).unwrap();
        let last = Reader::open(&path).unwrap().last().unwrap();
        let error = last.expect_err(name);
        assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn memory_of_a_refused_record_is_given_back() {
    let text = [b">a\n", &noise(1_000_000)[..], b"\n>b\nA\n"].concat();
    let mut reader = Reader::new(&text[..]).max_residues(1_000);
    let mut record = Record::default();
    assert!(reader.read(&mut record).is_err());
    assert_eq!(record.sequence.capacity(), 0);
    assert!(reader.read(&mut record).unwrap());
    assert_eq!(record.id, "b");
    assert_eq!(reader.records_met(), 2);
}

#[test]
fn inputs_come_in_a_stable_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in [
        "b.fa",
        "a.fna.gz",
        "C.fasta",
        "notes.txt",
        "x[1].fa",
        "g.gbk",
    ] {
        fs::write(root.join(name), ">x\nA\n").unwrap();
    }
    fs::create_dir(root.join("deep.fa")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    let names = |given: &[&str], format| -> sessile_seq::Result<Vec<String>> {
        let given: Vec<_> = given.iter().map(|name| root.join(name)).collect();
        let found = inputs::expand(given, format)?;
        let strip = |input: Input| match input {
            Input::File(path) => path.file_name().unwrap().to_string_lossy().into_owned(),
            Input::Stdin => "-".to_owned(),
        };
        Ok(found.into_iter().map(strip).collect())
    };
    let fasta = |given: &[&str]| names(given, Format::Fasta);
    let everything = ["C.fasta", "a.fna.gz", "b.fa", "x[1].fa"];
    assert_eq!(fasta(&[""]).unwrap(), everything);
    assert_eq!(names(&[""], Format::GenBank).unwrap(), ["g.gbk"]);
    assert_eq!(fasta(&["*.fa"]).unwrap(), ["b.fa", "x[1].fa"]);
    assert_eq!(fasta(&["x[1].fa"]).unwrap(), ["x[1].fa"]);
    assert_eq!(
        fasta(&["b.fa", "*.f*a*"]).unwrap(),
        ["b.fa", "C.fasta", "a.fna.gz", "x[1].fa"]
    );
    for missing in ["none.fa", "*.fq", "empty"] {
        let error = fasta(&[missing]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.file().unwrap().ends_with(missing), "{error}");
    }
    let twice = inputs::expand(["-", "-"], Format::Fasta).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::InvalidArgument);
    let error = Reader::open(root).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "a folder is no file: {error}");
    let error = Reader::open(root.join("none")).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn writing_and_reading_again_changes_nothing() {
    let records = [
        ("a", "some text", noise(61)),
        ("b", "", noise(60)),
        ("c|d", "x", noise(1)),
    ];
    for width in [None, NonZeroUsize::new(60), NonZeroUsize::new(1)] {
        let mut writer = Writer::new(Cursor::new(Vec::new())).wrapped_at(width);
        for (id, description, sequence) in &records {
            let record = Record {
                description: (*description).to_owned(),
                ..Record::new(*id, sequence.clone())
            };
            writer.write_record(&record).unwrap();
        }
        let text = writer.into_inner().into_inner();
        let longest = text.split(|&b| b == b'\n').map(<[u8]>::len).max().unwrap();
        assert_eq!(
            longest,
            if width == NonZeroUsize::new(1) {
                12
            } else {
                width.map_or(61, usize::from)
            }
        );
        let again: Vec<_> = Reader::new(&text[..]).map(Result::unwrap).collect();
        for (record, (id, description, sequence)) in again.iter().zip(&records) {
            assert_eq!(
                (record.id.as_str(), record.description.as_str()),
                (*id, *description)
            );
            assert_eq!(&record.sequence, sequence);
        }
        assert_eq!(again.len(), records.len());
    }
    assert!(Writer::new(Vec::new()).write("a\n>b", b"A").is_err());
}

#[test]
fn ids_are_remembered_up_to_the_limit() {
    let mut ids = Ids::with_limit(2);
    let seen: Vec<_> = ["a", "b", "a", "c", "c", "b"]
        .map(|id| ids.insert(id))
        .into();
    use Seen::{Again, First, Unknown};
    assert_eq!(seen, [First, First, Again, Unknown, Unknown, Again]);
}
