//! Compiles `crates/sessile-cuda/kernels/*.cu` for every target and keeps the results beside them.
//!
//! The compiler is NVRTC of a pinned version, from its package for Python in an environment below
//! `target/`; it needs no GPU and no toolkit. Its output is the same from run to run, so what is
//! kept can be compared with what the sources give. A kernel that spills registers fails the build.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler: the oldest whose code every driver of CUDA 12 runs by minor version
/// compatibility, and that knows all targets below.
const NVRTC: &str = "nvidia-cuda-nvrtc-cu12==12.4.127";

const TARGETS: [&str; 5] = ["sm_80", "sm_86", "sm_89", "sm_90a", "compute_80"];

/// Kernels kept in the repository, in all.
const MAX_KEPT_BYTES: usize = 2 << 20;

type Images = BTreeMap<String, Vec<u8>>;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn folder() -> PathBuf {
    root().join("crates/sessile-cuda/kernels")
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Names of the sources without `.cu`, sorted.
fn sources() -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder()).map_err(|error| error.to_string())?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".cu").map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

/// What a source is known by: its own text and that of the prelude.
fn source_hash(name: &str) -> Result<String, String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&read(&folder().join("prelude.cuh"))?);
    hasher.update(&read(&folder().join(format!("{name}.cu")))?);
    Ok(hasher.finalize().to_hex().to_string())
}

/// Compiles every source for every target.
fn compile() -> Result<Images, String> {
    let environment = root().join("target/venv-nvrtc");
    let python = environment.join("bin/python");
    let marker = environment.join(NVRTC);
    if !marker.exists() {
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment))?;
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            NVRTC,
        ];
        run(Command::new(&python).args(install))?;
        write(&marker, b"")?;
    }
    let out = root().join("target/kernels");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).map_err(|error| error.to_string())?;
    let script = root().join("xtask/nvrtc.py");
    let names = sources()?;
    run(Command::new(&python)
        .arg(script)
        .arg(&environment)
        .arg(folder())
        .arg(&out)
        .arg(TARGETS.join(","))
        .args(&names))?;
    let mut images = Images::new();
    for name in &names {
        for target in TARGETS {
            let file = format!("{name}.{target}");
            images.insert(file.clone(), read(&out.join(&file))?);
        }
    }
    Ok(images)
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|error| format!("{command:?}: {error}"))?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("{command:?} failed"))
}

/// One line for each source and image, with its hash.
fn manifest(images: &Images) -> Result<String, String> {
    let mut text = format!("compiler {NVRTC}\n");
    for name in sources()? {
        text += &format!("source {name} {}\n", source_hash(&name)?);
    }
    for (name, image) in images {
        text += &format!("image {name} {}\n", blake3::hash(image).to_hex());
    }
    Ok(text)
}

/// Compiles and keeps the results.
pub(crate) fn build() -> Result<(), String> {
    let images = compile()?;
    let built = folder().join("built");
    let _ = fs::remove_dir_all(&built);
    fs::create_dir_all(&built).map_err(|error| error.to_string())?;
    let mut kept = 0;
    for (name, image) in &images {
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(image, 10);
        kept += packed.len();
        write(&built.join(format!("{name}.z")), &packed)?;
    }
    write(&built.join("manifest.txt"), manifest(&images)?.as_bytes())?;
    println!("{} images, {} KiB", images.len(), kept >> 10);
    if kept > MAX_KEPT_BYTES {
        return Err(format!(
            "{kept} bytes are more than the {MAX_KEPT_BYTES} that may be kept"
        ));
    }
    Ok(())
}

/// Compiles and compares with what is kept.
pub(crate) fn check() -> Result<(), String> {
    let images = compile()?;
    let built = folder().join("built");
    let mut different = Vec::new();
    for (name, image) in &images {
        let packed = read(&built.join(format!("{name}.z")))?;
        let kept = miniz_oxide::inflate::decompress_to_vec_zlib(&packed);
        if !kept.is_ok_and(|kept| kept == *image) {
            different.push(name.as_str());
        }
    }
    let kept = String::from_utf8_lossy(&read(&built.join("manifest.txt"))?).into_owned();
    if kept != manifest(&images)? {
        different.push("manifest.txt");
    }
    if different.is_empty() {
        println!("{} images are what their sources give", images.len());
        return Ok(());
    }
    Err(format!(
        "{} differ from what their sources give; `cargo xtask kernels` makes them anew",
        different.join(", ")
    ))
}
