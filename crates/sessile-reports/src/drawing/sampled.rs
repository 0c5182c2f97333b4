//! As many things as there is room for, evenly taken from a stream of any length.

/// Every thing of a stream, or every second, every fourth … when there are too many.
#[derive(Debug)]
pub(crate) struct Sampled<T> {
    items: Vec<T>,
    most: usize,
    stride: u64,
    seen: u64,
}

impl<T> Default for Sampled<T> {
    fn default() -> Self {
        Sampled::new(2)
    }
}

impl<T> Sampled<T> {
    /// At most `most` things.
    pub(crate) fn new(most: usize) -> Self {
        Sampled {
            items: Vec::new(),
            most: most.max(2),
            stride: 1,
            seen: 0,
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.seen.is_multiple_of(self.stride) {
            if self.items.len() == self.most {
                let mut place = 0;
                self.items.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.items.push(item);
            }
        }
        self.seen += 1;
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    /// Of how many things one is kept.
    pub(crate) fn stride(&self) -> u64 {
        self.stride
    }

    pub(crate) fn for_each(&mut self, change: impl FnMut(&mut T)) {
        self.items.iter_mut().for_each(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_streams_are_thinned_evenly() {
        for (length, stride) in [
            (0, 1),
            (5, 1),
            (10, 1),
            (11, 2),
            (20, 2),
            (21, 4),
            (1000, 128),
        ] {
            let mut sampled = Sampled::new(10);
            (0..length).for_each(|item: u64| sampled.push(item));
            assert_eq!(sampled.stride(), stride, "{length}");
            let expected: Vec<u64> = (0..length).step_by(stride as usize).collect();
            assert_eq!(sampled.items(), expected, "{length}");
        }
    }
}
