//! What the rows of a result have in common.

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// Yes or no.
    Flag,
    /// A number, f64.
    Number,
    /// Several numbers, f64, each with a name.
    Numbers(Vec<String>),
    /// An f32 tensor with these dimensions, outermost first; `None` differs from row to row.
    Tensor(Vec<Option<usize>>),
}

/// A column: the same name is a JSON key, a Parquet column, an HDF5 group and a NumPy array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Column {
            name: name.into(),
            kind,
        }
    }

    /// Whether it holds arrays of numbers: what formats that are made for arrays store as such.
    pub(super) fn is_array(&self) -> bool {
        matches!(self.kind, ColumnKind::Tensor(_) | ColumnKind::Numbers(_))
    }
}

/// The columns of a result, in their order. Before them comes `id`, which every row has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The columns.
    pub columns: Vec<Column>,
}

impl Schema {
    /// These columns.
    pub fn new(columns: Vec<Column>) -> Self {
        Schema { columns }
    }

    /// A text that is equal for equal schemas, for a job's fingerprint.
    pub fn describe(&self) -> String {
        let column = |column: &Column| {
            let kind = match &column.kind {
                ColumnKind::Text => "text".to_owned(),
                ColumnKind::Integer => "integer".to_owned(),
                ColumnKind::Flag => "flag".to_owned(),
                ColumnKind::Number => "number".to_owned(),
                ColumnKind::Numbers(names) => names.join("+"),
                ColumnKind::Tensor(shape) => {
                    let length = |length: &Option<usize>| match length {
                        Some(length) => length.to_string(),
                        None => "?".to_owned(),
                    };
                    format!(
                        "[{}]",
                        shape.iter().map(length).collect::<Vec<_>>().join("x")
                    )
                }
            };
            format!("{} {kind}", column.name)
        };
        self.columns
            .iter()
            .map(column)
            .collect::<Vec<_>>()
            .join(", ")
    }
}
