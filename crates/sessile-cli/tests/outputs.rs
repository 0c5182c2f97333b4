//! No command writes over what it reads, whatever the file is called, and none writes a format
//! that its output's name does not promise.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::running::{assert_says, run, sessile, stderr, virnucpro};

const PROTEINS: &str = ">a\nMKTAYIAKQRQISFVKSHFSRQ\n>b\nGASPGASP\n";
const GENOME: &str = ">g\nATGAAACCCGGGTTTAAACCCGGGTTTAAACCCGGGTTTAAACCCGGGTTTTAA\n";

fn golden(name: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    golden.join(name).canonicalize().unwrap()
}

/// What every test here needs, and copies of models that may be destroyed.
fn surroundings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("p.fasta", PROTEINS);
    write("g.fa", GENOME);
    write("g.gbk", "LOCUS       g  54 bp DNA linear\n//\n");
    write("a.jsonl", "{\"id\": 1, \"text\": \"Prices rose.\"}\n");
    write("orfs.json", "[{\"nt_sequence\": \"ATGTAA\"}]");
    write("states.jsonl", "{\"id\": \"a\", \"three_di\": \"DD\"}\n");
    write("features.pt", "none");
    write("m.ubj", "none");
    write("prediction_results.txt", "Sequence_ID\n");
    for (model, name) in [("esm2/tiny_a", "esm"), ("bart/tiny", "bart")] {
        fs::create_dir(folder.path().join(name)).unwrap();
        for entry in fs::read_dir(golden(model)).unwrap() {
            let entry = entry.unwrap();
            let to = folder.path().join(name).join(entry.file_name());
            if entry.path().is_file() {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    folder
}

/// A command that would write over a file that it reads: `OUT` stands for its output.
struct Case {
    command: Vec<String>,
    victim: &'static str,
    /// What the output's name must end like.
    ending: &'static str,
}

fn case(command: &str, victim: &'static str, ending: &'static str) -> Case {
    Case {
        command: command.split(' ').map(str::to_owned).collect(),
        victim,
        ending,
    }
}

fn cases() -> Vec<Case> {
    let esm = "embed --model esm --input p.fasta";
    let bart = "summarize --model bart --input a.jsonl";
    let states = "entropy encode3di --model esm --input p.fasta";
    let genome = "entropy run --model none --input g.fa";
    let mut cases = vec![
        case(&format!("{esm} --output OUT"), "p.fasta", "jsonl"),
        case(&format!("{esm} --output OUT"), "p.fasta", "npy"),
        case(
            &format!("{esm} --output x.jsonl --failures OUT"),
            "p.fasta",
            "jsonl",
        ),
        case(
            &format!("{esm} --output x.jsonl --output OUT"),
            "p.fasta",
            "npz",
        ),
        case(
            &format!("{esm} --output OUT"),
            "esm/model.safetensors",
            "safetensors",
        ),
        case(
            &format!("{esm} --output x.jsonl --failures OUT"),
            "esm/config.json",
            "jsonl",
        ),
        case(&format!("{bart} --output OUT"), "a.jsonl", "jsonl"),
        case(
            &format!("{bart} --output x.jsonl --failures OUT"),
            "a.jsonl",
            "jsonl",
        ),
        case(
            &format!("{bart} --output OUT"),
            "bart/tokenizer.json",
            "jsonl",
        ),
        case(&format!("{states} --output OUT"), "p.fasta", "jsonl"),
        case(
            &format!("{states} --output x.jsonl --fasta OUT"),
            "p.fasta",
            "fasta",
        ),
        case(
            &format!("{states} --output x.jsonl --failures OUT"),
            "p.fasta",
            "jsonl",
        ),
        case(&format!("{genome} --output OUT"), "g.fa", "json"),
        case(
            &format!("{genome} --genbank g.gbk --output OUT"),
            "g.gbk",
            "tsv",
        ),
        case(
            &format!("{genome} --output x.json --failures OUT"),
            "g.fa",
            "jsonl",
        ),
        case(
            &format!("{genome} --output x.json --report OUT"),
            "g.fa",
            "html",
        ),
        case("entropy orf --input g.fa --output OUT", "g.fa", "json"),
        case(
            "entropy orf --format get-orfs --input g.fa --output OUT",
            "g.fa",
            "txt",
        ),
        case(
            "entropy translate --input orfs.json --output OUT",
            "orfs.json",
            "json",
        ),
        case(
            "entropy fasta-to-protein --input p.fasta --output OUT",
            "p.fasta",
            "json",
        ),
        case(
            "entropy entropy --input orfs.json --output OUT",
            "orfs.json",
            "json",
        ),
        case(
            "entropy entropy --input orfs.json --states states.jsonl --output OUT",
            "states.jsonl",
            "jsonl",
        ),
        case(
            "entropy plot --input orfs.json --output OUT",
            "orfs.json",
            "svg",
        ),
        case(
            "entropy plot --input orfs.json --output OUT",
            "orfs.json",
            "html",
        ),
        case(
            "entropy ml train --input orfs.json --output OUT",
            "orfs.json",
            "ubj",
        ),
        case(
            "entropy ml train --input orfs.json --output x.ubj --report OUT",
            "orfs.json",
            "json",
        ),
        case(
            "entropy ml predict --input orfs.json --model m.ubj --output OUT",
            "m.ubj",
            "csv",
        ),
        case(
            "entropy ml predict --input orfs.json --model m.ubj --output OUT",
            "orfs.json",
            "tsv",
        ),
        case("viral chunk g.fa --output OUT", "g.fa", "fa"),
        case(
            "viral identify g.fa --chunk 30 --nucleotide OUT --protein x.faa",
            "g.fa",
            "fa",
        ),
        case(
            "viral identify g.fa --chunk 30 --nucleotide x.fa --protein OUT",
            "g.fa",
            "faa",
        ),
        case(
            "viral identify g.fa --chunk 30 --chunks OUT --nucleotide x.fa --protein x.faa",
            "g.fa",
            "fa",
        ),
        case(
            "viral prepare --genbank g.gbk --fasta g.fa --chunk 30 --nucleotide OUT --protein x.faa",
            "g.fa",
            "fa",
        ),
        case(
            "viral prepare --genbank g.gbk --fasta g.fa --chunk 30 --nucleotide x.fa --protein OUT",
            "g.gbk",
            "faa",
        ),
        case(
            "viral train --features features.pt --chunk 30 --output OUT",
            "features.pt",
            "pth",
        ),
        case(
            "viral plot prediction_results.txt --output OUT",
            "prediction_results.txt",
            "svg",
        ),
    ];
    for case in &mut cases {
        case.command.push("--force".to_owned());
    }
    cases
}

#[test]
fn an_output_that_is_an_input_is_refused_by_every_command_and_spelling() {
    let folder = surroundings();
    let here = |name: &str| folder.path().join(name);
    for (number, case) in cases().iter().enumerate() {
        let before = fs::read(here(case.victim)).unwrap();
        let soft = format!("soft{number}.{}", case.ending);
        let hard = format!("hard{number}.{}", case.ending);
        symlink(case.victim, here(&soft)).unwrap();
        fs::hard_link(here(case.victim), here(&hard)).unwrap();
        for out in [soft, hard] {
            let command: Vec<&str> = (case.command.iter())
                .map(|word| if word == "OUT" { out.as_str() } else { word })
                .collect();
            let output = run(folder.path(), &command);
            let said = format!("{command:?}: {}", stderr(&output));
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("it would be lost"), "{said}");
            assert!(fs::read(here(case.victim)).unwrap() == before, "{said}");
        }
    }
}

#[test]
fn an_output_that_is_an_input_is_refused_under_its_own_name_and_a_longer_one() {
    let folder = surroundings();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let whole = folder.path().join("a.jsonl");
    for out in [
        "a.jsonl",
        "./a.jsonl",
        "sub/../a.jsonl",
        whole.to_str().unwrap(),
    ] {
        let arguments = [
            "summarize",
            "--model",
            "bart",
            "--input",
            "a.jsonl",
            "--output",
            out,
            "--force",
        ];
        assert_says(&run(folder.path(), &arguments), 2, "is an input");
    }
    // As standard input, and as standard output that is appended to.
    let arguments = [
        "embed", "--model", "demo", "--input", "-", "--output", "p.fasta",
    ];
    let mut command = sessile(folder.path(), &arguments);
    command.args(["--force", "--format", "jsonl"]);
    command.stdin(fs::File::open(folder.path().join("p.fasta")).unwrap());
    assert_says(&command.output().unwrap(), 2, "is standard input");
    let mut command = sessile(
        folder.path(),
        &[
            "embed", "--model", "demo", "--input", "p.fasta", "--output", "-",
        ],
    );
    let mut end = fs::OpenOptions::new();
    end.append(true);
    command.stdout(end.open(folder.path().join("p.fasta")).unwrap());
    let output = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    assert_says(
        &output.wait_with_output().unwrap(),
        2,
        "standard output is an input",
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("p.fasta")).unwrap(),
        PROTEINS
    );
}

#[test]
fn parts_and_results_of_others_are_not_written_over_by_what_is_made_of_them() {
    let folder = surroundings();
    let here = |name: &str| folder.path().join(name);
    let parts = ["p.json.part-1-of-2", "p.json.part-2-of-2"];
    for shard in ["1/2", "2/2"] {
        let arguments = [
            "entropy", "run", "--model", "none", "--input", "g.fa", "--shard", shard, "--output",
            "p.json",
        ];
        assert_eq!(run(folder.path(), &arguments).status.code(), Some(0));
    }
    for victim in parts {
        let before = fs::read(here(victim)).unwrap();
        symlink(victim, here("link.json")).unwrap();
        let merge = ["merge", parts[0], parts[1], "-o", "link.json", "--force"];
        assert_says(&run(folder.path(), &merge), 2, "it would be lost");
        assert!(fs::read(here(victim)).unwrap() == before);
        fs::remove_file(here("link.json")).unwrap();
    }

    // Results of viruses are folders: a file that is read may lie in one.
    let classifier = virnucpro("mlp/model.pth");
    let classifier = classifier.to_str().unwrap();
    fs::create_dir(here("out")).unwrap();
    fs::copy(here("g.fa"), here("out/contigs.tsv")).unwrap();
    fs::copy(classifier, here("out/failed.tsv")).unwrap();
    let (esm, dnabert) = (golden("esm2/tiny_a"), golden("dnabert_s/tiny_a"));
    for (input, classifier) in [("out/contigs.tsv", classifier), ("g.fa", "out/failed.tsv")] {
        let arguments = [
            "viral",
            "predict",
            input,
            "--classifier",
            classifier,
            "--chunk",
            "300",
            "--esm",
            esm.to_str().unwrap(),
            "--dnabert",
            dnabert.to_str().unwrap(),
            "--output",
            "out",
            "--force",
        ];
        assert_says(&run(folder.path(), &arguments), 2, "it would be lost");
    }
    let arguments = [
        "viral",
        "classify",
        "--features",
        "features.pt",
        "--classifier",
        "out/failed.tsv",
        "--output",
        "out",
        "--force",
    ];
    assert_says(&run(folder.path(), &arguments), 2, "it would be lost");
    assert_eq!(fs::read_to_string(here("out/contigs.tsv")).unwrap(), GENOME);
}

#[test]
fn a_journal_is_no_output_and_no_link() {
    let folder = surroundings();
    let here = |name: &str| folder.path().join(name);
    let embed = |more: &[&str]| {
        let mut arguments = vec!["embed", "--model", "demo", "--input", "p.fasta"];
        arguments.extend(more);
        run(folder.path(), &arguments)
    };
    for failures in ["o.jsonl.journal", "./o.jsonl.lock"] {
        let output = embed(&["--output", "o.jsonl", "--failures", failures]);
        assert_says(&output, 2, "the journal or the lock");
    }
    fs::write(here("precious"), "precious\n").unwrap();
    symlink("precious", here("o.jsonl.journal")).unwrap();
    for more in [&[][..], &["--restart"], &["--restart", "--force"]] {
        let output = embed(&[&["--output", "o.jsonl"], more].concat());
        assert_says(&output, 4, "is not a journal but a link");
    }
    fs::remove_file(here("o.jsonl.journal")).unwrap();
    fs::hard_link(here("precious"), here("o.jsonl.journal")).unwrap();
    let output = embed(&["--output", "o.jsonl", "--restart"]);
    assert_says(
        &output,
        4,
        "it is a journal of another version of sessile, or none",
    );
    assert_eq!(fs::read_to_string(here("precious")).unwrap(), "precious\n");
}

#[test]
fn an_output_that_exists_has_one_exit_code() {
    let folder = surroundings();
    let here = |name: &str| folder.path().join(name);
    for case in cases() {
        let out = format!("there.{}", case.ending);
        fs::write(here(&out), "there\n").unwrap();
        let command: Vec<&str> = (case.command.iter())
            .filter(|word| *word != "--force")
            .map(|word| if word == "OUT" { out.as_str() } else { word })
            .collect();
        let output = run(folder.path(), &command);
        let said = format!("{command:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(
            said.contains("exists") && said.contains("--force"),
            "{said}"
        );
        assert_eq!(fs::read_to_string(here(&out)).unwrap(), "there\n");
        fs::remove_file(here(&out)).unwrap();
    }
}

#[test]
fn a_name_that_promises_another_format_is_refused() {
    let folder = surroundings();
    for (command, name) in [
        ("embed --model esm --input p.fasta --output OUT", "x.xlsx"),
        ("embed --model esm --input p.fasta --output OUT", "x.csvx"),
        (
            "summarize --model bart --input a.jsonl --output OUT",
            "x.xlsx",
        ),
        (
            "summarize --model bart --input a.jsonl --output OUT",
            "x.txt",
        ),
        (
            "entropy encode3di --model esm --input p.fasta --output OUT",
            "x.xlsx",
        ),
        (
            "entropy ml predict --input orfs.json --model m.ubj --output OUT",
            "x.json",
        ),
        ("viral generate-config --output OUT", "x.json"),
    ] {
        let command = command.replace("OUT", name);
        let output = run(folder.path(), &command.split(' ').collect::<Vec<_>>());
        assert_says(&output, 2, "unsupported output format");
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
        assert!(!folder.path().join(name).exists());
    }
}

#[test]
fn two_runs_do_not_write_one_file() {
    let folder = surroundings();
    let here = |name: &str| folder.path().join(name);
    // An input that does not come keeps the first run waiting with its locks.
    let first = [
        "embed",
        "--model",
        "demo",
        "--input",
        "-",
        "--output",
        "a.parquet",
        "--output",
        "shared.npz",
        "--failures",
        "failed.jsonl",
    ];
    let mut running = sessile(folder.path(), &first)
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while !here("failed.jsonl.lock").exists() {
        assert!(
            begun.elapsed().as_secs() < 60,
            "the first run does not start"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    symlink("shared.npz", here("other.npz")).unwrap();
    for more in [
        &["--output", "b.jsonl", "--output", "shared.npz"][..],
        &["--output", "shared.npz"],
        &["--output", "b.jsonl", "--failures", "failed.jsonl"],
    ] {
        let mut arguments = vec!["embed", "--model", "demo", "--input", "p.fasta", "--force"];
        arguments.extend(more);
        assert_says(&run(folder.path(), &arguments), 4, "is writing");
    }
    drop(running.stdin.take());
    running.wait().unwrap();
    // What killed runs leave behind is removed by the next.
    fs::write(here("b.jsonl.0123abcd.partial"), "half").unwrap();
    let mut arguments = vec!["embed", "--model", "demo", "--input", "p.fasta"];
    arguments.extend(["--output", "b.jsonl"]);
    assert_eq!(run(folder.path(), &arguments).status.code(), Some(0));
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".lock") || name.contains(".partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
