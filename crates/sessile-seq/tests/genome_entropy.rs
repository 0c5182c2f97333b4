//! Entropy, mutual information and CDS matching against genome_entropy's results.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use sessile_seq::cds_match::{CdsIndex, LastResidues};
use sessile_seq::entropy::{mutual_information, shannon};
use sessile_seq::genetic_code::GeneticCode;
use sessile_seq::orf::{OrfFinder, Orfs};
use sessile_seq::{ErrorKind, fasta, genbank};

/// genome_entropy asks for entropies to this many bits.
const TOLERANCE: f64 = 1e-9;

fn text<'a>(value: &'a Value, key: &str) -> &'a [u8] {
    value[key].as_str().unwrap().as_bytes()
}

#[track_caller]
fn assert_bits(ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() <= TOLERANCE, "{ours} and {theirs}");
}

#[test]
fn entropy_vectors() {
    let index =
        crate::golden::json(&crate::golden::folder().join("genome_entropy/pipeline/index.json"));
    let entropies = index["entropy"].as_array().unwrap();
    for case in entropies {
        assert_bits(shannon(text(case, "sequence")), &case["entropy_bits"]);
    }
    let pairs = index["mutual_information"].as_array().unwrap();
    for case in pairs {
        let bits = mutual_information(text(case, "a"), text(case, "b")).unwrap();
        assert_bits(bits, &case["bits"]);
    }
    assert!(entropies.len() >= 12 && pairs.len() >= 5);
    let error = mutual_information(b"A", b"AA").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        mutual_information(b"ab", b"CD").unwrap(),
        mutual_information(b"AB", b"cd").unwrap()
    );
}

/// The finder of a run: genome_entropy passes three times its `min_aa_len` to get_orfs.
fn finder(run: &Value) -> (OrfFinder, GeneticCode) {
    let option = |key: &str, default| run["args"][key].as_u64().unwrap_or(default);
    let code = GeneticCode::of(option("table_id", 11) as u8).unwrap();
    let longer_than = 3 * option("min_aa_len", 30) as usize;
    (OrfFinder::new(code).longer_than(longer_than), code)
}

/// Compares every ORF of a record with the JSON; returns their number.
fn compare_orfs(record: &Value, orfs: &Orfs<'_>, extra: &Value) -> usize {
    let features = record["features"].as_object().unwrap();
    assert_eq!(features.len(), orfs.len(), "{}", record["input_id"]);
    for orf in orfs {
        let name = format!("orf{}", orf.number());
        let feature = &features[&name];
        let place = &feature["location"];
        assert_eq!(place["start"].as_u64(), Some(orf.start() as u64), "{name}");
        assert_eq!(place["end"].as_u64(), Some(orf.end() as u64), "{name}");
        assert_eq!(place["strand"], orf.frame().strand().to_string(), "{name}");
        assert_eq!(place["frame"].as_u64(), Some(orf.frame().number().into()));
        assert_eq!(
            text(&feature["dna"], "nt_sequence"),
            orf.nucleotides(),
            "{name}"
        );
        let protein = text(&feature["protein"], "aa_sequence");
        assert_eq!(
            protein,
            orf.protein().strip_suffix(b"*").unwrap_or(orf.protein())
        );
        let entropy = &feature["entropy"];
        let three_di = text(&feature["three_di"], "encoding");
        if !entropy.is_null() && entropy["dna_entropy"].as_f64() != Some(0.0) {
            assert_bits(shannon(orf.nucleotides()), &entropy["dna_entropy"]);
            assert_bits(shannon(protein), &entropy["protein_entropy"]);
            assert_bits(shannon(three_di), &entropy["three_di_entropy"]);
        }
        let extra = &extra[&name];
        let twelve = text(extra, "stub_twelve_state");
        assert_bits(shannon(twelve), &extra["twelve_state_entropy"]);
        let shared = mutual_information(three_di, twelve).unwrap();
        assert_bits(shared, &extra["mutual_information"]);
    }
    orfs.len()
}

/// Inputs that end a whole run of genome_entropy cost at most a record here.
#[test]
fn its_error_cases_are_read() {
    let folder = crate::golden::folder().join("genome_entropy/pipeline");
    let cases: [(&str, usize, Option<ErrorKind>); 8] = [
        ("with_N", 1, None),
        ("iupac", 1, None),
        ("rna_U", 1, None),
        ("dash_id", 1, None),
        ("len7", 1, None),
        ("empty", 0, None),
        ("noheader", 0, Some(ErrorKind::Format)),
        ("empty_record", 1, Some(ErrorKind::EmptyRecord)),
    ];
    let finder = OrfFinder::new(GeneticCode::of(11).unwrap());
    for (name, good, kind) in cases {
        let path = folder.join(format!("input_err_{name}.fasta"));
        let items: Vec<_> = fasta::Reader::open(&path).unwrap().collect();
        let errors: Vec<_> = items
            .iter()
            .filter_map(|item| item.as_ref().err())
            .collect();
        assert_eq!(errors.first().map(|error| error.kind()), kind, "{name}");
        assert_eq!(items.len() - errors.len(), good, "{name}");
        for record in items.iter().flatten() {
            let orfs = finder.find(&record.sequence);
            let code = GeneticCode::of(11).unwrap();
            assert!(
                orfs.iter()
                    .all(|orf| code.translate(orf.coding()) == orf.protein())
            );
        }
    }
}

#[test]
fn pipeline_runs_on_fasta() {
    let folder = crate::golden::folder().join("genome_entropy/pipeline");
    let index = crate::golden::json(&folder.join("index.json"));
    let mut orf_count = 0;
    for run in index["runs"].as_array().unwrap() {
        let Some(input) = run["args"]["input_fasta"].as_str() else {
            continue;
        };
        let (finder, _) = finder(run);
        let (expected, extra) = expectations(&folder, run);
        let records = fasta::Reader::open(folder.join(input)).unwrap();
        for (record, expected) in records.zip(expected.as_array().unwrap()) {
            let record = record.unwrap();
            let sequence = record.sequence.to_ascii_uppercase();
            assert_eq!(expected["input_id"], record.id);
            assert_eq!(expected["input_dna_length"], record.sequence.len());
            if run["args"]["compute_entropy"] != false {
                assert_bits(shannon(&sequence), &expected["dna_entropy_global"]);
            }
            let orfs = finder.find(&sequence);
            orf_count += compare_orfs(expected, &orfs, &extra[&record.id]);
        }
    }
    assert!(orf_count > 300, "{orf_count}");
}

fn expectations(folder: &Path, run: &Value) -> (Value, Value) {
    let file = run["file"].as_str().unwrap();
    let extra = file.replace(".json", ".v22_extra.json");
    (
        crate::golden::json(&folder.join(file)),
        crate::golden::json(&folder.join(extra)),
    )
}

#[test]
fn pipeline_runs_on_public_genbank_files() {
    let Some(folder) = crate::golden::reference("genome_entropy") else {
        return;
    };
    let index = crate::golden::folder().join("genome_entropy/pipeline/index.json");
    let mut matched = 0;
    for run in crate::golden::json(&index)["runs"].as_array().unwrap() {
        let Some(input) = run["args"]["genbank_file"].as_str() else {
            continue;
        };
        let (finder, code) = finder(run);
        let (expected, extra) = expectations(&folder.join("pipeline"), run);
        let records: Vec<_> = genbank::Reader::open(folder.join(input))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(records.len(), expected.as_array().unwrap().len());
        // The old rule takes the CDS of the whole file.
        let ends: LastResidues = records
            .iter()
            .flat_map(|record| &record.cds)
            .filter_map(|cds| cds.translation.as_ref())
            .collect();
        for (record, expected) in records.iter().zip(expected.as_array().unwrap()) {
            assert!(record.issues.is_empty(), "{:?}", record.issues);
            assert_eq!(expected["input_id"], record.id);
            assert_bits(shannon(&record.sequence), &expected["dna_entropy_global"]);
            for cds in &record.cds {
                // The first codon is M whatever it is, and the stop is not written.
                let ours = cds.translate(&record.sequence, code).unwrap();
                let ours = ours.strip_suffix(b"*").unwrap_or(&ours);
                let theirs = cds.translation.as_ref().unwrap().as_bytes();
                assert_eq!(ours[1..], theirs[1..], "{:?}", cds.locus_tag);
            }
            let orfs = finder.find(&record.sequence);
            compare_orfs(expected, &orfs, &extra[&record.id]);
            let (cds, issues) = CdsIndex::new(record, code);
            assert!(issues.is_empty(), "{issues:?}");
            let mut by_place = BTreeSet::new();
            for orf in &orfs {
                let name = format!("orf{}", orf.number());
                let old = &expected["features"][&name]["metadata"]["in_genbank"];
                assert_eq!(ends.matches(orf.protein()), *old, "{} {name}", record.id);
                if cds.matches(&orf) {
                    by_place.insert(name);
                }
            }
            let new: BTreeSet<String> = run["in_genbank_v2.2"][&record.id]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect();
            assert_eq!(by_place, new, "{} {}", run["name"], record.id);
            matched += by_place.len();
        }
    }
    assert!(matched > 140, "{matched}");
}
