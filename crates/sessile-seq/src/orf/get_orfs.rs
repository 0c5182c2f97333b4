//! The text that `get_orfs` 1.1 prints.
//!
//! ```text
//! >contig1-orf1 [contig1 frame +1 1 303]
//! MKT…*
//! ```
//!
//! `orfN` counts the printed ORFs of a record. See [`crate::orf`] for the coordinates.

use std::io::{self, Write};

use super::Orfs;

/// The tables that `get_orfs` 1.1 takes; it refuses the rest.
pub const TABLES: [u8; 25] = [
    1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
];

/// The value of `-l` that `get_orfs` uses when none is given.
pub const DEFAULT_LONGER_THAN: usize = 1;

/// Writes the ORFs of the record `id`.
///
/// # Errors
///
/// When the writer fails.
///
/// # Examples
///
/// ```
/// use sessile_seq::genetic_code::GeneticCode;
/// use sessile_seq::orf::{OrfFinder, get_orfs};
///
/// let orfs = OrfFinder::new(GeneticCode::STANDARD).longer_than(2).find(b"ATGAAATAG");
/// let mut text = Vec::new();
/// get_orfs::write(&mut text, "a", &orfs)?;
/// assert_eq!(text, b">a-orf1 [a frame +1 1 9]\nMK*\n>a-orf2 [a frame -1 1 10]\nLFH\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write(out: &mut impl Write, id: &str, orfs: &Orfs<'_>) -> io::Result<()> {
    for orf in orfs {
        let (number, frame) = (orf.number(), orf.frame());
        let (start, end) = (orf.start(), orf.end());
        writeln!(out, ">{id}-orf{number} [{id} frame {frame} {start} {end}]")?;
        out.write_all(orf.protein())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
