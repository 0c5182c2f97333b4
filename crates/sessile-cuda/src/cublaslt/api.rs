//! The functions of cuBLASLt that this program calls, found by name at run time.

use std::ffi::{c_int, c_void};

use libloading::Library;

use crate::driver::RawHandle;

/// An algorithm with its settings, as cuBLASLt keeps it (`cublasLtMatmulAlgo_t`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Algorithm(pub(crate) [u64; 8]);

/// An algorithm that may be fast (`cublasLtMatmulHeuristicResult_t`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Candidate {
    pub(crate) algorithm: Algorithm,
    pub(crate) workspace: usize,
    pub(crate) state: c_int,
    pub(crate) waves: f32,
    pub(crate) reserved: [c_int; 4],
}

macro_rules! functions {
    ($($field:ident = $symbol:literal ($($argument:ty),*) -> $result:ty;)*) => {
        /// The table of functions. Signatures are those of `cublasLt.h` of CUDA 12.0.
        pub(crate) struct Functions {
            $(pub(crate) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
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
                        // SAFETY: the type is the signature that cublasLt.h gives this symbol, and
                        // the library is never unloaded (the caller leaks it).
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($argument),*) -> $result>(
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
    version = "cublasLtGetVersion"() -> usize;
    create = "cublasLtCreate"(*mut RawHandle) -> c_int;
    descriptor_create = "cublasLtMatmulDescCreate"(*mut RawHandle, c_int, c_int) -> c_int;
    descriptor_set = "cublasLtMatmulDescSetAttribute"(RawHandle, c_int, *const c_void, usize) -> c_int;
    layout_create = "cublasLtMatrixLayoutCreate"(*mut RawHandle, c_int, u64, u64, i64) -> c_int;
    layout_set = "cublasLtMatrixLayoutSetAttribute"(RawHandle, c_int, *const c_void, usize) -> c_int;
    descriptor_destroy = "cublasLtMatmulDescDestroy"(RawHandle) -> c_int;
    layout_destroy = "cublasLtMatrixLayoutDestroy"(RawHandle) -> c_int;
    preference_create = "cublasLtMatmulPreferenceCreate"(*mut RawHandle) -> c_int;
    preference_destroy = "cublasLtMatmulPreferenceDestroy"(RawHandle) -> c_int;
    preference_set = "cublasLtMatmulPreferenceSetAttribute"(RawHandle, c_int, *const c_void, usize) -> c_int;
    heuristic = "cublasLtMatmulAlgoGetHeuristic"(
        RawHandle, RawHandle,
        RawHandle, RawHandle, RawHandle, RawHandle,
        RawHandle, c_int,
        *mut Candidate,
        *mut c_int
    ) -> c_int;
    check = "cublasLtMatmulAlgoCheck"(
        RawHandle, RawHandle,
        RawHandle, RawHandle, RawHandle, RawHandle,
        *const Algorithm,
        *mut Candidate
    ) -> c_int;
    config_get = "cublasLtMatmulAlgoConfigGetAttribute"(
        *const Algorithm, c_int, *mut c_void, usize, *mut usize
    ) -> c_int;
    matmul = "cublasLtMatmul"(
        RawHandle, RawHandle,
        *const c_void,
        u64, RawHandle,
        u64, RawHandle,
        *const c_void,
        u64, RawHandle,
        u64, RawHandle,
        *const Algorithm,
        u64, usize,
        RawHandle
    ) -> c_int;
}
