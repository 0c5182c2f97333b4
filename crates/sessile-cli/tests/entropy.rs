//! `sessile entropy run` and its stages as scripts see them: files, parts, samples, exit codes.

mod running;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Output;

use running::{Numbers, run, sessile, stderr};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn golden(relative: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    root.join(relative).canonicalize().unwrap()
}

/// Public records, which are no part of the project.
fn reference() -> Option<PathBuf> {
    let root = match std::env::var_os("SESSILE_REFERENCE") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"),
    };
    Some(root.join("genome_entropy")).filter(|folder| folder.is_dir())
}

fn bytes(path: &Path) -> Vec<u8> {
    let raw = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !raw.starts_with(&[0x1f, 0x8b]) {
        return raw;
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&raw[..])
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&bytes(path)).unwrap()
}

/// `sessile entropy …`
fn entropy(directory: &Path, arguments: &[&str]) -> Output {
    run(directory, &[&["entropy"], arguments].concat())
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
}

/// FASTA of random records.
fn genomes(seed: u64, lengths: &[usize]) -> String {
    let mut numbers = Numbers::new(seed);
    let mut text = String::new();
    for (record, &length) in lengths.iter().enumerate() {
        text.push_str(&format!(">contig-{record}\n"));
        for _ in 0..length {
            text.push(char::from(b"ACGT"[numbers.below(4)]));
        }
        text.push('\n');
    }
    text
}

#[test]
fn orf_prints_what_get_orfs_prints() {
    let directory = tempfile::tempdir().unwrap();
    let index = read(&golden("genome_entropy/get_orfs/index.json"));
    let mut folders = vec![golden("genome_entropy")];
    folders.extend(reference());
    let mut compared = 0;
    for expected in index.as_array().unwrap() {
        let name = expected["input"].as_str().unwrap();
        let Some(folder) = folders.iter().find(|folder| folder.join(name).exists()) else {
            continue;
        };
        let input = folder.join(name);
        let table = expected["table"].to_string();
        let length = expected["min_length_flag"].to_string();
        let output = entropy(
            directory.path(),
            &[
                "orf",
                "--input",
                input.to_str().unwrap(),
                "--table",
                &table,
                "--min-length",
                &length,
                "--format",
                "get-orfs",
            ],
        );
        let case = format!("{name} -t {table} -l {length}");
        assert_eq!(output.status.code(), Some(0), "{case}: {}", stderr(&output));
        if let Some(file) = expected["file"].as_str() {
            let text = bytes(&folder.join("get_orfs").join(file));
            assert!(output.stdout == text, "{case} is not {file}");
        }
        let hash: String = Sha256::digest(&output.stdout)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hash, expected["sha256"].as_str().unwrap(), "{case}");
        compared += 1;
    }
    assert!(compared >= 33, "{compared}");
}

#[test]
fn translate_knows_every_codon() {
    let directory = tempfile::tempdir().unwrap();
    let tables = read(&golden("genome_entropy/codon_tables.json"));
    let mut codons = String::new();
    for first in "ACGT".chars() {
        for second in "ACGT".chars() {
            for third in "ACGT".chars() {
                codons.extend([first, second, third]);
            }
        }
    }
    let tables = tables["tables"].as_object().unwrap();
    let orfs: Vec<Value> = tables
        .keys()
        .map(|table| {
            let table: u8 = table.parse().unwrap();
            json!({"orf_id": format!("t{table}"), "table_id": table, "nt_sequence": codons})
        })
        .collect();
    let input = directory.path().join("orfs.json");
    fs::write(&input, serde_json::to_vec(&orfs).unwrap()).unwrap();
    let output = entropy(
        directory.path(),
        &["translate", "--input", "orfs.json", "--output", "p.jsonl"],
    );
    assert_code(&output, 0);
    let rows = running::rows(&directory.path().join("p.jsonl"));
    assert_eq!(rows.len(), tables.len());
    for row in rows {
        let table = row["orf"]["table_id"].to_string();
        assert_eq!(
            row["orf"]["aa_sequence"], tables[&table]["amino_acids"],
            "table {table}"
        );
    }
}

/// Equal but for states, which these runs have no model for; numbers to a billionth.
fn assert_same(ours: &Value, theirs: &Value, path: &str) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (name, value) in a {
                if !name.starts_with("three_di") {
                    assert_same(value, &b[name], &format!("{path}/{name}"));
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            for (place, (a, b)) in a.iter().zip(b).enumerate() {
                assert_same(a, b, &format!("{path}/{place}"));
            }
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-9, "{path}: {a} and {b}");
        }
        _ => assert_eq!(ours, theirs, "{path}"),
    }
}

#[test]
fn compat_writes_the_records_of_genome_entropy() {
    let directory = tempfile::tempdir().unwrap();
    let index = read(&golden("genome_entropy/pipeline/index.json"));
    let folder = golden("genome_entropy/pipeline");
    let mut compared = 0;
    for expected in index["runs"].as_array().unwrap() {
        let arguments = &expected["args"];
        let public = reference();
        let (flag, input, results) = match (&arguments["input_fasta"], &arguments["genbank_file"]) {
            (Value::String(name), _) => ("--input", folder.join(name), folder.clone()),
            (_, Value::String(name)) => match &public {
                Some(public) => ("--genbank", public.join(name), public.join("pipeline")),
                None => continue,
            },
            _ => continue,
        };
        let text = |key: &str, usual: u64| arguments[key].as_u64().unwrap_or(usual).to_string();
        let (table, min_aa) = (text("table_id", 11), text("min_aa_len", 30));
        let mut command = vec![
            "run",
            flag,
            input.to_str().unwrap(),
            "--output",
            "o.json.gz",
            "--force",
            "--table",
            &table,
            "--min-aa",
            &min_aa,
            "--compat",
            "genome-entropy-0.1",
        ];
        if arguments["compute_entropy"] == false {
            command.push("--skip-entropy");
        }
        assert_code(&entropy(directory.path(), &command), 0);
        let name = expected["file"].as_str().unwrap();
        let ours = read(&directory.path().join("o.json.gz"));
        assert_same(&ours, &read(&results.join(name)), name);
        compared += 1;
    }
    assert!(compared >= 4, "{compared}");
}

#[test]
fn every_form_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("g.fa"), genomes(1, &[3000, 40, 2000])).unwrap();
    let output = entropy(
        directory.path(),
        &[
            "run",
            "--input",
            "g.fa",
            "--min-aa",
            "20",
            "--output",
            "o.json",
            "--output",
            "o.jsonl.gz",
            "--output",
            "o.tsv",
        ],
    );
    assert_code(&output, 0);
    assert!(
        stderr(&output).contains("in 3 records"),
        "{}",
        stderr(&output)
    );
    let records = read(&path("o.json"));
    let lines = String::from_utf8(bytes(&path("o.jsonl.gz"))).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records, Value::Array(lines));
    let table = fs::read_to_string(path("o.tsv")).unwrap();
    let mut rows = table.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    let columns = rows.next().unwrap();
    let mut orfs = 0;
    for record in records.as_array().unwrap() {
        assert_eq!(record["schema_version"], "2.2.0");
        // Features of a map come by name here, rows in the order of the ORFs.
        let features = record["features"].as_object().unwrap();
        for number in 1..=features.len() {
            let feature = &features[&format!("orf{number}")];
            assert!(feature["three_di"].is_null() && feature["twelve_state"].is_null());
            let row = rows.next().unwrap();
            assert_eq!(row.len(), columns.len());
            let column = |name: &str| {
                let place = columns.iter().position(|column| *column == name);
                row[place.unwrap()].to_owned()
            };
            assert_eq!(record["input_id"], column("input_id"));
            assert_eq!(feature["orf_id"], column("orf_id"));
            for (object, name) in [
                ("location", "start"),
                ("location", "end"),
                ("location", "frame"),
                ("entropy", "dna_entropy"),
                ("entropy", "protein_entropy"),
                ("metadata", "has_start_codon"),
                ("metadata", "in_genbank"),
            ] {
                assert_eq!(feature[object][name].to_string(), column(name), "{name}");
            }
            assert_eq!(column("three_di_entropy"), "");
            orfs += 1;
        }
    }
    assert!(rows.next().is_none() && orfs > 10);
}

#[test]
fn parts_merge_to_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut text = genomes(2, &[500, 10, 900, 300, 2000, 40, 700]);
    text.insert_str(0, ">empty\n");
    fs::write(path("g.fa"), text).unwrap();
    let base = ["run", "--input", "g.fa", "--min-aa", "10", "--quiet"];
    for form in ["json", "tsv.gz", "jsonl"] {
        let whole = format!("whole.{form}");
        let output = [&base[..], &["--output", &whole]].concat();
        assert_code(&entropy(directory.path(), &output), 3);
        let mut parts = Vec::new();
        // The bad record is of the first part, and counts.
        for (number, code) in [(1, 3), (2, 0), (3, 0)] {
            let (shard, name) = (format!("{number}/3"), format!("part{number}.{form}"));
            let output = [&base[..], &["--shard", &shard, "--output", &name]].concat();
            assert_code(&entropy(directory.path(), &output), code);
            parts.insert(0, name);
        }
        let merged = format!("merged.{form}");
        let mut command = vec!["merge", "--output", &merged];
        command.extend(parts.iter().map(String::as_str));
        assert_code(&entropy(directory.path(), &command), 0);
        assert!(bytes(&path(&merged)) == bytes(&path(&whole)), "{form}");

        // A part too few, twice, of another run, or cut.
        let merge = |parts: &[&str]| {
            let command = [&["merge", "--force", "--output", &merged], parts].concat();
            let output = entropy(directory.path(), &command);
            assert_code(&output, 4);
            stderr(&output)
        };
        let [first, second, third] = [&parts[0], &parts[1], &parts[2]];
        assert!(merge(&[first, second]).contains("the run has 3"));
        assert!(merge(&[first, second, second]).contains("given twice"));
        let other = format!("other.{form}");
        let output = [
            &base[..],
            &["--shard", "1/3", "--table", "4", "--output", &other],
        ]
        .concat();
        assert_code(&entropy(directory.path(), &output), 3);
        assert!(merge(&[first, second, &other]).contains("different runs"));
        let file = fs::read(path(third)).unwrap();
        fs::write(path(third), &file[..file.len() / 2]).unwrap();
        merge(&[first, second, third]);
        fs::remove_file(path(&format!("{third}.part"))).unwrap();
        assert!(merge(&[first, second, third]).contains("--shard"));
    }
}

#[test]
fn samples_have_their_own_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (name, seed) in [("a.fa", 3), ("b1.fa", 4), ("b2.fa", 5)] {
        fs::write(path(name), genomes(seed, &[900, 600])).unwrap();
    }
    fs::write(path("bad.fa"), "no FASTA\n").unwrap();
    let sheet = "sample,path\nb,b1.fa\na,a.fa\nbad,bad.fa\ngone,gone.fa\nb,b2.fa\n";
    fs::write(path("s.csv"), sheet).unwrap();
    let command = [
        "run",
        "--sample-sheet",
        "s.csv",
        "--output",
        "out",
        "--format",
        "json,tsv.gz",
        "--min-aa",
        "10",
        "--report",
        "report.html",
    ];
    let output = entropy(directory.path(), &command);
    assert_code(&output, 3);
    let said = stderr(&output);
    assert!(
        said.contains("failed: bad: ") && said.contains("failed: gone: "),
        "{said}"
    );
    // The report is of the samples that could be read.
    let report = fs::read_to_string(path("report.html")).unwrap();
    assert!(report.contains("</html>") && report.len() > 10_000);
    let mut names: Vec<_> = fs::read_dir(path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = ["a.failures.jsonl", "a.json", "a.tsv.gz"];
    assert_eq!(names[..3], expected);
    assert_eq!(names.len(), 6, "{names:?}");
    let alone = [
        "run", "--input", "b1.fa", "b2.fa", "--output", "b.json", "--min-aa", "10",
    ];
    assert_code(&entropy(directory.path(), &alone), 0);
    assert!(fs::read(path("b.json")).unwrap() == fs::read(path("out/b.json")).unwrap());

    // Nothing is written over, and parts of a sheet are of samples.
    assert_code(&entropy(directory.path(), &command), 4);
    let [first, second] = ["1/2", "2/2"];
    for (shard, sample) in [(first, "b"), (second, "a")] {
        let folder = format!("half-{sample}");
        let output = entropy(
            directory.path(),
            &[
                "run",
                "--sample-sheet",
                "s.csv",
                "--output",
                &folder,
                "--shard",
                shard,
                "--min-aa",
                "10",
            ],
        );
        assert_code(&output, 3);
        let file = format!("{sample}.json");
        let ours = fs::read(path(&folder).join(&file)).unwrap();
        assert!(ours == fs::read(path("out").join(&file)).unwrap());
    }
}

#[test]
fn stages_come_to_what_a_run_comes_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("g.fa"), genomes(6, &[1500, 1000])).unwrap();
    let model = golden("prostt5/tiny");
    let model = model.to_str().unwrap();
    let f32 = ["--dtype", "f32", "--threads", "1"];
    let steps: [&[&str]; 5] = [
        &[
            "run", "--input", "g.fa", "--min-aa", "15", "--model", model, "--output", "run.json",
        ],
        &[
            "orf",
            "--input",
            "g.fa",
            "--min-aa",
            "15",
            "--output",
            "orfs.json",
        ],
        &[
            "translate",
            "--input",
            "orfs.json",
            "--output",
            "proteins.jsonl.gz",
        ],
        &[
            "encode3di",
            "--model",
            model,
            "--input",
            "proteins.jsonl.gz",
            "--output",
            "s.jsonl",
        ],
        &[
            "entropy",
            "--input",
            "proteins.jsonl.gz",
            "--states",
            "s.jsonl",
            "--output",
            "e.jsonl",
        ],
    ];
    for step in steps {
        let command = match step.contains(&model) {
            true => [step, &f32].concat(),
            false => step.to_vec(),
        };
        assert_code(&entropy(directory.path(), &command), 0);
    }
    let records = read(&path("run.json"));
    let rows = running::rows(&path("e.jsonl"));
    let mut rows = rows.iter();
    let mut states = 0;
    for record in records.as_array().unwrap() {
        let features = record["features"].as_object().unwrap();
        for number in 1..=features.len() {
            let feature = &features[&format!("orf{number}")];
            let row = rows.next().unwrap();
            assert_eq!(row["parent_id"], record["input_id"]);
            assert_eq!(row["orf_id"], feature["orf_id"]);
            for (name, bits) in feature["entropy"].as_object().unwrap() {
                assert_eq!(&row[name], bits, "{name}");
            }
            let three_di = &feature["three_di"];
            assert_eq!(three_di["length"], feature["protein"]["length"]);
            assert_eq!(three_di["inference_device"], "cpu");
            assert_eq!(three_di["method"], "prostt5_cnn");
            states += 1;
        }
    }
    assert!(rows.next().is_none() && states > 20);
    // genome_entropy's short names.
    let short = [
        "run",
        "-i",
        "g.fa",
        "-o",
        "short.json",
        "-t",
        "11",
        "-m",
        "none",
        "--device",
        "cpu",
    ];
    assert_code(&entropy(directory.path(), &short), 0);
    // A record of a run has everything by itself.
    let again = ["entropy", "--input", "run.json", "--output", "again.jsonl"];
    assert_code(&entropy(directory.path(), &again), 0);
    assert_eq!(
        running::rows(&path("again.jsonl")),
        running::rows(&path("e.jsonl"))
    );
    let normal = [
        "entropy",
        "--input",
        "run.json",
        "--normalize",
        "--output",
        "normal.jsonl",
    ];
    assert_code(&entropy(directory.path(), &normal), 0);
    for (row, normal) in running::rows(&path("e.jsonl"))
        .iter()
        .zip(running::rows(&path("normal.jsonl")))
    {
        let bits = row["dna_entropy"].as_f64().unwrap();
        let share = normal["dna_entropy"].as_f64().unwrap();
        assert!((bits / 2.0 - share).abs() < 1e-12 && share <= 1.0);
    }
    // Rows of other proteins are noticed.
    let text = fs::read_to_string(path("s.jsonl")).unwrap();
    let swapped: Vec<&str> = text.lines().rev().collect();
    fs::write(path("s.jsonl"), swapped.join("\n")).unwrap();
    let wrong = [
        "entropy",
        "--input",
        "proteins.jsonl.gz",
        "--states",
        "s.jsonl",
        "--output",
        "w.jsonl",
    ];
    let output = entropy(directory.path(), &wrong);
    assert_code(&output, 4);
    assert!(stderr(&output).contains("encode3di"), "{}", stderr(&output));
    assert!(!path("w.jsonl").exists());
}

/// ProstT5's decoder in place of the head, as genome_entropy asks it.
#[test]
fn a_decoder_says_states_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("g.fa"), genomes(9, &[300])).unwrap();
    let model = golden("prostt5/tiny");
    let decoder = [
        "--model",
        model.to_str().unwrap(),
        "--method",
        "generate",
        "--dtype",
        "f32",
        "--threads",
        "1",
    ];
    let run = [
        "run", "--input", "g.fa", "--min-aa", "15", "--output", "run.json",
    ];
    assert_code(
        &entropy(directory.path(), &[&run[..], &decoder].concat()),
        0,
    );
    let encode = ["encode3di", "--input", "run.json", "--output", "s.jsonl"];
    assert_code(
        &entropy(directory.path(), &[&encode[..], &decoder].concat()),
        0,
    );
    let records = read(&path("run.json"));
    let features = records[0]["features"].as_object().unwrap();
    let rows = running::rows(&path("s.jsonl"));
    assert!(rows.len() == features.len() && rows.len() > 2);
    for row in rows {
        let three_di = &features[row["id"].as_str().unwrap()]["three_di"];
        assert_eq!(three_di["encoding"], row["three_di"]);
        assert_eq!(three_di["method"], "prostt5_aa2fold");
    }
}

#[test]
fn proteins_of_fasta() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("p.faa"),
        ">a\nMKV*\n>b\nMK1\n>c\nGG\n",
    )
    .unwrap();
    let output = entropy(directory.path(), &["fasta-to-protein", "--input", "p.faa"]);
    assert_code(&output, 3);
    assert!(
        stderr(&output).contains("`1` at position 3"),
        "{}",
        stderr(&output)
    );
    let records: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(records.as_array().unwrap().len(), 2);
    let orf = json!({
        "parent_id": "a", "orf_id": "a", "start": 0, "end": 9, "strand": "+", "frame": 0,
        "nt_sequence": "", "aa_sequence": "MKV", "table_id": 11, "has_start_codon": false,
        "has_stop_codon": false, "in_genbank": false,
    });
    assert_eq!(
        records[0],
        json!({"orf": orf, "aa_sequence": "MKV", "aa_length": 3})
    );
}

const GENBANK: &str = "LOCUS       TOY 15 bp DNA
VERSION     TOY.1
FEATURES             Location/Qualifiers
     CDS             1..12
     CDS             7..40
ORIGIN
        1 atgaaaccct aaggg
//
";

/// The good records are written, the bad ones listed, and the exit code says so.
#[test]
fn bad_input_costs_what_is_bad() {
    let fine = ">fine\nATGAAACCCTAA\n";
    let cases: [(&str, &str, i32, &str, usize); 9] = [
        // (input, its name, exit code, what is said, records written)
        (
            ">n\nATGNNNCCCTAA\n>iupac\nATGRYKCCCTAA\n",
            "n.fa",
            0,
            "2 records",
            2,
        ),
        (">rna\nAUGAAACCCUAA\n", "rna.fa", 0, "1 records", 1),
        (
            ">p\nMKLEW\n>fine\nATGAAACCCTAA\n",
            "p.fa",
            3,
            "'L' at position 3",
            1,
        ),
        (">p\nMKLEW\n", "only-p.fa", 3, "it looks like a protein", 0),
        (
            ">e\n>fine\nATGAAACCCTAA\n",
            "e.fa",
            3,
            "the record has no sequence",
            1,
        ),
        (
            ">fine\nATGAAACCCTAA\n>nul\nAT\u{0}G\n",
            "nul.fa",
            3,
            "NUL",
            1,
        ),
        ("", "empty.gb", 4, "no record in this file", 0),
        (
            GENBANK,
            "outside.gb",
            3,
            "ends at base 40 of a sequence of 15 bases",
            1,
        ),
        (fine, "fasta.gb", 4, "read it as FASTA", 0),
    ];
    for (text, name, code, said, written) in cases {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), text).unwrap();
        let flag = if name.ends_with(".gb") {
            "--genbank"
        } else {
            "--input"
        };
        let output = entropy(
            directory.path(),
            &[
                "run",
                flag,
                name,
                "--min-aa",
                "2",
                "--output",
                "o.json",
                "--failures",
                "failed.jsonl",
            ],
        );
        assert_eq!(
            output.status.code(),
            Some(code),
            "{name}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(said),
            "{name}: {}",
            stderr(&output)
        );
        let result = directory.path().join("o.json");
        if code == 4 {
            assert!(!result.exists(), "{name}");
            continue;
        }
        assert_eq!(read(&result).as_array().unwrap().len(), written, "{name}");
        let failed = running::rows(&directory.path().join("failed.jsonl"));
        assert_eq!(failed.is_empty(), code == 0, "{name}");
        if code == 3 {
            assert!(
                failed[0]["reason"].as_str().unwrap().contains(said),
                "{name}: {failed:?}"
            );
        }
    }
}

#[test]
fn annotation_that_is_good_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("t.gb"), GENBANK).unwrap();
    fs::write(
        directory.path().join("t.fa"),
        ">TOY\nATGAAACCCTAAGGG\n>other\nATGAAACCCTAAGGG\n",
    )
    .unwrap();
    for (more, marked) in [
        (&["--genbank", "t.gb"][..], 1),
        (&["--genbank", "t.gb", "--input", "t.fa"], 1),
        (&["--input", "t.fa"], 0),
    ] {
        let command = [
            &["run", "--min-aa", "2", "--output", "o.json", "--force"][..],
            more,
        ]
        .concat();
        let output = entropy(directory.path(), &command);
        assert_code(&output, if marked > 0 { 3 } else { 0 });
        let records = read(&directory.path().join("o.json"));
        let labels: Vec<bool> = records
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|record| record["features"].as_object().unwrap().values())
            .map(|feature| feature["metadata"]["in_genbank"].as_bool().unwrap())
            .collect();
        assert_eq!(
            labels.iter().filter(|label| **label).count(),
            marked,
            "{more:?}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("g.fa"), genomes(7, &[300])).unwrap();
    fs::write(directory.path().join("there.json"), "mine").unwrap();
    let base = ["run", "--input", "g.fa"];
    for (more, code, said) in [
        (
            &["--output", "o.json", "--table", "7"][..],
            2,
            "1, 2, 3, 4, 5, 6, 9",
        ),
        (
            &["--output", "o.json", "--table", "300"],
            2,
            "no genetic code 300",
        ),
        (
            &["--output", "o.json", "--schema", "2.1.0"],
            2,
            "2.2.0, 2.0.0",
        ),
        (&["--output", "o.xlsx"], 2, "json, jsonl, tsv"),
        (&["--output", "there.json"], 4, "--force"),
        (&["--output", "no/o.json"], 4, "its folder is not there"),
        (&["--output", "o.json", "--shard", "4/3"], 2, "not a part"),
        (
            &["--output", "-", "--shard", "1/3"],
            2,
            "a part can not be written to -",
        ),
        (
            &["--output", "o.json", "--model", "no-such-model"],
            4,
            "no-such-model",
        ),
        (
            &["--output", "o.json", "--output", "o.json"],
            2,
            "named twice",
        ),
        (
            &["--output", "o.json", "--gpu-ids", "0", "--devices", "cpu"],
            2,
            "--gpu-ids",
        ),
    ] {
        let output = entropy(directory.path(), &[&base[..], more].concat());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{more:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(said),
            "{more:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(
        fs::read(directory.path().join("there.json")).unwrap(),
        b"mine"
    );
    assert_code(
        &entropy(directory.path(), &["run", "--output", "o.json"]),
        2,
    );
    assert_code(
        &entropy(
            directory.path(),
            &["run", "--input", "gone.fa", "--output", "o.json"],
        ),
        4,
    );
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("g.fa"), genomes(8, &[400_000])).unwrap();
    let mut child = sessile(
        directory.path(),
        &["entropy", "orf", "--input", "g.fa", "--format", "get-orfs"],
    )
    .stdout(std::process::Stdio::piped())
    .stderr(std::process::Stdio::piped())
    .spawn()
    .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_code(&output, 0);
    assert_eq!(stderr(&output), "");
}
