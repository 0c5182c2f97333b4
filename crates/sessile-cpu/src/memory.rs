//! Blocks of memory for arenas, packed weights and scratch: zeroed, aligned, on huge pages where
//! the system has them.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use sessile_device::{DeviceError, DeviceErrorKind};

/// Every block starts at a multiple of this: a cache-line pair, and what the arena's offsets count
/// on.
const ALIGNMENT: usize = 256;

/// Blocks of at least this size are mapped from the system at this alignment, so that they lie on
/// huge pages: a panel walk over 4 KiB pages misses the TLB at every step.
const HUGE_PAGE: usize = 2 << 20;

/// An owned block of zeroed memory. Pages of a large block cost nothing until they are touched.
pub(crate) struct Block {
    start: NonNull<u8>,
    len: usize,
    origin: Origin,
}

enum Origin {
    /// From the allocator, with this layout.
    Allocator(Layout),
    /// Mapped: the base and length of the whole mapping.
    #[cfg(unix)]
    Mapping(NonNull<u8>, usize),
}

// SAFETY: the block is plain memory that this value alone owns.
unsafe impl Send for Block {}
// SAFETY: a shared block is only read through `&self`, except through pointers whose users
// promise that they do not overlap.
unsafe impl Sync for Block {}

impl Block {
    /// A block of `len` zero bytes.
    pub(crate) fn zeroed(len: usize) -> Result<Block, DeviceError> {
        #[cfg(unix)]
        if len >= HUGE_PAGE {
            return Block::mapped(len);
        }
        Block::allocated(len)
    }

    /// A block of `len` zeros.
    pub(crate) fn floats(len: usize) -> Result<Block, DeviceError> {
        let bytes = len.checked_mul(4).ok_or_else(|| out_of_memory(len))?;
        Block::zeroed(bytes)
    }

    /// A block of `len` zeros of 16 bits.
    pub(crate) fn halves(len: usize) -> Result<Block, DeviceError> {
        let bytes = len.checked_mul(2).ok_or_else(|| out_of_memory(len))?;
        Block::zeroed(bytes)
    }

    fn allocated(len: usize) -> Result<Block, DeviceError> {
        let layout =
            Layout::from_size_align(len.max(1), ALIGNMENT).map_err(|_| out_of_memory(len))?;
        // SAFETY: the layout's size is not zero.
        let start =
            NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(|| out_of_memory(len))?;
        Ok(Block {
            start,
            len,
            origin: Origin::Allocator(layout),
        })
    }

    #[cfg(unix)]
    fn mapped(len: usize) -> Result<Block, DeviceError> {
        let whole = len
            .checked_next_multiple_of(HUGE_PAGE)
            .and_then(|len| len.checked_add(HUGE_PAGE))
            .ok_or_else(|| out_of_memory(len))?;
        // SAFETY: a fresh private mapping, placed by the system, touches no other memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                whole,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(out_of_memory(len).with_source(std::io::Error::last_os_error()));
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| out_of_memory(len))?;
        let skip = base.align_offset(HUGE_PAGE);
        // SAFETY: `skip < HUGE_PAGE`, and the mapping is that much longer than the block.
        let start = unsafe { base.add(skip) };
        // The slack before and after the block is never touched, so it takes no memory.
        #[cfg(target_os = "linux")]
        // SAFETY: the range lies in the mapping; this is advice and may be refused.
        unsafe {
            libc::madvise(
                start.as_ptr().cast(),
                len.next_multiple_of(HUGE_PAGE),
                libc::MADV_HUGEPAGE,
            );
        }
        Ok(Block {
            start,
            len,
            origin: Origin::Mapping(base, whole),
        })
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The start of the block. Reading and writing through it is up to the caller.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The block as floats.
    pub(crate) fn as_floats(&self) -> &[f32] {
        // SAFETY: the block holds `len` initialised bytes, its start is aligned, every bit
        // pattern is an f32, and `&self` lends it for reading.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 4) }
    }

    /// The block as numbers of 16 bits.
    pub(crate) fn as_halves(&self) -> &[u16] {
        // SAFETY: as in `as_floats`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 2) }
    }

    /// The block as numbers of 16 bits to write to.
    pub(crate) fn as_halves_mut(&mut self) -> &mut [u16] {
        // SAFETY: as in `as_floats`, and `&mut self` makes it the only view.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 2) }
    }

    /// The block as floats to write to.
    pub(crate) fn as_floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_floats`, and `&mut self` makes it the only view.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 4) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        match self.origin {
            // SAFETY: allocated with this layout in `allocated`, and nothing points here any more.
            Origin::Allocator(layout) => unsafe { dealloc(self.start.as_ptr(), layout) },
            #[cfg(unix)]
            // SAFETY: the mapping that `mapped` made, and nothing points here any more.
            Origin::Mapping(base, whole) => unsafe {
                libc::munmap(base.as_ptr().cast(), whole);
            },
        }
    }
}

fn out_of_memory(bytes: usize) -> DeviceError {
    DeviceError::new(
        DeviceErrorKind::OutOfMemory,
        format!("the system has no {bytes} bytes of memory to give"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zeroed_and_aligned() {
        for len in [0, 1, 4096, HUGE_PAGE - 4, HUGE_PAGE, 3 * HUGE_PAGE + 12] {
            let mut block = Block::zeroed(len).unwrap();
            assert_eq!(block.len(), len);
            assert_eq!(block.as_ptr() as usize % ALIGNMENT, 0);
            assert!(block.as_floats().iter().all(|&value| value == 0.0));
            block.as_floats_mut().fill(1.0);
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for len in [usize::MAX, isize::MAX as usize] {
            let kind = Block::zeroed(len).map(drop).unwrap_err().kind();
            assert_eq!(kind, DeviceErrorKind::OutOfMemory);
        }
    }
}
