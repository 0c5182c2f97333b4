//! cuBLASLt: NVIDIA's products, opened at run time where the library is there.
//!
//! It comes with the CUDA toolkit and with `pip install nvidia-cublas-cu12` (or `-cu13`), which
//! need no administrator. Without it products run on the embedded kernels.

mod api;
mod search;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libloading::Library;

use crate::driver::DriverAbsence;
pub(crate) use api::{Algorithm, Candidate, Functions};

/// Names the library to open.
pub const CUBLASLT_VARIABLE: &str = "SESSILE_CUBLASLT";

/// The oldest version that is used: that of CUDA 12.0.
const MIN_VERSION: usize = 120_000;

/// The library.
pub struct CublasLt {
    pub(crate) functions: Functions,
    version: usize,
    path: PathBuf,
}

impl std::fmt::Debug for CublasLt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CublasLt")
            .field("version", &self.version)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

type Opened = (Option<PathBuf>, Result<&'static CublasLt, DriverAbsence>);

impl CublasLt {
    /// Opens the library at `path`, or searches for one that fits a driver of this version. The
    /// answer is the same for the life of the process.
    ///
    /// # Errors
    ///
    /// Where it was searched for and how to get it.
    pub fn open(
        path: Option<&Path>,
        driver_version: i32,
    ) -> Result<&'static CublasLt, DriverAbsence> {
        static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, result)) = opened.iter().find(|(asked, _)| asked.as_deref() == path) {
            return result.clone();
        }
        let candidates = match path {
            Some(path) => vec![path.to_owned()],
            None => search::candidates(driver_version),
        };
        let result =
            start(&candidates, driver_version).map(|library| &*Box::leak(Box::new(library)));
        opened.push((path.map(Path::to_owned), result.clone()));
        result
    }

    /// The version: 120405 is 12.4.5.
    pub fn version(&self) -> usize {
        self.version
    }

    /// The file or the name that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn start(candidates: &[PathBuf], driver_version: i32) -> Result<CublasLt, DriverAbsence> {
    let mut complaints = Vec::new();
    for path in candidates {
        // SAFETY: NVIDIA's library, or one the user names in its place; its start-up code runs
        // here as it would in any program that links it.
        let library = match unsafe { Library::new(path) } {
            Ok(library) => library,
            Err(error) => {
                let message = crate::library::loader_message(&error);
                if !message.contains("No such file") {
                    complaints.push(message);
                }
                continue;
            }
        };
        // It registers itself with the driver and can not be unloaded.
        let library: &'static Library = Box::leak(Box::new(library));
        let functions = match Functions::load(library) {
            Ok(functions) => functions,
            Err(symbol) => {
                complaints.push(format!("{} has no {symbol}", path.display()));
                continue;
            }
        };
        // SAFETY: a function without arguments that returns a constant.
        let version = unsafe { (functions.version)() };
        if version < MIN_VERSION {
            complaints.push(format!("{} is of version {version}", path.display()));
            continue;
        }
        return Ok(CublasLt {
            functions,
            version,
            path: path.clone(),
        });
    }
    let mut message = "there is no cuBLASLt of CUDA 12 or newer".to_owned();
    for complaint in complaints {
        message.push_str("; ");
        message.push_str(&complaint);
    }
    let hint = if driver_version >= 13_000 {
        "`pip install nvidia-cublas` in the active environment, or name the file in SESSILE_CUBLASLT"
    } else {
        "`pip install nvidia-cublas-cu12` in the active environment, or name the file in \
         SESSILE_CUBLASLT"
    };
    Err(DriverAbsence::new(message, hint))
}
