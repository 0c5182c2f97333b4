//! `sessile entropy run` with a structure model, killed and started again: equal bytes.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::running::{Numbers, assert_says, proteins, run, sessile, stderr};

/// No job of this test may take longer.
const LIMIT: Duration = Duration::from_secs(120);

fn genome(directory: &Path, name: &str, seed: u64, lengths: &[usize]) {
    let mut numbers = Numbers::new(seed);
    let mut text = String::new();
    for (record, &length) in lengths.iter().enumerate() {
        text.push_str(&format!(">{name}-{record}\n"));
        for _ in 0..length {
            text.push(char::from(b"ACGT"[numbers.below(4)]));
        }
        text.push('\n');
    }
    fs::write(directory.join(name), text).unwrap();
}

fn with_model(directory: &Path) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/prostt5/tiny");
    std::os::unix::fs::symlink(model, directory.join("model")).unwrap();
}

/// Small batches, so that answers come one by one.
const MODEL: [&str; 9] = [
    "--model",
    "model",
    "--dtype",
    "f32",
    "--threads",
    "1",
    "--token-budget",
    "512",
    "--min-aa",
];

fn start(directory: &Path, arguments: &[&str]) -> Child {
    sessile(directory, arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts the command again and again and kills it whenever `journal` has grown, then lets it end.
/// Returns the number of kills that came in the middle of a run, and the last one's words.
fn kill_and_go_on(
    directory: &Path,
    arguments: &[&str],
    journal: &Path,
    code: i32,
) -> (u32, String) {
    let mut random = Numbers::new(20_261_121);
    let length = || fs::metadata(journal).map_or(0, |journal| journal.len());
    let mut kept = 400;
    let mut kills = 0;
    for _ in 0..4 {
        let mut child = start(directory, arguments);
        let begun = Instant::now();
        while length() <= kept && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < LIMIT, "nothing is kept");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(random.below(60) as u64));
        child.kill().unwrap();
        if child.wait().unwrap().code().is_some() {
            return (kills, String::new());
        }
        kills += 1;
        kept = length().max(kept);
    }
    let output = run(directory, arguments);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    (kills, stderr(&output))
}

#[test]
fn a_killed_run_of_samples_goes_on_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    with_model(folder);
    let mut sheet = String::new();
    for sample in ["a", "b", "c"] {
        let seed = u64::from(sample.as_bytes()[0]);
        genome(folder, &format!("{sample}.fa"), seed, &[6_000, 12_000]);
        sheet.push_str(&format!("{sample},{sample}.fa\n"));
    }
    sheet.push_str("gone,gone.fa\n");
    fs::write(folder.join("s.csv"), sheet).unwrap();
    let arguments = |output: &'static str| {
        [
            &[
                "entropy",
                "run",
                "--sample-sheet",
                "s.csv",
                "--output",
                output,
            ][..],
            &MODEL,
            &["12"],
        ]
        .concat()
    };
    assert_eq!(
        start(folder, &arguments("whole")).wait().unwrap().code(),
        Some(3)
    );
    // The journal of the second sample: a kill leaves one sample finished.
    let journal = folder.join("killed/b.json.journal");
    let (kills, said) = kill_and_go_on(folder, &arguments("killed"), &journal, 3);
    assert!(kills > 0, "no kill came in the middle of a run");
    if !said.is_empty() {
        // A run that is killed late may have finished the second sample, too.
        let finished = ["1 sample", "2 samples"].map(|count| format!("resuming after {count} of"));
        assert!(finished.iter().any(|words| said.contains(words)), "{said}");
    }
    let names = |part: &str| {
        let mut names: Vec<_> = fs::read_dir(folder.join(part))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("whole"), names("killed"));
    for name in names("whole") {
        let read = |part: &str| fs::read(folder.join(part).join(&name)).unwrap();
        assert!(read("whole") == read("killed"), "{name:?}");
    }
}

#[test]
fn other_options_do_not_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    with_model(folder);
    genome(folder, "g.fa", 1, &[40_000]);
    let base = |least: &'static str| {
        [
            &["entropy", "run", "--input", "g.fa", "--output", "o.json"][..],
            &MODEL,
            &[least],
        ]
        .concat()
    };
    let journal = folder.join("o.json.journal");
    let mut child = start(folder, &base("12"));
    let begun = Instant::now();
    while fs::metadata(&journal).map_or(0, |journal| journal.len()) < 1000 {
        assert!(begun.elapsed() < LIMIT && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let output = run(folder, &base("20"));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--min-aa"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--restart"), "{}", stderr(&output));
    let without = ["entropy", "run", "--input", "g.fa", "--output", "o.json"];
    assert_eq!(run(folder, &without).status.code(), Some(2));
    let restart = [&without[..], &["--restart"]].concat();
    assert_eq!(run(folder, &restart).status.code(), Some(0));
    assert!(!journal.exists());
}

/// States that a decoder writes depend on the number format, as those of a head do: a run that was
/// begun in one does not resume in another.
#[test]
fn written_states_resume_in_their_own_number_format() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    with_model(folder);
    genome(folder, "g.fa", 1, &[40_000]);
    fs::write(folder.join("p.fa"), proteins(2_000, 40, 60)).unwrap();
    let commands: [(&[&str], &str); 2] = [
        (
            &["encode3di", "--input", "p.fa", "--output", "o.jsonl"],
            "o.jsonl.journal",
        ),
        (
            &[
                "run", "--input", "g.fa", "--min-aa", "12", "--output", "o.json",
            ],
            "o.json.journal",
        ),
    ];
    for (command, journal) in commands {
        let written = ["--model", "model", "--method", "generate", "--threads", "1"];
        let with = |dtype: &'static str| {
            [&["entropy"][..], command, &written, &["--dtype", dtype]].concat()
        };
        let mut child = start(folder, &with("f32"));
        let begun = Instant::now();
        while fs::metadata(folder.join(journal)).map_or(0, |journal| journal.len()) <= 1_500 {
            assert!(child.try_wait().unwrap().is_none(), "it is over too soon");
            assert!(begun.elapsed() < LIMIT, "nothing is kept");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_says(
            &run(folder, &with("bf16")),
            2,
            "--dtype f32, this one has bf16",
        );
        assert_says(&run(folder, &with("f32")), 0, "from the earlier run");
    }
}
