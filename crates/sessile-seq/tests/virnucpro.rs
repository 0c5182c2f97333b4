//! Chunks and six-frame identification against VirNucPro's own files.

use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::{Value, json};
use sessile_seq::chunk::{Batches, ranges};
use sessile_seq::nucleotide::reverse_complement;
use sessile_seq::reading_frame::ReadingFrame;
use sessile_seq::six_frame::{
    self, Counts, FrameScanner, OpenFrame, Outputs, ReferenceProteins, translate_known_codons,
};
use sessile_seq::{ErrorKind, fasta};

fn size(bases: usize) -> NonZeroUsize {
    NonZeroUsize::new(bases).unwrap()
}

/// The three files that a run makes.
fn run(input: impl std::io::Read + Send, chunk: usize, threads: usize) -> ([Vec<u8>; 3], Counts) {
    let mut files = [Vec::new(), Vec::new(), Vec::new()];
    let [chunks, nucleotide, protein] = &mut files;
    let outputs = Outputs {
        chunks: Some(chunks),
        nucleotide: Some(nucleotide),
        protein: Some(protein),
    };
    let reader = fasta::Reader::new(input);
    let counts = six_frame::run(reader, size(chunk), size(threads), outputs, |error| {
        panic!("{error}")
    });
    (files, counts.unwrap())
}

#[track_caller]
fn assert_files(folder: &Path, stem: &str, chunk: usize) -> Counts {
    let input = crate::golden::bytes(&folder.join(format!("{stem}.fa")));
    let names = [
        format!("{stem}_chunked{chunk}.fa"),
        format!("{stem}_identified_nucleotide.fa"),
        format!("{stem}_identified_protein.faa"),
    ];
    let expected = names.map(|name| crate::golden::bytes(&folder.join(name)));
    let (files, counts) = run(&input[..], chunk, 1);
    assert!(files == expected, "{stem} on one thread");
    let (files, parallel_counts) = run(&input[..], chunk, 3);
    assert!(files == expected, "{stem} on three threads");
    assert_eq!(counts, parallel_counts);
    counts
}

#[test]
fn files_are_byte_equal() {
    let folder = crate::golden::folder().join("virnucpro");
    let info = &crate::golden::json(&folder.join("functions.json"))["info"];
    for chunk in [300, 500] {
        let counts = assert_files(&folder, &format!("input{chunk}"), chunk);
        let info = &info[chunk.to_string()];
        assert_eq!(info["records"], counts.records);
        assert_eq!(info["chunks"], counts.chunks);
        assert_eq!(info["identified"], counts.candidates);
        assert_eq!(counts.failed_records, 0);
    }
}

#[test]
fn files_of_the_broad_copy_are_byte_equal() {
    let Some(folder) = crate::golden::reference("virnucpro/broad_reference") else {
        return;
    };
    for stem in ["test_fixed_500bp", "test_with_orfs"] {
        assert_files(&folder.join(stem), stem, 500);
    }
}

#[test]
fn chunk_lengths() {
    let info =
        &crate::golden::json(&crate::golden::folder().join("virnucpro/functions.json"))["info"];
    for chunk in [300, 500] {
        for record in info[format!("chunks{chunk}")].as_array().unwrap() {
            let length = record[1].as_u64().unwrap() as usize;
            let name = record[0].as_str().unwrap();
            let ours: Vec<_> = ranges(length, size(chunk))
                .enumerate()
                .map(|(i, range)| json!([format!("{name}_chunk_{}", i + 1), range.len()]))
                .collect();
            assert_eq!(json!(ours), record[2], "{name}");
        }
    }
}

/// The loop of the original, seam by seam.
fn ranges_step_by_step(length: usize, size: usize) -> Vec<(usize, usize)> {
    let count = length.div_ceil(size);
    let missing = count * size - length;
    let low = missing / count;
    let wide = missing - low * (count - 1);
    let (mut moved, mut found) = (0, Vec::new());
    for index in 0..count {
        let start = index * size - moved;
        found.push((start, (start + size).min(length)));
        moved += if index < wide { low + 1 } else { low };
    }
    found
}

#[test]
fn ranges_have_a_closed_form() {
    for chunk in 1..40 {
        assert_eq!(ranges(0, size(chunk)).count(), 0);
        for length in 1..400 {
            let ours: Vec<_> = ranges(length, size(chunk))
                .map(|r| (r.start, r.end))
                .collect();
            assert_eq!(
                ours,
                ranges_step_by_step(length, chunk),
                "{length} in {chunk}"
            );
            assert!(
                ours.iter()
                    .all(|&(start, end)| start < end && end <= length)
            );
            let covered = ours.windows(2).all(|pair| pair[1].0 <= pair[0].1);
            assert!(
                covered && ours.last().unwrap().1 == length,
                "{length} in {chunk}"
            );
        }
    }
    assert!(ranges(5, NonZeroUsize::MAX).eq(std::iter::once(0..5)));
}

fn as_json(id: &str, open: OpenFrame<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    json!({
        "seqid": format!("{id}{}", open.suffix()),
        "nucleotide": text(open.nucleotide),
        "protein": text(open.protein),
    })
}

#[test]
fn unit_cases() {
    let cases = crate::golden::json(&crate::golden::folder().join("virnucpro/functions.json"));
    for case in cases["translate_dna"].as_array().unwrap() {
        let sequence = case["seq"].as_str().unwrap().as_bytes();
        let frames = ReadingFrame::ALL
            .map(|frame| String::from_utf8(translate_known_codons(sequence, frame)).unwrap());
        assert_eq!(json!(frames), case["six_frames"], "{case}");
        // Only where every letter but ACGT is its own complement.
        if !sequence.contains(&b'R') {
            let reverse = String::from_utf8(reverse_complement(sequence)).unwrap();
            assert_eq!(reverse, case["reverse_complement"].as_str().unwrap());
        }
    }
    let mut scanner = FrameScanner::new();
    for case in cases["identify_seq"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let sequence = case["sequence"].as_str().unwrap().as_bytes();
        let found: Vec<_> = scanner
            .scan(sequence)
            .map(|open| as_json(id, open))
            .collect();
        assert_eq!(json!(found), case["records"], "{id}");
        let lower = sequence.to_ascii_lowercase();
        assert_eq!(
            scanner.scan(&lower).count(),
            found.len(),
            "{id} in lower case"
        );
    }
}

#[test]
fn training_cases() {
    let cases = crate::golden::json(&crate::golden::folder().join("virnucpro/identify_train.json"));
    let mut scanner = FrameScanner::new();
    for case in cases.as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let sequence = case["sequence"].as_str().unwrap().as_bytes();
        let references: ReferenceProteins = case["refseq_proteins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|protein| protein.as_str().unwrap())
            .collect();
        let found = scanner
            .scan_for_training(sequence, &references)
            .map(|found| found.map(|open| as_json(id, open)).collect::<Vec<_>>());
        assert_eq!(json!(found), case["records"], "{id}");
    }
    let nothing = ReferenceProteins::default();
    assert!(!nothing.contain(b"") && !nothing.contain(b"M"));
}

#[test]
fn a_bad_record_costs_only_itself() {
    let text = b">a\nACGTACGTAC\n>empty\n>b\nAC\0\n>c\nACG\n";
    let items: Vec<_> = Batches::new(fasta::Reader::new(&text[..]), size(4))
        .map(|item| match item {
            Ok(batch) => batch.iter().map(|chunk| chunk.to_string()).collect(),
            Err(error) => vec![format!("{:?}", error.kind())],
        })
        .collect();
    let expected: [&[&str]; 4] = [
        &["a_chunk_1", "a_chunk_2", "a_chunk_3"],
        &["EmptyRecord"],
        &["InvalidByte"],
        &["c_chunk_1"],
    ];
    assert_eq!(items, expected);
    let mut kinds = Vec::new();
    let counts = six_frame::run(
        fasta::Reader::new(&text[..]),
        size(4),
        size(2),
        Outputs::default(),
        |error| kinds.push(error.kind()),
    )
    .unwrap();
    assert_eq!(kinds, [ErrorKind::EmptyRecord, ErrorKind::InvalidByte]);
    assert_eq!((counts.chunks, counts.failed_records), (4, 2));
}

#[test]
fn batches_split_long_records_and_keep_order() {
    let long = "ACGTTGCA".repeat(200_000);
    let text = format!(">long\n{long}\n>short\nACG\n");
    let mut numbers = Vec::new();
    let mut batches = 0;
    for batch in Batches::new(fasta::Reader::new(text.as_bytes()), size(500)) {
        let batch = batch.unwrap();
        numbers.extend(
            batch
                .iter()
                .map(|chunk| (chunk.record_id.to_owned(), chunk.number)),
        );
        batches += 1;
    }
    assert!(batches > 5);
    assert_eq!(numbers.len(), 3_201);
    assert_eq!(numbers.last(), Some(&("short".to_owned(), 1)));
    let in_order = numbers[..3_200]
        .iter()
        .enumerate()
        .all(|(i, (_, n))| *n == i + 1);
    assert!(in_order);
    let (one, _) = run(text.as_bytes(), 500, 1);
    let (four, _) = run(text.as_bytes(), 500, 4);
    assert!(one == four);
}

#[test]
fn a_file_error_or_a_full_disk_ends_the_run() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let text = format!(">long\n{}\n", "ACGT".repeat(2_000_000));
    for threads in [1, 4] {
        let mut full = Full;
        let outputs = Outputs {
            chunks: Some(&mut full),
            ..Outputs::default()
        };
        let reader = fasta::Reader::new(text.as_bytes());
        let error = six_frame::run(reader, size(500), size(threads), outputs, |_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let reader = fasta::Reader::new(&b"no fasta"[..]);
        let outputs = Outputs::default();
        let error = six_frame::run(reader, size(500), size(threads), outputs, |_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
    }
}
