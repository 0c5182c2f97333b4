//! What belongs to one GPU in this process: its context, memory, streams and events.
//!
//! Each of these gives itself back when it is dropped, on whatever thread that happens. Once a GPU
//! is lost nothing is given back any more: its driver would only complain, or hang.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sessile_device::{DeviceError, DeviceErrorKind};

use crate::discovery::Gpu;
use crate::driver::{Code, Driver, RawAddress, RawHandle};

thread_local! {
    /// The context that this thread has made current last.
    static CURRENT: Cell<RawHandle> = const { Cell::new(ptr::null_mut()) };
}

/// The context of one GPU: the primary one, kept for the life of the process.
pub(crate) struct Context {
    driver: &'static Driver,
    raw: RawHandle,
    ordinal: u32,
    lost: AtomicBool,
}

// SAFETY: a context may be current on any number of threads at once, and the driver's functions
// may be called from all of them (CUDA driver API, "Context management").
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Takes the context of the GPU at `ordinal`.
    pub(crate) fn new(driver: &'static Driver, ordinal: u32) -> Result<Arc<Self>, DeviceError> {
        let failed = |code: Code| code.into_error(&format!("cuda:{ordinal} can not be opened"));
        let device = driver.device(ordinal.cast_signed()).map_err(failed)?;
        let mut raw = ptr::null_mut();
        // SAFETY: `device` is one of the driver's; the pointer is to a handle.
        Code::check(unsafe { (driver.functions.context_retain)(&raw mut raw, device) })
            .map_err(failed)?;
        Ok(Arc::new(Context {
            driver,
            raw,
            ordinal,
            lost: AtomicBool::new(false),
        }))
    }

    pub(crate) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Whether the GPU can not be used any more in this process.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Runs a driver function on this context.
    pub(crate) fn call(
        &self,
        what: &str,
        function: impl FnOnce(&'static Driver) -> i32,
    ) -> Result<(), DeviceError> {
        if self.is_lost() {
            return Err(self.gone());
        }
        self.enter(what)?;
        Code::check(function(self.driver)).map_err(|code| self.note(code, what))
    }

    /// Makes the context current on this thread.
    pub(crate) fn enter(&self, what: &str) -> Result<(), DeviceError> {
        if CURRENT.get() == self.raw {
            return Ok(());
        }
        // SAFETY: the context is retained for the life of the process.
        Code::check(unsafe { (self.driver.functions.context_set)(self.raw) })
            .map_err(|code| self.note(code, what))?;
        CURRENT.set(self.raw);
        Ok(())
    }

    /// An error of this GPU; remembers when it is lost by it.
    pub(crate) fn note(&self, code: Code, what: &str) -> DeviceError {
        let error = code.into_error(&format!("cuda:{}: {what}", self.ordinal));
        if error.kind() == DeviceErrorKind::Lost {
            self.lost.store(true, Ordering::Relaxed);
        }
        error
    }

    /// What every operation says once the GPU is lost.
    pub(crate) fn gone(&self) -> DeviceError {
        DeviceError::new(
            DeviceErrorKind::Lost,
            format!("cuda:{} was lost", self.ordinal),
        )
    }

    /// Free and total bytes of memory.
    pub(crate) fn memory(&self) -> Result<(u64, u64), DeviceError> {
        let (mut free, mut total) = (0_usize, 0_usize);
        self.call("asking for its memory", |driver| {
            // SAFETY: the context is current; the pointers are to numbers of the right type.
            unsafe { (driver.functions.memory_info)(&raw mut free, &raw mut total) }
        })?;
        Ok((free as u64, total as u64))
    }
}

/// Free and total bytes of the memory of a GPU. It is woken by that: its context stays for the life
/// of the process.
///
/// # Errors
///
/// Whatever keeps the GPU from answering.
pub fn memory(driver: &'static Driver, gpu: &Gpu) -> Result<(u64, u64), DeviceError> {
    Context::new(driver, gpu.ordinal)?.memory()
}

/// A block of device memory.
pub(crate) struct DeviceMemory {
    context: Arc<Context>,
    address: RawAddress,
    len: usize,
}

impl DeviceMemory {
    /// Takes `len` bytes.
    pub(crate) fn new(context: &Arc<Context>, len: usize) -> Result<Self, DeviceError> {
        let mut address = 0;
        if len > 0 {
            context
                .call("taking memory", |driver| {
                    // SAFETY: the context is current; the pointer is to an address.
                    unsafe { (driver.functions.memory_alloc)(&raw mut address, len) }
                })
                .map_err(|error| match error.kind() {
                    DeviceErrorKind::OutOfMemory => DeviceError::new(
                        DeviceErrorKind::OutOfMemory,
                        format!(
                            "cuda:{} has no {} MiB of memory left",
                            context.ordinal,
                            len.div_ceil(1 << 20)
                        ),
                    ),
                    _ => error,
                })?;
        }
        Ok(DeviceMemory {
            context: Arc::clone(context),
            address,
            len,
        })
    }

    pub(crate) fn address(&self) -> RawAddress {
        self.address
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.address != 0 {
            let address = self.address;
            // Nobody can be told of a failure here, and nothing follows from it.
            let _ = self.context.call("giving memory back", |driver| {
                // SAFETY: the block is this value's own and is given back once.
                unsafe { (driver.functions.memory_free)(address) }
            });
        }
    }
}

/// Host memory that the GPU copies from and to without a detour, and that kernels can reach.
pub(crate) struct PinnedMemory {
    context: Arc<Context>,
    pointer: *mut u8,
    len: usize,
}

// SAFETY: the block belongs to this value alone; a raw pointer only keeps the compiler from seeing
// that by itself.
unsafe impl Send for PinnedMemory {}

impl PinnedMemory {
    /// Takes `len` bytes, all zero.
    pub(crate) fn new(context: &Arc<Context>, len: usize) -> Result<Self, DeviceError> {
        /// `CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP`.
        const FLAGS: u32 = 1 | 2;
        let mut pointer: RawHandle = ptr::null_mut();
        let len = len.max(1);
        context.call("taking pinned memory", |driver| {
            // SAFETY: the context is current; the pointer is to a pointer.
            unsafe { (driver.functions.host_alloc)(&raw mut pointer, len, FLAGS) }
        })?;
        // SAFETY: the driver has lent `len` bytes to this process.
        unsafe { ptr::write_bytes(pointer.cast::<u8>(), 0, len) };
        Ok(PinnedMemory {
            context: Arc::clone(context),
            pointer: pointer.cast(),
            len,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the block starts. With unified addressing, which every supported GPU has, kernels use
    /// the same address.
    pub(crate) fn address(&self) -> RawAddress {
        self.pointer as RawAddress
    }

    /// The first `count` elements of four or two bytes.
    pub(crate) fn read<T: Plain>(&self, count: usize) -> &[T] {
        assert!(count * size_of::<T>() <= self.len);
        // SAFETY: the block has so many bytes, is page-aligned and initialised, any bits are a
        // `T`, and no copy into it is under way (whoever calls has waited for its event).
        unsafe { std::slice::from_raw_parts(self.pointer.cast(), count) }
    }

    /// `count` elements from byte `offset` on, to write.
    pub(crate) fn write<T: Plain>(&mut self, offset: usize, count: usize) -> &mut [T] {
        assert!(
            offset.is_multiple_of(size_of::<T>()) && offset + count * size_of::<T>() <= self.len
        );
        // SAFETY: as above; `&mut self` keeps everybody else in this process away, and no copy from
        // this part is under way.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(offset).cast(), count) }
    }

    /// The first word, which a kernel may write at any time.
    pub(crate) fn word(&self) -> u32 {
        // SAFETY: the block holds at least a word (see `lane.rs`) and is aligned.
        unsafe { self.pointer.cast::<u32>().read_volatile() }
    }

    /// Sets the first word.
    pub(crate) fn set_word(&mut self, word: u32) {
        // SAFETY: as above.
        unsafe { self.pointer.cast::<u32>().write_volatile(word) }
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        let pointer: *mut c_void = self.pointer.cast();
        let _ = self.context.call("giving pinned memory back", |driver| {
            // SAFETY: the block is this value's own and is given back once.
            unsafe { (driver.functions.host_free)(pointer) }
        });
    }
}

/// Elements that any bits are.
pub(crate) trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for u32 {}
impl Plain for u16 {}

/// A queue of work on the GPU, in order.
pub(crate) struct Stream {
    context: Arc<Context>,
    raw: RawHandle,
}

// SAFETY: streams may be used from any thread.
unsafe impl Send for Stream {}

impl Stream {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        /// `CU_STREAM_NON_BLOCKING`: it waits for no other stream.
        const FLAGS: u32 = 1;
        let mut raw = ptr::null_mut();
        context.call("making a stream", |driver| {
            // SAFETY: the context is current; the pointer is to a handle.
            unsafe { (driver.functions.stream_create)(&raw mut raw, FLAGS) }
        })?;
        Ok(Stream {
            context: Arc::clone(context),
            raw,
        })
    }

    pub(crate) fn raw(&self) -> RawHandle {
        self.raw
    }

    /// Bytes of memory that the GPU has left.
    pub(crate) fn free_memory(&self) -> Result<u64, DeviceError> {
        self.context.memory().map(|(free, _)| free)
    }

    /// Waits until everything queued is done.
    pub(crate) fn wait(&self) -> Result<(), DeviceError> {
        self.context.call("waiting", |driver| {
            // SAFETY: the stream is this value's own.
            unsafe { (driver.functions.stream_synchronize)(self.raw) }
        })
    }

    /// Queues a copy of `len` bytes of `from`, from byte `offset` on. They must stay as they are
    /// until the copy is done.
    pub(crate) fn copy_in(
        &self,
        to: RawAddress,
        from: &PinnedMemory,
        offset: usize,
        len: usize,
    ) -> Result<(), DeviceError> {
        assert!(offset + len <= from.len);
        if len == 0 {
            return Ok(());
        }
        self.context.call("copying to the GPU", |driver| {
            // SAFETY: the source has so many bytes and lives until the stream has been waited for
            // (`Staging` and `Packer` see to both); the destination is a part of a block that the
            // caller has measured.
            unsafe {
                (driver.functions.copy_to_device)(
                    to,
                    from.pointer.add(offset).cast(),
                    len,
                    self.raw,
                )
            }
        })
    }

    /// Queues a copy of `len` bytes into `to`, from byte `offset` on.
    pub(crate) fn copy_out(
        &self,
        to: &mut PinnedMemory,
        offset: usize,
        from: RawAddress,
        len: usize,
    ) -> Result<(), DeviceError> {
        assert!(offset + len <= to.len);
        if len == 0 {
            return Ok(());
        }
        self.context.call("copying from the GPU", |driver| {
            // SAFETY: the destination has so many bytes and is not touched before its event has
            // been waited for; the source is a part of a block that the caller has measured.
            unsafe {
                (driver.functions.copy_to_host)(to.pointer.add(offset).cast(), from, len, self.raw)
            }
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.wait();
        let _ = self.context.call("giving a stream back", |driver| {
            // SAFETY: the stream is this value's own, is idle and is given back once.
            unsafe { (driver.functions.stream_destroy)(self.raw) }
        });
    }
}

/// A point in a stream that can be waited for.
pub(crate) struct Event {
    context: Arc<Context>,
    raw: RawHandle,
}

// SAFETY: events may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        /// `CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC`: who waits leaves the core to others.
        const FLAGS: u32 = 2 | 1;
        let mut raw = ptr::null_mut();
        context.call("making an event", |driver| {
            // SAFETY: the context is current; the pointer is to a handle.
            unsafe { (driver.functions.event_create)(&raw mut raw, FLAGS) }
        })?;
        Ok(Event {
            context: Arc::clone(context),
            raw,
        })
    }

    /// Marks the point that `stream` has come to.
    pub(crate) fn record(&self, stream: &Stream) -> Result<(), DeviceError> {
        self.context.call("marking a point", |driver| {
            // SAFETY: both belong to this context.
            unsafe { (driver.functions.event_record)(self.raw, stream.raw) }
        })
    }

    /// Waits until the stream has come to the point.
    pub(crate) fn wait(&self) -> Result<(), DeviceError> {
        self.context.call("computing", |driver| {
            // SAFETY: the event is this value's own.
            unsafe { (driver.functions.event_synchronize)(self.raw) }
        })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.call("giving an event back", |driver| {
            // SAFETY: the event is this value's own and is given back once.
            unsafe { (driver.functions.event_destroy)(self.raw) }
        });
    }
}

/// Work of a stream that was recorded, ready to start with one call.
pub(crate) struct Graph {
    context: Arc<Context>,
    raw: RawHandle,
}

// SAFETY: a graph may be started from any thread, by one at a time.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `queue` asks of `stream`, which does nothing of it now. `None` when the driver
    /// does not record it; the stream is as it was then.
    pub(crate) fn record(
        stream: &Stream,
        queue: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Option<Graph> {
        /// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`: what other threads do is no part of it.
        const MODE: i32 = 1;
        let context = &stream.context;
        if context.is_lost() || context.enter("recording").is_err() {
            return None;
        }
        let functions = &context.driver.functions;
        // SAFETY: the stream is alive and of the current context.
        if unsafe { (functions.capture_begin)(stream.raw, MODE) } != 0 {
            return None;
        }
        let queued = queue();
        let (mut graph, mut raw) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as above; the pointers are to handles. A graph that was made is destroyed once,
        // and what was made of it lives on (CUDA driver API, cuGraphInstantiate).
        unsafe {
            let mut status = (functions.capture_end)(stream.raw, &raw mut graph);
            if graph.is_null() {
                return None;
            }
            if status == 0 && queued.is_ok() {
                status = (functions.graph_instantiate)(&raw mut raw, graph, 0);
            }
            (functions.graph_destroy)(graph);
            if status != 0 || queued.is_err() || raw.is_null() {
                return None;
            }
            // The GPU's memory for it is taken now, not in the middle of a pass.
            if (functions.graph_upload)(raw, stream.raw) != 0 {
                (functions.graph_executable_destroy)(raw);
                return None;
            }
        }
        Some(Graph {
            context: Arc::clone(context),
            raw,
        })
    }

    /// Queues everything that was recorded.
    pub(crate) fn start(&self, stream: &Stream) -> Result<(), DeviceError> {
        self.context.call("starting a graph", |driver| {
            // SAFETY: both are alive and of this context.
            unsafe { (driver.functions.graph_launch)(self.raw, stream.raw) }
        })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.context.call("giving a graph back", |driver| {
            // SAFETY: the graph is this value's own and is given back once; one that still runs
            // is kept by the driver until it is done (CUDA driver API, cuGraphExecDestroy).
            unsafe { (driver.functions.graph_executable_destroy)(self.raw) }
        });
    }
}
