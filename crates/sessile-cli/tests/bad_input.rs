//! What is wrong with an input is said with its file and place, has its exit code, leaves nothing
//! half-written, and costs nothing else.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::running::{proteins, rows, run, stderr};
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden/esm2/tiny_a")
        .join(name)
}

/// Tensors of a safetensors file: what the header says of each, and its bytes.
type Tensors = BTreeMap<String, (Value, Vec<u8>)>;

fn read_tensors(file: &[u8]) -> Tensors {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let data = &file[8 + length..];
    let tensor = |(name, entry): (String, Value)| {
        let offset = |end: usize| entry["data_offsets"][end].as_u64().unwrap() as usize;
        let bytes = data[offset(0)..offset(1)].to_vec();
        (name, (entry, bytes))
    };
    let tensors = header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__");
    tensors.map(tensor).collect()
}

fn write_tensors(tensors: &Tensors) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, (entry, bytes)) in tensors {
        let mut entry = entry.clone();
        entry["data_offsets"] = json!([data.len(), data.len() + bytes.len()]);
        header.insert(name.clone(), entry);
        data.extend_from_slice(bytes);
    }
    safetensors(&Value::Object(header), &data)
}

fn safetensors(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// A zip archive of one stored entry.
fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let fields = |out: &mut Vec<u8>| {
        for field in [20_u16, 0, 0, 0, 0x21] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        for field in [
            crc32fast::hash(bytes),
            bytes.len() as u32,
            bytes.len() as u32,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0, 0]);
    };
    let mut out = b"PK\x03\x04".to_vec();
    fields(&mut out);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(bytes);
    let directory = out.len() as u32;
    out.extend_from_slice(b"PK\x01\x02\x14\x00");
    fields(&mut out);
    out.extend_from_slice(&[0; 14]);
    out.extend_from_slice(name.as_bytes());
    let length = out.len() as u32 - directory;
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&directory.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

/// A folder with a model whose weights are these bytes under this name.
fn model(directory: &Path, name: &str, file: &str, weights: &[u8]) {
    let folder = directory.join(name);
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", "vocab.txt"] {
        fs::copy(golden(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join(file), weights).unwrap();
}

fn embed<'a>(model: &'a str, input: &'a str, output: &'a str) -> [&'a str; 7] {
    [
        "embed", "--model", model, "--input", input, "--output", output,
    ]
}

/// The run ends with this code, says all of these, and leaves neither output nor anything else.
fn refused(directory: &Path, name: &str, arguments: &[&str], code: i32, reasons: &[&str]) {
    let before = fs::read_dir(directory).unwrap().count();
    let output = run(directory, arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{name}: {said}");
    for reason in reasons {
        assert!(said.contains(reason), "{name}: `{reason}` in {said}");
    }
    let after = fs::read_dir(directory).unwrap().count();
    assert_eq!(before, after, "{name}: something was left behind");
    assert!(output.stdout.is_empty(), "{name}");
}

#[test]
fn bad_weights_are_told_with_their_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.fasta"), ">a\nMKV\n").unwrap();
    let good = fs::read(golden("model.safetensors")).unwrap();
    let tensors = read_tensors(&good);
    let without = |name: &str| {
        let mut tensors = tensors.clone();
        assert!(tensors.remove(name).is_some(), "{name}");
        write_tensors(&tensors)
    };
    let huge_header = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let long_header = [&5000_u64.to_le_bytes()[..], b"{}"].concat();
    let entry = |shape: &[u64], begin: usize, end: usize| json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] });
    let overlapping = json!({ "a": entry(&[2], 0, 8), "b": entry(&[2], 4, 12) });
    let lying = json!({ "a": entry(&[1 << 40], 0, 8) });
    let outside = json!({ "a": entry(&[4], 0, 16) });
    let gap = json!({ "a": entry(&[1], 0, 4), "b": entry(&[1], 8, 12) });
    let missing = "esm.encoder.layer.1.attention.self.query.weight";
    let cases = [
        ("truncated", good[..good.len() / 2].to_vec(), "cut short"),
        ("empty", Vec::new(), "is empty"),
        ("five bytes", good[..5].to_vec(), "cut short"),
        (
            "huge header",
            huge_header,
            "18446744073709551615 bytes long",
        ),
        ("long header", long_header, "its header alone needs 5008"),
        (
            "no JSON",
            safetensors(&json!("text"), b""),
            "not a JSON object",
        ),
        (
            "overlapping",
            safetensors(&overlapping, &[0; 12]),
            "`b` overlaps a",
        ),
        (
            "lying",
            safetensors(&lying, &[0; 8]),
            "does not fit into its 8 bytes",
        ),
        (
            "outside",
            safetensors(&outside, &[0; 8]),
            "8 bytes of tensors",
        ),
        (
            "gap",
            safetensors(&gap, &[0; 12]),
            "4 bytes between a and tensor `b`",
        ),
        ("missing tensor", without(missing), missing),
    ];
    for (name, weights, reason) in &cases {
        model(directory.path(), name, "model.safetensors", weights);
        let reasons = [*reason, *name, "error: "];
        refused(
            directory.path(),
            name,
            &embed(name, "in.fasta", "o.jsonl"),
            4,
            &reasons,
        );
    }
}

#[test]
fn tensors_that_nobody_asked_for_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.fasta"), ">a\nMKV\n").unwrap();
    let mut tensors = read_tensors(&fs::read(golden("model.safetensors")).unwrap());
    let extra = json!({ "dtype": "F32", "shape": [2] });
    tensors.insert("someone.elses.head".to_owned(), (extra, vec![0; 8]));
    model(
        directory.path(),
        "extra",
        "model.safetensors",
        &write_tensors(&tensors),
    );
    let output = run(directory.path(), &embed("extra", "in.fasta", "o.jsonl"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(rows(&directory.path().join("o.jsonl")).len(), 1);
}

#[test]
fn a_configuration_must_be_that_of_its_weights() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.fasta"), ">a\nMKV\n").unwrap();
    let good = fs::read(golden("model.safetensors")).unwrap();
    let text = fs::read_to_string(golden("config.json")).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    let with = |name: &str, value: Value| {
        let mut config = config.clone();
        config[name] = value;
        config.to_string()
    };
    let cases = [
        ("wider", with("hidden_size", json!(64)), "[33, 48]"),
        ("deeper", with("num_hidden_layers", json!(4)), "layer.3."),
        (
            "no heads",
            with("num_attention_heads", json!(0)),
            "num_attention_heads",
        ),
        (
            "unknown",
            with("model_type", json!("llama")),
            "`llama` is not built in",
        ),
        (
            "one that writes",
            with("model_type", json!("bart")),
            "BART has tokenizer.json",
        ),
        ("no type", with("model_type", Value::Null), "model_type"),
        ("no JSON", "{".to_owned(), "config.json"),
    ];
    for (name, config, reason) in &cases {
        model(directory.path(), name, "model.safetensors", &good);
        fs::write(directory.path().join(name).join("config.json"), config).unwrap();
        let arguments = embed(name, "in.fasta", "o.jsonl");
        refused(directory.path(), name, &arguments, 4, &[reason, "error: "]);
    }
    // A whole one is told apart from what can be embedded.
    let bart = golden("../../bart/tiny");
    let arguments = embed(bart.to_str().unwrap(), "in.fasta", "o.jsonl");
    let reason = "`sessile summarize`";
    refused(directory.path(), "BART", &arguments, 4, &[reason]);
}

#[test]
fn a_pickle_that_calls_the_shell_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.fasta"), ">a\nMKV\n").unwrap();
    let pickle = b"cos\nsystem\n(S'touch called'\ntR.";
    let weights = zip("archive/data.pkl", pickle);
    model(directory.path(), "pickle", "pytorch_model.bin", &weights);
    let arguments = embed("pickle", "in.fasta", "o.jsonl");
    let reasons = ["os.system", "pytorch_model.bin"];
    refused(directory.path(), "pickle", &arguments, 4, &reasons);
    assert!(!directory.path().join("called").exists());
    // The same archive with harmless data gets farther: it is the name that is refused.
    model(
        directory.path(),
        "data",
        "pytorch_model.bin",
        &zip("archive/data.pkl", b"}."),
    );
    let output = run(directory.path(), &embed("data", "in.fasta", "o.jsonl"));
    assert_eq!(output.status.code(), Some(4));
    assert!(
        !stderr(&output).contains("os.system"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn inputs_that_are_not_of_proteins_are_told_with_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    write("image.fasta", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    write("text.fasta", b"Dear reader,\n");
    write("cut.fasta.gz", &[0x1f, 0x8b, 8, 0, 0]);
    for (name, reason) in [
        ("image.fasta", "image.fasta"),
        ("text.fasta", "text.fasta"),
        ("cut.fasta.gz", "cut.fasta.gz"),
        ("nowhere.fasta", "nowhere.fasta"),
    ] {
        refused(
            directory.path(),
            name,
            &embed("demo", name, "o.jsonl"),
            4,
            &[reason],
        );
    }
    // Beside a good file a bad one costs itself.
    write("good.fasta", b">a\nMKV\n>none\n>digits\nMK7\n>b\nGG\n");
    let output = run(
        directory.path(),
        &[
            "embed",
            "--model",
            "demo",
            "--input",
            "text.fasta",
            "good.fasta",
            "--output",
            "o.jsonl",
            "--failures",
            "failed.jsonl",
        ],
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let embedded = rows(&directory.path().join("o.jsonl"));
    let ids: Vec<&str> = embedded
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    let failed = rows(&directory.path().join("failed.jsonl"));
    assert_eq!(failed.len(), 3);
    assert_eq!(failed[2]["id"], "digits");
    assert!(
        failed[2]["place"]
            .as_str()
            .unwrap()
            .contains("good.fasta: record 3")
    );
    assert!(
        failed[2]["reason"]
            .as_str()
            .unwrap()
            .contains("`7` at position 3")
    );
}

#[test]
fn outputs_that_can_not_be_written_are_told_before_or_when_it_happens() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.fasta"), ">a\nMKV\n").unwrap();
    fs::write(directory.path().join("there.parquet"), "old").unwrap();
    fs::create_dir(directory.path().join("folder.h5")).unwrap();
    let cases: [(&str, i32, &str); 7] = [
        ("there.parquet", 4, "there.parquet exists"),
        ("folder.h5", 4, "is a folder"),
        ("nowhere/o.jsonl", 4, "its folder is not there"),
        ("in.fasta/o.jsonl", 4, "in.fasta/o.jsonl"),
        ("/proc/o.jsonl", 4, "/proc/o.jsonl"),
        ("/dev/full", 4, "make room on that disk"),
        ("o.xlsx", 2, "--format"),
    ];
    for (output, code, reason) in cases {
        let arguments = embed("demo", "in.fasta", output);
        refused(
            directory.path(),
            output,
            &arguments,
            code,
            &[reason, "error: "],
        );
    }
    assert_eq!(
        fs::read(directory.path().join("there.parquet")).unwrap(),
        b"old"
    );
    // What a format can not hold is told before anything is computed.
    let mut arguments = embed("demo", "in.fasta", "o.npy").to_vec();
    arguments.extend(["--outputs", "per_residue"]);
    refused(directory.path(), "npy", &arguments, 2, &["one array"]);
    let mut arguments = embed("demo", "in.fasta", "-").to_vec();
    arguments.extend(["--format", "hdf5"]);
    refused(directory.path(), "stream", &arguments, 2, &["as a stream"]);
}

/// A limit on the size of files is a disk that is full at a place we choose.
#[test]
fn a_full_disk_stops_the_job_and_the_same_command_goes_on() {
    for (format, blocks) in [("jsonl", 24), ("parquet", 24), ("h5", 24), ("npz", 24)] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("in.fasta"), proteins(60, 5, 20)).unwrap();
        let output = format!("o.{format}");
        let limited = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" embed --model demo --input in.fasta \
             --output {output}"
        );
        let stopped = std::process::Command::new("bash")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_sessile")])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let said = stderr(&stopped);
        assert_eq!(stopped.status.code(), Some(4), "{format}: {said}");
        assert!(said.contains("error: can not write o."), "{format}: {said}");
        let mut left: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["in.fasta".to_owned(), format!("{output}.journal")],
            "{format}"
        );

        let again = run(directory.path(), &embed("demo", "in.fasta", &output));
        assert_eq!(again.status.code(), Some(0), "{format}: {}", stderr(&again));
        assert!(
            stderr(&again).contains("from the earlier run"),
            "{}",
            stderr(&again)
        );
        let whole = format!("whole.{format}");
        let whole_run = run(directory.path(), &embed("demo", "in.fasta", &whole));
        assert_eq!(whole_run.status.code(), Some(0));
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
        assert!(read(&output) == read(&whole), "{format}");
    }
}

#[test]
fn long_sequences_are_taken_as_the_user_says_and_marked() {
    let directory = tempfile::tempdir().unwrap();
    let long = proteins(1, 1300, 1300);
    fs::write(
        directory.path().join("in.fasta"),
        format!("{long}>short\nMKV\n"),
    )
    .unwrap();
    let arguments = |choice: &'static str, output: &'static str| {
        let mut arguments = embed("demo", "in.fasta", output).to_vec();
        arguments.extend(["--outputs", "mean,per_residue", "--long", choice]);
        arguments
    };
    for (choice, residues, truncated, windows) in [
        ("full", 1300, false, Value::Null),
        ("windows", 1300, false, json!(2)),
        ("truncate", 1024, true, Value::Null),
    ] {
        let output = format!("{choice}.jsonl");
        let output: &'static str = output.leak();
        let done = run(directory.path(), &arguments(choice, output));
        assert_eq!(done.status.code(), Some(0), "{choice}: {}", stderr(&done));
        let rows = rows(&directory.path().join(output));
        let row = &rows[0];
        assert_eq!(row["length"], 1300, "{choice}");
        assert_eq!(row["truncated"], truncated, "{choice}");
        assert_eq!(row["windows"], windows, "{choice}");
        let vectors = row["per_residue"].as_array().unwrap();
        assert_eq!(vectors.len(), residues, "{choice}");
        // The mean is that of the vectors.
        let mean = |column: usize| {
            let sum: f64 = vectors.iter().map(|v| v[column].as_f64().unwrap()).sum();
            sum / residues as f64
        };
        for column in [0, 77, 127] {
            let difference = mean(column) - row["mean"][column].as_f64().unwrap();
            assert!(difference.abs() < 1e-4, "{choice}: {difference}");
        }
        assert_eq!(rows[1]["truncated"], false);
    }
    let output = run(directory.path(), &arguments("fail", "fail.jsonl"));
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("1300 residues are more than 1024"),
        "{}",
        stderr(&output)
    );
    let mut contacts = embed("demo", "in.fasta", "o.jsonl").to_vec();
    contacts.extend(["--outputs", "contacts", "--long", "windows"]);
    refused(
        directory.path(),
        "contacts",
        &contacts,
        2,
        &["different windows"],
    );
}

#[test]
fn identical_sequences_are_computed_once_and_programs_read_what_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let text: String = (0..50)
        .map(|n| format!(">r{n}\nMKTAYIAKQR{}\n", ["", "A"][n % 2]))
        .collect();
    fs::write(directory.path().join("in.fasta"), format!("{text}>empty\n")).unwrap();
    let mut arguments = embed("demo", "in.fasta", "o.jsonl").to_vec();
    arguments.push("--json-progress");
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let events: Vec<Value> = stderr(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let event = |name: &str| events.iter().rfind(|event| event["event"] == name).unwrap();
    let summary = event("summary");
    assert_eq!(summary["records"], 51);
    assert_eq!(summary["failed"], 1);
    assert_eq!(summary["shared"], 48);
    assert_eq!(summary["tokens"], 12 + 13);
    assert!(summary["stages"]["computing"].as_f64().unwrap() > 0.0);
    assert!(event("failure").to_string().contains("in.fasta"));
    assert!(event("progress")["records"].as_u64().unwrap() > 0);
    let rows = rows(&directory.path().join("o.jsonl"));
    assert_eq!(rows.len(), 50);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row["id"], format!("r{number}"));
        assert_eq!(row["mean"], rows[number % 2]["mean"]);
    }
    // An error is an event, too.
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(4));
    let said = stderr(&output);
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "error");
    assert_eq!(last["code"], 4);
}
