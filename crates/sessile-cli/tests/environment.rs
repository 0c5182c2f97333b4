//! Settings from the environment and from `.env`: what is read is right or refused by its name,
//! and what other programs put there changes nothing.

use std::path::Path;
use std::process::{Command, Output};

const BART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");

type Variables<'a> = &'a [(&'a str, &'a str)];

fn sessile(folder: &Path, variables: Variables<'_>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.current_dir(folder).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SESSILE_") {
            command.env_remove(name);
        }
    }
    // A home without settings.
    command.env("HOME", folder).env_remove("XDG_CONFIG_HOME");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn said(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

/// Flags of every kind, with a value that is none.
#[test]
fn a_value_that_cannot_be_read_names_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let embed = [
        "embed", "--model", "demo", "--input", "a.fa", "--output", "-",
    ];
    let plan = ["plan", "--model", "demo"];
    let cases: [(&[&str], &str, &str); 12] = [
        (&plan, "SESSILE_THREADS", "many"),
        (&plan, "SESSILE_DEVICES", "gpu"),
        (&plan, "SESSILE_DTYPE", "f8"),
        (&plan, "SESSILE_MEMORY_RESERVE", "2 elephants"),
        (&plan, "SESSILE_OUTPUTS", "nothing"),
        (&plan, "SESSILE_LOG_LEVEL", "loud"),
        (&embed, "SESSILE_FORCE", "perhaps"),
        (&embed, "SESSILE_LONG", "cut"),
        (&embed, "SESSILE_FORMAT", "xlsx"),
        (
            &["viral", "chunk", "a.fa", "--chunk", "5"],
            "SESSILE_THREADS",
            "0",
        ),
        (
            &["entropy", "run", "--input", "a.fa", "--output", "a.json"],
            "SESSILE_MIN_AA",
            "-1",
        ),
        (&["bench-service"], "SESSILE_URL", "nowhere"),
    ];
    for (arguments, name, value) in cases {
        let run = sessile(folder.path(), &[(name, value)], arguments);
        assert_eq!(run.status.code(), Some(2), "{arguments:?} {name}: {run:?}");
        assert!(said(&run).contains(name), "{arguments:?}: {}", said(&run));
        // On the command line the flag says it, and the variable is not to blame.
        let flag = format!(
            "--{}",
            name["SESSILE_".len()..].to_lowercase().replace('_', "-")
        );
        let typed = format!("{flag}={value}");
        let run = sessile(
            folder.path(),
            &[(name, "1")],
            &[arguments, &[&typed]].concat(),
        );
        assert!(!said(&run).contains(name), "{typed}: {}", said(&run));
    }
}

#[test]
fn a_value_that_cannot_be_read_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), "[plan]\nthreads = \"many\"\n").unwrap();
    let run = sessile(
        folder.path(),
        &[],
        &["--config", "s.toml", "plan", "--model", "demo"],
    );
    assert_eq!(run.status.code(), Some(2));
    assert!(said(&run).contains("s.toml"), "{}", said(&run));
}

/// A slip of the pen in a name, for commands of every kind.
#[test]
fn unknown_settings_are_warned_of_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 7] = [
        &["devices"],
        &["plan", "--model", "demo"],
        &["models", "list"],
        &["viral", "generate-config"],
        &["completions", "bash"],
        &["entropy", "orf", "--input", "a.fa", "--output", "-"],
        &[
            "summarize",
            "--model",
            BART,
            "--input",
            "none",
            "--output",
            "-",
        ],
    ];
    std::fs::write(folder.path().join("a.fa"), ">a\nATGAAATAG\n").unwrap();
    for arguments in commands {
        let usual = sessile(folder.path(), &[], arguments);
        let run = sessile(folder.path(), &[("SESSILE_TREADS", "4")], arguments);
        assert_eq!(run.status.code(), usual.status.code(), "{arguments:?}");
        assert!(
            said(&run).contains("SESSILE_TREADS"),
            "{arguments:?}: {}",
            said(&run)
        );
        assert!(
            !said(&usual).contains("warning"),
            "{arguments:?}: {}",
            said(&usual)
        );
    }
}

/// What conda, Slurm, Kubernetes, a shell or an empty template put into the environment.
const INJECTED: [(&str, &str); 22] = [
    ("HOST", "x86_64-conda-linux-gnu"),
    ("PORT", "tcp://10.0.0.1:80"),
    ("LOG_LEVEL", "verbose"),
    ("CONDA_PREFIX", "/opt/conda"),
    ("SLURM_JOB_GPUS", "0"),
    ("SLURM_GPUS", "a100:1"),
    ("SLURM_CPUS_PER_TASK", "all"),
    ("OMP_NUM_THREADS", "0"),
    ("RAYON_NUM_THREADS", "-3"),
    ("SESSILE_SERVICE_HOST", "10.96.12.3"),
    ("SESSILE_SERVICE_PORT", "80"),
    ("SESSILE_SERVICE_PORT_HTTP", "80"),
    ("SESSILE_PORT", "tcp://10.96.12.3:80"),
    ("SESSILE_PORT_80_TCP", "tcp://10.96.12.3:80"),
    ("SESSILE_PORT_80_TCP_PROTO", "tcp"),
    ("SESSILE_PORT_80_TCP_PORT", "80"),
    ("SESSILE_PORT_80_TCP_ADDR", "10.96.12.3"),
    ("SESSILE_CONFIG", ""),
    ("SESSILE_ISA", ""),
    ("RUST_LOG", "trace,,="),
    ("NO_COLOR", "1"),
    ("COLUMNS", "0"),
];

#[test]
fn injected_variables_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.fa"), ">a\nATGAAATAG\n").unwrap();
    let commands: [&[&str]; 5] = [
        &["plan", "--model", "demo", "--json"],
        &["models", "list"],
        &["viral", "chunk", "a.fa", "--chunk", "5"],
        &["entropy", "orf", "--input", "a.fa", "--output", "-"],
        &["viral", "generate-config"],
    ];
    let free = |text: &[u8]| -> String {
        // What memory is left differs from moment to moment.
        let text = String::from_utf8_lossy(text);
        let lines = text
            .lines()
            .filter(|line| !line.contains("available_bytes"));
        lines.collect::<Vec<_>>().join("\n")
    };
    for arguments in commands {
        let usual = sessile(folder.path(), &[], arguments);
        assert_eq!(usual.status.code(), Some(0), "{usual:?}");
        let run = sessile(folder.path(), &INJECTED, arguments);
        assert_eq!(run.status.code(), Some(0), "{arguments:?}: {run:?}");
        assert_eq!(free(&run.stdout), free(&usual.stdout), "{arguments:?}");
        assert_eq!(said(&run), said(&usual), "{arguments:?}");
    }
}

/// Homes without settings: no folder, not there, not this user's to look into.
#[test]
fn a_home_that_is_none_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for home in ["/dev/null", "/nonexistent", "", "/proc/1/root/none"] {
        let run = sessile(folder.path(), &[("HOME", home)], &["models", "list"]);
        assert_eq!(run.status.code(), Some(0), "{home}: {run:?}");
    }
}

fn instances(run: &Output) -> u64 {
    let plan: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    plan[0]["instances"].as_u64().unwrap()
}

#[test]
fn the_worker_s_names_are_read_from_its_env_file() {
    let folder = tempfile::tempdir().unwrap();
    let plan = ["plan", "--model", BART, "--json", "--memory", "16GiB"];
    let run = |variables: Variables<'_>, more: &[&str]| {
        let run = sessile(folder.path(), variables, &[&plan[..], more].concat());
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        instances(&run)
    };
    assert_eq!(run(&[], &[]), 32);
    // What looks like a setting and is none is said; other programs' names are not.
    let text = "GPU_MAX_INSTANCES=2\nSESSILE_THREADS=1\nOTHER=1\nGPU_BATCH_SIZE=8\n";
    std::fs::write(folder.path().join(".env"), text).unwrap();
    let warned = said(&sessile(folder.path(), &[], &plan));
    for name in ["GPU_MAX_INSTANCES", "SESSILE_THREADS"] {
        assert!(
            warned.contains(&format!(".env: {name} sets nothing")),
            "{warned}"
        );
    }
    assert!(
        !warned.contains("OTHER") && !warned.contains("BATCH"),
        "{warned}"
    );
    let text = "# the worker\nexport GPU_MAX_MODEL_INSTANCES=2\nOTHER='a b'\n";
    std::fs::write(folder.path().join(".env"), text).unwrap();
    assert_eq!(run(&[], &[]), 2);
    assert_eq!(run(&[("GPU_MAX_MODEL_INSTANCES", "3")], &[]), 3);
    assert_eq!(run(&[("SESSILE_MAX_INSTANCES", "4")], &[]), 4);
    let both = [
        ("GPU_MAX_MODEL_INSTANCES", "3"),
        ("SESSILE_MAX_INSTANCES", "4"),
    ];
    assert_eq!(run(&both, &["--max-instances", "5"]), 5);
}

#[test]
fn a_malformed_env_file_is_refused_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let plan = ["plan", "--model", BART];
    for (text, words) in [
        (
            "GPU_BATCH_SIZE=2\nGPU_QUEUE_SIZE\n",
            "line 2: `GPU_QUEUE_SIZE`",
        ),
        ("\n\nGPU_BATCH_SIZE=many\n", "GPU_BATCH_SIZE"),
    ] {
        std::fs::write(folder.path().join(".env"), text).unwrap();
        for arguments in [
            &plan[..],
            &[
                "summarize",
                "--model",
                BART,
                "--input",
                "-",
                "--output",
                "-",
            ],
            &["serve", "--model", BART],
        ] {
            let run = sessile(folder.path(), &[], arguments);
            assert_eq!(run.status.code(), Some(2), "{arguments:?}: {run:?}");
            assert!(said(&run).contains(words), "{}", said(&run));
        }
        // Commands without these names do not look at it.
        let run = sessile(folder.path(), &[], &["models", "list"]);
        assert_eq!(run.status.code(), Some(0), "{run:?}");
    }
}

/// Numbers of threads and lanes that no machine has, in every command that has them.
#[test]
fn absurd_numbers_of_threads_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.fa"), ">a\nATGAAATAG\n").unwrap();
    let commands: [&[&str]; 12] = [
        &["plan", "--model", "demo"],
        &["plan", "--model", BART],
        &[
            "embed", "--model", "demo", "--input", "a.fa", "--output", "-",
        ],
        &["bench", "--model", "demo"],
        &[
            "summarize",
            "--model",
            BART,
            "--input",
            "-",
            "--output",
            "-",
        ],
        &["serve", "--model", "demo"],
        &["entropy", "run", "--input", "a.fa", "--output", "o.json"],
        &[
            "entropy",
            "encode3di",
            "--model",
            "m",
            "--input",
            "a.fa",
            "--output",
            "-",
        ],
        &[
            "entropy", "ml", "train", "--input", "a", "--output", "m.json",
        ],
        &["viral", "chunk", "a.fa", "--chunk", "5"],
        &[
            "viral",
            "identify",
            "a.fa",
            "--chunk",
            "5",
            "--protein",
            "-",
        ],
        &[
            "viral",
            "classify",
            "--features",
            "a.pt",
            "--classifier",
            "c.pt",
            "--output",
            "r",
        ],
    ];
    for arguments in commands {
        for number in ["0", "1000000000", "18446744073709551616", "-1"] {
            let flag = format!("--threads={number}");
            let typed = sessile(folder.path(), &[], &[arguments, &[&flag]].concat());
            let set = sessile(folder.path(), &[("SESSILE_THREADS", number)], arguments);
            for run in [typed, set] {
                assert_eq!(
                    run.status.code(),
                    Some(2),
                    "{arguments:?} {number}: {run:?}"
                );
                assert!(said(&run).contains(number), "{arguments:?}: {}", said(&run));
            }
        }
    }
    for arguments in &commands[..6] {
        for number in ["0", "1000000000"] {
            let flag = format!("--instances={number}");
            let run = sessile(folder.path(), &[], &[arguments, &[&flag[..]][..]].concat());
            assert_eq!(
                run.status.code(),
                Some(2),
                "{arguments:?} {number}: {run:?}"
            );
            assert!(said(&run).contains(number), "{arguments:?}: {}", said(&run));
        }
    }
}
