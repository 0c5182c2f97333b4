//! Models are found and fetched, whatever the hub does meanwhile. The hub is played on 127.0.0.1.

#[path = "hub/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sessile_models::checkpoint::Checkpoint;
use sessile_models::hub::{self, HubOptions, Progress, SHORT_NAMES};
use sessile_models::{ModelError, ModelErrorKind};

use server::{COMMIT, Model, Reply, Request, Server};

const WEIGHTS: &str = "model.safetensors";

fn options(server: &Server, cache: &Path) -> HubOptions {
    let mut options = HubOptions::from_variables(|name| match name {
        "HF_ENDPOINT" => Some(format!("{}/", server.url)),
        "HF_HOME" => cache.to_str().map(str::to_owned),
        _ => None,
    });
    options.backoff = Duration::from_millis(1);
    options.timeout = Duration::from_secs(10);
    options
}

fn resolve(spec: &str, options: &HubOptions) -> Result<PathBuf, ModelError> {
    hub::resolve(spec, options, &mut |_| {})
}

/// A server for this model, a fresh cache and the options for both.
fn hub(
    handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Server, tempfile::TempDir, HubOptions) {
    let server = Server::start(handler);
    let cache = tempfile::tempdir().unwrap();
    let options = options(&server, cache.path());
    (server, cache, options)
}

#[test]
fn the_needed_files_are_fetched_once() {
    let model = Model::whole();
    let (server, cache, options) = hub({
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
    let (_server, _cache, options) = hub(move |request| model.reply(request));
    let path = resolve("org/sharded", &options).unwrap();
    assert!(
        Checkpoint::open(&path)
            .unwrap()
            .tensor("lm_head.bias")
            .is_some()
    );
}

#[test]
fn every_short_name_stands_for_its_repository() {
    let model = Model::whole();
    let (server, _cache, options) = hub(move |request| model.reply(request));
    for name in SHORT_NAMES {
        for spec in [name.to_owned(), format!("{name}_UR50D")] {
            resolve(&spec, &options).unwrap();
            let wanted = format!("/api/models/facebook/{name}_UR50D/revision/main");
            assert!(server.count("GET", &wanted) >= 1, "{spec}");
        }
    }
}

#[test]
fn a_path_that_is_there_comes_first() {
    let (server, cache, options) = hub(|_| Reply::new(500, ""));
    let here = cache.path().to_str().unwrap();
    assert_eq!(resolve(here, &options).unwrap(), cache.path());
    assert!(server.requests().is_empty());
}

#[test]
fn names_do_not_leave_the_cache() {
    let (server, _cache, options) = hub(|_| Reply::new(500, ""));
    for spec in [
        "../../etc",
        "org/..",
        "org/../x",
        "org/name/../..",
        "/no/such/file",
        "org\\name",
        "org/na me",
        "org/-name",
        ".org/name",
        "org/name@../../x",
        "org/name@",
        "org/name@a//b",
        "org/name@/x",
        "org/a--b",
        "no-such-model",
        "",
    ] {
        let error = resolve(spec, &options).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::NotFound, "{spec}");
        assert!(error.hint().is_some(), "{spec}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn files_of_the_server_do_not_leave_the_cache() {
    let mut model = Model::whole();
    for name in [
        "../../evil.json",
        "/etc/evil",
        "sub/config.json",
        "a\\b.safetensors",
    ] {
        model.files.insert(name.to_owned(), b"evil".to_vec());
    }
    let (server, cache, options) = hub(move |request| model.reply(request));
    resolve("org/name", &options).unwrap();
    assert_eq!(server.count("GET", "evil"), 0);
    assert!(!cache.path().join("evil.json").exists());

    for (tag, commit) in [("\"../../../evil\"", COMMIT), ("\"x\"", "../../../../evil")] {
        let mut model = Model::whole();
        model.commit = commit.to_owned();
        let (_server, cache, options) = hub(move |request| {
            let mut reply = model.reply(request);
            reply.headers.retain(|(name, _)| name != "ETag");
            reply.with("ETag", tag)
        });
        let error = resolve("org/name", &options).unwrap_err();
        assert_eq!(
            error.kind(),
            ModelErrorKind::Network,
            "{tag} {commit}: {error}"
        );
        assert!(!cache.path().join("evil").exists());
    }
}

#[test]
fn an_index_does_not_leave_the_cache() {
    let mut model = Model::sharded();
    model.files.insert(
        "model.safetensors.index.json".to_owned(),
        br#"{"weight_map":{"w":"../../../evil.safetensors"}}"#.to_vec(),
    );
    let (_server, _cache, options) = hub(move |request| model.reply(request));
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Malformed, "{error}");
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let model = Model::whole();
    let size = model.files[WEIGHTS].len();
    let (server, _cache, options) = hub(move |request| {
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
    let (server, _cache, mut options) = hub({
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
    let (_server, _cache, options) = hub(move |request| {
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
    let (_server, cache, options) = hub({
        let model = model.clone();
        move |request| model.reply(request)
    });
    let blobs = cache.path().join("hub/models--org--name/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{sum}.incomplete")), b"something else").unwrap();
    assert!(Checkpoint::open(&resolve("org/name", &options).unwrap()).is_ok());

    let (_server, cache, options) = hub(move |request| {
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
        let (_server, _cache, mut options) = hub(move |request| {
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

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let model = Model::whole();
    let store = Server::start({
        let model = model.clone();
        move |request| match model.file(request) {
            Some(bytes) => Reply::range(request, bytes),
            None => Reply::new(404, ""),
        }
    });
    let elsewhere = store.url.clone();
    let (server, _cache, mut options) = hub(move |request| {
        let reply = model.reply(request);
        if !request.path.ends_with(WEIGHTS) {
            return reply;
        }
        let bytes = &model.files[WEIGHTS];
        Reply::new(302, "")
            .with("Location", format!("{elsewhere}/signed/{WEIGHTS}?for=you"))
            .with("X-Linked-ETag", format!("\"{}\"", Model::sha256(bytes)))
            .with("X-Linked-Size", bytes.len())
    });
    // The query is no part of the name that the store looks for.
    options.token = Some("hf_secret".to_owned());
    let _ = resolve("org/name", &options);
    assert!(!server.requests().is_empty() && !store.requests().is_empty());
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("authorization") == Some("Bearer hf_secret"))
    );
    assert!(
        store
            .requests()
            .iter()
            .all(|r| r.header("authorization").is_none())
    );
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn redirects_are_followed_within_limits() {
    let model = Model::whole();
    let store = Server::start({
        let model = model.clone();
        move |request| Reply::range(request, model.file(request).unwrap()).cut_after(50_000)
    });
    let elsewhere = store.url.clone();
    let (_server, _cache, options) = hub({
        let model = model.clone();
        move |request| {
            if request.path.starts_with("/org/") {
                // A renamed repository.
                let path = request.path.replacen("/org/", "/new/", 1);
                return Reply::new(307, "").with("Location", path);
            }
            let reply = model.reply(request);
            if !request.path.ends_with(WEIGHTS) {
                return reply;
            }
            let mut redirect = Reply::new(302, "");
            redirect.headers = reply.headers;
            redirect.with("Location", format!("{elsewhere}/signed/{WEIGHTS}"))
        }
    });
    let path = resolve("org/name", &options).unwrap();
    assert!(Checkpoint::open(&path).is_ok());
    assert!(store.requests().len() >= 3);

    let (server, _cache, options) =
        hub(|request| Reply::new(302, "").with("Location", request.path.clone()));
    let error = resolve("org/name", &options).unwrap_err();
    assert!(error.to_string().contains("redirects more than"), "{error}");
    assert!(server.requests().len() < 20);
}

#[test]
fn refusals_say_what_to_do() {
    for (status, code, kind, hint) in [
        (401, "RepoNotFound", ModelErrorKind::Network, "HF_TOKEN"),
        (403, "GatedRepo", ModelErrorKind::Network, "ask for access"),
        (
            404,
            "RevisionNotFound",
            ModelErrorKind::NotFound,
            "branches and tags",
        ),
        (
            404,
            "RepoNotFound",
            ModelErrorKind::NotFound,
            "check the name",
        ),
        (400, "", ModelErrorKind::Network, ""),
    ] {
        let (server, _cache, options) =
            hub(move |_| Reply::new(status, "").with("X-Error-Code", code));
        let error = resolve("org/name@v9", &options).unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {code}");
        assert!(
            error.hint().unwrap_or_default().contains(hint),
            "{status}: {:?}",
            error.hint()
        );
        assert_eq!(server.requests().len(), 1, "{status} is final");
    }
    let (_server, _cache, mut options) = hub(|_| Reply::new(401, ""));
    options.token = Some("old".to_owned());
    let error = resolve("org/name", &options).unwrap_err();
    assert!(
        error.to_string().contains("token was not accepted"),
        "{error}"
    );
}

#[test]
fn a_busy_hub_is_waited_for_within_reason() {
    let model = Model::whole();
    let tries = AtomicUsize::new(0);
    let (_server, _cache, options) =
        hub(move |request| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::new(429, "").with("Retry-After", 0),
            1 => Reply::new(503, ""),
            _ => model.reply(request),
        });
    let mut waits = Vec::new();
    hub::resolve("org/name", &options, &mut |news| {
        if let Progress::Retrying { reason, after } = news {
            waits.push((reason.to_owned(), after));
        }
    })
    .unwrap();
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert_eq!(
        waits[0],
        ("the hub is busy (429)".to_owned(), Duration::ZERO)
    );

    let (server, _cache, options) = hub(|_| Reply::new(429, "").with("Retry-After", 86_400));
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Network);
    assert_eq!(error.hint(), Some("try again in 86400 s"));
    assert_eq!(server.requests().len(), 1);

    let (server, _cache, options) = hub(|_| Reply::new(500, ""));
    assert!(resolve("org/name", &options).is_err());
    assert_eq!(server.requests().len() as u32, options.retries + 1);
}

#[test]
fn a_silent_hub_times_out() {
    let (_server, _cache, mut options) = hub(|_| {
        thread::sleep(Duration::from_secs(5));
        Reply::new(200, "")
    });
    options.timeout = Duration::from_millis(100);
    options.retries = 1;
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Network);
    assert!(error.to_string().contains("no answer in time"), "{error}");
}

#[test]
fn something_else_than_a_hub_is_told_apart() {
    for body in ["<html>log in</html>", "[]", r#"{"sha":"main"}"#, "{}"] {
        let (_server, _cache, options) = hub(move |_| Reply::new(200, body));
        let error = resolve("org/name", &options).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Network, "{body}");
        assert!(
            error.to_string().contains("did not answer as a hub"),
            "{error}"
        );
    }
    for address in ["ftp://x", "no address", "http://"] {
        let (_server, _cache, mut options) = hub(|_| Reply::new(200, ""));
        options.endpoint = address.to_owned();
        let error = resolve("org/name", &options).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Network, "{address}");
    }
}

#[test]
fn a_repository_without_weights_is_named() {
    let mut model = Model::whole();
    model.files.retain(|name, _| name != WEIGHTS);
    let (_server, _cache, options) = hub(move |request| model.reply(request));
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Unsupported);
    assert!(
        error.hint().unwrap().contains("tf_model.h5"),
        "{:?}",
        error.hint()
    );
}

#[test]
fn two_processes_fetch_a_file_once() {
    let model = Model::whole();
    let (server, _cache, options) = hub(move |request| {
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
    let (server, _cache, mut options) = hub(move |request| model.reply(request));
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
    let (_server, _cache, mut options) = hub(move |request| model.reply(request));
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
    let (server, cache, options) = hub(move |request| {
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

#[test]
fn the_environment_is_read_as_the_python_libraries_read_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "hf_from_file\n").unwrap();
    let home = folder.path().to_str().unwrap().to_owned();
    let read = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> = pairs
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        HubOptions::from_variables(move |name| {
            pairs
                .iter()
                .find(|(have, _)| have == name)
                .map(|(_, value)| value.clone())
        })
    };
    let plain = read(&[("HOME", "/home/me")]);
    assert_eq!(plain.cache, Path::new("/home/me/.cache/huggingface/hub"));
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert!(plain.token.is_none() && !plain.offline);
    let xdg = read(&[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/scratch")]);
    assert_eq!(xdg.cache, Path::new("/scratch/huggingface/hub"));
    let own = read(&[("HF_HOME", &home), ("HF_HUB_OFFLINE", "TRUE")]);
    assert_eq!(own.cache, folder.path().join("hub"));
    assert_eq!(own.token.as_deref(), Some("hf_from_file"));
    assert!(own.offline);
    let named = read(&[
        ("HF_HOME", &home),
        ("HF_TOKEN", " hf_x "),
        ("HF_HUB_CACHE", "/c"),
    ]);
    assert_eq!(
        (named.token.as_deref(), named.cache.as_path()),
        (Some("hf_x"), Path::new("/c"))
    );
    assert!(read(&[("HF_TOKEN", "two\nlines")]).token.is_none());
    assert_eq!(
        read(&[("HF_ENDPOINT", "https://mirror/x/")]).endpoint,
        "https://mirror/x"
    );
}
