//! Sequences to send when the user has none at hand.

/// Residues by how often they stand in proteins, a letter per half percent or so.
const RESIDUES: &[u8] = b"AAAAAAAAAAAAAAAACCDDDDDDDDDDDEEEEEEEEEEEEEFFFFFFFFGGGGGGGGGGGGGG\
HHHHIIIIIIIIIIIIKKKKKKKKKKKKLLLLLLLLLLLLLLLLLLLLMMMMMNNNNNNNNPPPPPPPPPQQQQQQQQRRRRRRRRRRR\
SSSSSSSSSSSSSTTTTTTTTTTTVVVVVVVVVVVVVVWWYYYYYY";

/// `count` made-up proteins of short open reading frames: from 20 to 120 residues, the shorter the
/// more often, the same every time.
///
/// # Examples
///
/// ```
/// let set = sessile_server::load::short_orfs(256);
/// assert_eq!(set.len(), 256);
/// assert!(set.iter().all(|orf| (20..=120).contains(&orf.len()) && orf.starts_with('M')));
/// assert_eq!(set, sessile_server::load::short_orfs(256));
/// ```
pub fn short_orfs(count: usize) -> Vec<String> {
    let mut state = 0x5e55_11e5_u64;
    let mut random = move || {
        // A linear congruential generator; its high bits are good enough for letters.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..count)
        .map(|_| {
            // The smaller of two draws: short ones are more frequent.
            let length = 20 + (random() % 101).min(random() % 101);
            let mut orf = String::with_capacity(length);
            orf.push('M');
            while orf.len() < length {
                orf.push(char::from(RESIDUES[random() % RESIDUES.len()]));
            }
            orf
        })
        .collect()
}
