//! Where the elements of a tensor lie in its file, and how to read any run of them in order.
//!
//! Nearly every tensor is dense: one read. PyTorch files may also hold views (a transposed matrix,
//! a slice), which are described by a stride for every dimension. Such a view is read without
//! copying the whole of it: the wanted range is cut into boxes, and each box is read along the
//! dimension whose elements lie closest together.

use std::io;

use super::file::WeightFile;

/// Bytes read at a time from a view whose elements do not touch.
const STAGING_BYTES: usize = 64 * 1024;

/// Farther apart than this (in elements), elements are read one by one instead of with the gaps.
const MAX_GAP: usize = 16;

/// The place of a tensor: `offset` in bytes, and strides in elements when it is not dense.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Strided {
    /// Byte in the file of the first element.
    pub(crate) offset: u64,
    /// Stride of every dimension in elements; empty when the tensor is dense.
    pub(crate) strides: Vec<usize>,
}

impl Strided {
    pub(crate) fn dense(offset: u64) -> Self {
        Strided {
            offset,
            strides: Vec::new(),
        }
    }

    /// A view with these strides; dense when they are those of a dense tensor. The caller has
    /// checked that the last element lies inside the storage.
    pub(crate) fn view(offset: u64, shape: &[usize], strides: Vec<usize>) -> Self {
        if is_dense(shape, &strides) {
            Strided::dense(offset)
        } else {
            Strided { offset, strides }
        }
    }

    /// Reads the elements from `first` on, in row-major order of `shape`, as stored bytes.
    /// `out` is a whole number of elements of `size` bytes.
    pub(crate) fn read(
        &self,
        file: &WeightFile,
        shape: &[usize],
        size: usize,
        first: usize,
        out: &mut [u8],
    ) -> io::Result<()> {
        if self.strides.is_empty() {
            return file.read_exact_at(self.offset + (first * size) as u64, out);
        }
        let mut first = first;
        let mut out = out;
        while !out.is_empty() {
            let part = Block::starting_at(first, out.len() / size, shape, &self.strides);
            let (head, tail) = out.split_at_mut(part.elements() * size);
            part.read(file, self.offset, size, head)?;
            first += part.elements();
            out = tail;
        }
        Ok(())
    }
}

fn is_dense(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    for (&length, &stride) in shape.iter().zip(strides).rev() {
        if length > 1 && stride != expected {
            return false;
        }
        expected = expected.saturating_mul(length);
    }
    true
}

/// A block of a view that is contiguous in row-major order.
struct Block {
    /// Position of its first element in the storage, in elements.
    start: usize,
    /// Per dimension: length, stride in the storage, stride in the block.
    dimensions: Vec<(usize, usize, usize)>,
}

impl Block {
    /// The largest block that starts at logical element `first` and has at most `wanted` elements.
    fn starting_at(first: usize, wanted: usize, shape: &[usize], strides: &[usize]) -> Block {
        let mut rest = first;
        let mut inner = 1;
        let mut start = 0;
        let mut dimensions = Vec::new();
        let mut open = true;
        for (&length, &stride) in shape.iter().zip(strides).rev() {
            let index = rest % length;
            rest /= length;
            start += index * stride;
            if open {
                let count = (wanted / inner).min(length - index);
                if count > 1 {
                    dimensions.push((count, stride, inner));
                }
                // Only a dimension taken whole lets the one outside of it be taken too.
                open = count == length && wanted / inner > length;
                inner *= length;
            }
        }
        // The dimension whose elements lie closest together is read in one go.
        dimensions.sort_by_key(|&(_, stride, _)| stride);
        Block { start, dimensions }
    }

    fn elements(&self) -> usize {
        self.dimensions.iter().map(|&(count, ..)| count).product()
    }

    fn read(&self, file: &WeightFile, offset: u64, size: usize, out: &mut [u8]) -> io::Result<()> {
        let single = [(1, 1, 1)];
        let (run, outer) = match self.dimensions.split_first() {
            Some((run, outer)) => (*run, outer),
            None => (single[0], &[][..]),
        };
        let mut indices = vec![0; outer.len()];
        let mut staging = Vec::new();
        loop {
            let (mut from, mut to) = (self.start, 0);
            for (&index, &(_, stride, inner)) in indices.iter().zip(outer) {
                from += index * stride;
                to += index * inner;
            }
            read_run(file, offset, size, from, to, run, &mut staging, out)?;
            // Count the outer dimensions on like an odometer.
            let mut dimension = 0;
            loop {
                let Some(index) = indices.get_mut(dimension) else {
                    return Ok(());
                };
                *index += 1;
                if *index < outer[dimension].0 {
                    break;
                }
                *index = 0;
                dimension += 1;
            }
        }
    }
}

/// Reads `run.0` elements that lie `run.1` apart in the storage and go `run.2` apart into `out`.
#[expect(clippy::too_many_arguments, reason = "the innermost step of one loop")]
fn read_run(
    file: &WeightFile,
    offset: u64,
    size: usize,
    from: usize,
    to: usize,
    (count, stride, inner): (usize, usize, usize),
    staging: &mut Vec<u8>,
    out: &mut [u8],
) -> io::Result<()> {
    let at = |element: usize| offset + (element * size) as u64;
    if stride == 1 && inner == 1 {
        return file.read_exact_at(at(from), &mut out[to * size..(to + count) * size]);
    }
    let step = if stride > MAX_GAP {
        1
    } else {
        STAGING_BYTES / (stride.max(1) * size)
    };
    let step = step.max(1);
    let mut done = 0;
    while done < count {
        let taken = step.min(count - done);
        let span = ((taken - 1) * stride + 1) * size;
        staging.resize(span, 0);
        file.read_exact_at(at(from + done * stride), staging)?;
        for element in 0..taken {
            let source = element * stride * size;
            let target = (to + (done + element) * inner) * size;
            out[target..target + size].copy_from_slice(&staging[source..source + size]);
        }
        done += taken;
    }
    Ok(())
}
