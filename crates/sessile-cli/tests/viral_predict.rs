//! `sessile viral predict | verify`: the reference's whole runs, runs that are killed,
//! and samples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sessile_models::checkpoint::{Checkpoint, TorchFile};

use crate::running::{assert_says, run, sessile, stderr, text, virnucpro};

/// Longest time that a test waits for a program.
const PATIENCE: Duration = Duration::from_secs(120);

fn model(name: &str) -> String {
    virnucpro("..").join(name).to_str().unwrap().to_owned()
}

/// The models and the classifier of the reference's runs.
fn models(chunk: &str) -> Vec<String> {
    let classifier = virnucpro("mlp/model.pth");
    [
        "--dnabert",
        &model("dnabert_s/tiny_a"),
        "--esm",
        &model("esm2/tiny_a"),
        "--classifier",
        classifier.to_str().unwrap(),
        "--chunk",
        chunk,
        "--dtype",
        "f32",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn predict(arguments: &[&str], chunk: &str) -> Vec<String> {
    let mut all = vec!["viral".to_owned(), "predict".to_owned()];
    all.extend(models(chunk));
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    all
}

fn finish(folder: &Path, arguments: &[String]) -> std::process::Output {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(folder, &arguments)
}

const FILES: [&str; 5] = [
    "prediction_results.txt",
    "prediction_results_highestscore.csv",
    "frames.tsv",
    "chunks.tsv",
    "contigs.tsv",
];

#[test]
fn whole_runs_are_those_of_the_original() {
    let folder = tempfile::tempdir().unwrap();
    for chunk in ["300", "500"] {
        let input = virnucpro(&format!("input{chunk}.fa"));
        let out = format!("out{chunk}");
        let arguments = [input.to_str().unwrap(), "--output", &out, "--save-features"];
        let output = finish(folder.path(), &predict(&arguments, chunk));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("models loaded 2 times"),
            "{}",
            stderr(&output)
        );
        let (out, expected) = (folder.path().join(&out), virnucpro(&format!("e2e{chunk}")));
        let summary = "prediction_results_highestscore.csv";
        assert_eq!(text(&out.join(summary)), text(&expected.join(summary)));
        let rows = |path: &Path| -> Vec<Vec<String>> {
            let text = text(path);
            text.lines()
                .map(|line| line.split('\t').map(str::to_owned).collect())
                .collect()
        };
        let found = rows(&out.join("prediction_results.txt"));
        let expected_rows = rows(&expected.join("prediction_results.txt"));
        assert_eq!(found.len(), expected_rows.len());
        assert_eq!(found[0], expected_rows[0]);
        for (found, expected) in found.iter().zip(&expected_rows).skip(1) {
            assert_eq!(found[..2], expected[..2]);
            for place in [2, 3] {
                let of = |row: &[String]| row[place].parse::<f32>().unwrap();
                assert!((of(found) - of(expected)).abs() <= 1e-4, "{}", found[0]);
            }
        }
        // The saved vectors, beside the reference's.
        let reference = Checkpoint::open(&expected.join("expected.safetensors")).unwrap();
        let reference = reference.rows("merged").unwrap().to_host().unwrap();
        let saved = TorchFile::open(&out.join("features/output_1_merged.pt")).unwrap();
        let tensor = saved.value().get("data").unwrap().as_tensor().unwrap();
        let saved = saved.read(tensor).unwrap();
        assert_eq!(saved.shape, reference.shape);
        let largest = reference.data.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        let worst = saved
            .data
            .iter()
            .zip(&reference.data)
            .map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) <= 1e-4 * largest);
        // From the saved halves to the same files, byte by byte.
        let half = |kind| format!("out{chunk}/features/output_1_{kind}.pt");
        let (dnabert, esm, again) = (half("DNABERT_S"), half("ESM"), format!("again{chunk}"));
        let classifier = virnucpro("mlp/model.pth");
        let mut arguments = vec!["viral", "classify", "--nucleotide-features", &dnabert];
        arguments.extend(["--protein-features", &esm, "--output", &again]);
        arguments.extend(["--classifier", classifier.to_str().unwrap()]);
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let again = folder.path().join(&again);
        for name in &FILES[..2] {
            assert!(text(&again.join(name)) == text(&out.join(name)), "{name}");
        }
        // Features are of frames: of their places in contigs, and of a contig without one, they
        // know nothing.
        for name in &FILES[2..4] {
            let found = rows(&again.join(name));
            for (found, expected) in found.iter().zip(rows(&out.join(name))).skip(1) {
                let scores = expected.len() - 3;
                assert_eq!(found[..scores], expected[..scores], "{name}");
                assert_eq!(found[scores..], ["", "", ""], "{name}");
            }
            assert_eq!(found.len(), rows(&out.join(name)).len(), "{name}");
        }
        let with_frames: String = text(&out.join("contigs.tsv"))
            .lines()
            .filter(|line| !line.ends_with('\t'))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(text(&again.join("contigs.tsv")), with_frames);
        assert!(!folder.path().join(format!("out{chunk}.journal")).exists());
        assert!(!folder.path().join(format!("out{chunk}.lock")).exists());
    }
}

/// Records of random bases with few stops, one of them broken.
fn genome(path: &Path, records: usize, bases: usize) {
    let mut state = 5_u64;
    let mut text = String::new();
    for record in 0..records {
        text += &format!(">contig_{record}\n");
        for _ in 0..bases {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push(char::from(b"ACGCGACGTGCACGCG"[(state >> 60) as usize]));
        }
        text.push('\n');
    }
    text += ">broken\nMKVLEE\n>last\nACGACGACGACG\n";
    fs::write(path, text).unwrap();
}

/// Starts a run and waits until its journal has grown to `bytes`; then the run is still going, or
/// it has come to its end.
fn until_journal(folder: &Path, arguments: &[String], bytes: u64) -> Option<Child> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = sessile(folder, &arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        let length = fs::metadata(folder.join("out.journal")).map_or(0, |file| file.len());
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if length >= bytes {
            return Some(child);
        }
        assert!(begun.elapsed() < PATIENCE, "the journal does not grow");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_cleanly_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    genome(&folder.path().join("in.fa"), 60, 7_000);
    let arguments = predict(&["in.fa", "--output", "out"], "300");
    let child = until_journal(folder.path(), &arguments, 4_000).expect("still running");
    let id = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &id])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("run the same command again to resume"),
        "{}",
        stderr(&output)
    );
    // Other options are another job.
    let mut other = predict(&["in.fa", "--output", "out"], "300");
    other.push("--save-features".to_owned());
    let output = finish(folder.path(), &other);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    // Another input is refused, too.
    genome(&folder.path().join("short.fa"), 1, 700);
    let output = finish(
        folder.path(),
        &predict(&["short.fa", "--output", "out"], "300"),
    );
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let output = finish(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(folder.path().join("out/prediction_results.txt").exists());
}

#[test]
fn thirty_files_and_a_sample_sheet_load_each_model_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut sheet = "sample,path\n".to_owned();
    for file in 0..30 {
        let text = format!(">r{file}\n{}\n", "ACGACCATGGCA".repeat(9 + file));
        fs::write(folder.path().join(format!("f{file:02}.fa")), text).unwrap();
        sheet += &format!("s{},f{file:02}.fa\n", file % 10);
    }
    fs::write(folder.path().join("s.csv"), sheet).unwrap();
    let arguments = ["f*.fa", "--output", "all", "--json-progress", "--profile"];
    let output = finish(folder.path(), &predict(&arguments, "300"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains(r#""model_loads":2"#), "{said}");
    assert!(said.contains("GFLOP/s per lane"), "{said}");
    let line = said.lines().find(|line| line.contains("\"progress\""));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert!(line["bytes_total"].as_u64().unwrap() > 0, "{line}");

    let arguments = ["--sample-sheet", "s.csv", "--output", "by"];
    let output = finish(folder.path(), &predict(&arguments, "300"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).matches("models loaded 2 times").count() == 10,
        "{}",
        stderr(&output)
    );
    let rows = |path: PathBuf| text(&path).lines().count() - 1;
    let all = rows(folder.path().join("all/prediction_results.txt"));
    let by: usize = (0..10)
        .map(|sample| {
            rows(
                folder
                    .path()
                    .join(format!("by/s{sample}/prediction_results.txt")),
            )
        })
        .sum();
    assert_eq!(all, by);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.fa"), ">a\nACGACGACG\n").unwrap();
    let (dnabert, esm) = (model("dnabert_s/tiny_a"), model("esm2/tiny_a"));
    let other_esm = model("esm2/tiny_b");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["in.fa", "--esm", &other_esm], 4, "together 136"),
        (
            &["in.fa", "--esm", &dnabert],
            4,
            "--esm takes a model of proteins",
        ),
        (
            &["in.fa", "--dnabert", &esm],
            4,
            "--dnabert takes a model of nucleotides",
        ),
        (&["in.fa", "--esm-layer", "9"], 4, "has 3 layers"),
        (&["in.fa", "--shard", "4/3"], 2, "is not a shard"),
        (&["no.fa"], 4, "no such file"),
        (
            &["--sample-sheet", "in.fa"],
            2,
            "in.fa, line 1: there is no comma",
        ),
    ];
    for (extra, code, words) in cases {
        // A later flag takes the place of an earlier one only where it is not repeated.
        let mut arguments = predict(&[], "300");
        for flag in ["--esm", "--dnabert"] {
            if extra.contains(&flag) {
                let at = arguments.iter().position(|have| have == flag).unwrap();
                arguments.drain(at..at + 2);
            }
        }
        arguments.extend(extra.iter().map(|&argument| argument.to_owned()));
        arguments.extend(["--output".to_owned(), "no".to_owned()]);
        let output = finish(folder.path(), &arguments);
        assert_says(&output, code, words);
        assert!(!folder.path().join("no").exists(), "{words}");
    }
}

#[test]
fn another_layer_and_reduced_precision() {
    let folder = tempfile::tempdir().unwrap();
    let input = virnucpro("input300.fa");
    let input = input.to_str().unwrap();
    let results = |layer: &str| {
        let out = format!("l{layer}");
        let arguments = [input, "--output", &out, "--esm-layer", layer];
        let output = finish(folder.path(), &predict(&arguments, "300"));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        text(&folder.path().join(out).join("prediction_results.txt"))
    };
    // The last layer is what is taken without the flag; another one gives other scores.
    let output = finish(folder.path(), &predict(&[input, "--output", "none"], "300"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let last = text(&folder.path().join("none/prediction_results.txt"));
    assert_eq!(results("3"), last);
    assert_ne!(results("2"), last);

    let mut arguments = predict(&[input, "--sample", "20", "--json"], "300");
    arguments[1] = "verify".to_owned();
    *arguments
        .iter_mut()
        .find(|argument| *argument == "f32")
        .unwrap() = "bf16".to_owned();
    let output = finish(folder.path(), &arguments);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{json} {}", stderr(&output));
    assert_eq!(
        (&json["frames"], &json["dtype"]),
        (&20.into(), &"bf16".into())
    );
    let cosine = |model: &str| json[model]["smallest"].as_f64().unwrap();
    assert!(
        cosine("dnabert_cosine") > 0.999 && cosine("esm_cosine") > 0.999,
        "{json}"
    );
    assert!(cosine("esm_cosine") < 1.0, "bf16 is not f32: {json}");
}
