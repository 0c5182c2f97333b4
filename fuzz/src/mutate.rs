//! Changing inputs at random.

/// Numbers at which code tends to break.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];

/// Most changes to one input.
const MAX_CHANGES: usize = 8;

pub struct Mutator {
    state: u64,
}

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Mutator {
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    /// xorshift64* (Vigna 2016, arXiv:1402.6246).
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 33) as usize) % end.max(1)
    }

    /// One of the inputs, changed in a few places.
    pub fn mutate(&mut self, inputs: &[Vec<u8>], max_bytes: usize) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..1 + self.below(MAX_CHANGES) {
            self.change(&mut input, inputs);
        }
        input.truncate(max_bytes);
        input
    }

    fn piece(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        let longest = (bytes.len() - start).min(1 << self.below(10));
        start..start + self.below(longest + 1)
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let place = self.below(input.len());
        match self.below(9) {
            0 if !input.is_empty() => input[place] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[place] = self.next() as u8,
            2 => input.insert(place, self.next() as u8),
            3 => {
                let piece = self.piece(input);
                input.drain(piece);
            }
            4 => {
                let piece = self.piece(input);
                let bytes = input[piece].to_vec();
                input.splice(place..place, bytes);
            }
            5 => {
                let other = &inputs[self.below(inputs.len())];
                let piece = self.piece(other);
                input.splice(place..place, other[piece].iter().copied());
            }
            6 => {
                // A number at an edge, of one to eight bytes.
                let bytes = EDGES[self.below(EDGES.len())].to_le_bytes();
                let length = 1 << self.below(4);
                let end = input.len().min(place + length);
                input.splice(place..end, bytes[..length].iter().copied());
            }
            7 => {
                // A decimal number at an edge, for text.
                let number = EDGES[self.below(EDGES.len())].to_string();
                input.splice(place..place, number.into_bytes());
            }
            _ => input.truncate(self.below(input.len() + 1)),
        }
    }
}
