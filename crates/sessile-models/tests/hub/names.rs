//! Which repository and which files a name stands for.

use std::fs;
use std::path::Path;

use sessile_models::ModelErrorKind;
use sessile_models::family::published;
use sessile_models::hub::HubOptions;

use super::server::{COMMIT, Model, Reply};
use super::{hub_with, resolve};

#[test]
fn every_short_name_stands_for_its_repository() {
    let model = Model::whole();
    let (server, _cache, options) = hub_with(move |request| model.reply(request));
    for published in published() {
        let (_, last) = published.name.split_once('/').unwrap();
        for spec in published.short.into_iter().chain([last]) {
            resolve(spec, &options).unwrap();
            let wanted = format!("/api/models/{}/revision/main", published.name);
            assert!(server.count("GET", &wanted) >= 1, "{spec}");
        }
    }
}

#[test]
fn a_path_that_is_there_comes_first() {
    let (server, cache, options) = hub_with(|_| Reply::new(500, ""));
    let here = cache.path().to_str().unwrap();
    assert_eq!(resolve(here, &options).unwrap(), cache.path());
    assert!(server.requests().is_empty());
}

#[test]
fn names_do_not_leave_the_cache() {
    let (server, _cache, options) = hub_with(|_| Reply::new(500, ""));
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
    let (server, cache, options) = hub_with(move |request| model.reply(request));
    resolve("org/name", &options).unwrap();
    assert_eq!(server.count("GET", "evil"), 0);
    assert!(!cache.path().join("evil.json").exists());

    for (tag, commit) in [("\"../../../evil\"", COMMIT), ("\"x\"", "../../../../evil")] {
        let mut model = Model::whole();
        model.commit = commit.to_owned();
        let (_server, cache, options) = hub_with(move |request| {
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
    let (_server, _cache, options) = hub_with(move |request| model.reply(request));
    let error = resolve("org/name", &options).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Malformed, "{error}");
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
