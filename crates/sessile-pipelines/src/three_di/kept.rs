//! What the journal keeps of a protein.

use sessile_models::three_di::StateSequence;

use super::Encoded;

impl Encoded {
    /// States, a line for each alphabet, and behind a zero the probabilities of the first.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.three_di.states.clone().into_bytes();
        if let Some(twelve) = &self.twelve_state {
            bytes.push(b'\n');
            bytes.extend_from_slice(twelve.states.as_bytes());
        }
        bytes.push(0);
        let probabilities = self.three_di.probabilities.iter();
        bytes.extend(probabilities.flat_map(|probability| probability.to_le_bytes()));
        bytes
    }

    /// The same back again; none when the bytes are of no states. Of the second alphabet the
    /// probabilities are lost, which no row has.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let states = str::from_utf8(&bytes[..end]).ok()?;
        let (numbers, rest) = bytes[end + 1..].as_chunks::<4>();
        let probabilities: Vec<f32> = numbers.iter().copied().map(f32::from_le_bytes).collect();
        let (three_di, twelve) = match states.split_once('\n') {
            Some((three_di, twelve)) => (three_di, Some(twelve)),
            None => (states, None),
        };
        let fits = |length: usize| length == three_di.len();
        let all_fit = twelve.is_none_or(|twelve| fits(twelve.len()))
            && (probabilities.is_empty() || fits(probabilities.len()));
        (all_fit && rest.is_empty()).then(|| Encoded {
            three_di: StateSequence {
                states: three_di.to_owned(),
                probabilities,
            },
            twelve_state: twelve.map(|twelve| StateSequence {
                states: twelve.to_owned(),
                probabilities: Vec::new(),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let three_di = StateSequence {
            states: "DVP".to_owned(),
            probabilities: vec![0.5, 0.25, 1.0],
        };
        let twelve = StateSequence {
            states: "AAL".to_owned(),
            probabilities: Vec::new(),
        };
        for encoded in [
            Encoded {
                three_di: three_di.clone(),
                twelve_state: None,
            },
            Encoded {
                three_di,
                twelve_state: Some(twelve),
            },
            Encoded::default(),
        ] {
            let bytes = encoded.to_bytes();
            assert_eq!(Encoded::from_bytes(&bytes), Some(encoded));
            assert_eq!(Encoded::from_bytes(&bytes[..bytes.len() - 1]), None);
        }
    }
}
