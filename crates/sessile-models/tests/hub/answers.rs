//! What else a hub may answer, and who is told the token.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sessile_models::ModelErrorKind;
use sessile_models::checkpoint::Checkpoint;
use sessile_models::hub::{self, Progress};

use super::server::{Model, Reply, Server};
use super::{WEIGHTS, hub_with, resolve};

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
    let (server, _cache, mut options) = hub_with(move |request| {
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
    let (_server, _cache, options) = hub_with({
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
        hub_with(|request| Reply::new(302, "").with("Location", request.path.clone()));
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
            hub_with(move |_| Reply::new(status, "").with("X-Error-Code", code));
        let error = resolve("org/name@v9", &options).unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {code}");
        assert!(
            error.hint().unwrap_or_default().contains(hint),
            "{status}: {:?}",
            error.hint()
        );
        assert_eq!(server.requests().len(), 1, "{status} is final");
    }
    let (_server, _cache, mut options) = hub_with(|_| Reply::new(401, ""));
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
        hub_with(move |request| match tries.fetch_add(1, Ordering::SeqCst) {
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

    let (server, _cache, options) = hub_with(|_| Reply::new(429, "").with("Retry-After", 86_400));
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Network);
    assert_eq!(error.hint(), Some("try again in 86400 s"));
    assert_eq!(server.requests().len(), 1);

    let (server, _cache, options) = hub_with(|_| Reply::new(500, ""));
    assert!(resolve("org/name", &options).is_err());
    assert_eq!(server.requests().len() as u32, options.retries + 1);
}

#[test]
fn a_silent_hub_times_out() {
    let (_server, _cache, mut options) = hub_with(|_| {
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
        let (_server, _cache, options) = hub_with(move |_| Reply::new(200, body));
        let error = resolve("org/name", &options).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Network, "{body}");
        assert!(
            error.to_string().contains("did not answer as a hub"),
            "{error}"
        );
    }
    for address in ["ftp://x", "no address", "http://"] {
        let (_server, _cache, mut options) = hub_with(|_| Reply::new(200, ""));
        options.endpoint = address.to_owned();
        let error = resolve("org/name", &options).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Network, "{address}");
    }
}

#[test]
fn a_repository_without_weights_is_named() {
    let mut model = Model::whole();
    model.files.retain(|name, _| name != WEIGHTS);
    let (_server, _cache, options) = hub_with(move |request| model.reply(request));
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Unsupported);
    assert!(
        error.hint().unwrap().contains("tf_model.h5"),
        "{:?}",
        error.hint()
    );
}
