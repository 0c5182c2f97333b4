//! Where cuBLASLt may lie.

use std::fs;
use std::path::{Path, PathBuf};

/// Files and names to try, the best first.
pub(super) fn candidates(driver_version: i32) -> Vec<PathBuf> {
    let mut names = Vec::new();
    // A library of CUDA 13 does not work over a driver of CUDA 12.
    if driver_version >= 13_000 {
        names.push("libcublasLt.so.13");
    }
    names.push("libcublasLt.so.12");
    // By its name alone the system's loader looks: LD_LIBRARY_PATH and the usual folders.
    let mut found: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    for folder in folders() {
        for name in &names {
            let path = folder.join(name);
            if path.exists() {
                found.push(path);
            }
        }
    }
    found
}

/// Toolkits, and what `pip` and `conda` install.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    for name in ["CUDA_HOME", "CUDA_PATH"] {
        folders.extend(variable(name).map(|home| home.join("lib64")));
    }
    folders.push(PathBuf::from("/usr/local/cuda/lib64"));
    for toolkit in entries(Path::new("/usr/local"), "cuda-") {
        folders.push(toolkit.join("lib64"));
    }
    let mut environments = Vec::new();
    environments.extend(variable("VIRTUAL_ENV"));
    environments.extend(variable("CONDA_PREFIX"));
    environments.extend(variable("HOME").map(|home| home.join(".local")));
    environments.extend(pythons());
    environments.push(PathBuf::from("/usr/local"));
    environments.push(PathBuf::from("/usr"));
    for environment in environments {
        let lib = environment.join("lib");
        for python in entries(&lib, "python3") {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.join(packages).join("nvidia");
                folders.push(nvidia.join("cu13/lib"));
                folders.push(nvidia.join("cublas/lib"));
            }
        }
        folders.push(lib);
    }
    folders
}

/// The environments of the Pythons that PATH finds: a virtual environment need not be active for its
/// programs to run. Code is loaded from there, so only what is installed as a `bin` counts.
fn pythons() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .filter(|folder| folder.is_absolute() && folder.ends_with("bin"))
        .filter(|folder| folder.join("python3").exists())
        .filter_map(|folder| Some(folder.parent()?.to_owned()))
        .collect()
}

/// The entries of a folder whose name starts so, the newest name first.
fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.reverse();
    found
}
