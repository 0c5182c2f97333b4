//! Records against genome_entropy's own, with the states of a rule in place of a model.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sessile_seq::compression::decompress;

use super::cds::{Finding, Prepared, SampleCds};
use super::document::{Layout, SchemaVersion, StateOrigin};
use super::genome::{Genome, OrfRule, States};
use super::sample::Sample;
use super::sources::{Batches, Source};
use super::*;

/// genome_entropy's entropies are asked for to so many bits.
const TOLERANCE: f64 = 1e-9;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/genome_entropy")
}

/// Public records, which are no part of the project.
fn reference() -> Option<PathBuf> {
    let root = match std::env::var_os("SESSILE_REFERENCE") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"),
    };
    Some(root.join("genome_entropy")).filter(|folder| folder.is_dir())
}

fn json(path: &Path) -> Value {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_reader(decompress(file).unwrap().0).unwrap()
}

/// The rule by which the golden records have 3Di states.
fn three_di(residues: &str) -> String {
    let mut previous = 0;
    let states = residues.bytes().enumerate().map(|(i, residue)| {
        let k = usize::from(residue - b'A');
        let class = (7 * k + 3 * std::mem::replace(&mut previous, k) + i / 5) % 20;
        char::from(b"ACDEFGHIKLMNPQRSTVWY"[class])
    });
    states.collect()
}

/// The rule by which they have states of the second alphabet.
fn twelve_state(residues: &str) -> String {
    let states = residues.bytes().enumerate().map(|(i, residue)| {
        let class = (usize::from(residue - b'A') + i * i / 3) % 12;
        char::from(b'A' + class as u8)
    });
    states.collect()
}

/// The records of a sample with states by the rules, `twelve` for both alphabets.
fn genomes(
    sample: &Sample,
    schema: SchemaVersion,
    table: u8,
    min_aa: usize,
    twelve: bool,
) -> Vec<Genome> {
    let code = GeneticCode::of(table).unwrap();
    let census = sessile_seq::inputs::Census::default();
    let cds = SampleCds::collect(sample, schema, code, &census, |place, reason| {
        panic!("{place}: {reason}")
    });
    let finding = Finding {
        code,
        rule: OrfRule::of_genome_entropy(min_aa),
        cds: cds.unwrap(),
    };
    let sources = Source::of(sample).unwrap();
    let batches = Batches::start(
        sources,
        crate::job::Reading::default(),
        &Interrupt::default(),
    )
    .unwrap();
    let prepared = batches.flatten().map(|read| finding.prepare(read));
    let with_states = |Prepared { genome, issues, .. }: Prepared| {
        assert!(issues.is_empty(), "{issues:?}");
        let mut genome = genome.unwrap();
        for index in 0..genome.len() {
            let residues = genome.orf(index).unwrap().residues();
            let states = States {
                three_di: three_di(residues),
                twelve_state: twelve.then(|| twelve_state(residues)),
            };
            genome.set_states(index, states);
        }
        genome
    };
    prepared.map(with_states).collect()
}

fn sample(fasta: Option<PathBuf>, genbank: Option<PathBuf>) -> Sample {
    Sample {
        name: "golden".to_owned(),
        fasta: fasta.into_iter().collect(),
        genbank: genbank.into_iter().collect(),
        outputs: Vec::new(),
        failures: None,
    }
}

/// Equal in every field, numbers that are no whole ones to [`TOLERANCE`].
fn assert_same(ours: &Value, theirs: &Value, path: &str) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names = |map: &serde_json::Map<String, Value>| -> Vec<String> {
                map.keys().cloned().collect()
            };
            assert_eq!(names(a), names(b), "{path}");
            for (name, value) in a {
                assert_same(value, &b[name], &format!("{path}/{name}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (place, (a, b)) in a.iter().zip(b).enumerate() {
                assert_same(a, b, &format!("{path}/{place}"));
            }
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= TOLERANCE, "{path}: {a} and {b}");
        }
        _ => assert_eq!(ours, theirs, "{path}"),
    }
}

/// Compares a run of the index with ours, in both schemas; returns the number of ORFs.
fn compare(run: &Value, inputs: &Path, outputs: &Path) -> usize {
    let file = |key: &str| run["args"][key].as_str().map(|name| inputs.join(name));
    let sample = sample(file("input_fasta"), file("genbank_file"));
    let option = |key: &str, usual| run["args"][key].as_u64().unwrap_or(usual);
    let (table, min_aa) = (
        option("table_id", 11) as u8,
        option("min_aa_len", 30) as usize,
    );
    let name = run["file"].as_str().unwrap();

    let layout = Layout {
        schema: SchemaVersion::V2_0,
        as_genome_entropy: false,
        skip_entropy: run["args"]["compute_entropy"] == false,
        origin: Some(StateOrigin {
            method: "prostt5_aa2fold".to_owned(),
            model: "Rostlab/ProstT5".to_owned(),
            device: "cpu".to_owned(),
        }),
    };
    let old = genomes(&sample, SchemaVersion::V2_0, table, min_aa, false);
    let documents: Vec<Value> = old
        .iter()
        .map(|genome| serde_json::to_value(layout.document(genome)).unwrap())
        .collect();
    assert_same(&Value::Array(documents), &json(&outputs.join(name)), name);

    // What later schemas have more.
    let extra = json(&outputs.join(name.replace(".json", ".v22_extra.json")));
    let layout = Layout::default();
    let mut orfs = 0;
    for genome in genomes(&sample, SchemaVersion::V2_2, table, min_aa, true) {
        let document = serde_json::to_value(layout.document(&genome)).unwrap();
        assert_eq!(document["schema_version"], "2.2.0");
        assert_eq!(document["alphabet_sizes"]["twelve_state"], 12);
        let features = document["features"].as_object().unwrap();
        let extra = extra[genome.id()].as_object().unwrap();
        assert_eq!(features.len(), extra.len());
        for (id, feature) in features {
            let (extra, entropy) = (&extra[id], &feature["entropy"]);
            let place = format!("{name} {} {id}", genome.id());
            let encoding = &feature["twelve_state"]["encoding"];
            assert_eq!(encoding, &extra["stub_twelve_state"], "{place}");
            let shared = &entropy["three_di_twelve_state_mutual_information"];
            assert_same(shared, &extra["mutual_information"], &place);
            let twelve = &entropy["twelve_state_entropy"];
            assert_same(twelve, &extra["twelve_state_entropy"], &place);
            let in_genbank = &feature["metadata"]["in_genbank"];
            assert_eq!(in_genbank, &extra["in_genbank_v2.2"], "{place}");
            orfs += 1;
        }
    }
    orfs
}

fn runs() -> Vec<Value> {
    let index = json(&golden().join("pipeline/index.json"));
    index["runs"].as_array().unwrap().clone()
}

#[test]
fn records_are_those_of_genome_entropy() {
    let folder = golden().join("pipeline");
    let mut orfs = 0;
    let mut compared = 0;
    for run in runs() {
        if run["args"]["input_fasta"].is_string() {
            orfs += compare(&run, &folder, &folder);
            compared += 1;
        }
    }
    assert!(compared == 4 && orfs > 300, "{compared} runs, {orfs} ORFs");
}

#[test]
fn records_of_public_genbank_files_too() {
    let Some(folder) = reference() else {
        return;
    };
    let mut compared = 0;
    for run in runs() {
        if run["args"]["genbank_file"].is_string() {
            compare(&run, &folder, &folder.join("pipeline"));
            compared += 1;
        }
    }
    assert_eq!(compared, 4);
}

/// Sequences from FASTA with the coding sequences of GenBank have the labels of GenBank alone.
#[test]
fn fasta_with_the_annotation_of_genbank() {
    let Some(folder) = reference() else {
        return;
    };
    let genbank = Some(folder.join("picobirnaviridae.gbk"));
    let alone = sample(None, genbank.clone());
    let beside = sample(Some(folder.join("picobirnaviridae.fasta")), genbank);
    for schema in [SchemaVersion::V2_0, SchemaVersion::V2_2] {
        let alone = genomes(&alone, schema, 11, 10, false);
        let beside = genomes(&beside, schema, 11, 10, false);
        assert_eq!(alone.len(), beside.len());
        for (alone, beside) in alone.iter().zip(&beside) {
            let labels = |genome: &Genome| -> Vec<bool> {
                genome.orfs().map(|orf| orf.in_genbank()).collect()
            };
            assert_eq!(labels(alone), labels(beside), "{}", alone.id());
            assert!(labels(alone).contains(&true));
        }
    }
}

/// Inputs that end a whole run of genome_entropy cost at most a record.
#[test]
fn its_error_cases_have_answers() {
    let code = GeneticCode::of(11).unwrap();
    for (name, records, lost) in [
        ("with_N", 1, 0),
        ("iupac", 1, 0),
        ("rna_U", 1, 0),
        ("dash_id", 1, 0),
        ("len7", 1, 0),
        ("empty", 0, 0),
        ("noheader", 0, 1),
        ("empty_record", 1, 1),
    ] {
        let path = golden().join(format!("pipeline/input_err_{name}.fasta"));
        let sources = Source::of(&sample(Some(path), None)).unwrap();
        let finding = Finding {
            code,
            rule: OrfRule::Residues(5),
            cds: SampleCds::None,
        };
        let batches = Batches::start(
            sources,
            crate::job::Reading::default(),
            &Interrupt::default(),
        )
        .unwrap();
        let (good, bad): (Vec<_>, Vec<_>) = batches
            .flatten()
            .map(|read| finding.prepare(read).genome)
            .partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (records, lost), "{name}");
        for genome in good.into_iter().flatten() {
            for orf in genome.orfs() {
                let coding = 3 * orf.protein().len();
                let again = code.translate(&orf.nucleotides().as_bytes()[..coding]);
                assert_eq!(again, orf.protein().as_bytes(), "{name} {}", orf.id());
                assert!(!orf.nucleotides().contains('U'), "{name}");
            }
        }
    }
}

#[test]
fn the_shortest_orf() {
    // 3 residues and a stop, in the first frame.
    let sequence = b"ATGAAACCCTAA";
    let lengths = |shortest| -> Vec<usize> {
        let code = GeneticCode::of(11).unwrap();
        let genome = Genome::find("a", sequence.to_vec(), code, shortest, Annotation::None);
        let genome = genome.unwrap();
        genome.orfs().map(|orf| orf.residues().len()).collect()
    };
    for least in 1..6 {
        let kept = lengths(OrfRule::Residues(least));
        let all = lengths(OrfRule::Residues(0));
        let expected: Vec<_> = all.into_iter().filter(|&length| length >= least).collect();
        assert_eq!(kept, expected, "{least}");
    }
    // The stop counts for get_orfs.
    assert!(lengths(OrfRule::LongerThan(3)).contains(&3));
    assert!(!lengths(OrfRule::Residues(4)).contains(&3));
}
