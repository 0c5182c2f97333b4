//! Where the chunks of a sequence lie.

use std::num::NonZeroUsize;
use std::ops::Range;

/// The places of the chunks of a sequence, 0-based, in order; none for an empty sequence.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroUsize;
/// use sessile_seq::chunk::ranges;
///
/// let size = NonZeroUsize::new(300).unwrap();
/// assert_eq!(ranges(301, size).collect::<Vec<_>>(), [0..300, 150..301]);
/// assert_eq!(ranges(607, size).collect::<Vec<_>>(), [0..300, 202..502, 404..607]);
/// assert_eq!(ranges(10, size).collect::<Vec<_>>(), [0..10]);
/// ```
pub fn ranges(length: usize, size: NonZeroUsize) -> Ranges {
    let size = size.get();
    let count = length.div_ceil(size);
    // One chunk has no seam; this also keeps a huge size out of the products below.
    let missing = if count > 1 { count * size - length } else { 0 };
    let low = missing.checked_div(count).unwrap_or(0);
    Ranges {
        length,
        size,
        count,
        low,
        wide: missing - low * count.saturating_sub(1),
        next: 0,
    }
}

/// Iterator over the places of chunks, made by [`ranges`].
#[derive(Clone, Debug)]
pub struct Ranges {
    length: usize,
    size: usize,
    count: usize,
    /// The overlap of a narrow seam.
    low: usize,
    /// How many seams overlap by one base more.
    wide: usize,
    next: usize,
}

impl Iterator for Ranges {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.next == self.count {
            return None;
        }
        let index = self.next;
        self.next += 1;
        let overlapped = index * self.low + index.min(self.wide);
        let start = index * self.size - overlapped;
        // Not `start + size`, which a huge size would overflow.
        let end = start + self.size.min(self.length - start);
        Some(start..end)
    }

    /// Any place is computed by itself.
    fn nth(&mut self, n: usize) -> Option<Range<usize>> {
        self.next = self.next.saturating_add(n).min(self.count);
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Ranges {}
