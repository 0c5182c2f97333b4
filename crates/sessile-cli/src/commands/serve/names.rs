//! Names of the models in requests and answers: those of the hub, otherwise no more than the last
//! part of a path, for where a model lies is nobody's business outside.

use std::path::Path;

use crate::exit::Failure;

/// The name of each model.
pub(super) fn served(models: &[String], given: &[String]) -> Result<Vec<String>, Failure> {
    if !given.is_empty() && given.len() != models.len() {
        return Err(Failure::usage(format!(
            "--served-name has {} names for {} models",
            given.len(),
            models.len()
        )));
    }
    let names: Vec<String> = match given {
        [] => models.iter().map(|model| usual(model)).collect(),
        given => given.iter().map(|name| name.trim().to_owned()).collect(),
    };
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(Failure::usage("--served-name has an empty name"));
        }
        if names[..index].contains(name) {
            return Err(Failure::usage(format!("two models have the name `{name}`"))
                .with_hint(Some("give each its own with --served-name")));
        }
    }
    Ok(names)
}

/// What a model is called unless its name is given.
fn usual(model: &str) -> String {
    let path = Path::new(model);
    if !path.exists() {
        return model.to_owned();
    }
    // `.` has no last part, `..` none that says anything.
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    };
    if let Some(name) = in_hub_cache(&whole) {
        return name;
    }
    let last = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    if !whole.is_file() {
        return last(&whole).unwrap_or_else(|| model.to_owned());
    }
    let stem = whole
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    // The usual names of weights say nothing; their folder does.
    let says_nothing = matches!(stem.as_deref(), Some("model" | "pytorch_model"));
    let folder = whole.parent().filter(|_| says_nothing).and_then(last);
    folder.or(stem).unwrap_or_else(|| model.to_owned())
}

/// `…/models--org--name/snapshots/commit` is `org/name`.
fn in_hub_cache(path: &Path) -> Option<String> {
    let mut parts = path
        .components()
        .rev()
        .map(|part| part.as_os_str().to_str());
    let (_commit, snapshots, repository) = (parts.next()??, parts.next()??, parts.next()??);
    let name = repository.strip_prefix("models--")?;
    (snapshots == "snapshots").then(|| name.replacen("--", "/", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_is_part_of_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let snapshot = "models--facebook--esm2/snapshots/0a1b";
        for name in ["esm2_tiny", snapshot] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        for name in ["own.pt", "esm2_tiny/model.safetensors"] {
            std::fs::write(path(name), "").unwrap();
        }
        for (model, expected) in [
            (path("esm2_tiny"), "esm2_tiny"),
            (path("esm2_tiny/"), "esm2_tiny"),
            (path("esm2_tiny/model.safetensors"), "esm2_tiny"),
            (path("own.pt"), "own"),
            (path(snapshot), "facebook/esm2"),
            ("facebook/esm2_t6".to_owned(), "facebook/esm2_t6"),
            ("demo".to_owned(), "demo"),
        ] {
            assert_eq!(usual(&model), expected, "{model}");
        }
    }

    #[test]
    fn each_model_has_a_name_of_its_own() {
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let models = list(&["demo", "no/such"]);
        assert_eq!(served(&models, &list(&["a", " b"])).unwrap(), ["a", "b"]);
        assert_eq!(served(&models, &[]).unwrap(), models);
        for wrong in [&["a"][..], &["a", "a"], &["a", ""]] {
            assert!(served(&models, &list(wrong)).is_err(), "{wrong:?}");
        }
    }
}
