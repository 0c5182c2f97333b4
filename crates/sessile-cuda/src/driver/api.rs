//! The functions of the CUDA driver that this program calls, found by name at run time.

use std::ffi::{c_char, c_int, c_uint, c_void};

use libloading::Library;

/// A GPU by the driver's number.
pub(crate) type RawDevice = c_int;
/// An address in the memory of a GPU.
pub(crate) type RawAddress = u64;
/// Contexts, streams, events, modules and functions are pointers that only the driver reads.
pub(crate) type RawHandle = *mut c_void;

macro_rules! functions {
    ($($field:ident = $symbol:literal ($($argument:ty),*);)*) => {
        /// The table of functions. Signatures are those of `cuda.h` of CUDA 12.0.
        pub(crate) struct Functions {
            $(pub(crate) $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            /// Looks every function up.
            ///
            /// # Errors
            ///
            /// The name of the first one that `library` does not have.
            pub(crate) fn load(library: &Library) -> Result<Self, &'static str> {
                Ok(Functions {
                    $($field: {
                        // SAFETY: the type is the signature that cuda.h gives this symbol, and the
                        // library is never unloaded (the caller leaks it).
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($argument),*) -> c_int>(
                                concat!($symbol, "\0").as_bytes(),
                            )
                        };
                        *found.map_err(|_| $symbol)?
                    },)*
                })
            }
        }
    };
}

functions! {
    init = "cuInit"(c_uint);
    driver_version = "cuDriverGetVersion"(*mut c_int);
    device_count = "cuDeviceGetCount"(*mut c_int);
    device = "cuDeviceGet"(*mut RawDevice, c_int);
    device_name = "cuDeviceGetName"(*mut c_char, c_int, RawDevice);
    device_attribute = "cuDeviceGetAttribute"(*mut c_int, c_int, RawDevice);
    device_memory = "cuDeviceTotalMem_v2"(*mut usize, RawDevice);
    device_pci = "cuDeviceGetPCIBusId"(*mut c_char, c_int, RawDevice);
    context_retain = "cuDevicePrimaryCtxRetain"(*mut RawHandle, RawDevice);
    context_set = "cuCtxSetCurrent"(RawHandle);
    memory_info = "cuMemGetInfo_v2"(*mut usize, *mut usize);
    memory_alloc = "cuMemAlloc_v2"(*mut RawAddress, usize);
    memory_free = "cuMemFree_v2"(RawAddress);
    host_alloc = "cuMemHostAlloc"(*mut RawHandle, usize, c_uint);
    host_free = "cuMemFreeHost"(RawHandle);
    copy_to_device = "cuMemcpyHtoDAsync_v2"(RawAddress, *const c_void, usize, RawHandle);
    copy_to_host = "cuMemcpyDtoHAsync_v2"(*mut c_void, RawAddress, usize, RawHandle);
    stream_create = "cuStreamCreate"(*mut RawHandle, c_uint);
    stream_destroy = "cuStreamDestroy_v2"(RawHandle);
    stream_synchronize = "cuStreamSynchronize"(RawHandle);
    capture_begin = "cuStreamBeginCapture_v2"(RawHandle, c_int);
    capture_end = "cuStreamEndCapture"(RawHandle, *mut RawHandle);
    graph_instantiate = "cuGraphInstantiateWithFlags"(*mut RawHandle, RawHandle, u64);
    graph_upload = "cuGraphUpload"(RawHandle, RawHandle);
    graph_launch = "cuGraphLaunch"(RawHandle, RawHandle);
    graph_destroy = "cuGraphDestroy"(RawHandle);
    graph_executable_destroy = "cuGraphExecDestroy"(RawHandle);
    event_create = "cuEventCreate"(*mut RawHandle, c_uint);
    event_destroy = "cuEventDestroy_v2"(RawHandle);
    event_record = "cuEventRecord"(RawHandle, RawHandle);
    event_synchronize = "cuEventSynchronize"(RawHandle);
    module_load = "cuModuleLoadData"(*mut RawHandle, *const c_void);
    module_function = "cuModuleGetFunction"(*mut RawHandle, RawHandle, *const c_char);
    function_set = "cuFuncSetAttribute"(RawHandle, c_int, c_int);
    launch = "cuLaunchKernel"(
        RawHandle,
        c_uint, c_uint, c_uint,
        c_uint, c_uint, c_uint,
        c_uint,
        RawHandle,
        *mut *mut c_void,
        *mut *mut c_void
    );
}
