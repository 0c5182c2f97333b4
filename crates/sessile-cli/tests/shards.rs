//! Shards of every job, and the files that their parts become.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::contract::{Job, jobs};
use crate::running::{assert_says, proteins, run, stderr};

/// Records of which some fail, and a file that breaks off: what a shard meets.
fn surroundings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let mut text = proteins(7, 5, 30);
    text.insert_str(0, ">empty\n");
    text.push_str(">odd\nMK?V\n>last\nMKV\n");
    write("p.fasta", &text);
    let mut genomes = String::from(">empty\n");
    let bases =
        b"ATGAAACCCGGGTTTAAACCCGGGTTTAAACCCGGGTTTAAACCCGGGTTTTAAACCGATCGATCGATTTACGGCATGCATCC";
    for number in 0..6 {
        let bases: String = (0..4)
            .flat_map(|turn| bases[(turn * 7 + number * 3) % 60..].iter())
            .map(|base| char::from(*base))
            .collect();
        genomes.push_str(&format!(">contig {number}\n{bases}\n"));
    }
    genomes.push_str(">bad\nACGTEE\n");
    write("g.fasta", &genomes);
    let article = |number: usize| {
        format!("{{\"id\": \"a{number}\", \"text\": \"Prices rose {number} times.\"}}\n")
    };
    let mut articles: String = (0..5).map(article).collect();
    articles.push_str("{\"id\": \"bad\", \"text\": 7}\n");
    write("a.jsonl", &articles);
    folder
}

fn outputs(job: &Job) -> Vec<&'static str> {
    match job.name {
        "embed" => vec!["o.jsonl", "o.csv", "o.parquet", "o.h5", "o.npz", "o.tsv.gz"],
        "encode3di" => vec!["o.tsv", "o.json", "o.parquet", "o.fasta"],
        "summarize" => vec!["o.jsonl", "o.csv.zst", "o.parquet"],
        "entropy run" => vec!["o.json.gz", "o.jsonl", "o.tsv", "o.csv", "o.parquet"],
        _ => vec!["o"],
    }
}

/// The same files behind a name, of a folder all that is in it.
fn bytes(folder: &Path, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names {
        let path = folder.join(name);
        match path.is_dir() {
            false => all.push(((*name).to_owned(), fs::read(path).unwrap())),
            true => {
                for entry in fs::read_dir(&path).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                        all.push((name, fs::read(path).unwrap()));
                    }
                }
            }
        }
    }
    all.sort();
    all
}

fn with_outputs<'a>(outputs: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments: Vec<&str> = outputs.iter().flat_map(|output| ["-o", output]).collect();
    arguments.extend(more);
    arguments
}

fn done(output: &Output, name: &str) {
    let code = output.status.code();
    assert!(
        code == Some(0) || code == Some(3),
        "{name}: {}",
        stderr(output)
    );
}

/// The parts of three shards of any job become the files of an undivided run, byte for byte, in
/// every format, with the list of failures.
#[test]
fn parts_become_the_files_of_an_undivided_run() {
    for job in jobs() {
        let (whole, divided) = (surroundings(), surroundings());
        let outputs = outputs(&job);
        let (first, others) = outputs.split_first().unwrap();
        let more = with_outputs(others, &["--failures", "f.jsonl"]);
        let output = job.run_on(whole.path(), job.input, first, &more);
        assert_says(&output, 3, "failed");
        let mut parts = Vec::new();
        for shard in ["3/3", "1/3", "2/3"] {
            let more = [&more[..], &["--shard", shard]].concat();
            let output = job.run_on(divided.path(), job.input, first, &more);
            done(&output, job.name);
            let part = format!("{first}.part-{}-of-3", &shard[..1]);
            assert!(divided.path().join(&part).is_file(), "{}: {part}", job.name);
            assert!(stderr(&output).contains(&part), "{}", stderr(&output));
            parts.push(part);
        }
        // No shard has touched what the whole run would write.
        assert!(
            outputs
                .iter()
                .all(|output| !divided.path().join(output).exists())
        );
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let merge = [
            &["merge"],
            &parts[..],
            &with_outputs(&outputs, &["--failures", "f.jsonl"]),
        ];
        let output = run(divided.path(), &merge.concat());
        assert_says(&output, 3, "of 3 parts");
        let names = [&outputs[..], &["f.jsonl"]].concat();
        let (ours, theirs) = (bytes(divided.path(), &names), bytes(whole.path(), &names));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(ours == theirs, "{}: {}", job.name, ours.0);
        }
        // Neither parts nor results are written over unseen.
        let again = [&more[..], &["--shard", "1/3"]].concat();
        let output = job.run_on(divided.path(), job.input, first, &again);
        assert_says(&output, 4, "exists");
        assert_says(&run(divided.path(), &merge.concat()), 4, "exists");
    }
}

/// Parts that are missing, there twice, of other options or inputs, not whole, or of an earlier
/// version are refused by name, and no output appears.
#[test]
fn parts_that_do_not_belong_together_are_refused() {
    for job in jobs() {
        let folder = surroundings();
        let path = folder.path();
        fs::create_dir(path.join("other")).unwrap();
        for shard in ["1/2", "2/2"] {
            done(
                &job.run_on(path, job.input, "o", &["--shard", shard]),
                job.name,
            );
        }
        let other: &[&str] = match job.name {
            "summarize" => &["--with-ids"],
            "viral predict" => &["--esm-layer", "1"],
            "embed" => &["--outputs", "cls"],
            "encode3di" => &["--mask-below", "0.5"],
            _ => &["--table", "4"],
        };
        let arguments = [other, &["--shard", "2/2"]].concat();
        done(
            &job.run_on(path, job.input, "other/o", &arguments),
            job.name,
        );
        let (one, two) = ("o.part-1-of-2", "o.part-2-of-2");
        let whole = fs::read(path.join(two)).unwrap();
        fs::write(path.join("cut"), &whole[..whole.len() - 30]).unwrap();
        fs::write(path.join("old"), "{}").unwrap();
        fs::write(path.join("old.part"), "#part\t1/2\tx\n").unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        fs::write(path.join("folder/shard.tsv"), "#shard\t1/2\tx\n").unwrap();
        for (parts, words) in [
            (&[one][..], "1 parts were given, the run has 2"),
            (&[one, one], "part 1/2 was given twice"),
            (&[one, "other/o.part-2-of-2"], "are of different runs"),
            (&[one, "cut"], "the file is not whole"),
            (&[one, "old"], "a part of an earlier version"),
            (&["folder", one], "a part of an earlier version"),
            (&[one, job.input], "no part of a run"),
            (&[one, "none"], "cannot read none"),
        ] {
            let merge = [&["merge", "-o", "m"], parts].concat();
            assert_says(&run(path, &merge), 4, words);
            let is_there =
                path.join("m").exists() && fs::read_dir(path.join("m")).unwrap().count() > 0;
            assert!(!is_there, "{}: {words}", job.name);
        }
        // Other inputs: one record fewer.
        let input = fs::read_to_string(path.join(job.input)).unwrap();
        let mut lines: Vec<&str> = input.lines().collect();
        let kept = lines.len() - if job.input == "a.jsonl" { 1 } else { 2 };
        lines.truncate(kept);
        fs::write(path.join(job.input), lines.join("\n")).unwrap();
        let again = job.run_on(path, job.input, "o", &["--shard", "2/2", "--force"]);
        done(&again, job.name);
        let merge = ["merge", "-o", "m", one, two];
        assert_says(&run(path, &merge), 4, "their inputs differ");
        if job.name != "viral predict" {
            let output = job.run_on(path, job.input, "-", &["--shard", "1/2"]);
            assert_says(&output, 2, "a shard cannot be written to -");
        }
    }
}

/// What all shards meet, such as a file that breaks off, is told once in the whole.
#[test]
fn a_file_that_breaks_off_is_told_once() {
    let job = jobs().remove(0);
    let folder = surroundings();
    let path = folder.path();
    fs::write(path.join("z.fasta"), b">a\nMKV\n>b\nMKL\n\x00\x00\x00\x1f").unwrap();
    let mut gz = fs::read(path.join("p.fasta")).unwrap();
    gz.truncate(20);
    let packed = std::process::Command::new("gzip")
        .args(["-k", "z.fasta"])
        .current_dir(path)
        .status();
    assert!(packed.unwrap().success());
    let whole = fs::read(path.join("z.fasta.gz")).unwrap();
    fs::write(path.join("z.fasta.gz"), &whole[..whole.len() - 12]).unwrap();
    let more = ["z.fasta.gz", "--failures", "f.jsonl"];
    done(&job.run_on(path, "p.fasta", "w.jsonl", &[]), job.name);
    let input = |output: &str, shard: &str| {
        let mut arguments: Vec<&str> = job.command.iter().map(String::as_str).collect();
        arguments.extend(["-i", "p.fasta"]);
        arguments.extend(more);
        arguments.extend(["-o", output, "--shard", shard, "--force"]);
        run(path, &arguments)
    };
    assert_says(&input("whole.jsonl", "1/1"), 3, "z.fasta.gz");
    let expected = fs::read_to_string(path.join("f.jsonl")).unwrap();
    for shard in ["1/3", "2/3", "3/3"] {
        assert_says(&input("o.jsonl", shard), 3, "z.fasta.gz");
    }
    let parts = [1, 2, 3].map(|number| format!("o.jsonl.part-{number}-of-3"));
    let mut merge = vec!["merge", "-o", "o.jsonl", "--failures", "m.jsonl"];
    merge.extend(parts.iter().map(String::as_str));
    assert_says(&run(path, &merge), 3, "of 3 parts");
    assert_eq!(fs::read_to_string(path.join("m.jsonl")).unwrap(), expected);
    let read = |name: &str| fs::read(path.join(name)).unwrap();
    assert!(read("o.jsonl") == read("whole.jsonl"));
}
