//! What reads bytes from strangers.

use sessile_models::checkpoint::{pickle, safetensors};
use sessile_pipelines::journal::{Contents, Outcome};
use sessile_pipelines::output::{Column, ColumnKind, Row, Schema};
use sessile_seq::fasta::{Reader, Record};

/// A reader; the text tells kinds of answers apart.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]) -> Result<String, String>,
}

pub const TARGETS: [Target; 4] = [
    Target {
        name: "fasta",
        run: fasta,
    },
    Target {
        name: "safetensors",
        run: safetensors_header,
    },
    Target {
        name: "pickle",
        run: pickle_value,
    },
    Target {
        name: "journal",
        run: journal,
    },
];

fn fasta(input: &[u8]) -> Result<String, String> {
    let reader = Reader::new(input);
    let mut reader = reader.max_residues(1 << 12);
    let mut record = Record::default();
    let mut failed = None;
    let mut records = 0_usize;
    // More reads than bytes mean that the reader does not come to an end.
    for _ in 0..=input.len() + 1 {
        match reader.read(&mut record) {
            Ok(true) => {
                records += 1;
                assert!(
                    record.sequence.len() <= input.len(),
                    "residues from nowhere"
                );
            }
            Ok(false) => {
                let kind = format!("2^{:?} records", records.checked_ilog2());
                return failed.map_or(Ok(kind), Err);
            }
            Err(error) => {
                failed.get_or_insert_with(|| error.to_string());
            }
        }
    }
    panic!("the reader does not end");
}

/// As it is, and with the length that its JSON has: otherwise few changes get past the first check.
fn safetensors_header(input: &[u8]) -> Result<String, String> {
    let end = input.iter().rposition(|&byte| byte == b'}');
    if let Some(json) = end.and_then(|end| input.get(8..=end)) {
        let length = (json.len() as u64).to_le_bytes();
        let rest = &input[8 + json.len()..];
        let mended = [&length[..], json, rest].concat();
        return header(&mended).or_else(|first| header(input).map_err(|_| first));
    }
    header(input)
}

fn header(input: &[u8]) -> Result<String, String> {
    let header = safetensors::parse_header(input).map_err(|error| error.to_string())?;
    for tensor in header.tensors.values() {
        assert!(tensor.bytes.start <= tensor.bytes.end, "a negative length");
        assert!(tensor.bytes.end <= input.len() as u64, "beyond the file");
    }
    Ok(format!("{} tensors", header.tensors.len()))
}

fn pickle_value(input: &[u8]) -> Result<String, String> {
    let value = pickle::parse(input).map_err(|error| error.to_string())?;
    let shown = format!("{value:?}");
    Ok(shown.chars().take_while(|c| c.is_alphabetic()).collect())
}

/// Every frame is whole or is not taken: what was written before is what is read.
fn journal(input: &[u8]) -> Result<String, String> {
    let schema = Schema::new(vec![
        Column::new("length", ColumnKind::Integer),
        Column::new("mean", ColumnKind::Tensor(vec![None])),
    ]);
    // The cells of a row are read from bytes without a checksum around them, too.
    let _ = Row::from_bytes(String::new(), input, &schema);
    let contents = Contents::read(input).map_err(|error| error.to_string())?;
    assert!(
        contents.whole_bytes <= input.len() as u64,
        "beyond the file"
    );
    for entry in &contents.entries {
        if let Outcome::Done(bytes) = &entry.outcome {
            let _ = Row::from_bytes(entry.id.clone(), bytes, &schema);
        }
    }
    Ok(format!(
        "{} runs, {} entries, {}",
        contents.fingerprints.len(),
        contents.entries.len(),
        contents.was_finishing
    ))
}
