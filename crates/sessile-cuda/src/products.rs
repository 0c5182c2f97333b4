//! Products by cuBLASLt: one algorithm for each shape of a weight, whatever the number of rows.
//!
//! cuBLASLt counts columns first, so `out = x · Wᵀ` over row-major matrices is its
//! `D[n, rows] = W[k, n]ᵀ · X[k, rows]`. The algorithm of a shape is chosen once, for a nominal
//! number of rows, among those that sum K in one piece: no split-K, no reduction, no workspace. It
//! must be valid from one row to the most of one call, and more rows are several calls. Where there
//! is none the embedded kernels take the shape, for every number of rows, and a warning says so.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use sessile_device::{DType, DeviceError, DeviceErrorKind};

use crate::context::{Context, Stream};
use crate::cublaslt::{Algorithm, Candidate, CublasLt};
use crate::driver::{RawAddress, RawHandle};

/// Rows that an algorithm is chosen for: a full batch of the default token budget.
const NOMINAL_ROWS: usize = 16_384;

/// Numbers of rows for which it must be valid, beside the most of a call.
const CHECKED_ROWS: [usize; 5] = [1, 2, 17, 333, NOMINAL_ROWS];

/// The most rows of one call.
const MAX_ROWS: usize = 1 << 16;

/// Elements of a matrix up to which cuBLASLt's choice is stable: the heuristics of 12.9 and 13 take
/// other algorithms from 2³¹ elements on, and some that are offered there fail
/// (<https://github.com/rapidsai/raft/issues/3097>).
const MAX_ELEMENTS: usize = (1 << 31) - 1;

/// Algorithms that are looked at.
const CANDIDATES: usize = 32;

// Numbers of cublasLt.h and library_types.h.
const COMPUTE_32F: c_int = 68;
const DESCRIPTOR_TRANSPOSE_A: c_int = 3;
const DESCRIPTOR_EPILOGUE: c_int = 7;
const DESCRIPTOR_BIAS_POINTER: c_int = 8;
const LAYOUT_COLS: c_int = 3;
const PREFERENCE_WORKSPACE: c_int = 1;
const PREFERENCE_REDUCTIONS: c_int = 3;
const PREFERENCE_ALIGNMENTS: [c_int; 4] = [5, 6, 7, 8];
const CONFIG_ID: c_int = 0;
const CONFIG_TILE: c_int = 1;
const CONFIG_SPLIT_K: c_int = 2;
const CONFIG_REDUCTION: c_int = 3;
const CONFIG_CUSTOM: c_int = 5;
const CONFIG_STAGES: c_int = 6;
const TRANSPOSE: c_int = 1;

// `cublasStatus_t`.
const INVALID_VALUE: c_int = 7;
const ARCH_MISMATCH: c_int = 8;
const NOT_SUPPORTED: c_int = 15;

/// Memory of a GPU below which a library that fails is believed to have too little of it.
const SCARCE_BYTES: u64 = 256 << 20;

/// What cuBLASLt does with a product before it stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Plain,
    Relu,
    Bias,
    ReluBias,
}

impl Ending {
    fn number(self) -> c_int {
        match self {
            Ending::Plain => 1,
            Ending::Relu => 2,
            Ending::Bias => 4,
            Ending::ReluBias => 6,
        }
    }

    fn has_bias(self) -> bool {
        matches!(self, Ending::Bias | Ending::ReluBias)
    }
}

/// All that an algorithm depends on; the number of rows is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) x_stride: usize,
    pub(crate) w_stride: usize,
    pub(crate) out_stride: usize,
    pub(crate) dtype: DType,
    pub(crate) out_dtype: DType,
    pub(crate) ending: Ending,
    /// Whether the product is added to what `out` holds.
    pub(crate) accumulates: bool,
    /// Bytes that the starts and rows of weight, operand and result are multiples of, at most 16.
    pub(crate) alignments: [u32; 3],
}

impl Shape {
    /// The most rows of one call.
    fn most_rows(&self) -> usize {
        let widest = self.x_stride.max(self.out_stride).max(1);
        MAX_ROWS.min(MAX_ELEMENTS / widest).max(1)
    }
}

/// One product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Product {
    pub(crate) shape: Shape,
    pub(crate) rows: usize,
    pub(crate) x: RawAddress,
    pub(crate) w: RawAddress,
    pub(crate) bias: RawAddress,
    pub(crate) out: RawAddress,
}

impl Product {
    /// The same product without the rows before `first`.
    fn behind_row(&self, first: usize) -> Product {
        let Shape {
            x_stride,
            out_stride,
            dtype,
            out_dtype,
            ..
        } = self.shape;
        Product {
            rows: self.rows - first,
            x: self.x + (first * x_stride * dtype.size()) as u64,
            out: self.out + (first * out_stride * out_dtype.size()) as u64,
            ..*self
        }
    }
}

/// `cudaDataType_t`.
fn data_type(dtype: DType) -> c_int {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 2,
        DType::Bf16 => 14,
    }
}

/// The algorithms of one GPU, shared by its lanes.
pub(crate) struct Products {
    context: Arc<Context>,
    library: &'static CublasLt,
    handle: RawHandle,
    algorithms: Mutex<HashMap<Shape, Option<Algorithm>>>,
}

// SAFETY: a handle may be used by several threads at once (cuBLAS documentation, "Thread safety").
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

impl Products {
    pub(crate) fn new(
        context: &Arc<Context>,
        library: &'static CublasLt,
    ) -> Result<Self, DeviceError> {
        context.enter("starting cuBLASLt")?;
        let mut handle = ptr::null_mut();
        // SAFETY: the context is current; the pointer is to a handle.
        let status = unsafe { (library.functions.create)(&raw mut handle) };
        if status != 0 {
            return Err(failed(context, None, "cuBLASLt does not start", status));
        }
        Ok(Products {
            context: Arc::clone(context),
            library,
            handle,
            algorithms: Mutex::default(),
        })
    }

    pub(crate) fn version(&self) -> usize {
        self.library.version()
    }

    /// While this is held no lane of this GPU chooses an algorithm.
    pub(crate) fn hold_choices(&self) -> impl Drop + '_ {
        self.algorithms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The algorithm of a shape; `None` when the embedded kernels must do it.
    fn algorithm(&self, shape: &Shape, bias: RawAddress) -> Result<Option<Algorithm>, DeviceError> {
        let mut algorithms = self
            .algorithms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = algorithms.get(shape) {
            return Ok(*known);
        }
        let found = self.choose(shape, bias)?;
        algorithms.insert(*shape, found);
        Ok(found)
    }

    fn choose(&self, shape: &Shape, bias: RawAddress) -> Result<Option<Algorithm>, DeviceError> {
        self.context.enter("choosing a product")?;
        let prepared = Prepared::new(&self.context, self.library, shape, bias)?;
        let f = &self.library.functions;
        let mut preference = ptr::null_mut();
        // SAFETY: the pointer is to a handle, which is destroyed below.
        self.check(unsafe { (f.preference_create)(&raw mut preference) })?;
        let workspace = 0_usize;
        let reductions = 0_u32;
        // SAFETY: the values have the types that cublasLt.h gives these attributes.
        let mut status = unsafe {
            (f.preference_set)(
                preference,
                PREFERENCE_WORKSPACE,
                (&raw const workspace).cast(),
                size_of::<usize>(),
            ) | (f.preference_set)(
                preference,
                PREFERENCE_REDUCTIONS,
                (&raw const reductions).cast(),
                size_of::<u32>(),
            )
        };
        let [w, x, out] = shape.alignments;
        for (attribute, alignment) in PREFERENCE_ALIGNMENTS.into_iter().zip([w, x, out, out]) {
            // SAFETY: as above.
            status |= unsafe {
                (f.preference_set)(
                    preference,
                    attribute,
                    (&raw const alignment).cast(),
                    size_of::<u32>(),
                )
            };
        }
        let mut candidates = [Candidate::default(); CANDIDATES];
        let mut count: c_int = 0;
        if status == 0 {
            prepared.set_rows(NOMINAL_ROWS)?;
            // SAFETY: every handle was made above; there is room for as many results as are asked
            // for.
            status = unsafe {
                (f.heuristic)(
                    self.handle,
                    prepared.descriptor,
                    prepared.w,
                    prepared.x,
                    prepared.out,
                    prepared.out,
                    preference,
                    CANDIDATES as c_int,
                    candidates.as_mut_ptr(),
                    &raw mut count,
                )
            };
        }
        // SAFETY: made above, not used any more.
        unsafe { (f.preference_destroy)(preference) };
        // No algorithm for a shape is an answer. Any other failure is none, and may pass.
        match status {
            0 => {}
            INVALID_VALUE | NOT_SUPPORTED => {
                self.report(shape, None);
                return Ok(None);
            }
            status => return Err(failed(&self.context, None, "no product is chosen", status)),
        }
        for candidate in candidates.iter().take(count.max(0) as usize) {
            if candidate.state == 0
                && candidate.workspace == 0
                && self.sums_in_one_piece(&candidate.algorithm)
                && self.serves_any_rows(shape, &prepared, &candidate.algorithm)?
            {
                self.report(shape, Some(candidate));
                return Ok(Some(candidate.algorithm));
            }
        }
        self.report(shape, None);
        Ok(None)
    }

    /// Says what computes a shape: the first thing to look at where a GPU is slower than it should.
    fn report(&self, shape: &Shape, chosen: Option<&Candidate>) {
        let device = self.context.ordinal();
        let Shape { n, k, ending, .. } = *shape;
        let (from, to) = (shape.dtype, shape.out_dtype);
        match chosen {
            Some(Candidate {
                algorithm, waves, ..
            }) => {
                let setting = |attribute| self.setting(algorithm, attribute).unwrap_or(-1);
                tracing::debug!(
                    "cuda:{device}: products {n} x {k}, {from} to {to}, {ending:?}: cuBLASLt \
                     algorithm {}, tile {}, stages {}, option {}, {waves:.2} waves",
                    setting(CONFIG_ID),
                    setting(CONFIG_TILE),
                    setting(CONFIG_STAGES),
                    setting(CONFIG_CUSTOM),
                );
            }
            // What is small or oddly aligned matters to nobody's time.
            None if ending == Ending::Plain && n >= 256 && k >= 256 => tracing::warn!(
                "cuda:{device}: products {n} x {k}, {from} to {to}: this cuBLASLt has no algorithm \
                 that sums in one piece for any number of rows; own kernels take them, which are \
                 slower. Another version may help"
            ),
            None => tracing::debug!(
                "cuda:{device}: products {n} x {k}, {from} to {to}, {ending:?}: not by cuBLASLt"
            ),
        }
    }

    /// A setting of an algorithm.
    fn setting(&self, algorithm: &Algorithm, attribute: c_int) -> Option<i32> {
        let (mut value, mut written) = (0_i32, 0_usize);
        // SAFETY: the setting has four bytes, and so has `value`.
        let status = unsafe {
            (self.library.functions.config_get)(
                algorithm,
                attribute,
                (&raw mut value).cast(),
                size_of::<i32>(),
                &raw mut written,
            )
        };
        (status == 0).then_some(value)
    }

    fn sums_in_one_piece(&self, algorithm: &Algorithm) -> bool {
        matches!(self.setting(algorithm, CONFIG_SPLIT_K), Some(0 | 1))
            && self.setting(algorithm, CONFIG_REDUCTION) == Some(0)
    }

    fn serves_any_rows(
        &self,
        shape: &Shape,
        prepared: &Prepared,
        algorithm: &Algorithm,
    ) -> Result<bool, DeviceError> {
        let most = shape.most_rows();
        let fitting = CHECKED_ROWS.into_iter().filter(|&rows| rows < most);
        for rows in fitting.chain([most]) {
            prepared.set_rows(rows)?;
            let mut result = Candidate::default();
            // SAFETY: every handle is alive; the pointers are to an algorithm and a result.
            let status = unsafe {
                (self.library.functions.check)(
                    self.handle,
                    prepared.descriptor,
                    prepared.w,
                    prepared.x,
                    prepared.out,
                    prepared.out,
                    algorithm,
                    &raw mut result,
                )
            };
            match status {
                0 if result.state == 0 && result.workspace == 0 => {}
                0 | INVALID_VALUE | ARCH_MISMATCH | NOT_SUPPORTED => return Ok(false),
                status => return Err(failed(&self.context, None, "no product is chosen", status)),
            }
        }
        Ok(true)
    }

    fn check(&self, status: c_int) -> Result<(), DeviceError> {
        match status {
            0 => Ok(()),
            status => Err(failed(&self.context, None, "cuBLASLt fails", status)),
        }
    }
}

/// An error of cuBLASLt (`cublasStatus_t`) while a product was described or queued on `stream`.
fn failed(context: &Context, stream: Option<&Stream>, what: &str, status: c_int) -> DeviceError {
    let kind = match status {
        // Allocation failed.
        3 => DeviceErrorKind::OutOfMemory,
        // Not initialized, architecture mismatch, not supported.
        1 | ARCH_MISMATCH | NOT_SUPPORTED => DeviceErrorKind::Unsupported,
        // Mapping error, execution failed, internal error. The library says so of a GPU that is
        // lost, and as well where it has no memory left to load a kernel: the stream knows, and
        // the memory. Anything else is a step that failed; whether the lane still works is tried.
        11 | 13 | 14 => match (stream.map(Stream::wait), context.memory()) {
            (Some(Err(error)), _) => return error,
            (_, Ok((free, _))) if free < SCARCE_BYTES => DeviceErrorKind::OutOfMemory,
            _ => DeviceErrorKind::Misuse,
        },
        _ => DeviceErrorKind::Misuse,
    };
    DeviceError::new(
        kind,
        format!("cuda:{}: {what}: cuBLAS status {status}", context.ordinal()),
    )
}

/// The descriptors of a shape. A lane has its own: the number of rows and the bias are set in them.
struct Prepared {
    library: &'static CublasLt,
    context: Arc<Context>,
    descriptor: RawHandle,
    w: RawHandle,
    x: RawHandle,
    out: RawHandle,
}

// SAFETY: descriptors are plain data that one thread uses at a time.
unsafe impl Send for Prepared {}

impl Prepared {
    fn new(
        context: &Arc<Context>,
        library: &'static CublasLt,
        shape: &Shape,
        bias: RawAddress,
    ) -> Result<Self, DeviceError> {
        let mut prepared = Prepared {
            library,
            context: Arc::clone(context),
            descriptor: ptr::null_mut(),
            w: ptr::null_mut(),
            x: ptr::null_mut(),
            out: ptr::null_mut(),
        };
        let f = &library.functions;
        let scale = data_type(DType::F32);
        // SAFETY: the pointer is to a handle; `Drop` destroys what was made.
        let status =
            unsafe { (f.descriptor_create)(&raw mut prepared.descriptor, COMPUTE_32F, scale) };
        prepared.check(status)?;
        prepared.set(DESCRIPTOR_TRANSPOSE_A, &TRANSPOSE)?;
        prepared.set(DESCRIPTOR_EPILOGUE, &shape.ending.number())?;
        // Unless something else is said, a bias is in the format of the output.
        if shape.ending.has_bias() {
            prepared.set(DESCRIPTOR_BIAS_POINTER, &bias)?;
        }
        let (n, k, rows) = (shape.n as u64, shape.k as u64, NOMINAL_ROWS as u64);
        let layouts = [
            (&raw mut prepared.w, shape.dtype, k, n, shape.w_stride),
            (&raw mut prepared.x, shape.dtype, k, rows, shape.x_stride),
            (
                &raw mut prepared.out,
                shape.out_dtype,
                n,
                rows,
                shape.out_stride,
            ),
        ];
        for (to, dtype, first, second, stride) in layouts {
            // SAFETY: as above.
            let status =
                unsafe { (f.layout_create)(to, data_type(dtype), first, second, stride as i64) };
            prepared.check(status)?;
        }
        Ok(prepared)
    }

    /// Sets an attribute of the product.
    fn set<T>(&self, attribute: c_int, value: &T) -> Result<(), DeviceError> {
        // SAFETY: the descriptor is alive; callers pass the type that cublasLt.h gives the
        // attribute.
        self.check(unsafe {
            (self.library.functions.descriptor_set)(
                self.descriptor,
                attribute,
                ptr::from_ref(value).cast(),
                size_of::<T>(),
            )
        })
    }

    fn set_rows(&self, rows: usize) -> Result<(), DeviceError> {
        let rows = rows as u64;
        for layout in [self.x, self.out] {
            // SAFETY: the layout is alive; the number of columns is a u64.
            self.check(unsafe {
                (self.library.functions.layout_set)(
                    layout,
                    LAYOUT_COLS,
                    (&raw const rows).cast(),
                    size_of::<u64>(),
                )
            })?;
        }
        Ok(())
    }

    fn check(&self, status: c_int) -> Result<(), DeviceError> {
        match status {
            0 => Ok(()),
            status => Err(failed(
                &self.context,
                None,
                "a product can not be described",
                status,
            )),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let f = &self.library.functions;
        // SAFETY: what was made is destroyed once; a null handle was not made.
        unsafe {
            if !self.descriptor.is_null() {
                (f.descriptor_destroy)(self.descriptor);
            }
            for layout in [self.w, self.x, self.out] {
                if !layout.is_null() {
                    (f.layout_destroy)(layout);
                }
            }
        }
    }
}

/// The products of one lane.
pub(crate) struct LaneProducts {
    shared: Arc<Products>,
    prepared: HashMap<Shape, Option<(Prepared, Algorithm)>>,
}

impl LaneProducts {
    pub(crate) fn new(shared: &Arc<Products>) -> Self {
        LaneProducts {
            shared: Arc::clone(shared),
            prepared: HashMap::new(),
        }
    }

    /// Where algorithms are chosen.
    pub(crate) fn choices(&self) -> Arc<Products> {
        Arc::clone(&self.shared)
    }

    /// Whether cuBLASLt takes a product.
    pub(crate) fn takes(&mut self, product: &Product) -> Result<bool, DeviceError> {
        let shared = &self.shared;
        let entry = match self.prepared.entry(product.shape) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(match shared.algorithm(&product.shape, product.bias)? {
                    Some(algorithm) => Some((
                        Prepared::new(
                            &shared.context,
                            shared.library,
                            &product.shape,
                            product.bias,
                        )?,
                        algorithm,
                    )),
                    None => None,
                })
            }
        };
        Ok(entry.is_some())
    }

    /// Queues a product that is taken.
    pub(crate) fn queue(&self, stream: &Stream, product: &Product) -> Result<(), DeviceError> {
        let shared = &self.shared;
        let Some(Some((prepared, algorithm))) = self.prepared.get(&product.shape) else {
            return Err(DeviceError::new(
                DeviceErrorKind::Misuse,
                "a product without an algorithm",
            ));
        };
        if shared.context.is_lost() {
            return Err(shared.context.gone());
        }
        shared.context.enter("a product")?;
        if product.shape.ending.has_bias() {
            prepared.set(DESCRIPTOR_BIAS_POINTER, &product.bias)?;
        }
        let most = product.shape.most_rows();
        let mut first = 0;
        while first < product.rows {
            let rows = most.min(product.rows - first);
            prepared.set_rows(rows)?;
            let slice = product.behind_row(first);
            let status = multiply(shared, prepared, algorithm, &slice, stream);
            if status != 0 {
                return Err(failed(
                    &shared.context,
                    Some(stream),
                    "a product fails",
                    status,
                ));
            }
            first += rows;
        }
        Ok(())
    }
}

/// Queues one call. Returns cuBLASLt's status.
fn multiply(
    shared: &Products,
    prepared: &Prepared,
    algorithm: &Algorithm,
    product: &Product,
    stream: &Stream,
) -> c_int {
    let one = 1.0_f32;
    let keep = if product.shape.accumulates {
        1.0_f32
    } else {
        0.0
    };
    // SAFETY: every handle is alive and of this context; the addresses are of matrices of the
    // shapes that the layouts say, in memory of this GPU (`lane/linear.rs` measures them); the
    // algorithm needs no workspace; the scalars are read before the call returns.
    unsafe {
        (shared.library.functions.matmul)(
            shared.handle,
            prepared.descriptor,
            (&raw const one).cast::<c_void>(),
            product.w,
            prepared.w,
            product.x,
            prepared.x,
            (&raw const keep).cast::<c_void>(),
            product.out,
            prepared.out,
            product.out,
            prepared.out,
            algorithm,
            0,
            0,
            stream.raw(),
        )
    }
}
