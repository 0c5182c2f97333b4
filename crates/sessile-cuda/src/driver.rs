//! The CUDA driver: opened at run time, asked before it is used.
//!
//! A library that is not there, is a toolkit's stub, is too old or lacks a function is an answer
//! ([`DriverAbsence`]) and never a panic. What was opened stays open for the life of the process,
//! as the driver wants it.

mod api;
mod code;

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libloading::Library;

pub(crate) use api::{Functions, RawAddress, RawDevice, RawHandle};
pub use code::Code;

/// Names a file to open in place of the system's `libcuda.so.1`.
pub const DRIVER_VARIABLE: &str = "SESSILE_CUDA_DRIVER";

/// The oldest driver that runs the embedded kernels, as `cuDriverGetVersion` counts: CUDA 12.0.
pub const MIN_DRIVER_VERSION: i32 = 12_000;

const LIBRARY_NAMES: &[&str] = if cfg!(windows) {
    &["nvcuda.dll"]
} else {
    &["libcuda.so.1"]
};

/// Why there is no driver to work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverAbsence {
    message: String,
    hint: Option<String>,
}

impl DriverAbsence {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<Option<&'static str>>) -> Self {
        DriverAbsence {
            message: message.into(),
            hint: hint.into().map(str::to_owned),
        }
    }

    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for DriverAbsence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DriverAbsence {}

/// A driver that has started.
pub struct Driver {
    pub(crate) functions: Functions,
    version: i32,
    devices: i32,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("version", &self.version)
            .field("devices", &self.devices)
            .finish_non_exhaustive()
    }
}

/// What was asked for and what came of it: the driver starts once in a process.
type Opened = (Option<PathBuf>, Result<&'static Driver, DriverAbsence>);

impl Driver {
    /// Opens the system's driver, or the library at `path`, and starts it. The answer is the same
    /// for the life of the process.
    ///
    /// # Errors
    ///
    /// What is missing and what to do about it.
    pub fn open(path: Option<&Path>) -> Result<&'static Driver, DriverAbsence> {
        static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, result)) = opened.iter().find(|(asked, _)| asked.as_deref() == path) {
            return result.clone();
        }
        let result = Driver::start(path).map(|driver| &*Box::leak(Box::new(driver)));
        opened.push((path.map(Path::to_owned), result.clone()));
        result
    }

    fn start(path: Option<&Path>) -> Result<Driver, DriverAbsence> {
        let library = open_library(path)?;
        // Unloading a driver that has started is not allowed for; it stays.
        let library: &'static Library = Box::leak(Box::new(library));
        let functions = Functions::load(library).map_err(|symbol| {
            DriverAbsence::new(
                format!("the CUDA driver has no function {symbol}: it is too old or not a driver"),
                "install an NVIDIA driver of version 525 or newer",
            )
        })?;
        // SAFETY: the first call of the driver, with the only flags there are.
        let started = Code::check(unsafe { (functions.init)(0) });
        started.map_err(|code| {
            DriverAbsence::new(
                format!(
                    "the CUDA driver does not start: CUDA error {} ({})",
                    code.0,
                    code.name()
                ),
                code.hint(),
            )
        })?;
        let refused = |what: &str, code: Code| {
            DriverAbsence::new(
                format!(
                    "the CUDA driver does not tell its {what}: CUDA error {}",
                    code.0
                ),
                None,
            )
        };
        let (mut version, mut devices) = (0, 0);
        // SAFETY: the driver has started; the pointer is to a number of the right type.
        Code::check(unsafe { (functions.driver_version)(&raw mut version) })
            .map_err(|code| refused("version", code))?;
        if version < MIN_DRIVER_VERSION {
            return Err(DriverAbsence::new(
                format!(
                    "the NVIDIA driver is too old: it speaks CUDA {}, {} is needed",
                    version_text(version),
                    version_text(MIN_DRIVER_VERSION)
                ),
                "install an NVIDIA driver of version 525 or newer",
            ));
        }
        // SAFETY: as above.
        Code::check(unsafe { (functions.device_count)(&raw mut devices) })
            .map_err(|code| refused("number of GPUs", code))?;
        Ok(Driver {
            functions,
            version,
            devices: devices.max(0),
        })
    }

    /// The version of CUDA that the driver speaks: 12040 is 12.4.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// GPUs that the driver lets this process see, `CUDA_VISIBLE_DEVICES` respected.
    pub fn devices(&self) -> i32 {
        self.devices
    }

    /// The GPU at `ordinal` among the visible ones.
    pub(crate) fn device(&self, ordinal: i32) -> Result<RawDevice, Code> {
        let mut device = 0;
        // SAFETY: the driver has started; the pointer is to a number of the right type.
        Code::check(unsafe { (self.functions.device)(&raw mut device, ordinal) })?;
        Ok(device)
    }

    /// An attribute of a GPU, by its number in `CUdevice_attribute`.
    pub(crate) fn attribute(&self, device: RawDevice, attribute: c_int) -> Result<i32, Code> {
        let mut value = 0;
        // SAFETY: as above.
        Code::check(unsafe {
            (self.functions.device_attribute)(&raw mut value, attribute, device)
        })?;
        Ok(value)
    }

    /// The product's name.
    pub(crate) fn name(&self, device: RawDevice) -> Result<String, Code> {
        text(|into, len| {
            // SAFETY: `into` has `len` bytes, and the driver ends the text within them.
            unsafe { (self.functions.device_name)(into, len, device) }
        })
    }

    /// Where the GPU is plugged in, for example `0000:3b:00.0`.
    pub(crate) fn pci(&self, device: RawDevice) -> Result<String, Code> {
        text(|into, len| {
            // SAFETY: as above.
            unsafe { (self.functions.device_pci)(into, len, device) }
        })
    }

    /// Bytes of memory of a GPU.
    pub(crate) fn memory(&self, device: RawDevice) -> Result<u64, Code> {
        let mut bytes = 0_usize;
        // SAFETY: the driver has started; the pointer is to a number of the right type.
        Code::check(unsafe { (self.functions.device_memory)(&raw mut bytes, device) })?;
        Ok(bytes as u64)
    }
}

/// `12040` as `12.4`.
pub(crate) fn version_text(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// A text that the driver writes into a buffer.
fn text(write: impl FnOnce(*mut c_char, c_int) -> c_int) -> Result<String, Code> {
    const LEN: usize = 256;
    let mut buffer = [0_u8; LEN];
    Code::check(write(buffer.as_mut_ptr().cast(), LEN as c_int - 1))?;
    let text = CStr::from_bytes_until_nul(&buffer).unwrap_or_default();
    Ok(text.to_string_lossy().trim().to_owned())
}

fn open_library(path: Option<&Path>) -> Result<Library, DriverAbsence> {
    let names: Vec<&std::ffi::OsStr> = match path {
        Some(path) => vec![path.as_os_str()],
        None => LIBRARY_NAMES.iter().map(std::ffi::OsStr::new).collect(),
    };
    let mut complaint = String::new();
    for name in &names {
        // SAFETY: the system's driver, or a library the user names in its place; its start-up code
        // runs here as it would in any program that links it.
        match unsafe { Library::new(*name) } {
            Ok(library) => return Ok(library),
            Err(error) => complaint = crate::library::loader_message(&error),
        }
    }
    let name = names
        .first()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let is_missing = complaint.contains("No such file");
    if is_missing && path.is_none() {
        return Err(DriverAbsence::new(
            format!("there is no NVIDIA driver ({name} is not found)"),
            "with an NVIDIA GPU install its driver, version 525 or newer; a container is started \
             with `--gpus all` and needs the NVIDIA container toolkit",
        ));
    }
    Err(DriverAbsence::new(
        format!("the CUDA driver {name} can not be loaded: {complaint}"),
        None,
    ))
}
