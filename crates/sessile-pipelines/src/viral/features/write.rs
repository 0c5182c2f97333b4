//! Feature files as the original writes them.

use std::io::{self, Write};

use sessile_models::checkpoint::{Saved, write_torch};

/// Vectors with the names of their frames.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRows<'a> {
    /// The names.
    pub ids: &'a [String],
    /// `ids.len()` rows.
    pub data: &'a [f32],
    /// Numbers of a row.
    pub width: usize,
}

impl<'a> FeatureRows<'a> {
    fn names(&self) -> Saved<'a> {
        Saved::List(self.ids.iter().map(|id| id.as_str().into()).collect())
    }
}

/// Writes `…_merged.pt`: whole vectors, and for training whether they are of viruses.
///
/// # Errors
///
/// When `out` can not be written.
pub fn write_merged<W: Write>(
    out: W,
    name: &str,
    rows: FeatureRows<'_>,
    is_virus: Option<bool>,
) -> io::Result<W> {
    let data = Saved::Tensor {
        shape: vec![rows.ids.len(), rows.width],
        data: rows.data.into(),
    };
    let mut entries = vec![("ids".into(), rows.names()), ("data".into(), data)];
    if let Some(is_virus) = is_virus {
        let label = Saved::List(vec![Saved::Int(is_virus.into())]);
        entries.push(("labels".into(), label));
    }
    write_torch(out, name, &Saved::Dict(entries))
}

/// Writes `…_DNABERT_S.pt`: lists of floats, as the original has them.
///
/// # Errors
///
/// When `out` can not be written.
pub fn write_nucleotide<W: Write>(out: W, name: &str, rows: FeatureRows<'_>) -> io::Result<W> {
    let entry = |(id, row): (&'_ String, &[f32])| {
        let numbers = row
            .iter()
            .map(|&value| Saved::Float(value.into()))
            .collect();
        Saved::Dict(vec![
            ("label".into(), Saved::Str(id.clone().into())),
            ("mean_representation".into(), Saved::List(numbers)),
        ])
    };
    let data = rows.ids.iter().zip(rows.data.chunks_exact(rows.width));
    let entries = vec![
        ("nucleotide".into(), rows.names()),
        ("data".into(), Saved::List(data.map(entry).collect())),
    ];
    write_torch(out, name, &Saved::Dict(entries))
}

/// Writes `…_ESM.pt`: a tensor for each frame.
///
/// # Errors
///
/// When `out` can not be written.
pub fn write_protein<W: Write>(out: W, name: &str, rows: FeatureRows<'_>) -> io::Result<W> {
    let data = rows.data.chunks_exact(rows.width).map(|row| Saved::Tensor {
        shape: vec![rows.width],
        data: row.into(),
    });
    let entries = vec![
        ("proteins".into(), rows.names()),
        ("data".into(), Saved::List(data.collect())),
    ];
    write_torch(out, name, &Saved::Dict(entries))
}
