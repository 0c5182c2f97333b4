//! `sessile viral prepare | train | generate-config` as scripts see them.

use std::fs;
use std::path::Path;

use sessile_models::checkpoint::TorchFile;
use sessile_pipelines::viral::features::{FeatureRows, write_merged};

use crate::running::{assert_says, run, stderr, text, virnucpro};

/// Annotated as in the reference's unit case: one frame of the record lies in a protein.
const GENBANK: &str = "\
LOCUS       T0                        60 bp    DNA     linear   SYN 01-JAN-2020
VERSION     t0
FEATURES             Location/Qualifiers
     CDS             1..60
                     /translation=\"MAAVIYHAEPTWSLGYPSDPIKK\"
     CDS             complement(1..60)
                     /translation=\"YRVGIPRPRRFGMIDYCR\"
ORIGIN
        1 gcggcagtaa tctatcatgc cgaaccgacg tggtcgttag ggtatccctc agacccgata
//
";

#[test]
fn a_training_set_holds_annotated_frames_only() {
    let folder = tempfile::tempdir().unwrap();
    let cases = text(&virnucpro("identify_train.json"));
    let cases: serde_json::Value = serde_json::from_str(&cases).unwrap();
    let mut fasta = String::new();
    for case in cases.as_array().unwrap() {
        let sequence = case["sequence"].as_str().unwrap();
        fasta += &format!(">t0 {}\n{}\n", case["id"], sequence.to_lowercase());
    }
    fasta += ">other\nGCGGCAGTAATCTAT\n>empty\n";
    fs::write(folder.path().join("g.fa"), fasta).unwrap();
    fs::write(folder.path().join("g.gbff"), GENBANK).unwrap();
    let arguments = [
        "viral",
        "prepare",
        "--genbank",
        "g.gbff",
        "--fasta",
        "g.fa",
        "--chunk",
    ];
    let files = ["300", "--nucleotide", "n.fa", "--protein", "p.faa"];
    let output = run(folder.path(), &[&arguments[..], &files[..]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let record = &cases[0]["records"][0];
    let expected = |kind: &str| format!(">t0_chunk_1F1\n{}\n", record[kind].as_str().unwrap());
    assert_eq!(text(&folder.path().join("n.fa")), expected("nucleotide"));
    assert_eq!(text(&folder.path().join("p.faa")), expected("protein"));
    let said = stderr(&output);
    assert!(
        said.contains("1 records of the FASTA files have no annotated protein"),
        "{said}"
    );
    assert!(
        said.contains("(empty)") && said.contains("1 failed"),
        "{said}"
    );

    let cases: [(&[&str], i32, &str); 3] = [
        (&["--genbank", "g.fa", "--fasta", "g.fa"], 4, "not GenBank"),
        (
            &["--genbank", "g.gbff", "g.gbff", "--fasta", "g.fa"],
            2,
            "do not pair up",
        ),
        (
            &["--genbank", "no.gbff", "--fasta", "g.fa"],
            4,
            "no such file",
        ),
    ];
    fs::copy(folder.path().join("g.gbff"), folder.path().join("h.gbff")).unwrap();
    for (inputs, code, words) in cases {
        let inputs: Vec<&str> = inputs
            .iter()
            .enumerate()
            .map(|(place, name)| {
                if place == 2 && *name == "g.gbff" {
                    "h.gbff"
                } else {
                    name
                }
            })
            .collect();
        let files = ["--nucleotide", "x.fa", "--protein", "y.faa"];
        let output = run(
            folder.path(),
            &[&["viral", "prepare"], &inputs[..], &files].concat(),
        );
        assert_says(&output, code, words);
        assert!(!folder.path().join("x.fa").exists());
    }
}

/// Two clouds of points that overlap a little.
fn features(folder: &Path, name: &str, count: usize, is_virus: bool, label: Option<bool>) {
    const WIDTH: usize = 24;
    let mut state = 77 + u64::from(is_virus);
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let shift = if is_virus { 0.22 } else { -0.22 };
    let data: Vec<f32> = (0..count * WIDTH)
        .map(|_| (0..4).map(|_| unit()).sum::<f32>() - 2.0 + shift)
        .collect();
    let ids: Vec<String> = (0..count).map(|i| format!("{name}{i}_chunk_1F1")).collect();
    let rows = FeatureRows {
        ids: &ids,
        data: &data,
        width: WIDTH,
    };
    let bytes = write_merged(Vec::new(), name, rows, label).unwrap();
    fs::write(folder.join(format!("{name}.pt")), bytes).unwrap();
}

const TRAIN: [&str; 18] = [
    "viral",
    "train",
    "--chunk",
    "300",
    "--nucleotide-size",
    "16",
    "--hidden",
    "16",
    "--rate",
    "0.02",
    "--epochs",
    "12",
    "--patience",
    "4",
    "--held-out",
    "0.2",
    "--seed",
    "7",
];

#[test]
fn a_trained_classifier_tells_the_classes_apart_and_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    features(folder.path(), "virus", 600, true, None);
    features(folder.path(), "others", 500, false, Some(false));
    let inputs = ["--virus", "virus.pt", "--features", "others.pt", "--json"];
    let mut accuracies = Vec::new();
    for output in ["a.safetensors", "b.safetensors", "c.pt", "d.pth"] {
        let done = run(
            folder.path(),
            &[&TRAIN[..], &inputs, &["--output", output]].concat(),
        );
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(
            (&json["trained_on"], &json["held_out"]),
            (&880.into(), &220.into())
        );
        accuracies.push(json["accuracy"].as_f64().unwrap());
        assert!(json["auc"].as_f64().unwrap() > 0.97, "{json}");
        assert!(stderr(&done).contains("epoch 1: loss"), "{}", stderr(&done));
    }
    assert!(accuracies[0] > 0.92 && accuracies.iter().all(|a| *a == accuracies[0]));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(
        read("a.safetensors") == read("b.safetensors"),
        "a seed gives the same bytes"
    );
    let module = TorchFile::open(&folder.path().join("d.pth")).unwrap();
    assert_eq!(module.value().kind(), "__main__.MLPClassifier");

    // Every form classifies alike, and remembers what it is for.
    for (number, classifier) in ["a.safetensors", "c.pt", "d.pth"].into_iter().enumerate() {
        let results = format!("r{number}");
        let classify = [
            "viral",
            "classify",
            "--features",
            "virus.pt",
            "--classifier",
            classifier,
        ];
        let done = run(
            folder.path(),
            &[&classify[..], &["--output", &results]].concat(),
        );
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        let found = text(&folder.path().join(&results).join("prediction_results.txt"));
        assert_eq!(
            found,
            text(&folder.path().join("r0/prediction_results.txt"))
        );
        let viruses = found
            .lines()
            .filter(|line| line.contains("\tvirus\t"))
            .count();
        assert!(viruses > 540, "{viruses} of 600");
        for wrong in [
            ["--chunk", "500"],
            ["--nucleotide-size", "12"],
            ["--protein-size", "7"],
        ] {
            let done = run(
                folder.path(),
                &[&classify[..], &["--output", "no"], &wrong].concat(),
            );
            assert_eq!(done.status.code(), Some(4), "{wrong:?}");
            assert!(!folder.path().join("no").exists());
        }
    }
}

#[test]
fn bad_training_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    features(folder.path(), "virus", 60, true, Some(true));
    features(folder.path(), "few", 3, false, None);
    let merged = virnucpro("e2e300/output_1_merged.pt");
    let merged = merged.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--virus", "virus.pt"], 4, "training needs both classes"),
        (
            &["--others", "virus.pt"],
            4,
            "the file says that its frames are viruses",
        ),
        (&["--virus", "few.pt"], 4, "too few"),
        (
            &["--virus", "virus.pt", "--others", merged],
            4,
            "120 numbers, those before have 24",
        ),
        (&["--features", "few.pt"], 4, "--virus or --others"),
        (
            &["--virus", "virus.pt", "--protein-size", "4"],
            4,
            "together",
        ),
        (
            &["--virus", "virus.pt", "--dropout", "1.5"],
            4,
            "between 0 and 1",
        ),
    ];
    for (inputs, code, words) in cases {
        let done = run(
            folder.path(),
            &[&TRAIN[..], inputs, &["--output", "m.pt"]].concat(),
        );
        assert_says(&done, code, words);
        assert!(!folder.path().join("m.pt").exists());
    }
    let done = run(
        folder.path(),
        &[&TRAIN[..], &["--virus", "virus.pt", "--output", "m.txt"]].concat(),
    );
    assert_eq!(done.status.code(), Some(2), "{}", stderr(&done));
    let done = run(
        folder.path(),
        &[
            "viral", "train", "--virus", "virus.pt", "--others", "few.pt", "--output", "m.pt",
        ],
    );
    assert_eq!(done.status.code(), Some(4));
    assert!(
        stderr(&done).contains("say it with --chunk"),
        "{}",
        stderr(&done)
    );
}

#[test]
fn generated_settings_are_read_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.fa"), ">a\nACGTACGTAC\n").unwrap();
    for name in ["viral.toml", "viral.yaml"] {
        let done = run(
            folder.path(),
            &["viral", "generate-config", "--output", name],
        );
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        let settings = text(&folder.path().join(name));
        for word in ["patience", "rate-factor", "save-merged", "# classifier"] {
            assert!(settings.contains(word), "{word}: {settings}");
        }
        let chunk = |config: &str| {
            let done = run(
                folder.path(),
                &["--config", config, "viral", "chunk", "in.fa"],
            );
            assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
            String::from_utf8(done.stdout).unwrap()
        };
        assert_eq!(chunk(name), ">a_chunk_1\nACGTACGTAC\n");
        let sign = if name.ends_with("toml") { " = " } else { ": " };
        let changed = settings.replace(&format!("chunk{sign}500"), &format!("chunk{sign}5"));
        assert_ne!(changed, settings);
        let other = format!("other.{}", name.rsplit('.').next().unwrap());
        fs::write(folder.path().join(&other), changed).unwrap();
        assert_eq!(chunk(&other), ">a_chunk_1\nACGTA\n>a_chunk_2\nCGTAC\n");
    }
    fs::write(
        folder.path().join("odd.yaml"),
        "viral:\n  chunk:\n    chunck: 3\n",
    )
    .unwrap();
    let done = run(
        folder.path(),
        &["--config", "odd.yaml", "viral", "chunk", "in.fa"],
    );
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr(&done).contains("chunck"), "{}", stderr(&done));
}
