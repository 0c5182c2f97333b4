//! What the program takes of the machine: devices that were asked for and no others, and no more
//! memory than its control group leaves.

use std::path::Path;
use std::process::{Command, Output};

const BART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");

fn sessile(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sessile"))
        .current_dir(folder)
        .args(arguments)
        // Where there are GPUs, none is shown.
        .env("CUDA_VISIBLE_DEVICES", "")
        .output()
        .unwrap()
}

fn said(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

/// Every command that has `--devices`, and before a model is even looked for.
#[test]
fn a_gpu_that_is_not_there_is_never_the_processor() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.fa"), ">a\nMKTAYIAKQR\n").unwrap();
    std::fs::write(folder.path().join("n.fa"), ">a\nATGAAATAG\n").unwrap();
    std::fs::write(folder.path().join("t.jsonl"), "{\"text\": \"A word.\"}\n").unwrap();
    let model = ["--model", "demo"];
    let none = ["--model", "nobody/no_such_model"];
    let files = ["--input", "a.fa", "--output", "out.jsonl"];
    let commands: Vec<Vec<&str>> = vec![
        [&["embed"][..], &model, &files].concat(),
        [&["embed"][..], &none, &files].concat(),
        [&["entropy", "encode3di"][..], &none, &files].concat(),
        vec!["entropy", "run", "--input", "n.fa", "--output", "out.json"],
        [&["entropy", "estimate-tokens"][..], &none].concat(),
        vec![
            "viral",
            "predict",
            "n.fa",
            "--dnabert",
            "demo",
            "--esm",
            "demo",
            "--classifier",
            "300_c.pth",
            "--chunk",
            "300",
            "--output",
            "out",
        ],
        vec![
            "viral",
            "verify",
            "n.fa",
            "--dnabert",
            "demo",
            "--esm",
            "demo",
            "--classifier",
            "300_c.pth",
            "--chunk",
            "300",
        ],
        vec![
            "summarize",
            "--model",
            BART,
            "--input",
            "t.jsonl",
            "--output",
            "out.jsonl",
        ],
        [&["plan"][..], &model].concat(),
        vec!["plan", "--model", BART],
        [&["bench"][..], &model].concat(),
        [&["serve", "--port", "0"][..], &model].concat(),
    ];
    for command in &commands {
        for devices in ["cuda", "cuda:0", "cuda:7", "cpu,cuda:0"] {
            let run = sessile(
                folder.path(),
                &[&command[..], &["--devices", devices]].concat(),
            );
            assert_eq!(run.status.code(), Some(5), "{command:?} {devices}: {run:?}");
            let device = devices.rsplit(',').next().unwrap();
            assert!(
                said(&run).contains(&device[..4]),
                "{command:?}: {}",
                said(&run)
            );
            assert!(run.stdout.is_empty(), "{command:?}: {run:?}");
        }
    }
    let made = ["out.jsonl", "out.json", "out"];
    assert!(made.iter().all(|name| !folder.path().join(name).exists()));
}

#[test]
fn auto_says_what_it_took() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.fa"), ">a\nMKTAYIAKQR\n").unwrap();
    std::fs::write(folder.path().join("t.jsonl"), "{\"text\": \"A word.\"}\n").unwrap();
    let embed = [
        "embed", "--model", "demo", "--input", "a.fa", "--output", "o.jsonl", "--force",
    ];
    let summarize = [
        "summarize",
        "--model",
        BART,
        "--input",
        "t.jsonl",
        "--output",
        "s.jsonl",
        "--force",
    ];
    for command in [&embed[..], &summarize] {
        let run = sessile(folder.path(), &[command, &["--threads", "2"]].concat());
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        assert!(
            said(&run).contains("devices: auto takes cpu"),
            "{}",
            said(&run)
        );
        let run = sessile(folder.path(), &[command, &["--devices", "cpu"]].concat());
        assert!(!said(&run).contains("auto takes"), "{}", said(&run));
    }
}

/// A control group of version 1 or 2 below this test's own; `None` where none may be made.
struct Group(std::path::PathBuf);

impl Group {
    fn with_limit(name: &str, bytes: u64) -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = |start: &dyn Fn(&str) -> bool| {
            let mut line = own
                .lines()
                .map(|line| line.split_once(':').map_or("", |(_, rest)| rest));
            let line = line.find(|line| start(line))?;
            Some(line.split_once(':')?.1.trim_start_matches('/').to_owned())
        };
        let v1 = path(&|line| line.split(':').next() == Some("memory"));
        let v2 = path(&|line| line.starts_with(':'));
        let places = [
            v1.map(|path| Path::new("/sys/fs/cgroup/memory").join(path)),
            v2.map(|path| Path::new("/sys/fs/cgroup").join(path)),
        ];
        places.into_iter().flatten().find_map(|parent| {
            let group = parent.join(format!("{name}-{}", std::process::id()));
            std::fs::create_dir(&group).ok()?;
            let group = Group(group);
            let is_limited = ["memory.limit_in_bytes", "memory.max"].iter().any(|file| {
                let file = group.0.join(file);
                file.exists() && std::fs::write(file, bytes.to_string()).is_ok()
            });
            is_limited.then_some(group)
        })
    }

    /// Runs the program in this group or in one below it.
    fn run(&self, below: &str, arguments: &str) -> Option<Output> {
        let group = self.0.join(below);
        let _ = std::fs::create_dir(&group);
        let script = format!(
            "echo $$ > {}/cgroup.procs && exec {} {arguments}",
            group.display(),
            env!("CARGO_BIN_EXE_sessile")
        );
        let run = Command::new("sh").args(["-c", &script]).output().unwrap();
        if !below.is_empty() {
            let _ = std::fs::remove_dir(&group);
        }
        (!String::from_utf8_lossy(&run.stderr).contains("cgroup.procs")).then_some(run)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_control_group_s_limit_is_seen_and_planned_for() {
    const LIMIT: u64 = 200 << 20;
    let Some(group) = Group::with_limit("sessile-test", LIMIT) else {
        return;
    };
    for below in ["", "step"] {
        let Some(run) = group.run(below, "devices --json") else {
            return;
        };
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        let found: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        let left = found[0]["available_bytes"].as_u64().unwrap();
        assert!(left > 0 && left <= LIMIT, "{below}: {found}");
        let notes = found[0]["notes"].to_string();
        assert!(notes.contains("200 MiB by the control group"), "{notes}");
        // 250 MiB would fit the machine, not the group.
        let Some(run) = group.run(below, "plan --model demo --memory-reserve 250MiB") else {
            return;
        };
        assert_eq!(run.status.code(), Some(5), "{run:?}");
        assert!(said(&run).contains("MiB are needed"), "{}", said(&run));
    }
}
