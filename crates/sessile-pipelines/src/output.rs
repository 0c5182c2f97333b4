//! Results on their way to a file.

mod jsonl;
mod names;
mod row;
mod whole_file;

use std::io;

pub use jsonl::JsonLines;
pub use names::{OutputName, ParseOutputNameError, output_set};
pub use row::{Likelihood, Row};
pub use whole_file::{Destination, WholeFile};

/// Something that takes rows in their order.
pub trait RowWriter {
    /// Writes a row.
    ///
    /// # Errors
    ///
    /// When the output can not be written.
    fn write(&mut self, row: &Row) -> io::Result<()>;

    /// Writes what is left and gives the output its name.
    ///
    /// # Errors
    ///
    /// When the output can not be written, synced or named.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
