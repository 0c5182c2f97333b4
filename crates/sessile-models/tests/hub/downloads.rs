//! Files on their way: whole, cut short, damaged.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use sessile_models::ModelErrorKind;
use sessile_models::checkpoint::Checkpoint;
use sessile_models::hub::{self, Progress};

use super::server::{COMMIT, Model, Reply, Request};
use super::{WEIGHTS, hub_with, resolve};

#[test]
fn the_needed_files_are_fetched_once() {
    let model = Model::whole();
    let (server, cache, options) = hub_with({
        let model = model.clone();
        move |request| model.reply(request)
    });
    let mut last = None;
    let mut verified = Vec::new();
    let path = hub::resolve(
        "facebook/esm2_t6_8M_UR50D",
        &options,
        &mut |news| match news {
            Progress::Advanced { file, done, total } if file == WEIGHTS => {
                last = Some((done, total))
            }
            Progress::Verified { file } => verified.push(file.to_owned()),
            _ => {}
        },
    )
    .unwrap();
    let size = model.files[WEIGHTS].len() as u64;
    assert_eq!(last, Some((size, Some(size))));
    assert_eq!(verified, ["config.json", "vocab.txt", WEIGHTS]);
    let repository = cache.path().join("hub/models--facebook--esm2_t6_8M_UR50D");
    assert_eq!(path, repository.join("snapshots").join(COMMIT));
    assert_eq!(
        fs::read_to_string(repository.join("refs/main")).unwrap(),
        COMMIT
    );
    let blob = repository
        .join("blobs")
        .join(Model::sha256(&model.files[WEIGHTS]));
    assert_eq!(fs::read(blob).unwrap(), model.files[WEIGHTS]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
    assert!(
        Checkpoint::open(&path)
            .unwrap()
            .tensor("lm_head.bias")
            .is_some()
    );

    let fetched = server.count("GET", "/resolve/");
    assert_eq!(resolve("esm2_t6_8M", &options).unwrap(), path);
    assert_eq!(server.count("GET", "/resolve/"), fetched);
    // A commit in the cache needs no question at all.
    let asked = server.requests().len();
    assert_eq!(
        resolve(&format!("esm2_t6_8M@{COMMIT}"), &options).unwrap(),
        path
    );
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn shards_follow_their_index() {
    let model = Model::sharded();
    let (_server, _cache, options) = hub_with(move |request| model.reply(request));
    let path = resolve("org/sharded", &options).unwrap();
    assert!(
        Checkpoint::open(&path)
            .unwrap()
            .tensor("lm_head.bias")
            .is_some()
    );
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let model = Model::whole();
    let size = model.files[WEIGHTS].len();
    let (server, _cache, options) = hub_with(move |request| {
        let reply = model.reply(request);
        if request.path.ends_with(WEIGHTS) {
            reply.cut_after(size / 5)
        } else {
            reply
        }
    });
    let path = resolve("org/name", &options).unwrap();
    assert!(Checkpoint::open(&path).is_ok());
    let positions: Vec<usize> = server
        .requests()
        .iter()
        .filter(|request| request.method == "GET" && request.path.ends_with(WEIGHTS))
        .map(Request::from)
        .collect();
    assert_eq!(positions[0], 0);
    assert!(
        positions.len() >= 5 && positions.is_sorted(),
        "{positions:?}"
    );
}

#[test]
fn another_run_goes_on_where_the_last_one_was_cut() {
    let model = Model::whole();
    let broken = std::sync::Arc::new(AtomicUsize::new(1));
    let (server, _cache, mut options) = hub_with({
        let (model, broken) = (model.clone(), broken.clone());
        move |request| {
            let reply = model.reply(request);
            if !request.path.ends_with(WEIGHTS) || broken.load(Ordering::SeqCst) == 0 {
                return reply;
            }
            if request.from() == 0 {
                reply.cut_after(1000)
            } else {
                Reply::new(500, "")
            }
        }
    });
    options.retries = 2;
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Network, "{error}");
    broken.store(0, Ordering::SeqCst);
    resolve("org/name", &options).unwrap();
    let last = server
        .requests()
        .into_iter()
        .rfind(|r| r.method == "GET")
        .unwrap();
    assert_eq!(last.from(), 1000);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let model = Model::whole();
    let tries = AtomicUsize::new(0);
    let (_server, _cache, options) = hub_with(move |request| {
        let reply = model.reply(request);
        if request.method == "HEAD" || !request.path.ends_with(WEIGHTS) {
            return reply;
        }
        let whole = Reply::new(200, model.files[WEIGHTS].clone());
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            whole.cut_after(500)
        } else {
            whole
        }
    });
    let path = resolve("org/name", &options).unwrap();
    assert!(Checkpoint::open(&path).is_ok());
}

#[test]
fn a_damaged_part_gets_a_second_chance_and_damaged_bytes_none() {
    let model = Model::whole();
    let sum = Model::sha256(&model.files[WEIGHTS]);
    let (_server, cache, options) = hub_with({
        let model = model.clone();
        move |request| model.reply(request)
    });
    let blobs = cache.path().join("hub/models--org--name/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{sum}.incomplete")), b"something else").unwrap();
    assert!(Checkpoint::open(&resolve("org/name", &options).unwrap()).is_ok());

    let (_server, cache, options) = hub_with(move |request| {
        let mut reply = model.reply(request);
        if request.method == "GET" && request.path.ends_with(WEIGHTS) {
            reply.body[77] ^= 1;
        }
        reply
    });
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Malformed);
    assert!(
        error.to_string().contains("checksum of model.safetensors"),
        "{error}"
    );
    let blobs = cache.path().join("hub/models--org--name/blobs");
    let left = fs::read_dir(blobs).unwrap().flatten();
    assert!(
        left.map(|e| e.file_name().into_string().unwrap())
            .all(|name| !name.contains(&sum))
    );
}

#[test]
fn a_wrong_size_is_an_error() {
    for (more, kind) in [
        (-10, ModelErrorKind::Malformed),
        (10, ModelErrorKind::Network),
    ] {
        let model = Model::whole();
        let (_server, _cache, mut options) = hub_with(move |request| {
            let mut reply = model.reply(request);
            if request.path.ends_with(WEIGHTS) {
                reply.headers.retain(|(name, _)| name != "X-Linked-Size");
                let size = model.files[WEIGHTS].len() as i64 + more;
                reply = reply.with("X-Linked-Size", size);
            }
            reply
        });
        options.retries = 2;
        let error = resolve("org/name", &options).unwrap_err();
        assert_eq!(error.kind(), kind, "{more}: {error}");
        assert!(error.to_string().contains(WEIGHTS), "{error}");
    }
}
