//! One row of results.

mod bytes;

use sessile_device::HostTensor;

/// The value of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A number of single precision.
    Single(f32),
    /// Several numbers, in the order of the column's names.
    Numbers(Vec<f64>),
    /// A tensor.
    Tensor(HostTensor),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Names, and the JSON text of the value of each.
    Fields(Vec<(String, String)>),
    /// No value, in a column where there may be none.
    Missing,
}

/// The results of one record: the cells are those of the columns of a [`Schema`](super::Schema),
/// in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The record's identifier.
    pub id: String,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}
