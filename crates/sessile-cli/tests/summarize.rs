//! `sessile summarize` as scripts call it.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const BART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");

fn sessile(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["summarize", "--model", BART, "--dtype", "f32"])
        .args(arguments)
        .output()
        .unwrap()
}

fn rows(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Bad articles keep their place, and the others are the reference's to the token.
#[test]
fn articles_keep_their_order_and_fields() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (
        folder.path().join("in.jsonl"),
        folder.path().join("out.jsonl"),
    );
    let articles: Value =
        serde_json::from_slice(&std::fs::read(format!("{BART}/inputs.json")).unwrap()).unwrap();
    let expected: Value =
        serde_json::from_slice(&std::fs::read(format!("{BART}/expected.json")).unwrap()).unwrap();
    let mut lines = vec![
        "{\"id\": 1}".to_owned(),
        "no JSON".to_owned(),
        "{\"text\": \"  \", \"id\": \"blank\"}".to_owned(),
    ];
    for article in articles.as_array().unwrap() {
        let (name, text) = (&article["name"], &article["text"]);
        if text.as_str().unwrap().is_empty() {
            continue;
        }
        lines.push(format!(
            "{{\"z\": 1, \"text\": {text}, \"id\": {name}, \"a\": [2]}}"
        ));
    }
    std::fs::write(&input, lines.join("\n")).unwrap();
    let (input, out) = (input.to_str().unwrap(), output.to_str().unwrap());
    let run = sessile(&[
        "--input",
        input,
        "--output",
        out,
        "--with-ids",
        "--long",
        "truncate",
    ]);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    let rows = rows(&output);
    assert_eq!(rows.len(), lines.len());
    for (row, reason) in rows.iter().zip(["no field `text`", "is not JSON", "empty"]) {
        assert!(row["error"].as_str().unwrap().contains(reason), "{row}");
    }
    for row in &rows[3..] {
        let name = row["id"].as_str().unwrap();
        let truth = &expected[name];
        if let Some(run) = truth.get("bart_large_cnn_defaults") {
            assert_eq!(row["token_ids"], run["ids"], "{name}");
            assert_eq!(row["summary"], run["text"], "{name}");
        }
        assert_eq!(row["truncated"], name == "trunc");
        assert_eq!((&row["z"], &row["a"]), (&1.into(), &Value::from(vec![2])));
    }
    let text = std::fs::read_to_string(&output).unwrap();
    let fourth = text.lines().nth(3).unwrap();
    assert!(
        fourth.starts_with("{\"z\":1,\"id\":"),
        "the order of the fields: {fourth}"
    );

    let again = sessile(&["--input", input, "--output", out]);
    assert_eq!(
        again.status.code(),
        Some(4),
        "an output is not written over: {again:?}"
    );
}

#[test]
fn text_files_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("story.txt");
    std::fs::write(
        &input,
        "The committee measured the crowded theatre in spring.",
    )
    .unwrap();
    let input = input.to_str().unwrap();
    let short = ["--num-beams", "1", "--min-length", "2", "--max-length", "8"];
    let run = sessile(
        &[
            &["--input", input, "--output", "-", "--with-ids"],
            &short[..],
        ]
        .concat(),
    );
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let row: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(row["id"], "story");
    assert!(row["token_ids"].as_array().unwrap().len() <= 8);

    let drawn = |seed: &str| {
        let chance = [
            "--do-sample",
            "--seed",
            seed,
            "--min-length",
            "2",
            "--max-length",
            "30",
        ];
        sessile(&[&["--input", input, "--output", "-"], &chance[..]].concat()).stdout
    };
    assert_eq!(drawn("7"), drawn("7"));
    assert_ne!(drawn("7"), drawn("8"));
}

/// Each bad article has its row with the reason, and costs nothing else.
#[test]
fn bad_articles_cost_themselves_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let good = "{\"id\": \"good\", \"text\": \"The committee measured the theatre.\"}";
    let long = format!(
        "{{\"id\": \"long\", \"text\": \"{}\"}}",
        "theatre ".repeat(700)
    );
    let lines: [(&[u8], &str); 11] = [
        (b"{\"text\": \"\"}", "is empty"),
        (b"{\"text\": \" \\t\\n \\u00a0\"}", "is empty"),
        (long.as_bytes(), "more than the model's 640"),
        (b"{\"text\": \"caf\xe9\"}", "not UTF-8 from byte 14 on"),
        (b"{\"body\": \"a\"}", "no field `text`"),
        (b"{\"text\": 7}", "is not a text but a number"),
        (b"{\"text\": null}", "is not a text but null"),
        (b"[\"text\"]", "is JSON, but no object"),
        (b"{\"text\": \"a\"", "the JSON object breaks off"),
        (b"{\"text\": \"\\ud800\"}", "is not a text"),
        (b"text", "is not JSON from column 2 on"),
    ];
    let mut input = Vec::new();
    for (line, _) in &lines {
        input.extend_from_slice(line);
        input.push(b'\n');
        input.extend_from_slice(good.as_bytes());
        input.push(b'\n');
    }
    std::fs::write(path("in.jsonl"), input).unwrap();
    std::fs::write(path("bad.txt"), b"caf\xe9").unwrap();
    std::fs::write(path("empty.txt"), b"\n\n").unwrap();
    let inputs = [path("in.jsonl"), path("bad.txt"), path("empty.txt")];
    let short = ["--num-beams", "1", "--min-length", "2", "--max-length", "8"];
    let output = path("out.jsonl");
    let mut arguments = vec!["--output", &output, "--input"];
    arguments.extend(inputs.iter().map(String::as_str));
    arguments.extend(short);
    let run = sessile(&arguments);
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    let rows = rows(output.as_ref());
    assert_eq!(rows.len(), 2 * lines.len() + 2);
    for ((line, reason), pair) in lines.iter().zip(rows.chunks(2)) {
        let error = pair[0]["error"].as_str().unwrap();
        let line = String::from_utf8_lossy(line);
        assert!(error.contains(reason), "{line:.60}: {error}");
        assert!(pair[0]["place"].as_str().unwrap().contains(", line "));
        assert_eq!(pair[1]["id"], "good");
        assert_eq!(pair[1]["summary"], rows[1]["summary"]);
        assert!(pair[1].get("error").is_none());
    }
    let files = &rows[2 * lines.len()..];
    assert_eq!(
        (&files[0]["id"], &files[1]["id"]),
        (&"bad".into(), &"empty".into())
    );
    assert!(files[0]["error"].as_str().unwrap().contains("not UTF-8"));
    assert!(files[1]["error"].as_str().unwrap().contains("is empty"));
}

/// What the rows say of long articles.
#[test]
fn long_articles_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let sentence = "The committee measured the crowded theatre in spring. ";
    let article = |id: &str, times: usize| {
        let text = sentence.repeat(times);
        serde_json::json!({ "id": id, "text": text }).to_string()
    };
    let lines = [
        article("short", 3),
        article("long", 150),
        article("longer", 1400),
    ];
    std::fs::write(path("in.jsonl"), lines.join("\n")).unwrap();
    let summarise = |long: &str, more: &[&str]| {
        let (input, output) = (path("in.jsonl"), path(long));
        let flags = ["--long", long, "--with-ids", "--force"];
        let files = ["--input", &input, "--output", &output];
        let run = sessile(&[&files[..], &flags[..], more].concat());
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        rows(output.as_ref())
    };
    let cut = summarise("truncate", &[]);
    let parts = summarise("map-reduce", &[]);
    for (cut, parts) in cut.iter().zip(&parts) {
        assert_eq!(cut["id"], parts["id"]);
        let is_long = cut["id"] != "short";
        assert_eq!(cut["truncated"], is_long);
        assert_eq!(parts["truncated"], false);
        assert_eq!(parts.get("parts").is_some(), is_long);
        assert!(cut.get("parts").is_none());
        assert!(parts["token_ids"].as_array().unwrap().len() > 50);
    }
    assert_eq!(cut[0], parts[0], "a short article is what it was");
    let number = |row: &Value| row["parts"].as_u64().unwrap();
    assert!(number(&parts[1]) >= 2 && number(&parts[2]) > 2 * number(&parts[1]));
    // The summaries of so many parts are too long themselves, and are taken in parts again.
    assert!(number(&parts[2]) * 56 > 640, "{}", parts[2]);
    // One by one is as all together.
    assert_eq!(summarise("map-reduce", &["--instances", "1"]), parts);
}

type Variables = &'static [(&'static str, &'static str)];

/// The names under which the worker is configured.
#[test]
fn the_worker_s_names_are_read() {
    let plan = |variables: &[(&str, &str)], arguments: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_sessile"))
            .args(["plan", "--model", BART, "--json", "--memory", "16GiB"])
            .args(arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        (
            run.status.code(),
            serde_json::from_slice::<Value>(&run.stdout).ok(),
            said,
        )
    };
    let cases: [(Variables, &[&str], u64, &str); 6] = [
        (&[], &[], 32, "no more unless asked for"),
        (&[("GPU_MAX_MODEL_INSTANCES", "8")], &[], 8, "limit"),
        (
            &[("GPU_MAX_MODEL_INSTANCES", "null")],
            &[],
            32,
            "no more unless",
        ),
        (
            &[("GPU_MAX_MODEL_INSTANCES", "8")],
            &["--max-instances", "5"],
            5,
            "limit",
        ),
        (&[("MODEL_POOL_ENABLED", "false")], &[], 1, "asked for"),
        (
            &[
                ("GPU_MODEL_MEMORY_BUFFER_GB", "15.97"),
                ("GPU_USE_FP16", "false"),
            ],
            &[],
            0,
            "memory: one more takes",
        ),
    ];
    for (variables, arguments, instances, reason) in cases {
        let (code, plan, said) = plan(variables, arguments);
        assert_eq!(code, Some(0), "{variables:?}: {said}");
        let plan = &plan.unwrap()[0];
        if instances > 0 {
            assert_eq!(plan["instances"], instances, "{variables:?}");
        } else {
            let fitting = plan["instances"].as_u64().unwrap();
            assert!((1..32).contains(&fitting), "{plan}");
            assert_eq!(plan["dtype"], "f32");
            // One more would not fit, this many do.
            let number = |key: &str| plan[key].as_u64().unwrap();
            let kept = number("total_bytes") + number("reserve_bytes");
            assert!(kept <= number("available_bytes"), "{plan}");
            let more = kept + number("bytes_of_one_more_instance");
            assert!(more > number("available_bytes"), "{plan}");
        }
        assert!(plan["reason"].as_str().unwrap().contains(reason), "{plan}");
        assert_eq!(plan["formula"]["total_gib"], 16.0);
    }
    let (_, formula, _) = plan(
        &[
            ("GPU_ESTIMATED_MODEL_SIZE_GB", "3"),
            ("GPU_MODEL_MEMORY_BUFFER_GB", "2"),
        ],
        &[],
    );
    let formula = &formula.unwrap()[0]["formula"];
    assert_eq!(
        (&formula["fitting"], &formula["instances"]),
        (&4.into(), &4.into())
    );
    let (code, _, said) = plan(&[("GPU_BATCH_SIZE", "none at all")], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("GPU_BATCH_SIZE"), "{said}");
}

/// The numbers say why.
#[test]
fn a_plan_without_room_for_one_instance_is_refused() {
    for command in ["plan", "summarize"] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_sessile"));
        run.args([command, "--model", BART, "--memory-reserve", "100000GiB"]);
        if command == "summarize" {
            run.args(["--input", "-", "--output", "-"]);
        }
        let run = run.output().unwrap();
        assert_eq!(run.status.code(), Some(5), "{run:?}");
        let said = String::from_utf8_lossy(&run.stderr);
        for part in [
            "MiB left",
            "MiB are needed",
            "weights",
            "caches of one instance",
            "hint:",
        ] {
            assert!(said.contains(part), "{command}: {said}");
        }
        assert!(run.stdout.is_empty());
    }
}

/// Every setting of instances leads to the same summaries.
#[test]
fn instances_change_no_summary() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    let lines: String = (0..30)
        .map(|number| format!("{{\"id\": {number}, \"text\": \"spring theatre {number}\"}}\n"))
        .collect();
    std::fs::write(&input, lines).unwrap();
    let input = input.to_str().unwrap();
    let short = [
        "--input",
        input,
        "--output",
        "-",
        "--min-length",
        "3",
        "--max-length",
        "12",
    ];
    let first = sessile(&short).stdout;
    assert_eq!(first.iter().filter(|&&byte| byte == b'\n').count(), 30);
    let flags: [&[&str]; 4] = [
        &["--multiple-instances", "false"],
        &["--max-instances", "3", "--batch-size", "2"],
        &[
            "--queue-size",
            "1",
            "--max-delay-ms",
            "0",
            "--warmup",
            "false",
        ],
        &["--instances", "40", "--threads", "1"],
    ];
    for flags in flags {
        let run = sessile(&[&short[..], flags].concat());
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        assert_eq!(run.stdout, first, "{flags:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.txt");
    std::fs::write(&input, "text").unwrap();
    let input = input.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 12] = [
        (&["--max-length", "1"], 2, "leaves no room"),
        (
            &["--min-length", "50", "--max-length", "20"],
            2,
            "is more than",
        ),
        (
            &["--max-length", "100000"],
            2,
            "is more than the 640 tokens",
        ),
        (&["--max-length", "-3"], 2, "unexpected argument"),
        (&["--instances", "0"], 2, "0 instances"),
        (&["--max-instances", "some"], 2, "neither a number nor null"),
        (&["--long", "skip"], 2, "map-reduce"),
        (&["--no-such-flag"], 2, "--no-such-flag"),
        (&["--temperature", "0", "--do-sample"], 2, "temperature"),
        (&["--num-beams", "0"], 2, "num_beams 0"),
        (&["--early-stopping", "maybe"], 2, "maybe"),
        (&["--memory-reserve", "100000GiB"], 5, "are needed"),
    ];
    for (arguments, code, says) in cases {
        let run = sessile(&[&["--input", input, "--output", "-"], arguments].concat());
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(run.stdout.is_empty());
    }
    let missing = sessile(&["--input", "/nowhere.jsonl", "--output", "-"]);
    assert_eq!(missing.status.code(), Some(4));
}

/// The program with these arguments, at work.
#[cfg(unix)]
fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["summarize", "--model", BART, "--dtype", "f32"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Ctrl-C, and what the program ends with. It does not wait for ever.
#[cfg(unix)]
fn interrupt(mut child: Child) -> (Output, Duration) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it went on after Ctrl-C");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed();
    (child.wait_with_output().unwrap(), took)
}

/// Ctrl-C ends a text in its midst; what was finished is kept, and the same command goes on.
#[cfg(unix)]
#[test]
fn ctrl_c_does_not_wait_for_the_next_summary() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // Not the same text twice: that would be written once.
    let line = |id: u32| {
        let article = format!("The committee measured the crowded theatre in spring {id}. ");
        serde_json::json!({"id": id, "text": article.repeat(20)}).to_string()
    };
    std::fs::write(path("in.jsonl"), [line(1), line(2)].join("\n")).unwrap();
    // Long texts, one after the other.
    let flags = |output: &str| -> Vec<String> {
        let (input, output) = (path("in.jsonl"), path(output));
        let flags = ["--input", &input, "--output", &output, "--instances", "1"];
        let long = ["--num-beams", "16", "--min-length", "600"];
        let same = ["--max-length", "620", "--no-repeat-ngram-size", "0"];
        [&flags[..], &long[..], &same[..]]
            .concat()
            .iter()
            .map(|flag| (*flag).to_owned())
            .collect()
    };
    let arguments = flags("out.jsonl");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let child = start(&arguments);
    let journal = folder.path().join("out.jsonl.journal");
    let length = || std::fs::metadata(&journal).map_or(0, |journal| journal.len());
    while length() < 2000 {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "nothing is kept"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let first = begun.elapsed();
    let (output, took) = interrupt(child);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    // Less than a text takes, by far.
    assert!(took < first / 2, "{took:?} after {first:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("interrupted after 1 article"), "{said}");

    let again = sessile(&arguments);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("resuming after 1 article"), "{said}");
    assert!(!journal.exists());
    let arguments = flags("whole.jsonl");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let whole = sessile(&arguments);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(text("out.jsonl").lines().count(), 2);
    assert_eq!(text("out.jsonl"), text("whole.jsonl"));
}

/// Who waits for articles that do not come can be stopped, too.
#[cfg(unix)]
#[test]
fn ctrl_c_does_not_wait_for_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.jsonl");
    let mut child = start(&["--input", "-", "--output", output.to_str().unwrap()]);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{{\"text\": \"A short article.\"}}").unwrap();
    let temporary = || std::fs::read_dir(folder.path()).unwrap().count() > 1;
    let begun = Instant::now();
    while !temporary() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing is begun"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let (stopped, _) = interrupt(child);
    assert_eq!(stopped.status.code(), Some(130), "{stopped:?}");
    assert!(!output.exists());
    drop(input);
}

#[test]
fn models_inspect_reads_a_model_that_writes() {
    let run = Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["models", "inspect", "--tensors", BART])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{run:?}");
    for part in [
        "parameters:",
        "outputs:      text",
        "model.shared.weight [620, 48]",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
