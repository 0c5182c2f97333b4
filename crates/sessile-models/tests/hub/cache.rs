//! What is there already.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use sessile_models::ModelErrorKind;
use sessile_models::checkpoint::Checkpoint;
use sessile_models::hub::{self, Progress};

use super::server::{COMMIT, Model};
use super::{WEIGHTS, hub_with, resolve};

#[test]
fn two_processes_fetch_a_file_once() {
    let model = Model::whole();
    let (server, _cache, options) = hub_with(move |request| {
        if request.method == "GET" && request.path.ends_with(WEIGHTS) {
            thread::sleep(Duration::from_millis(300));
        }
        model.reply(request)
    });
    // Every open file has a lock of its own, so threads stand for processes.
    let paths: Vec<PathBuf> = thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| resolve("org/name", &options).unwrap()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(paths.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(server.count("GET", WEIGHTS), 1);
    assert!(Checkpoint::open(&paths[0]).is_ok());
}

#[test]
fn offline_uses_the_cache_alone() {
    let model = Model::whole();
    let (server, _cache, mut options) = hub_with(move |request| model.reply(request));
    options.offline = true;
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::NotFound);
    assert!(
        error.hint().unwrap().contains("HF_HUB_OFFLINE"),
        "{:?}",
        error.hint()
    );
    assert!(server.requests().is_empty());

    options.offline = false;
    let path = resolve("org/name", &options).unwrap();
    let asked = server.requests().len();
    options.offline = true;
    assert_eq!(resolve("org/name", &options).unwrap(), path);
    assert_eq!(server.requests().len(), asked);
    // A revision that was never asked for, and a snapshot whose weights are gone.
    assert!(resolve("org/name@other", &options).is_err());
    fs::remove_file(path.join(WEIGHTS)).unwrap();
    assert!(resolve("org/name", &options).is_err());
}

#[test]
fn the_cache_stands_in_for_a_hub_that_is_gone() {
    let model = Model::whole();
    let (_server, _cache, mut options) = hub_with(move |request| model.reply(request));
    let path = resolve("org/name", &options).unwrap();
    // Nothing listens on the discard port.
    options.endpoint = "http://127.0.0.1:9".to_owned();
    options.retries = 1;
    let mut told = false;
    let again = hub::resolve("org/name", &options, &mut |news| {
        told |= matches!(news, Progress::UsingCache { .. });
    });
    assert_eq!(again.unwrap(), path);
    assert!(told);
    assert_eq!(
        resolve("org/other", &options).unwrap_err().kind(),
        ModelErrorKind::Network
    );
}

#[test]
fn revisions_lie_side_by_side() {
    let (old, mut new) = (Model::whole(), Model::whole());
    new.commit = "f".repeat(40);
    new.files
        .insert("vocab.txt".to_owned(), b"<cls>\n".to_vec());
    let (server, cache, options) = hub_with(move |request| {
        let newer = request.path.contains("refs%2Fpr%2F1") || request.path.contains("ffff");
        if newer {
            new.reply(request)
        } else {
            old.reply(request)
        }
    });
    let first = resolve("org/name", &options).unwrap();
    let second = resolve("org/name@refs/pr/1", &options).unwrap();
    assert_ne!(first, second);
    assert_eq!(
        fs::read_to_string(second.join("vocab.txt")).unwrap(),
        "<cls>\n"
    );
    // The weights are the same, so they are one blob.
    assert_eq!(server.count("GET", WEIGHTS), 1);
    let refs = cache.path().join("hub/models--org--name/refs");
    assert_eq!(
        fs::read_to_string(refs.join("refs/pr/1")).unwrap(),
        "f".repeat(40)
    );
    assert_eq!(fs::read_to_string(refs.join("main")).unwrap(), COMMIT);
}
