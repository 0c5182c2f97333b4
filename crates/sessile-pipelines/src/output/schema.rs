//! What the rows of a result have in common.

use serde::{Deserialize, Serialize};

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// Yes or no.
    Flag,
    /// A number, f64.
    Number,
    /// A number, f32.
    Single,
    /// Several numbers, f64, each with a name.
    Numbers(Vec<String>),
    /// An f32 tensor with these dimensions, outermost first; `None` differs from row to row.
    Tensor(Vec<Option<usize>>),
    /// Whole numbers, as many as a row has.
    Integers,
    /// Named values as the input had them, of which each row has its own. In JSON they stand among
    /// the row's keys and take the place of `id`; in tables they are one column of JSON text.
    Fields,
}

/// A column: the same name is a JSON key, a Parquet column, an HDF5 group and a NumPy array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether every row has a value here.
    pub presence: Presence,
}

/// Whether rows have a value in a column, and what JSON has in the place of
/// [`Cell::Missing`](super::Cell::Missing); tables have an empty field, Parquet a null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// Every row has one.
    Always,
    /// Rows without one have the key with `null`.
    Nullable,
    /// Rows without one lack the key.
    Optional,
}

impl Column {
    /// A column that has a value in every row.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Column {
            name: name.into(),
            kind,
            presence: Presence::Always,
        }
    }

    /// The same with values that may be missing.
    #[must_use]
    pub fn with_presence(mut self, presence: Presence) -> Self {
        self.presence = presence;
        self
    }

    /// Whether it holds arrays of numbers: what formats that are made for arrays store as such.
    pub(super) fn is_array(&self) -> bool {
        matches!(self.kind, ColumnKind::Tensor(_) | ColumnKind::Numbers(_))
    }
}

/// The columns of a result, in their order. Before them comes the identifier, which every row has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// What the identifier is called: `id`, unless another program's tables have another name.
    pub id: String,
    /// The columns.
    pub columns: Vec<Column>,
}

impl Schema {
    /// These columns.
    pub fn new(columns: Vec<Column>) -> Self {
        Schema {
            id: "id".to_owned(),
            columns,
        }
    }

    /// The same with another name for the identifier.
    #[must_use]
    pub fn with_id(mut self, name: impl Into<String>) -> Self {
        self.id = name.into();
        self
    }

    /// Whether rows carry the fields of their input, the identifier among them.
    pub(super) fn has_fields(&self) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|column| column.kind == ColumnKind::Fields)
    }

    /// A text that is equal for equal schemas, for a job's fingerprint.
    pub fn describe(&self) -> String {
        let column = |column: &Column| {
            let kind = match &column.kind {
                ColumnKind::Text => "text".to_owned(),
                ColumnKind::Integer => "integer".to_owned(),
                ColumnKind::Flag => "flag".to_owned(),
                ColumnKind::Number => "number".to_owned(),
                ColumnKind::Single => "single".to_owned(),
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
                ColumnKind::Integers => "integers".to_owned(),
                ColumnKind::Fields => "fields".to_owned(),
            };
            let presence = match column.presence {
                Presence::Always => "",
                Presence::Nullable => "?",
                Presence::Optional => "??",
            };
            format!("{} {kind}{presence}", column.name)
        };
        self.columns
            .iter()
            .map(column)
            .collect::<Vec<_>>()
            .join(", ")
    }
}
