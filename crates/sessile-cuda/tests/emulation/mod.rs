//! A GPU made of C++: builds the driver of `driver.cpp` with the kernels' sources, and opens it.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};

use libloading::Library;
use sessile_cuda::{CublasLt, CudaDevice, Driver, Libraries, Visibility, survey};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A source that is compiled with something replaced.
pub struct Change<'a> {
    pub file: &'a str,
    pub from: &'a str,
    pub to: &'a str,
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A name that no other process and no other call has.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Every kernel's source and the driver.
fn sources() -> Vec<PathBuf> {
    let mut sources: Vec<PathBuf> = fs::read_dir(format!("{ROOT}/kernels"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cu"))
        .collect();
    sources.sort();
    sources.push(PathBuf::from(format!("{ROOT}/tests/emulation/driver.cpp")));
    sources
}

/// Compiles one source. What was compiled before from the same text is there already.
fn compile(source: &Path, text: &[u8]) -> (PathBuf, Option<(Child, PathBuf)>) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(text);
    for header in ["kernels/prelude.cuh", "tests/emulation/emulator.h"] {
        hasher.update(&read(&Path::new(ROOT).join(header)));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = source.file_stem().unwrap().to_string_lossy();
    let object = folder.join(format!("{name}-{}.o", &hasher.finalize().to_hex()[..16]));
    if object.exists() {
        return (object, None);
    }
    let unique = format!(
        "{name}-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let input = folder.join(format!("{unique}.cpp"));
    let output = folder.join(format!("{unique}.o"));
    fs::write(&input, text).unwrap();
    let mut command = Command::new("c++");
    command.args(["-std=c++17", "-O2", "-fPIC", "-fno-gnu-unique", "-w", "-c"]);
    // A GPU reads and writes whole words only where they are aligned; `emulator.h` has the handler.
    command.args(["-fsanitize=alignment", "-fno-sanitize-recover=alignment"]);
    if cfg!(target_arch = "x86_64") {
        // Fused multiply-adds are one instruction, where the machine has it.
        command.arg("-march=native");
    }
    command
        .arg(format!("-I{ROOT}/kernels"))
        .arg(format!("-I{ROOT}/tests/emulation"))
        .arg("-o")
        .arg(&output)
        .arg(&input);
    let child = command.spawn().expect("a C++ compiler `c++`");
    (object, Some((child, output)))
}

/// Builds the driver, with a change in one source where a test plants a fault.
pub fn build(change: Option<&Change<'_>>) -> PathBuf {
    let mut objects = Vec::new();
    let mut running = Vec::new();
    let mut changed = change.is_none();
    for source in sources() {
        let mut text = String::from_utf8(read(&source)).unwrap();
        if let Some(change) = change
            && source.ends_with(change.file)
        {
            assert_eq!(text.matches(change.from).count(), 1, "{}", change.from);
            text = text.replace(change.from, change.to);
            changed = true;
        }
        let (object, child) = compile(&source, text.as_bytes());
        running.extend(child.map(|(child, output)| (child, output, object.clone())));
        objects.push(object);
    }
    assert!(changed, "there is no such source");
    for (mut child, output, object) in running {
        assert!(child.wait().unwrap().success(), "{}", object.display());
        let _ = fs::remove_file(output.with_extension("cpp"));
        fs::rename(output, object).unwrap();
    }
    let mut hasher = blake3::Hasher::new();
    for object in &objects {
        hasher.update(object.to_string_lossy().as_bytes());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!(
        "libemulated-{}.so",
        &hasher.finalize().to_hex()[..16]
    ));
    if !library.exists() {
        let unique = format!(
            "{}-{:?}.so",
            std::process::id(),
            std::thread::current().id()
        );
        let output = folder.join(unique);
        let status = Command::new("c++")
            .args(["-shared", "-o"])
            .arg(&output)
            .args(&objects)
            .status()
            .unwrap();
        assert!(status.success());
        fs::rename(output, &library).unwrap();
    }
    library
}

/// Runs an ignored test of this very program over the emulated machine, found as users' drivers are:
/// by the environment.
pub fn in_a_process(test: &str, variables: &[(&str, &str)]) {
    let library = build(None);
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            test,
            "--ignored",
            "--test-threads=1",
            "--nocapture",
        ])
        .env("SESSILE_CUDA_DRIVER", &library)
        .env("SESSILE_CUBLASLT", &library)
        .env_remove("CUDA_VISIBLE_DEVICES")
        .env_remove("SLURM_JOB_GPUS")
        .env_remove("SLURM_GPUS")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An emulated machine.
pub struct Machine {
    path: PathBuf,
    is_copy: bool,
    library: Library,
    pub driver: &'static Driver,
    pub cublaslt: &'static CublasLt,
    pub gpus: Vec<sessile_cuda::Gpu>,
}

impl Machine {
    /// The machine with the kernels as they are.
    pub fn new() -> Self {
        Machine::open(build(None))
    }

    /// A machine of its own, whose faults and limits are nobody else's.
    pub fn alone(name: &str) -> Self {
        let path = build(None);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let copy = folder.join(format!("libemulated-{name}-{}.so", unique()));
        fs::copy(path, &copy).unwrap();
        let mut machine = Machine::open(copy);
        machine.is_copy = true;
        machine
    }

    pub fn open(path: PathBuf) -> Self {
        let libraries = Libraries {
            driver: Some(path.clone()),
            cublaslt: Some(path.clone()),
        };
        let found = survey(&libraries, &Visibility::default());
        // SAFETY: the library of this test, which is open already.
        let library = unsafe { Library::new(&path) }.unwrap();
        Machine {
            path,
            is_copy: false,
            library,
            driver: found.driver.unwrap(),
            cublaslt: found.cublaslt.unwrap(),
            gpus: found.gpus,
        }
    }

    /// The GPU at `ordinal`, with products by the library or by the embedded kernels.
    pub fn device(&self, ordinal: usize, by_library: bool) -> CudaDevice {
        let products = by_library.then_some(self.cublaslt);
        CudaDevice::new(self.driver, &self.gpus[ordinal], products, 2).unwrap()
    }

    /// Loses a GPU, or fails it otherwise, after so many launches.
    pub fn fail(&self, device: i32, after_launches: i64, code: i32) {
        // SAFETY: the signature is that of `driver.cpp`.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn(i32, i64, i32)>(b"fake_fail\0")
                .unwrap();
            function(device, after_launches, code);
        }
    }

    /// Sets the memory of a GPU.
    pub fn limit(&self, device: i32, bytes: usize) {
        // SAFETY: as above.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn(i32, usize)>(b"fake_limit\0")
                .unwrap();
            function(device, bytes);
        }
    }

    /// Bytes of memory in use on a GPU.
    pub fn used(&self, device: i32) -> usize {
        // SAFETY: as above.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn(i32) -> usize>(b"fake_used\0")
                .unwrap();
            function(device)
        }
    }

    /// What goes wrong with graphs on a GPU from now on: 1, no stream is recorded; 2, recording fails
    /// at its end; 3, graphs do not start.
    pub fn graph_fault(&self, device: i32, fault: i32) {
        // SAFETY: as above.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn(i32, i32)>(b"fake_graph_fault\0")
                .unwrap();
            function(device, fault);
        }
    }

    /// What cuBLASLt answers when it starts on a GPU, and to the next product there.
    pub fn library_fails(&self, device: i32, start: i32, product: i32) {
        // SAFETY: as above.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn(i32, i32, i32)>(b"fake_library\0")
                .unwrap();
            function(device, start, product);
        }
    }

    /// Launches (0), products of the library (1), bytes copied to a GPU (2), graphs started (3) and
    /// graphs that are there (4).
    pub fn count(&self, device: i32, what: i32) -> u64 {
        // SAFETY: as above.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn(i32, i32) -> u64>(b"fake_count\0")
                .unwrap();
            function(device, what)
        }
    }

    /// Stops the program when something was written behind a block of memory.
    pub fn check_memory(&self) {
        // SAFETY: as above.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn()>(b"fake_check_memory\0")
                .unwrap();
            function();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.is_copy {
            let _ = fs::remove_file(&self.path);
        }
    }
}
