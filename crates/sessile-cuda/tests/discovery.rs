//! Finding GPUs over drivers of all kinds: small libraries made here, no GPU needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use sessile_cuda::{Libraries, Survey, Visibility, survey};

/// Compiles `tests/fakes/driver.c` with these macros into a library of its own.
fn library(folder: &Path, name: &str, macros: &[&str]) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fakes/driver.c");
    let path = folder.join(format!("lib{name}.so"));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-o"])
        .arg(&path)
        .arg(source)
        .args(macros.iter().map(|text| format!("-D{text}")))
        .status()
        .expect("a C compiler `cc`");
    assert!(status.success(), "{name}: cc failed");
    path
}

fn look(driver: PathBuf, visibility: &Visibility) -> Survey {
    let libraries = Libraries {
        driver: Some(driver),
        // Nothing of this machine takes part.
        cublaslt: Some(PathBuf::from("/nonexistent/libcublasLt.so.12")),
    };
    survey(&libraries, visibility)
}

#[test]
fn a_driver_that_can_not_be_used_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("libgarbage.so");
    std::fs::write(&garbage, b"\x7fELF and then nothing").unwrap();
    let empty = folder.path().join("libempty.so");
    std::fs::write(&empty, b"").unwrap();
    let make = |name: &str, macros: &[&str]| library(folder.path(), name, macros);
    let cases = [
        (folder.path().join("nowhere.so"), "can not be loaded", false),
        (garbage, "can not be loaded", false),
        (empty, "can not be loaded", false),
        (folder.path().to_owned(), "can not be loaded", false),
        (make("stub", &["INIT=34"]), "stub library", true),
        (make("none", &["INIT=100"]), "no CUDA device", true),
        (make("mismatch", &["INIT=803"]), "do not match", true),
        (make("compat", &["INIT=804"]), "compatibility", true),
        (make("strange", &["INIT=4711"]), "error 4711", false),
        (
            make("old", &["VERSION=11040"]),
            "speaks CUDA 11.4, 12.0 is needed",
            true,
        ),
        (
            make("lacking", &["LACKS_LAUNCH=1"]),
            "no function cuLaunchKernel",
            true,
        ),
        (
            make("foreign", &["LACKS_INIT=1"]),
            "no function cuInit",
            true,
        ),
        (make("zero", &["COUNT=0"]), "shows no GPU", true),
        (make("negative", &["COUNT=-3"]), "shows no GPU", true),
    ];
    for (path, expected, hinted) in cases {
        let found = look(path.clone(), &Visibility::default());
        let absence = found.driver.expect_err(expected);
        let name = path.display();
        assert!(absence.to_string().contains(expected), "{name}: {absence}");
        assert_eq!(absence.hint().is_some(), hinted, "{name}: {absence}");
        assert!(found.gpus.is_empty() && found.cublaslt.is_err());
    }
}

#[test]
fn a_machine_without_a_driver_says_so() {
    // This machine may have one; then there is nothing to see here.
    let found = survey(&Libraries::default(), &Visibility::default());
    if let Err(absence) = found.driver {
        assert!(!absence.to_string().is_empty());
        assert!(found.gpus.is_empty());
    }
}

#[test]
fn every_gpu_is_described_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let driver = library(
        folder.path(),
        "four",
        &["COUNT=4", "MODES=0,2,0,0", "FAILS=0,0,46,0"],
    );
    let found = look(driver, &Visibility::default());
    assert_eq!(found.driver.unwrap().version(), 12_040);
    assert_eq!(found.gpus.len(), 4);
    let reason = |index: usize| {
        found.gpus[index]
            .refusal
            .as_ref()
            .map(|r| r.reason.as_str())
    };
    let first = &found.gpus[0];
    assert_eq!(
        (first.name.as_str(), first.capability),
        ("Fake GPU 0", (9, 0))
    );
    assert_eq!((first.memory_bytes, first.multiprocessors), (16 << 30, 108));
    assert_eq!(reason(0), None);
    assert!(reason(1).unwrap().contains("prohibits"));
    assert!(reason(2).unwrap().contains("error 46"));
    assert!(reason(3).unwrap().contains("7.5"));
    let absence = found.cublaslt.unwrap_err();
    assert!(
        absence
            .hint()
            .unwrap()
            .contains("pip install nvidia-cublas-cu12")
    );
}

#[test]
fn a_job_gets_what_it_was_lent_by_the_order_of_the_bus() {
    let folder = tempfile::tempdir().unwrap();
    let driver = library(
        folder.path(),
        "bus",
        &["COUNT=3", "BUSES=9,1,5", "MAJORS=9,9,9", "MINORS=0,0,0"],
    );
    let job = Visibility {
        slurm_job_gpus: Some("0,2".to_owned()),
        ..Visibility::default()
    };
    let found = look(driver, &job);
    let used: Vec<bool> = found.gpus.iter().map(|gpu| gpu.refusal.is_none()).collect();
    // On the bus: GPU 1, GPU 2, GPU 0. Lent are the first and the last.
    assert_eq!(used, [true, true, false]);
    let reason = &found.gpus[2].refusal.as_ref().unwrap().reason;
    assert!(reason.contains("SLURM_JOB_GPUS=0,2"), "{reason}");
}

#[test]
fn a_variable_that_hides_all_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (list, name) in [("", "hidden"), ("-1", "minus")] {
        let driver = library(folder.path(), name, &["INIT=100"]);
        let hidden = Visibility {
            cuda_visible_devices: Some(list.to_owned()),
            ..Visibility::default()
        };
        let absence = look(driver, &hidden).driver.unwrap_err();
        assert!(
            absence.to_string().contains("CUDA_VISIBLE_DEVICES"),
            "{absence}"
        );
    }
}

#[test]
fn a_cublaslt_that_can_not_be_used_leaves_the_gpu_usable() {
    let folder = tempfile::tempdir().unwrap();
    let driver = library(folder.path(), "one", &[]);
    let source = folder.path().join("old.c");
    std::fs::write(
        &source,
        "unsigned long cublasLtGetVersion(void) { return 110000; }",
    )
    .unwrap();
    let old = folder.path().join("libcublasLt.so.11");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&old, &source])
        .status()
        .unwrap();
    assert!(made.success());
    let libraries = Libraries {
        driver: Some(driver),
        cublaslt: Some(old),
    };
    let found = survey(&libraries, &Visibility::default());
    assert!(found.gpus[0].refusal.is_none());
    let absence = found.cublaslt.unwrap_err().to_string();
    assert!(absence.contains("has no cublasLt"), "{absence}");
}
