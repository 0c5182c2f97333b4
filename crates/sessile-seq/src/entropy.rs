//! Shannon entropy and mutual information of sequences, in bits.
//!
//! Symbols are bytes and case does not matter; every symbol counts, `N`, `X` and `*` included.
//! Nothing is normalised by the size of an alphabet. Definitions: Shannon 1948,
//! <https://doi.org/10.1002/j.1538-7305.1948.tb01338.x>.

use crate::error::{Error, ErrorKind, Result};

/// Values in (-this, 0) come from rounding and mean 0.
const ROUNDING_BITS: f64 = 1e-12;

/// The entropy of the symbols of a sequence: H = −Σ p(x) log₂ p(x), in bits per symbol.
///
/// An empty sequence has 0.
///
/// # Examples
///
/// ```
/// use sessile_seq::entropy::shannon;
///
/// assert_eq!(shannon(b"ACGTacgt"), 2.0);
/// assert_eq!(shannon(b"AAAA"), 0.0);
/// ```
pub fn shannon(sequence: &[u8]) -> f64 {
    // Two tables, so that runs of one symbol do not wait for the same counter.
    let (mut even, mut odd) = ([0_u64; 256], [0_u64; 256]);
    let (pairs, rest) = sequence.as_chunks::<2>();
    for &[first, second] in pairs {
        even[usize::from(first)] += 1;
        odd[usize::from(second)] += 1;
    }
    for &symbol in rest {
        even[usize::from(symbol)] += 1;
    }
    let mut counts = [0_u64; 256];
    for symbol in 0..=u8::MAX {
        let upper = usize::from(symbol.to_ascii_uppercase());
        counts[upper] += even[usize::from(symbol)] + odd[usize::from(symbol)];
    }
    let total = sequence.len() as f64;
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| count as f64 / total)
        .fold(0.0, |bits, p| bits - p * p.log2())
}

/// The mutual information of two aligned sequences, in bits:
/// I = Σ p(x,y) log₂(p(x,y) / (p(x) p(y))).
///
/// Two empty sequences have 0; a value that rounding makes slightly negative is 0.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`] when the lengths differ.
///
/// # Examples
///
/// ```
/// use sessile_seq::entropy::mutual_information;
///
/// assert_eq!(mutual_information(b"ACAC", b"DEDE")?, 1.0);
/// assert_eq!(mutual_information(b"ACAC", b"DDEE")?, 0.0);
/// # Ok::<(), sessile_seq::Error>(())
/// ```
pub fn mutual_information(a: &[u8], b: &[u8]) -> Result<f64> {
    if a.len() != b.len() {
        let message = format!(
            "mutual information needs sequences of one length, not {} and {}",
            a.len(),
            b.len()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    // Small tables of the symbols that occur: a table of all 65,536 pairs would cost more than the
    // sequence of one gene.
    let (a_ranks, a_count) = ranks(a);
    let (b_ranks, b_count) = ranks(b);
    let mut joint = vec![0_u64; a_count * b_count];
    let (mut a_totals, mut b_totals) = (vec![0_u64; a_count], vec![0_u64; b_count]);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y) = (a_ranks[usize::from(x)], b_ranks[usize::from(y)]);
        joint[x * b_count + y] += 1;
        a_totals[x] += 1;
        b_totals[y] += 1;
    }
    let total = a.len() as f64;
    let mut bits = 0.0;
    for (x, &x_total) in a_totals.iter().enumerate() {
        for (y, &y_total) in b_totals.iter().enumerate() {
            let count = joint[x * b_count + y];
            if count > 0 {
                let count = count as f64;
                let expected = x_total as f64 * y_total as f64;
                bits += count / total * (count * total / expected).log2();
            }
        }
    }
    let rounded_below = bits < 0.0 && bits > -ROUNDING_BITS;
    Ok(if rounded_below { 0.0 } else { bits })
}

/// Numbers the different symbols, case aside, in byte order.
fn ranks(sequence: &[u8]) -> ([usize; 256], usize) {
    let mut occurs = [false; 256];
    for symbol in sequence {
        occurs[usize::from(symbol.to_ascii_uppercase())] = true;
    }
    let mut ranks = [0; 256];
    let mut count = 0;
    for symbol in (0..256).filter(|&symbol| occurs[symbol]) {
        ranks[symbol] = count;
        count += 1;
    }
    for lower in b'a'..=b'z' {
        ranks[usize::from(lower)] = ranks[usize::from(lower.to_ascii_uppercase())];
    }
    (ranks, count)
}
