//! The embedded kernels: chosen for a GPU, loaded once, launched by name.
//!
//! `cargo xtask kernels` compiles every `kernels/*.cu` for each [`Target`] and writes the results,
//! compressed, into `kernels/built`. A test fails when a source has changed since.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Arc;

use sessile_device::{DeviceError, DeviceErrorKind};

use crate::context::{Context, Stream};
use crate::driver::{RawAddress, RawHandle};

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Machine code for this capability.
    Sm80,
    Sm86,
    Sm89,
    /// For 9.0 alone.
    Sm90a,
    /// PTX that the driver compiles for whatever GPU it has.
    Compute80,
}

impl Target {
    #[cfg(test)]
    const ALL: [Target; 5] = [
        Target::Sm80,
        Target::Sm86,
        Target::Sm89,
        Target::Sm90a,
        Target::Compute80,
    ];

    /// The best one for a GPU.
    pub(crate) fn of(capability: (i32, i32)) -> Self {
        match capability {
            // Orin: code for desktop GPUs does not run there.
            (8, 7) => Target::Compute80,
            (8, minor) if minor >= 9 => Target::Sm89,
            (8, 6..) => Target::Sm86,
            (8, _) => Target::Sm80,
            (9, 0) => Target::Sm90a,
            _ => Target::Compute80,
        }
    }

    /// The name in file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Sm80 => "sm_80",
            Target::Sm86 => "sm_86",
            Target::Sm89 => "sm_89",
            Target::Sm90a => "sm_90a",
            Target::Compute80 => "compute_80",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// One source, compiled for every target in the order of [`Target`].
struct Image {
    name: &'static str,
    built: [&'static [u8]; 5],
}

macro_rules! image {
    ($name:literal) => {
        Image {
            name: $name,
            built: [
                include_bytes!(concat!("../kernels/built/", $name, ".sm_80.z")),
                include_bytes!(concat!("../kernels/built/", $name, ".sm_86.z")),
                include_bytes!(concat!("../kernels/built/", $name, ".sm_89.z")),
                include_bytes!(concat!("../kernels/built/", $name, ".sm_90a.z")),
                include_bytes!(concat!("../kernels/built/", $name, ".compute_80.z")),
            ],
        }
    };
}

const IMAGES: [Image; 7] = [
    image!("attention"),
    image!("attention_f32"),
    image!("heads"),
    image!("linear"),
    image!("norm"),
    image!("rows"),
    image!("sequences"),
];

/// Most bytes of an image: what is embedded is known, and an accident must not take all memory.
const MAX_IMAGE_BYTES: usize = 16 << 20;

impl Image {
    fn open(&self, target: Target) -> Result<Vec<u8>, DeviceError> {
        let packed = self.built[target.index()];
        miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(packed, MAX_IMAGE_BYTES).map_err(
            |_| {
                DeviceError::new(
                    DeviceErrorKind::Unsupported,
                    format!("the embedded kernels {} are damaged", self.name),
                )
            },
        )
    }
}

/// What a kernel takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    Address(RawAddress),
    Long(u64),
    Word(u32),
    Float(f32),
}

impl Argument {
    /// The bytes, at the start of eight.
    fn bytes(self) -> u64 {
        match self {
            Argument::Address(value) | Argument::Long(value) => value,
            // Little-endian, as every machine with such a GPU: the low half comes first.
            Argument::Word(value) => u64::from(value),
            Argument::Float(value) => u64::from(value.to_bits()),
        }
    }
}

/// How many blocks and threads, and how much shared memory for each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub(crate) blocks: usize,
    pub(crate) blocks_y: usize,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: usize,
}

impl Grid {
    /// So many blocks of 128 threads.
    pub(crate) fn blocks(blocks: usize) -> Self {
        Grid {
            blocks,
            blocks_y: 1,
            threads: 128,
            shared_bytes: 0,
        }
    }
}

/// The most arguments a kernel has.
const MAX_ARGUMENTS: usize = 24;

/// Blocks that a grid may have across, and down.
const MAX_BLOCKS: usize = i32::MAX as usize;
const MAX_BLOCKS_Y: usize = 65_535;

/// A kernel with all that it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Launch {
    name: &'static str,
    grid: Grid,
    /// The arguments in their order, zeros behind them.
    values: [u64; MAX_ARGUMENTS],
}

/// The kernels of one GPU.
pub(crate) struct Kernels {
    context: Arc<Context>,
    functions: HashMap<&'static str, RawHandle>,
}

// SAFETY: functions are handles that may be launched from any thread.
unsafe impl Send for Kernels {}
// SAFETY: as above.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Loads everything for a GPU of this capability. `shared_limit` is what a block may take of
    /// shared memory.
    pub(crate) fn load(
        context: &Arc<Context>,
        capability: (i32, i32),
        shared_limit: u32,
    ) -> Result<Self, DeviceError> {
        /// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
        const MAX_DYNAMIC_SHARED: i32 = 8;
        let target = Target::of(capability);
        let mut functions = HashMap::new();
        for image in &IMAGES {
            let mut code = image.open(target)?;
            // PTX is a text that ends with a zero.
            code.push(0);
            let mut module = ptr::null_mut();
            context.call(&format!("loading the kernels {}", image.name), |driver| {
                // SAFETY: a whole cubin, or PTX that ends with a zero; the driver copies it.
                unsafe { (driver.functions.module_load)(&raw mut module, code.as_ptr().cast()) }
            })?;
            for &name in names::of(image.name) {
                let text = CString::new(name).unwrap_or_default();
                let mut function = ptr::null_mut();
                context.call(&format!("finding the kernel {name}"), |driver| {
                    // SAFETY: the module was loaded and stays; the name ends with a zero.
                    unsafe {
                        (driver.functions.module_function)(&raw mut function, module, text.as_ptr())
                    }
                })?;
                if let Some(wanted) = names::dynamic_shared(name) {
                    let bytes = wanted.unwrap_or(shared_limit.saturating_sub(1024) as usize);
                    context.call(&format!("preparing the kernel {name}"), |driver| {
                        // SAFETY: the function was found above.
                        unsafe {
                            (driver.functions.function_set)(
                                function,
                                MAX_DYNAMIC_SHARED,
                                bytes as i32,
                            )
                        }
                    })?;
                }
                functions.insert(name, function);
            }
        }
        Ok(Kernels {
            context: Arc::clone(context),
            functions,
        })
    }

    /// What queues a kernel; nothing for an empty grid.
    ///
    /// # Panics
    ///
    /// When there is no kernel of this name.
    pub(crate) fn prepare(
        &self,
        name: &str,
        grid: Grid,
        arguments: &[Argument],
    ) -> Result<Option<Launch>, DeviceError> {
        if grid.blocks == 0 || grid.blocks_y == 0 {
            return Ok(None);
        }
        if grid.blocks > MAX_BLOCKS || grid.blocks_y > MAX_BLOCKS_Y {
            return Err(DeviceError::new(
                DeviceErrorKind::OutOfMemory,
                format!("{name} over {} × {} blocks", grid.blocks, grid.blocks_y),
            ));
        }
        let (&name, _) = self
            .functions
            .get_key_value(name)
            .unwrap_or_else(|| panic!("there is no kernel {name}"));
        assert!(arguments.len() <= MAX_ARGUMENTS);
        let mut values = [0_u64; MAX_ARGUMENTS];
        for (value, argument) in values.iter_mut().zip(arguments) {
            *value = argument.bytes();
        }
        Ok(Some(Launch { name, grid, values }))
    }

    /// Queues a kernel.
    pub(crate) fn queue(&self, stream: &Stream, launch: &Launch) -> Result<(), DeviceError> {
        let Launch { name, grid, values } = launch;
        let function = self.functions[name];
        let mut values = *values;
        let mut pointers = values
            .each_mut()
            .map(|value| ptr::from_mut(value).cast::<c_void>());
        self.context.call(name, |driver| {
            // SAFETY: the function is of this context. Each pointer is to a value of the type and
            // place in the kernel's list (the tests run every kernel through this very call; what
            // stands behind the kernel's arguments is not read); the driver copies the values
            // before it returns. That the addresses lie in memory of this GPU and are large enough
            // is what the operations of `lane.rs` look after.
            unsafe {
                (driver.functions.launch)(
                    function,
                    grid.blocks as u32,
                    grid.blocks_y as u32,
                    1,
                    grid.threads,
                    1,
                    1,
                    grid.shared_bytes as u32,
                    stream.raw(),
                    pointers.as_mut_ptr(),
                    ptr::null_mut(),
                )
            }
        })
    }
}

pub(crate) mod names;

#[cfg(test)]
mod tests;
